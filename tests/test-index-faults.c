/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the index promises wherever a call fails: whole rows only, none lost that was flushed, and none twice
 * once an episode that was told of an error has been brought home. */

#include "faults.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMIT       "0123456789abcdef0123456789abcdef01234567"
#define ROW(episode) "{\"ts\":\"2026-01-02T03:04:05Z\",\"host\":\"lab-1\",\"episode\":\"" episode "\"}\n"

static CisEpisode *
make_episode (const char *mark)
{
  CisEpisode *episode = cis_episode_new ("lab-1", "run", NULL);
  g_autofree char *sha256 = g_strnfill (64, 'a');

  cis_episode_set_commit (episode, COMMIT);
  cis_episode_set_archive (episode, NULL, sha256, 5);
  if (mark != NULL)
    cis_item_set_mark (CIS_ITEM (episode), mark, "true");
  return episode;
}

static guint
count_rows (const char *tree, const char *name)
{
  g_autofree char *text = test_read (tree, "index.jsonl");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  g_autofree char *wanted = g_strdup_printf ("\"episode\":\"%s\"", name);
  guint n = 0;

  for (guint i = 0; lines[0] != NULL && lines[i + 1] != NULL; i++)
    {
      g_autoptr (JsonObject) row = cis_json_parse (lines[i], strlen (lines[i]), NULL);

      g_assert_nonnull (row);
      n += strstr (lines[i], wanted) != NULL;
    }
  return n;
}

static void
close_index (gpointer index)
{
  cis_part_close (index);
  g_object_unref (index);
}

/* A new start; the same episode, brought home. */
static void
recover (const char *tree)
{
  gpointer index = test_part_new ("store/index", "directory", tree, NULL);
  g_autoptr (CisEpisode) episode = make_episode ("recovered");
  g_autoptr (GError) error = NULL;

  cis_part_open (index, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (test_process (index, episode, NULL), ==, CIS_VERDICT_PASSED);
  close_index (index);
  g_assert_cmpuint (count_rows (tree, "run"), ==, 1);
  g_assert_cmpuint (count_rows (tree, "earlier"), ==, 1);
}

static void
try_open (gpointer text)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer index = test_part_new ("store/index", "directory", tree, NULL);
  g_autoptr (GError) error = NULL;
  gboolean opened;

  test_write (tree, "index.jsonl", text);
  faults_begin ();
  opened = cis_part_open (index, NULL, &error);
  cis_part_close (index);
  faults_end ();
  g_assert_cmpint (opened, ==, error == NULL);
  g_object_unref (index);
  recover (tree);
}

/* The folder is missing too, or it is another user's, to whom what root makes in it is given. */
static void
try_create (gpointer owner)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *folder = g_build_filename (tree, "new", NULL);
  gpointer index = test_part_new ("store/index", "directory", folder, NULL);
  g_autoptr (GError) error = NULL;
  gboolean opened;

  if (owner != NULL)
    {
      g_assert_no_errno (mkdir (folder, 0755));
      g_assert_true (chown (folder, GPOINTER_TO_UINT (owner), -1) == 0 || geteuid () != 0);
    }
  faults_begin ();
  opened = cis_part_open (index, NULL, &error);
  faults_end ();
  g_assert_cmpint (opened, ==, error == NULL);
  close_index (index);
}

static void
try_process (gpointer mark)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer index = test_part_new ("store/index", "directory", tree, NULL);
  g_autoptr (CisEpisode) episode = make_episode (mark);
  g_autoptr (CisOutcome) outcome = NULL;
  g_autoptr (GError) error = NULL;
  const char *failed;
  CisVerdict verdict;

  test_write (tree, "index.jsonl", ROW ("earlier"));
  cis_part_open (index, NULL, &error);
  g_assert_no_error (error);
  faults_begin ();
  verdict = test_process (index, episode, &outcome);
  failed = faults_end ();

  if (failed == NULL)
    g_assert_cmpint (verdict, ==, CIS_VERDICT_PASSED);
  if (verdict == CIS_VERDICT_PASSED)
    g_assert_cmpuint (count_rows (tree, "run"), ==, 1);
  g_assert_cmpuint (count_rows (tree, "earlier"), ==, 1);
  /* After a failed flush nothing more is written, ever. */
  if (g_strcmp0 (failed, "fdatasync") == 0 && faults_get_error () == EIO)
    {
      g_assert_error (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL);
      g_clear_pointer (&outcome, cis_outcome_unref);
      g_assert_cmpint (test_process (index, episode, &outcome), ==, CIS_VERDICT_FAILED);
      g_assert_error (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL);
    }
  close_index (index);
  recover (tree);
}

/* Another process was killed while it appended, so that its torn row has to be cut first. */
static void
try_after_torn (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "index.jsonl", NULL);
  gpointer index = test_part_new ("store/index", "directory", tree, NULL);
  g_autoptr (CisEpisode) episode = make_episode (NULL);
  g_autoptr (GError) error = NULL;
  CisVerdict verdict;
  FILE *file;

  test_write (tree, "index.jsonl", ROW ("earlier"));
  cis_part_open (index, NULL, &error);
  g_assert_no_error (error);
  file = fopen (path, "a");
  g_assert_cmpint (fputs ("{\"ts\":\"2026", file), >=, 0);
  fclose (file);

  faults_begin ();
  verdict = test_process (index, episode, NULL);
  faults_end ();
  if (verdict == CIS_VERDICT_PASSED)
    g_assert_cmpuint (count_rows (tree, "run"), ==, 1);
  close_index (index);
  recover (tree);
}

/* A row that was written in part and can't be cut off: nothing may follow it before the next start. */
static void
test_stays_torn (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer index = test_part_new ("store/index", "directory", tree, NULL);
  g_autoptr (CisEpisode) episode = make_episode (NULL);
  g_autoptr (CisOutcome) outcome = NULL, again = NULL;
  g_autoptr (GError) error = NULL;

  test_write (tree, "index.jsonl", ROW ("earlier"));
  cis_part_open (index, NULL, &error);
  g_assert_no_error (error);
  faults_choose ("write", 1, FAULT_SHORT, FALSE);
  faults_choose_too ("ftruncate", EIO);
  faults_begin ();
  g_assert_cmpint (test_process (index, episode, &outcome), ==, CIS_VERDICT_FAILED);
  faults_end ();
  g_assert_error (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL);
  faults_choose (NULL, 0, 0, FALSE);
  g_assert_cmpint (test_process (index, episode, &again), ==, CIS_VERDICT_FAILED);
  g_assert_error (cis_outcome_get_error (again), CIS_ERROR, CIS_ERROR_FATAL);
  close_index (index);
  recover (tree);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  faults_add_test ("/index-faults/open", try_open, ROW ("earlier"));
  faults_add_test ("/index-faults/open/torn", try_open, ROW ("earlier") "{\"ts\":\"2026");
  faults_add_test ("/index-faults/open/damaged", try_open, ROW ("earlier") "no JSON\n");
  faults_add_test ("/index-faults/create", try_create, NULL);
  faults_add_test ("/index-faults/create/others", try_create, GUINT_TO_POINTER (12345));
  faults_add_test ("/index-faults/append", try_process, NULL);
  faults_add_test ("/index-faults/append/recovered", try_process, "recovered");
  faults_add_test ("/index-faults/append/backfilled", try_process, "backfilled");
  faults_add_test ("/index-faults/append/after-torn", try_after_torn, NULL);
  g_test_add_func ("/index-faults/stays-torn", test_stays_torn);
  return g_test_run ();
}
