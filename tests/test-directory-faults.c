/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What transport/directory promises wherever a call fails: it says passed only of what is there whole, a
 * folder that fails makes the episode wait, and the next attempt needs nobody. */

#include "faults.h"

static CisVerdict
ship (CisPart *part, const char *tree, CisOutcome **outcome)
{
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);
  g_autofree char *archive = g_build_filename (tree, "state/outbox/e1.tar.zst", NULL);
  g_autofree char *sha256 = cis_digest_bytes ("bytes", 5);

  cis_episode_set_archive (episode, archive, sha256, 5);
  return test_process (part, episode, outcome);
}

/* @there: whether the archive is there already, as after a kill. */
static void
try_ship (gpointer there)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *target = g_build_filename (tree, "target", NULL);
  CisPart *part =
      test_part_new ("transport/directory", "state", state, "directory", target, "host", "lab-7", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *copy = NULL;
  CisVerdict verdict;
  const char *failed;

  g_assert_true (cis_part_open (part, NULL, &error));
  test_write (tree, "state/outbox/e1.tar.zst", "bytes");
  test_write (tree, "target/lab-7/.e1.partial", "what a kill left behind");
  if (there != NULL)
    test_write (tree, "target/lab-7/e1.tar.zst", "bytes");
  faults_begin ();
  verdict = ship (part, tree, &outcome);
  failed = faults_end ();

  g_assert_true (failed != NULL || verdict == CIS_VERDICT_PASSED);
  /* One that ends early is another archive. */
  if (verdict == CIS_VERDICT_REJECTED)
    g_assert_true (there != NULL && faults_get_error () == FAULT_NONE);
  /* Only the host's own disk ends the shipper, and it comes last. */
  if (verdict == CIS_VERDICT_FAILED &&
      g_error_matches (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL))
    g_assert_true (test_exists (tree, "target/lab-7/e1.json"));
  if (verdict == CIS_VERDICT_PASSED)
    g_assert_true (test_exists (tree, "state/receipts/e1.json"));
  else
    {
      test_write (tree, "state/outbox/e1.tar.zst", "bytes"); /* packed again, where it seemed damaged */
      g_assert_cmpint (ship (part, tree, NULL), ==, CIS_VERDICT_PASSED);
    }
  copy = test_read (tree, "target/lab-7/e1.tar.zst");
  g_assert_cmpstr (copy, ==, "bytes");
  cis_part_close (part);
  g_object_unref (part);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  faults_add_test ("/directory-faults/ship", try_ship, NULL);
  faults_add_test ("/directory-faults/there", try_ship, "there");
  return g_test_run ();
}
