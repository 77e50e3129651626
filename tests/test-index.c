/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uploads.h"

#include "cis-item.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COMMIT           "0123456789abcdef0123456789abcdef01234567"
#define UNENDED(episode) "{\"ts\":\"2026-01-02T03:04:05Z\",\"host\":\"lab-1\",\"episode\":\"" episode "\"}"
#define ROW(episode)     UNENDED (episode) "\n"

static gint flush_fails; /* atomic */

/* In place of libc's, for the plugin too. */
CIS_API int fdatasync (int fd);
int
fdatasync (int fd)
{
  if (g_atomic_int_compare_and_exchange (&flush_fails, 1, 0))
    {
      errno = EIO;
      return -1;
    }
  return syscall (SYS_fdatasync, fd);
}

static gsize n_rewritten;

CIS_API ssize_t pwrite (int fd, const void *data, size_t length, off_t offset);
ssize_t
pwrite (int fd, const void *data, size_t length, off_t offset)
{
  n_rewritten += length;
  return syscall (SYS_pwrite64, fd, data, length, offset);
}

static gpointer
open_index (const char *tree)
{
  g_autoptr (GError) error = NULL;
  gpointer index = test_part_new ("store/index", "directory", tree, NULL);

  cis_part_open (index, NULL, &error);
  g_assert_no_error (error);
  return index;
}

static void
close_index (gpointer index)
{
  cis_part_close (index);
  g_object_unref (index);
}

static CisEpisode *
make_episode (const char *name)
{
  CisEpisode *episode = cis_episode_new ("lab-1", name, NULL);
  g_autofree char *sha256 = cis_digest_bytes (name, strlen (name));
  g_autoptr (JsonObject) receipt = NULL;

  cis_episode_set_commit (episode, COMMIT);
  cis_episode_set_archive (episode, NULL, sha256, 5);
  receipt = cis_receipt_new (episode, "lab-1", "stored", "2026-01-02T03:04:05.000000Z");
  cis_episode_set_receipt (episode, receipt);
  return episode;
}

static void
add (gpointer index, const char *name)
{
  g_autoptr (CisEpisode) episode = make_episode (name);

  g_assert_cmpint (test_process (index, episode, NULL), ==, CIS_VERDICT_PASSED);
}

/* Row @n of the file, parsed. */
static JsonObject *
get_row (const char *tree, guint n, guint n_rows)
{
  g_autofree char *text = test_read (tree, "index.jsonl");
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autoptr (GError) error = NULL;
  JsonObject *row;

  g_assert_cmpuint (g_strv_length (lines), ==, n_rows + 1);
  g_assert_cmpstr (lines[n_rows], ==, "");
  row = cis_json_parse (lines[n], strlen (lines[n]), &error);
  g_assert_no_error (error);
  return row;
}

static void
test_row (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer index = open_index (tree);
  g_autoptr (CisEpisode) episode = make_episode ("run");
  g_autoptr (JsonObject) row = NULL;

  cis_item_set_mark (CIS_ITEM (episode), "gate", "disabled");
  cis_item_set_mark (CIS_ITEM (episode), "host", "another");
  g_assert_cmpint (test_process (index, episode, NULL), ==, CIS_VERDICT_PASSED);
  add (index, "second");
  row = get_row (tree, 0, 2);
  g_assert_cmpstr (cis_json_get_string (row, "ts"), ==, "2026-01-02T03:04:05.000000Z");
  g_assert_cmpstr (cis_json_get_string (row, "host"), ==, "lab-1");
  g_assert_cmpstr (cis_json_get_string (row, "episode"), ==, "run");
  g_assert_cmpstr (cis_json_get_string (row, "sha256"), ==, cis_episode_get_sha256 (episode));
  g_assert_cmpint (cis_json_get_size (row, "size", -1), ==, 5);
  g_assert_cmpstr (cis_json_get_string (row, "commit"), ==, COMMIT);
  g_assert_cmpstr (cis_json_get_string (row, "archive"), ==, "store/lab-1/run.tar.zst");
  g_assert_cmpstr (cis_json_get_string (row, "gate"), ==, "disabled");
  g_assert_false (json_object_has_member (row, "recovered"));
  close_index (index);
}

static void
assert_repaired (const char *before, const char *after)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *text = NULL;

  test_write (tree, "index.jsonl", before);
  close_index (open_index (tree));
  text = test_read (tree, "index.jsonl");
  g_assert_cmpstr (text, ==, after);
}

static void
test_torn (void)
{
  g_autofree char *long_row = g_strnfill (600 * 1024, 'x');
  g_autofree char *long_torn = g_strconcat (ROW ("a"), "{\"ts\":\"", long_row, NULL);

  assert_repaired (ROW ("a") ROW ("b"), ROW ("a") ROW ("b"));
  assert_repaired (ROW ("a") "{\"ts\":\"2026", ROW ("a"));
  /* As an editor or a script leaves it, who changed another row: it was acknowledged. */
  assert_repaired (ROW ("a") UNENDED ("b"), ROW ("a") ROW ("b"));
  assert_repaired (UNENDED ("a"), ROW ("a"));
  assert_repaired (ROW ("a") "{\"ts\":5}", ROW ("a"));
  assert_repaired ("{\"ts\":\"2026", "");
  assert_repaired (ROW ("a") "{\"ts\":\"2026\n", ROW ("a"));
  assert_repaired (ROW ("a") "{\"ts\":\"2026\n{\"ts\"", ROW ("a"));
  assert_repaired ("\n", "\n"); /* an editor's, and no row */
  assert_repaired (long_torn, ROW ("a"));
}

/* Not what a crash leaves: nothing is cut off a file that may be something else. */
static void
test_damaged (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer index = test_part_new ("store/index", "directory", tree, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  test_write (tree, "index.jsonl", "host,episode\nlab-1,run\nlab-1,run-2\n");
  g_assert_false (cis_part_open (index, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "index.jsonl"));
  text = test_read (tree, "index.jsonl");
  g_assert_cmpstr (text, ==, "host,episode\nlab-1,run\nlab-1,run-2\n");
  close_index (index);
}

/* The rows since the last clean end are written again, and must be the same afterwards. */
static void
test_rewritten (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GString) rows = g_string_new (NULL);
  g_autofree char *text = NULL;
  gpointer index;

  for (guint i = 0; i < 12000; i++)
    g_string_append_printf (rows, "{\"host\":\"lab-1\",\"episode\":\"run-%u\",\"ts\":\"2026\"}\n", i);
  test_write (tree, "index.jsonl", rows->str);
  n_rewritten = 0;
  index = open_index (tree);
  g_assert_cmpuint (n_rewritten, ==, rows->len);
  close_index (index);
  n_rewritten = 0;
  index = open_index (tree);
  g_assert_cmpuint (n_rewritten, ==, 0);
  add (index, "last");
  close_index (open_index (tree)); /* as after a kill: the one before has not ended cleanly */
  g_assert_cmpuint (n_rewritten, >, 100);
  g_assert_cmpuint (n_rewritten, <, 1000);
  close_index (index);
  text = test_read (tree, "index.jsonl");
  g_assert_true (g_str_has_prefix (text, rows->str));
  g_assert_nonnull (strstr (text + rows->len, "\"last\""));
}

static void
recover (gpointer index, const char *name)
{
  g_autoptr (CisEpisode) episode = make_episode (name);

  cis_item_set_recovered (CIS_ITEM (episode));
  g_assert_cmpint (test_process (index, episode, NULL), ==, CIS_VERDICT_PASSED);
}

static void
test_recovered (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GString) rows = g_string_new (NULL);
  g_autoptr (CisEpisode) finished = make_episode ("finished");
  g_autoptr (JsonObject) row = NULL, second = NULL;
  g_autofree char *across = NULL;
  gpointer index;

  /* More than one block, so that rows lie across their borders. */
  for (guint i = 0; i < 40000; i++)
    {
      g_string_append_printf (rows, "{\"host\":\"lab-1\",\"episode\":\"run-%u\",\"ts\":\"2026\"}\n", i);
      if (across == NULL && rows->len > 1024 * 1024)
        across = g_strdup_printf ("run-%u", i);
    }
  g_string_append (rows, "{\"host\":\"lab-2\",\"episode\":\"other\",\"ts\":\"2026\"}\n");
  g_string_append (rows, "other noise\n{\"host\":\"lab-1\",\"episode\":\"others\",\"ts\":\"2026\"}\n");
  test_write (tree, "index.jsonl", rows->str);
  index = open_index (tree);
  recover (index, "run-1");
  recover (index, across);
  recover (index, "run-39999");
  recover (index, "other"); /* another host's has its row, this one's has none */
  recover (index, "other");
  cis_item_set_mark (CIS_ITEM (finished), "recovered", "true");
  g_assert_cmpint (test_process (index, finished, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpint (test_process (index, finished, NULL), ==, CIS_VERDICT_PASSED);
  row = get_row (tree, 40003, 40005);
  g_assert_cmpstr (cis_json_get_string (row, "episode"), ==, "other");
  g_assert_true (json_object_get_boolean_member (row, "recovered"));
  second = get_row (tree, 40004, 40005);
  g_assert_cmpstr (cis_json_get_string (second, "episode"), ==, "finished");
  g_assert_true (json_object_get_boolean_member (second, "recovered"));
  close_index (index);
}

static void
backfill (gpointer index, const char *name)
{
  g_autoptr (CisEpisode) episode = make_episode (name);

  cis_item_set_mark (CIS_ITEM (episode), "backfilled", "true");
  g_assert_cmpint (test_process (index, episode, NULL), ==, CIS_VERDICT_PASSED);
}

/* One that was found in the store gets a row only where nobody has written one meanwhile. */
/* Somebody's row is longer than all of ours; ours behind it is found. */
static void
test_long_row (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *filling = g_strnfill (3 * 1024 * 1024, 'x');
  g_autofree char *text = g_strdup_printf ("\"%s\"\n" ROW ("run"), filling);
  gpointer index;

  test_write (tree, "index.jsonl", text);
  index = open_index (tree);
  recover (index, "run");
  json_object_unref (get_row (tree, 1, 2));
  close_index (index);
}

/* Stopped while a large index is read: no outcome, and no row. */
static void
test_stopped (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (CisEpisode) episode = make_episode ("run");
  g_autoptr (CisOutcome) outcome = NULL;
  gpointer index;

  test_write (tree, "index.jsonl", ROW ("first"));
  index = open_index (tree);
  cis_item_set_recovered (CIS_ITEM (episode));
  g_cancellable_cancel (cancellable);
  outcome = cis_stage_process (index, CIS_ITEM (episode), cancellable);
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_NONE);
  json_object_unref (get_row (tree, 0, 1));
  close_index (index);
}

static void
test_without_digest (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab-1", "run", NULL);
  gpointer index = open_index (tree);

  g_assert_cmpint (test_process (index, episode, NULL), ==, CIS_VERDICT_FAILED);
  close_index (index);
}

static void
test_backfilled (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *file = g_build_filename (tree, "index.jsonl", NULL);
  gpointer index = open_index (tree), receiver = open_index (tree);
  g_autoptr (JsonObject) first = NULL, last = NULL;
  int fd;

  add (index, "first");
  backfill (index, "first");
  backfill (index, "found");
  backfill (index, "found");
  add (receiver, "received");
  backfill (index, "received");
  fd = g_open (file, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
  g_assert_cmpint (write (fd, "{\"ts\":", 6), ==, 6);
  g_close (fd, NULL);
  backfill (index, "found");
  backfill (index, "last");
  first = get_row (tree, 0, 4);
  g_assert_false (json_object_has_member (first, "backfilled"));
  last = get_row (tree, 3, 4);
  g_assert_cmpstr (cis_json_get_string (last, "episode"), ==, "last");
  g_assert_true (json_object_get_boolean_member (last, "backfilled"));
  close_index (index);
  close_index (receiver);
}

static gpointer
add_many (gpointer index)
{
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *name = g_strdup_printf ("run-%u", i);

      add (index, name);
    }
  return NULL;
}

/* Threads of one process, and another "process": a second part has an open file description, and so a lock,
 * of its own. */
static void
test_concurrent (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer indices[] = { open_index (tree), open_index (tree) };
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("index", add_many, indices[i % 2]);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < 400; i += 57)
    {
      g_autoptr (JsonObject) row = get_row (tree, i, 400);

      g_assert_cmpstr (cis_json_get_string (row, "host"), ==, "lab-1");
    }
  close_index (indices[0]);
  close_index (indices[1]);
}

/* What another process left when it was killed in the middle of its row. */
static void
test_torn_by_another (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *file = g_build_filename (tree, "index.jsonl", NULL);
  g_autoptr (JsonObject) row = NULL;
  gpointer index = open_index (tree);
  int fd;

  add (index, "first");
  fd = g_open (file, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
  g_assert_cmpint (write (fd, "{\"ts\":", 6), ==, 6);
  g_close (fd, NULL);
  add (index, "second");
  row = get_row (tree, 1, 2);
  g_assert_cmpstr (cis_json_get_string (row, "episode"), ==, "second");
  close_index (index);
}

static void
test_full (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *disk = g_build_filename (tree, "disk", NULL);
  g_autofree char *filling = g_strnfill (1024 * 1024, 'x');
  g_autoptr (CisEpisode) episode = NULL;
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *before = NULL, *after = NULL;
  CisVerdict verdict = CIS_VERDICT_PASSED;
  gpointer index;
  int fd;

  g_assert_no_errno (g_mkdir (disk, 0750));
  g_assert_no_errno (mount ("none", disk, "tmpfs", 0, "size=256k"));
  index = open_index (disk);
  add (index, "first");
  fd = g_open (before = g_build_filename (disk, "filling", NULL), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  while (write (fd, filling, 1024 * 1024) > 0)
    ;
  g_assert_no_errno (g_close (fd, NULL) ? 0 : -1);
  g_clear_pointer (&before, g_free);

  /* The last page of the file takes some more rows; then one fits only in part. */
  for (guint i = 0; i < 1000 && verdict == CIS_VERDICT_PASSED; i++)
    {
      g_autofree char *name = g_strdup_printf ("run-%u", i);

      g_clear_object (&episode);
      g_clear_pointer (&outcome, cis_outcome_unref);
      g_clear_pointer (&before, g_free);
      episode = make_episode (name);
      before = test_read (disk, "index.jsonl");
      verdict = test_process (index, episode, &outcome);
    }
  g_assert_cmpint (verdict, ==, CIS_VERDICT_DEFERRED);
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, "storage-full");
  after = test_read (disk, "index.jsonl");
  g_assert_cmpstr (after, ==, before);
  g_assert_no_errno (mount ("none", disk, "tmpfs", MS_REMOUNT, "size=8m"));
  g_assert_cmpint (test_process (index, episode, NULL), ==, CIS_VERDICT_PASSED);
  close_index (index);
  g_assert_no_errno (umount2 (disk, MNT_DETACH));
}

static void
assert_fatal (gpointer index, const char *name)
{
  g_autoptr (CisEpisode) episode = make_episode (name);
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (test_process (index, episode, &outcome), ==, CIS_VERDICT_FAILED);
  g_assert_error (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL);
}

static void
test_failed_flush (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer index = open_index (tree);

  add (index, "first");
  g_atomic_int_set (&flush_fails, 1);
  assert_fatal (index, "second");
  assert_fatal (index, "third");
  close_index (index);
  g_atomic_int_set (&flush_fails, 0);

  /* A new start finds the row (it may or may not have been on disk) and does not add it again. */
  index = open_index (tree);
  recover (index, "second");
  json_object_unref (get_row (tree, 1, 2));
  close_index (index);
}

static void
test_moved_away (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *file = g_build_filename (tree, "index.jsonl", NULL);
  g_autofree char *moved = g_build_filename (tree, "old.jsonl", NULL);
  gpointer index = open_index (tree);

  add (index, "first");
  g_assert_no_errno (g_rename (file, moved));
  assert_fatal (index, "second");
  close_index (index);
}

int
main (int argc, char **argv)
{
  test_enter_namespace ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/index/row", test_row);
  g_test_add_func ("/index/torn", test_torn);
  g_test_add_func ("/index/damaged", test_damaged);
  g_test_add_func ("/index/rewritten", test_rewritten);
  g_test_add_func ("/index/recovered", test_recovered);
  g_test_add_func ("/index/long-row", test_long_row);
  g_test_add_func ("/index/stopped", test_stopped);
  g_test_add_func ("/index/without-digest", test_without_digest);
  g_test_add_func ("/index/backfilled", test_backfilled);
  g_test_add_func ("/index/concurrent", test_concurrent);
  g_test_add_func ("/index/torn-by-another", test_torn_by_another);
  g_test_add_func ("/index/full", test_full);
  g_test_add_func ("/index/failed-flush", test_failed_flush);
  g_test_add_func ("/index/moved-away", test_moved_away);
  return g_test_run ();
}
