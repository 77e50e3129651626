/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-part.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#define MAX_SIZE 2000

typedef struct
{
  TestTree *tree;
  char *file;
  gpointer alert;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fixture->tree = test_tree_new ();
  fixture->file = g_build_filename (fixture->tree, "new", "folder", "findings.jsonl", NULL);
  fixture->alert = test_part_new ("alert/jsonl", "file", fixture->file, "max-size", (guint64) MAX_SIZE, NULL);
  cis_part_open (fixture->alert, NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  cis_part_close (fixture->alert);
  g_object_unref (fixture->alert);
  g_free (fixture->file);
  test_tree_remove (fixture->tree);
}

static gboolean
tell (gpointer alert, const char *summary, CisFindingChange change, CisItem *item, GError **error)
{
  g_autoptr (CisFinding) finding = cis_finding_new ("disk-full", CIS_SEVERITY_ERROR, "store", "%s", summary);

  cis_finding_set_fix (finding, "df -h");
  cis_finding_set_detail (finding, "free", "12");
  return CIS_ALERT_GET_CLASS (alert)->tell_finding (alert, finding, change, item, NULL, error);
}

static void
assert_told (gpointer alert, const char *summary, CisFindingChange change, CisItem *item)
{
  g_autoptr (GError) error = NULL;

  tell (alert, summary, change, item, &error);
  g_assert_no_error (error);
}

static GStrv
read_lines (Fixture *fixture)
{
  g_autofree char *text = test_read (fixture->tree, "new/folder/findings.jsonl");

  g_assert_nonnull (text);
  g_assert_true (g_str_has_suffix (text, "\n"));
  text[strlen (text) - 1] = '\0';
  return g_strsplit (text, "\n", -1);
}

static JsonObject *
parse (const char *line)
{
  g_autoptr (GError) error = NULL;
  JsonObject *object = cis_json_parse (line, strlen (line), &error);

  g_assert_no_error (error);
  return object;
}

static void
assert_member (JsonObject *object, const char *member, const char *value)
{
  g_assert_cmpstr (cis_json_get_string (object, member), ==, value);
}

static void
test_lines (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab07", "run-1", NULL);
  g_autoptr (JsonObject) raised = NULL;
  g_autoptr (JsonObject) event = NULL;
  g_autoptr (JsonObject) cleared = NULL;
  g_auto (GStrv) lines = NULL;

  assert_told (fixture->alert, "a line\nbreak, “quotes” and \"more\".", CIS_FINDING_RAISED, NULL);
  assert_told (fixture->alert, "once", CIS_FINDING_EVENT, CIS_ITEM (episode));
  assert_told (fixture->alert, "gone", CIS_FINDING_CLEARED, NULL);
  lines = read_lines (fixture);
  g_assert_cmpuint (g_strv_length (lines), ==, 3);

  raised = parse (lines[0]);
  assert_member (raised, "change", "raised");
  assert_member (raised, "finding", "disk-full");
  assert_member (raised, "severity", "error");
  assert_member (raised, "subject", "store");
  assert_member (raised, "summary", "a line\nbreak, “quotes” and \"more\".");
  assert_member (raised, "fix", "df -h");
  assert_member (raised, "free", "12");
  assert_member (raised, "episode", NULL);
  g_assert_true (g_str_has_suffix (cis_json_get_string (raised, "ts"), "Z"));

  event = parse (lines[1]);
  assert_member (event, "change", "event");
  assert_member (event, "episode", "run-1");
  assert_member (event, "host", "lab07");
  cleared = parse (lines[2]);
  assert_member (cleared, "change", "cleared");
}

/* Through the stage's own entry, as the pipeline calls it. */
static void
test_process_item (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab07", "run-1", NULL);

  g_assert_cmpint (test_process (fixture->alert, episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpint (cis_stage_get_when (fixture->alert), ==, CIS_WHEN_AFTERWARDS);
  {
    g_autofree char *text = test_read (fixture->tree, "new/folder/findings.jsonl");

    g_assert_cmpstr (text, ==, "");
  }
}

static void
test_rotation (Fixture *fixture, gconstpointer data)
{
  struct stat status;
  g_autofree char *names = NULL;
  g_autofree char *old = g_strconcat (fixture->file, ".1", NULL);

  for (guint i = 0; i < 30; i++)
    {
      assert_told (fixture->alert, "the store has less than a gigabyte left", CIS_FINDING_REPLACED, NULL);
      g_assert_no_errno (g_stat (fixture->file, &status));
      g_assert_cmpint (status.st_size, >, 0);
      g_assert_cmpint (status.st_size, <=, MAX_SIZE);
    }
  names = test_list (fixture->tree, "new/folder");
  g_assert_cmpstr (names, ==, ".findings.jsonl.lock findings.jsonl findings.jsonl.1");
  g_assert_no_errno (g_stat (old, &status));
  g_assert_cmpint (status.st_size, <=, MAX_SIZE);
}

/* A line longer than max-size is told all the same. */
static void
test_long_line (Fixture *fixture, gconstpointer data)
{
  g_autofree char *summary = g_strnfill (3 * MAX_SIZE, 'x');
  g_auto (GStrv) lines = NULL;

  assert_told (fixture->alert, "short", CIS_FINDING_RAISED, NULL);
  assert_told (fixture->alert, summary, CIS_FINDING_RAISED, NULL);
  lines = read_lines (fixture);
  g_assert_cmpuint (g_strv_length (lines), ==, 1);
  json_object_unref (parse (lines[0]));
}

static void
test_moved_away (Fixture *fixture, gconstpointer data)
{
  g_autofree char *names = NULL;
  g_autofree char *old = g_strconcat (fixture->file, ".old", NULL);

  assert_told (fixture->alert, "one", CIS_FINDING_RAISED, NULL);
  g_assert_no_errno (g_rename (fixture->file, old));
  assert_told (fixture->alert, "two", CIS_FINDING_RAISED, NULL);
  names = test_list (fixture->tree, "new/folder");
  g_assert_cmpstr (names, ==, ".findings.jsonl.lock findings.jsonl findings.jsonl.old");
}

static void
test_torn_line (Fixture *fixture, gconstpointer data)
{
  g_auto (GStrv) lines = NULL;

  test_write (fixture->tree, "new/folder/findings.jsonl", "{\"ts\": \"2026-");
  assert_told (fixture->alert, "one", CIS_FINDING_RAISED, NULL);
  lines = read_lines (fixture);
  g_assert_cmpuint (g_strv_length (lines), ==, 2);
  json_object_unref (parse (lines[1]));
}

static gpointer
tell_much (gpointer data)
{
  Fixture *fixture = data;
  gpointer alert = test_part_new ("alert/jsonl", "file", fixture->file, "max-size", (guint64) MAX_SIZE, NULL);

  g_assert_true (cis_part_open (alert, NULL, NULL));
  for (guint i = 0; i < 200; i++)
    assert_told (alert, "the store has less than a gigabyte left", CIS_FINDING_REPLACED, NULL);
  cis_part_close (alert);
  g_object_unref (alert);
  return NULL;
}

/* Several pipelines that share a file: no line is torn, and no file outgrows its limit. */
static void
test_shared (Fixture *fixture, gconstpointer data)
{
  GThread *threads[4];
  g_auto (GStrv) lines = NULL;
  struct stat status;

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("tell", tell_much, fixture);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  lines = read_lines (fixture);
  for (char **line = lines; *line != NULL; line++)
    json_object_unref (parse (*line));
  g_assert_no_errno (g_stat (fixture->file, &status));
  g_assert_cmpint (status.st_size, <=, MAX_SIZE);
}

static void
test_open_fails (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_build_filename (fixture->tree, "new", NULL);
  g_autofree char *below = g_build_filename (fixture->file, "findings.jsonl", NULL);
  g_autofree char *pipe = g_build_filename (folder, "pipe", NULL);
  const char *const files[] = { folder, below, pipe };

  g_assert_no_errno (mkfifo (pipe, 0600));
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      gpointer alert = test_part_new ("alert/jsonl", "file", files[i], NULL);
      g_autoptr (GError) error = NULL;

      g_assert_false (cis_part_open (alert, NULL, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_assert_nonnull (strstr (error->message, folder));
      cis_part_close (alert);
      g_object_unref (alert);
    }
}

/* Where the file cannot be written any more, that is an error, and no crash. */
static void
test_tell_fails (Fixture *fixture, gconstpointer data)
{
  g_autofree char *folder = g_path_get_dirname (fixture->file);
  g_autoptr (GError) error = NULL;

  g_assert_true (cis_folder_remove (AT_FDCWD, folder, NULL, NULL));
  g_assert_false (tell (fixture->alert, "one", CIS_FINDING_RAISED, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, fixture->file));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/jsonl/lines", Fixture, NULL, set_up, test_lines, tear_down);
  g_test_add ("/jsonl/process", Fixture, NULL, set_up, test_process_item, tear_down);
  g_test_add ("/jsonl/rotation", Fixture, NULL, set_up, test_rotation, tear_down);
  g_test_add ("/jsonl/long-line", Fixture, NULL, set_up, test_long_line, tear_down);
  g_test_add ("/jsonl/moved-away", Fixture, NULL, set_up, test_moved_away, tear_down);
  g_test_add ("/jsonl/torn-line", Fixture, NULL, set_up, test_torn_line, tear_down);
  g_test_add ("/jsonl/shared", Fixture, NULL, set_up, test_shared, tear_down);
  g_test_add ("/jsonl/open-fails", Fixture, NULL, set_up, test_open_fails, tear_down);
  g_test_add ("/jsonl/tell-fails", Fixture, NULL, set_up, test_tell_fails, tear_down);
  return g_test_run ();
}
