/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* scan/store, pack/meta and store/index together, as pipelines/backfill.ini has them. */

#include "tarballs.h"
#include "uploads.h"

#include "../plugins/store/archive/layout.h"
#include "cis-pipeline.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <sysexits.h>
#include <unistd.h>

#define ROW(episode) "{\"host\":\"lab-1\",\"episode\":\"" episode "\"}\n"

typedef struct
{
  TestTree *tree;
  CisPipeline *pipeline;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisConfig) config = NULL;
  g_autofree char *site = NULL;

  fixture->tree = test_tree_new ();
  test_write (fixture->tree, "cis490.ini", "[site]\n");
  site = g_build_filename (fixture->tree, "cis490.ini", NULL);
  g_setenv ("STATE_DIRECTORY", fixture->tree, TRUE);
  config = cis_config_load ("backfill", site, &error);
  g_assert_no_error (error);
  fixture->pipeline = cis_pipeline_new (config, findings);
  g_assert_cmpuint (findings->len, ==, 0);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_object_unref (fixture->pipeline);
  test_tree_remove (fixture->tree);
}

/* lab-1's @name into the store; takes the bytes. */
static void
store (Fixture *fixture, const char *name, GByteArray *bytes)
{
  g_autofree char *path = g_strdup_printf ("%s/store/lab-1/%s.tar.zst", fixture->tree, name);
  g_autofree char *folder = g_path_get_dirname (path);

  g_assert_no_errno (g_mkdir_with_parents (folder, 0750));
  g_assert_true (g_file_set_contents (path, (const char *) bytes->data, bytes->len, NULL));
  g_byte_array_unref (bytes);
}

static void
store_episode (Fixture *fixture, const char *name)
{
  store (fixture, name, tarball_make (name, TARBALL_META (OTHER_COMMIT)));
}

static void
quit (CisPipeline *pipeline, gpointer loop)
{
  g_main_loop_quit (loop);
}

/* Once, to its end. The rows, by episode; full. */
static GHashTable *
backfill_to (Fixture *fixture, int status)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  GHashTable *rows =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) json_object_unref);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  cis_pipeline_open (fixture->pipeline, &error);
  g_assert_no_error (error);
  cis_pipeline_start (fixture->pipeline, TRUE, quit, loop);
  g_main_loop_run (loop);
  g_assert_cmpint (cis_pipeline_get_exit_status (fixture->pipeline), ==, status);
  cis_pipeline_close (fixture->pipeline);
  text = test_read (fixture->tree, "index.jsonl");
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL && lines[i][0] != '\0'; i++)
    {
      JsonObject *row = cis_json_parse (lines[i], strlen (lines[i]), &error);

      g_assert_no_error (error);
      g_assert_true (g_hash_table_insert (rows, g_strdup (cis_json_get_string (row, "episode")), row));
    }
  return rows;
}

static GHashTable *
backfill (Fixture *fixture)
{
  return backfill_to (fixture, 0);
}

static guint
get_count (gpointer part, const char *name)
{
  guint n = 0;

  g_object_get (part, name, &n, NULL);
  return n;
}

static void
assert_counts (Fixture *fixture, guint present, guint in_flight, guint unreadable)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (fixture->pipeline);
  CisSource *source = cis_pipeline_get_source (fixture->pipeline);

  g_assert_cmpuint (get_count (source, "present"), ==, present);
  g_assert_cmpuint (get_count (source, "in-flight"), ==, in_flight);
  g_assert_cmpuint (get_count (g_array_index (steps, CisStep, 0).stage, "unreadable"), ==, unreadable);
}

static const char *
get (GHashTable *rows, const char *episode, const char *member)
{
  JsonObject *row = g_hash_table_lookup (rows, episode);

  g_assert_nonnull (row);
  return cis_json_get_string (row, member);
}

/* Nothing is noted beside the bytes: digest and commit come from them, the time from the file. */
static void
test_bare (Fixture *fixture, gconstpointer data)
{
  const struct timeval times[] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
  g_autofree char *path = g_build_filename (fixture->tree, "store/lab-1/run.tar.zst", NULL);
  g_autoptr (GByteArray) bytes = tarball_make ("run", "{\"code_version\":{\"commit\":\"" OTHER_COMMIT
                                                      "\",\"restamped\":{\"old\":\"" COMMIT "\"}}}");
  g_autofree char *sha256 = cis_digest_bytes ((const char *) bytes->data, bytes->len);
  g_autoptr (GHashTable) rows = NULL;
  JsonObject *row;

  store (fixture, "run", g_byte_array_ref (bytes));
  g_assert_no_errno (utimes (path, times));
  rows = backfill (fixture);
  g_assert_cmpuint (g_hash_table_size (rows), ==, 1);
  row = g_hash_table_lookup (rows, "run");
  g_assert_cmpstr (get (rows, "run", "host"), ==, "lab-1");
  g_assert_cmpstr (get (rows, "run", "sha256"), ==, sha256);
  g_assert_cmpint (cis_json_get_size (row, "size", -1), ==, bytes->len);
  g_assert_cmpstr (get (rows, "run", "commit"), ==, OTHER_COMMIT);
  g_assert_cmpstr (get (rows, "run", "restamped"), ==, COMMIT);
  g_assert_cmpstr (get (rows, "run", "archive"), ==, "store/lab-1/run.tar.zst");
  g_assert_true (g_str_has_prefix (get (rows, "run", "ts"), "2001-09-09T01:46:40"));
  g_assert_true (json_object_get_boolean_member (row, "backfilled"));
}

/* What the receiver noted counts, marks included; unless it is another archive's note. */
static void
test_noted (Fixture *fixture, gconstpointer data)
{
  g_autofree char *copy = g_build_filename (fixture->tree, "store/lab-1/copy.tar.zst", NULL);
  g_autofree char *received_at = NULL;
  g_autofree char *note = g_malloc0 (16384);
  g_autofree char *path = g_build_filename (fixture->tree, "store/lab-1/run.tar.zst", NULL);
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "bytes");
  g_autoptr (GHashTable) rows = NULL;
  gpointer archive = uploads_open (fixture->tree, G_USEC_PER_SEC);
  gssize length;

  cis_item_set_mark (CIS_ITEM (episode), "gate", "disabled");
  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  received_at = g_strdup (cis_json_get_string (cis_episode_get_receipt (episode), "received_at"));
  uploads_close (archive);
  length = getxattr (path, "user.cis490.receipt", note, 16384);
  g_assert_cmpint (length, >, 0);
  store_episode (fixture, "copy");
  g_assert_no_errno (setxattr (copy, "user.cis490.receipt", note, length, 0));

  rows = backfill (fixture);
  g_assert_cmpstr (get (rows, "run", "commit"), ==, COMMIT);
  g_assert_cmpstr (get (rows, "run", "ts"), ==, received_at);
  g_assert_cmpstr (get (rows, "run", "gate"), ==, "disabled");
  g_assert_cmpstr (get (rows, "copy", "commit"), ==, OTHER_COMMIT);
  g_assert_null (get (rows, "copy", "gate"));
  assert_counts (fixture, 0, 0, 0);
}

static void
test_only_missing (Fixture *fixture, gconstpointer data)
{
  static const char *const names[] = { "a", "b", "c", "d" };
  g_autoptr (GHashTable) rows = NULL, again = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    store_episode (fixture, names[i]);
  test_write (fixture->tree, "index.jsonl", ROW ("b") ROW ("c") ROW ("gone") "{\"host\":\"lab-1\",\"epi");
  rows = backfill (fixture);
  g_assert_cmpuint (g_hash_table_size (rows), ==, 5);
  g_assert_cmpstr (get (rows, "a", "commit"), ==, OTHER_COMMIT);
  g_assert_null (get (rows, "b", "commit"));
  assert_counts (fixture, 2, 0, 0);
  again = backfill (fixture);
  g_assert_cmpuint (g_hash_table_size (again), ==, 5);
  assert_counts (fixture, 4, 0, 0);
}

/* What is no archive of ours, and what cannot be read. */
static void
test_odd (Fixture *fixture, gconstpointer data)
{
  g_autofree char *link = g_build_filename (fixture->tree, "store/lab-1/link.tar.zst", NULL);
  g_autofree char *host = g_build_filename (fixture->tree, "store/lab-2", NULL);
  g_autofree char *folder = g_build_filename (fixture->tree, "store/lab-1/folder.tar.zst", NULL);
  g_autoptr (GHashTable) rows = NULL;

  store_episode (fixture, "run");
  store (fixture, "unstamped", tarball_make ("unstamped", "{}"));
  store (fixture, "scribbled", tarball_make ("scribbled", "no JSON"));
  store (fixture, "without", tarball_make ("without", NULL));
  store (fixture, "garbage", g_byte_array_append (g_byte_array_new (), (const guint8 *) "garbage", 7));
  store (fixture, "another", tarball_make ("run", TARBALL_META (COMMIT)));
  test_write (fixture->tree, "store/lab-1/notes.txt", "not one");
  test_write (fixture->tree, "store/lab-1/a b.tar.zst", "not one");
  test_write (fixture->tree, "store/-lab/run.tar.zst", "not one");
  g_assert_no_errno (symlink ("/etc/passwd", link));
  g_assert_no_errno (symlink ("lab-1", host));
  g_assert_no_errno (g_mkdir (folder, 0750));
  rows = backfill_to (fixture, EX_DATAERR);
  g_assert_cmpuint (g_hash_table_size (rows), ==, 3);
  g_assert_cmpstr (get (rows, "run", "commit"), ==, OTHER_COMMIT);
  g_assert_null (get (rows, "unstamped", "commit"));
  g_assert_null (get (rows, "scribbled", "commit"));
  assert_counts (fixture, 0, 0, 2);
}

/* As a power cut or a bad disk leaves it; @noted: where the receiver's note of it is still there. */
static void
assert_left_out (Fixture *fixture, gconstpointer noted)
{
  g_autoptr (GByteArray) whole = tarball_make ("run", TARBALL_META (COMMIT));
  g_autofree char *sha256 = cis_digest_bytes (whole->data, whole->len);
  g_autofree char *path = g_build_filename (fixture->tree, "store/lab-1/run.tar.zst", NULL);
  const gsize lengths[] = { 0, 1, 100, whole->len - 1, whole->len };

  /* A byte that is another one shows by the digest; by the archive itself only where zstd was told to add a
   * checksum. */
  for (guint i = 0; i < G_N_ELEMENTS (lengths) - (noted == NULL); i++)
    {
      g_autoptr (GHashTable) rows = NULL;
      GByteArray *bytes = g_byte_array_append (g_byte_array_new (), whole->data, lengths[i]);

      if (lengths[i] == whole->len)
        bytes->data[whole->len / 2] ^= 1;
      store (fixture, "run", bytes);
      if (noted != NULL)
        {
          g_autoptr (CisEpisode) episode = cis_episode_new ("lab-1", "run", NULL);
          g_autoptr (JsonObject) receipt = NULL;
          int fd = g_open (path, O_RDONLY | O_CLOEXEC, 0);

          cis_episode_set_archive (episode, NULL, sha256, whole->len);
          receipt = cis_receipt_new (episode, "lab-1", "stored", NULL);
          g_assert_true (cis_layout_write_receipt (fd, receipt, CIS_ITEM (episode)));
          g_close (fd, NULL);
        }
      rows = backfill_to (fixture, EX_DATAERR);
      g_assert_cmpuint (g_hash_table_size (rows), ==, 0);
    }
}

/* What was stored as it is, because no gate looked into it: its digest says that it is what was acknowledged.
 */
static void
test_noted_garbage (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) rows = NULL;
  gpointer archive = uploads_open (fixture->tree, G_USEC_PER_SEC);
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "no archive at all");

  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  uploads_close (archive);
  rows = backfill (fixture);
  g_assert_cmpstr (get (rows, "run", "sha256"), ==, cis_episode_get_sha256 (episode));
}

/* An archive with its .part is the receiver's; one with another second name is nobody's. */
static void
test_in_flight (Fixture *fixture, gconstpointer data)
{
  g_autofree char *stored = g_build_filename (fixture->tree, "store/lab-1/linked.tar.zst", NULL);
  g_autofree char *backup = g_build_filename (fixture->tree, "backup", NULL);
  g_autoptr (GHashTable) rows = NULL;
  gpointer archive = uploads_open (fixture->tree, G_USEC_PER_SEC);

  uploads_store_without_home (archive);
  store_episode (fixture, "linked");
  g_assert_no_errno (link (stored, backup));
  rows = backfill (fixture);
  g_assert_cmpuint (g_hash_table_size (rows), ==, 1);
  g_assert_nonnull (get (rows, "linked", "sha256"));
  assert_counts (fixture, 0, 1, 0);
  uploads_close (archive);
}

static void
test_empty (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GHashTable) rows = backfill (fixture);

  g_assert_cmpuint (g_hash_table_size (rows), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/store-scan/bare", Fixture, NULL, set_up, test_bare, tear_down);
  g_test_add ("/store-scan/noted", Fixture, NULL, set_up, test_noted, tear_down);
  g_test_add ("/store-scan/only-missing", Fixture, NULL, set_up, test_only_missing, tear_down);
  g_test_add ("/store-scan/odd", Fixture, NULL, set_up, test_odd, tear_down);
  g_test_add ("/store-scan/damaged", Fixture, NULL, set_up, assert_left_out, tear_down);
  g_test_add ("/store-scan/damaged/noted", Fixture, "noted", set_up, assert_left_out, tear_down);
  g_test_add ("/store-scan/noted/garbage", Fixture, NULL, set_up, test_noted_garbage, tear_down);
  g_test_add ("/store-scan/in-flight", Fixture, NULL, set_up, test_in_flight, tear_down);
  g_test_add ("/store-scan/empty", Fixture, NULL, set_up, test_empty, tear_down);
  return g_test_run ();
}
