/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uploads.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
cut_stored (const char *tree)
{
  g_autofree char *path = g_build_filename (tree, "store/lab-1/run.tar.zst", NULL);

  g_assert_no_errno (truncate (path, 2));
}

/* Neither is lost, and the good one has the name. */
static void
test_set_aside (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, G_USEC_PER_SEC);
  g_autoptr (CisEpisode) first = uploads_make_put ("run", "bytes");
  g_autofree char *cut = cis_digest_bytes ("by", 2);
  g_autofree char *aside = g_strdup_printf ("damaged/lab-1/run.%s.tar.zst", cut);
  g_autofree char *second_aside = g_strdup_printf ("damaged/lab-1/run.%s.2.tar.zst", cut);

  g_assert_cmpint (uploads_put (archive, first, NULL), ==, CIS_VERDICT_PASSED);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CisEpisode) again = uploads_make_put ("run", "bytes");
      g_autofree char *stored = NULL, *damaged = NULL;

      cut_stored (tree);
      g_assert_cmpint (uploads_put (archive, again, NULL), ==, CIS_VERDICT_PASSED);
      /* The index may have its row already. */
      g_assert_cmpstr (cis_item_get_mark (CIS_ITEM (again), "recovered"), ==, "true");
      stored = test_read (tree, "store/lab-1/run.tar.zst");
      damaged = test_read (tree, i == 0 ? aside : second_aside);
      g_assert_cmpstr (stored, ==, "bytes");
      g_assert_cmpstr (damaged, ==, "by");
      g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.tar.zst"), ==, 1);
      g_assert_cmpuint (uploads_count_links (tree, aside), ==, 1);
      uploads_assert_none_left (tree);
    }
  uploads_close (archive);
}

/* What a host only claims makes nothing of its own, and nothing of what is sound, go. */
static void
test_not_set_aside (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, G_USEC_PER_SEC);
  g_autoptr (CisEpisode) first = uploads_make_put ("run", "bytes");
  g_autoptr (CisEpisode) other = uploads_make_put ("run", "other bytes");
  g_autoptr (CisEpisode) after = uploads_make_put ("run", "other bytes");
  g_autoptr (CisOutcome) sound = NULL, damaged = NULL;

  g_assert_cmpint (uploads_put (archive, first, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpint (uploads_put (archive, other, &sound), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (sound, "episode-conflict");
  cut_stored (tree);
  g_assert_cmpint (uploads_put (archive, after, &damaged), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (damaged, "episode-conflict");
  g_assert_cmpstr (cis_finding_get_detail (cis_outcome_get_finding (damaged), "stored_sha256"), ==,
                   cis_episode_get_sha256 (first));
  g_assert_false (test_exists (tree, "damaged"));
  uploads_close (archive);
}

/* What a run that was cut short left of its attempt. */
static void
test_attempt_that_was_cut (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, G_USEC_PER_SEC);
  g_autoptr (CisEpisode) first = uploads_make_put ("run", "bytes");
  g_autoptr (CisEpisode) again = uploads_make_put ("run", "bytes");
  g_autofree char *cut = cis_digest_bytes ("by", 2);
  g_autofree char *aside = g_strdup_printf ("damaged/lab-1/run.%s.tar.zst", cut);
  g_autofree char *stored = g_build_filename (tree, "store/lab-1/run.tar.zst", NULL);
  g_autofree char *link_path = g_build_filename (tree, aside, NULL);
  g_autofree char *folder = g_path_get_dirname (link_path);
  g_autofree char *list = NULL;

  g_assert_cmpint (uploads_put (archive, first, NULL), ==, CIS_VERDICT_PASSED);
  cut_stored (tree);
  g_assert_no_errno (g_mkdir_with_parents (folder, 0750));
  g_assert_no_errno (link (stored, link_path));
  test_write (tree, "incoming/lab-1/.run.swap", "an earlier upload");
  g_assert_cmpint (uploads_put (archive, again, NULL), ==, CIS_VERDICT_PASSED);
  list = test_list (tree, "damaged/lab-1");
  g_assert_cmpstr (list, ==, strrchr (aside, '/') + 1);
  g_assert_cmpuint (uploads_count_links (tree, aside), ==, 1);
  uploads_assert_none_left (tree);
  g_assert_false (test_exists (tree, "incoming/lab-1/.run.swap"));
  uploads_close (archive);
}

static CisOutcome *
restore (CisEpisode *episode, int fd, GCancellable *cancellable, gpointer tree)
{
  g_autofree char *backup = g_build_filename (tree, "backup", NULL);
  g_autofree char *stored = g_build_filename (tree, "store/lab-1/run.tar.zst", NULL);

  test_write (tree, "backup", "restored");
  g_assert_no_errno (g_rename (backup, stored));
  return cis_outcome_passed ();
}

/* An operator puts it back from a backup, just when its host sends it again. */
static void
test_restored_meanwhile (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, G_USEC_PER_SEC);
  g_autoptr (CisEpisode) first = uploads_make_put ("run", "bytes");
  g_autoptr (CisEpisode) again = uploads_make_put ("run", "bytes");
  g_autofree char *stored = NULL;

  g_assert_cmpint (uploads_put (archive, first, NULL), ==, CIS_VERDICT_PASSED);
  cut_stored (tree);
  cis_episode_add_inspection (again, restore, tree);
  g_assert_cmpint (uploads_put (archive, again, NULL), ==, CIS_VERDICT_FAILED);
  stored = test_read (tree, "store/lab-1/run.tar.zst");
  g_assert_cmpstr (stored, ==, "restored");
  g_assert_false (test_exists (tree, "damaged"));
  uploads_close (archive);
}

static void
test_cleared_at_the_start (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  uploads_close (uploads_open (tree, G_USEC_PER_SEC));
  test_write (tree, "incoming/lab-1/.run.swap", "damaged");
  test_write (tree, "incoming/lab-1/.notes", "not ours");
  uploads_close (uploads_open (tree, G_USEC_PER_SEC));
  g_assert_false (test_exists (tree, "incoming/lab-1/.run.swap"));
  g_assert_true (test_exists (tree, "incoming/lab-1/.notes"));
}

/* An empty file is no archive of anybody's. */
static void
test_without_a_row (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, G_USEC_PER_SEC);
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "bytes");
  g_autofree char *stored = NULL;

  test_write (tree, "store/lab-1/run.tar.zst", "");
  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  stored = test_read (tree, "store/lab-1/run.tar.zst");
  g_assert_cmpstr (stored, ==, "bytes");
  uploads_close (archive);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/set-aside/acknowledged", test_set_aside);
  g_test_add_func ("/set-aside/never", test_not_set_aside);
  g_test_add_func ("/set-aside/cut", test_attempt_that_was_cut);
  g_test_add_func ("/set-aside/restored-meanwhile", test_restored_meanwhile);
  g_test_add_func ("/set-aside/start", test_cleared_at_the_start);
  g_test_add_func ("/set-aside/no-promise", test_without_a_row);
  return g_test_run ();
}
