/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-item.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static gpointer
open_rejections (const char *tree, guint keep)
{
  g_autoptr (GError) error = NULL;
  gpointer rejections =
      test_part_new ("store/rejections", "directory", tree, "max-size", (guint64) 4096, "keep", keep, NULL);

  cis_part_open (rejections, NULL, &error);
  g_assert_no_error (error);
  return rejections;
}

static void
close_rejections (gpointer rejections)
{
  cis_part_close (rejections);
  g_object_unref (rejections);
}

static CisEpisode *
make_rejected (const char *name, const char *identity)
{
  g_autoptr (CisRequest) request = cis_request_new ("PUT", "/v1/episodes/lab-1/run");
  CisEpisode *episode = cis_episode_new ("lab-1", name, request);
  CisFinding *finding =
      cis_finding_new ("commit-not-in-window", CIS_SEVERITY_ERROR, "lab-1/run", "Too \"old\".");
  g_autoptr (CisOutcome) outcome = cis_outcome_rejected (finding);
  g_autofree char *sha256 = g_strnfill (64, 'a');

  if (identity != NULL)
    cis_request_identify (request, identity);
  cis_episode_set_commit (episode, COMMIT);
  cis_episode_set_archive (episode, NULL, sha256, 5);
  cis_item_fix_outcome (CIS_ITEM (episode), outcome, "window");
  return episode;
}

static void
reject (gpointer rejections, const char *name)
{
  g_autoptr (CisEpisode) episode = make_rejected (name, "lab-1");

  g_assert_cmpint (test_process (rejections, episode, NULL), ==, CIS_VERDICT_PASSED);
}

static void
test_row (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer rejections = open_rejections (tree, 4);
  g_autoptr (CisEpisode) stranger = make_rejected ("run", NULL);
  g_autoptr (JsonObject) row = NULL, second = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  reject (rejections, "run");
  g_assert_cmpint (test_process (rejections, stranger, NULL), ==, CIS_VERDICT_PASSED);
  text = test_read (tree, "rejected.jsonl");
  lines = g_strsplit (text, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 3);
  row = cis_json_parse (lines[0], strlen (lines[0]), NULL);
  g_assert_nonnull (cis_json_get_string (row, "ts"));
  g_assert_cmpstr (cis_json_get_string (row, "host"), ==, "lab-1");
  g_assert_cmpstr (cis_json_get_string (row, "identity"), ==, "lab-1");
  g_assert_cmpstr (cis_json_get_string (row, "episode"), ==, "run");
  g_assert_cmpstr (cis_json_get_string (row, "finding"), ==, "commit-not-in-window");
  g_assert_cmpstr (cis_json_get_string (row, "summary"), ==, "Too \"old\".");
  g_assert_cmpstr (cis_json_get_string (row, "commit"), ==, COMMIT);
  g_assert_cmpuint (strlen (cis_json_get_string (row, "sha256")), ==, 64);
  second = cis_json_parse (lines[1], strlen (lines[1]), NULL);
  g_assert_false (json_object_has_member (second, "identity"));
  close_rejections (rejections);
}

static gsize
get_size (const char *tree, const char *name)
{
  g_autofree char *text = test_read (tree, name);

  g_assert_nonnull (text);
  g_assert_true (g_str_has_suffix (text, "}\n"));
  return strlen (text);
}

static void
test_rotation (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer rejections = open_rejections (tree, 2);
  g_autofree char *names = NULL, *first = NULL, *last = NULL;

  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *name = g_strdup_printf ("run-%03u", i);

      if (i == 50) /* goes on with the file that is there */
        {
          close_rejections (rejections);
          rejections = open_rejections (tree, 2);
        }
      reject (rejections, name);
    }
  names = test_list (tree, ".");
  g_assert_cmpstr (names, ==, ".rejected.jsonl.lock rejected.jsonl rejected.jsonl.1 rejected.jsonl.2");
  g_assert_cmpuint (get_size (tree, "rejected.jsonl"), <=, 4096);
  g_assert_cmpuint (get_size (tree, "rejected.jsonl.1"), <=, 4096);
  g_assert_cmpuint (get_size (tree, "rejected.jsonl.2"), <=, 4096);
  last = test_read (tree, "rejected.jsonl");
  g_assert_nonnull (strstr (last, "run-099"));
  first = test_read (tree, "rejected.jsonl.2");
  g_assert_null (strstr (first, "run-000"));
  close_rejections (rejections);
}

static void
test_keep_none (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer rejections = open_rejections (tree, 0);
  g_autofree char *names = NULL;

  for (guint i = 0; i < 50; i++)
    reject (rejections, "run");
  names = test_list (tree, ".");
  g_assert_cmpstr (names, ==, ".rejected.jsonl.lock rejected.jsonl");
  g_assert_cmpuint (get_size (tree, "rejected.jsonl"), <=, 4096);
  close_rejections (rejections);
}

/* The refusal stands, whatever becomes of its row; and the next row is written once that works again. */
static void
test_unwritable (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer rejections = open_rejections (tree, 1);
  g_autofree char *blocked = g_build_filename (tree, "rejected.jsonl.1", NULL);
  g_autofree char *text = NULL;

  test_write (tree, "rejected.jsonl.1/in-the-way", "a folder where a file should go");
  for (guint i = 0; i < 50; i++)
    reject (rejections, "run");
  g_assert_cmpuint (get_size (tree, "rejected.jsonl"), <=, 4096);
  cis_folder_remove (AT_FDCWD, blocked, NULL, NULL);
  reject (rejections, "after");
  text = test_read (tree, "rejected.jsonl");
  g_assert_nonnull (strstr (text, "\"after\""));
  close_rejections (rejections);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/rejections/row", test_row);
  g_test_add_func ("/rejections/rotation", test_rotation);
  g_test_add_func ("/rejections/keep-none", test_keep_none);
  g_test_add_func ("/rejections/unwritable", test_unwritable);
  return g_test_run ();
}
