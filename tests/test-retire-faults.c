/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What retiring promises wherever a call fails: a shipped episode is in one place, it goes to shipped/ only
 * beside its receipt, and what did not go stays and goes the next time. */

#include "faults.h"

#include <errno.h>
#include <unistd.h>

/* An episode that has just been shipped. */
static CisEpisode *
ship (CisHostState *state, const char *tree)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *sha256 = g_strnfill (64, 'a');
  g_autofree char *fingerprint = NULL;
  g_autoptr (JsonObject) receipt = NULL;
  CisEpisode *episode = cis_episode_new (NULL, "run", NULL);

  test_make_episode (tree, "episodes/run", 'c');
  test_write (tree, "outbox/run.tar.zst", "packed");
  test_write (tree, "outbox/run.json", "{}");
  fingerprint =
      cis_fingerprint (cis_host_state_get_fd (state, CIS_FOLDER_EPISODES), "run", NULL, NULL, &error);
  g_assert_no_error (error);
  cis_episode_set_fingerprint (episode, fingerprint);
  cis_episode_set_archive (episode, NULL, sha256, 6);
  receipt = cis_receipt_new (episode, "lab", "stored", NULL);
  g_assert_true (cis_host_state_store_receipt (state, episode, receipt, &error));
  cis_episode_set_receipt (episode, receipt);
  return episode;
}

static void
try_retire (gpointer taken)
{
  const char *target = taken != NULL ? "shipped/run-2/meta.json" : "shipped/run/meta.json";
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (tree, &error);
  g_autoptr (CisEpisode) episode = ship (state, tree);
  g_autoptr (CisOutcome) outcome = NULL;
  gpointer retire = test_part_new ("store/retire", "state", tree, NULL);
  const char *failed;
  CisVerdict verdict;

  g_assert_true (cis_part_open (retire, NULL, &error));
  if (taken != NULL)
    test_write (tree, "shipped/run/earlier", "");
  faults_begin ();
  verdict = test_process (retire, episode, &outcome);
  failed = faults_end ();

  if (failed == NULL)
    g_assert_cmpint (verdict, ==, CIS_VERDICT_PASSED);
  if (verdict == CIS_VERDICT_PASSED)
    g_assert_false (test_exists (tree, "episodes/run"));
  /* What is told as undone is undone. */
  else if (!g_error_matches (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL))
    g_assert_true (test_exists (tree, "episodes/run/meta.json"));
  g_assert_true (test_exists (tree, "receipts/run.json"));
  /* Another may be there under a name that seemed to be free, but never in its place. */
  if (faults_get_error () != EEXIST)
    g_assert_cmpint (test_exists (tree, target), !=, test_exists (tree, "episodes/run/meta.json"));
  if (taken != NULL)
    g_assert_true (test_exists (tree, "shipped/run/earlier"));

  if (test_exists (tree, "episodes/run"))
    {
      g_assert_true (test_exists (tree, "outbox/run.tar.zst"));
      g_assert_cmpint (test_process (retire, episode, NULL), ==, CIS_VERDICT_PASSED);
      g_assert_true (test_exists (tree, target));
    }
  cis_part_close (retire);
  g_object_unref (retire);
}

static void
try_open (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  gpointer retire = test_part_new ("store/retire", "state", tree, NULL);
  gboolean opened;

  faults_begin ();
  opened = cis_part_open (retire, NULL, &error);
  faults_end ();
  g_assert_cmpint (opened, ==, error == NULL);
  cis_part_close (retire);
  g_object_unref (retire);
}

static void
assert_whole (const char *tree, const char *folder)
{
  g_autofree char *log = g_build_filename (folder, "log.txt", NULL);
  g_autofree char *meta = g_build_filename (folder, "meta.json", NULL);
  g_autofree char *telemetry = g_build_filename (folder, "data/telemetry.jsonl", NULL);

  if (!test_exists (tree, folder))
    return;
  g_assert_true (test_exists (tree, log));
  g_assert_true (test_exists (tree, meta));
  g_assert_true (test_exists (tree, telemetry));
}

/* What was shipped long ago goes, its receipt last: as long as something of it is there, a pass finds it
 * again. */
static void
try_maintain (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *sha256 = g_strnfill (64, 'a');
  g_autofree char *receipt =
      g_strdup_printf ("{\"episode\":\"run\",\"sha256\":\"%s\",\"received_at\":\"2020-01-02T03:04:05Z\"}",
                       sha256);
  gpointer retire =
      test_part_new ("store/retire", "state", tree, "confirm-after", G_GINT64_CONSTANT (0), NULL);
  CisPartClass *klass = CIS_PART_GET_CLASS (retire);
  const char *failed;
  gboolean done;

  test_write (tree, "receipts/run.json", receipt);
  test_write (tree, "receipts/odd.json", "{\"episode\":\"odd\"}");
  test_write (tree, "receipts/notes.txt", "");
  test_make_episode (tree, "shipped/run", 'c');
  test_make_episode (tree, "shipped/run-2", 'c');
  test_make_episode (tree, "shipped/odd", 'c');
  g_assert_true (cis_part_open (retire, NULL, &error));
  faults_begin ();
  /* The first pass gives notice. */
  done = klass->maintain (retire, NULL, &error) >= 0 && klass->maintain (retire, NULL, &error) >= 0;
  failed = faults_end ();
  g_assert_cmpint (done, ==, error == NULL);
  if (g_strcmp0 (failed, "fsync") == 0 && faults_get_error () != EINTR)
    g_assert_error (error, CIS_ERROR, CIS_ERROR_FATAL);
  if (failed == NULL)
    g_assert_false (test_exists (tree, "shipped/run"));
  /* Whole, or under another name: somebody may move it back to episodes/. */
  assert_whole (tree, "shipped/run");
  assert_whole (tree, "shipped/run-2");
  if (!test_exists (tree, "receipts/run.json") && faults_get_error () != ENOENT)
    g_assert_false (test_exists (tree, "shipped/run") || test_exists (tree, "shipped/run-2"));
  g_assert_true (test_exists (tree, "shipped/odd/meta.json"));
  g_assert_true (test_exists (tree, "receipts/odd.json"));

  /* What could not be looked at is, by a later pass. */
  g_clear_error (&error);
  for (guint i = 0; i < 3; i++)
    klass->maintain (retire, NULL, &error);
  g_assert_no_error (error);
  if (faults_get_error () != ENOENT)
    {
      g_autofree char *left = test_list (tree, "shipped");

      g_assert_false (test_exists (tree, "receipts/run.json"));
      g_assert_cmpstr (left, ==, "odd");
    }
  cis_part_close (retire);
  g_object_unref (retire);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  faults_add_test ("/retire-faults/open", try_open, NULL);
  faults_add_test ("/retire-faults/maintain", try_maintain, NULL);
  faults_add_test ("/retire-faults/retire", try_retire, NULL);
  faults_add_test ("/retire-faults/retire/taken", try_retire, "taken");
  return g_test_run ();
}
