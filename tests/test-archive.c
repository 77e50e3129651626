/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uploads.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

static gint fsyncs_until_failure = -1; /* atomic; below 0: none fails */

/* In place of libc's, for the core too: the only way to see an fsync fail on demand. */
CIS_API int fsync (int fd);
int
fsync (int fd)
{
  if (g_atomic_int_get (&fsyncs_until_failure) >= 0 && g_atomic_int_add (&fsyncs_until_failure, -1) == 0)
    {
      errno = EIO;
      return -1;
    }
  return syscall (SYS_fsync, fd);
}

static void
test_stores (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) episode = uploads_make_put ("run.1", "an archive");
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *part = g_strdup_printf ("run.1.%s." COMMIT ".part", cis_episode_get_sha256 (episode));
  g_autofree char *incoming = NULL, *text = NULL;
  JsonObject *receipt;

  g_assert_cmpint (test_process (archive, episode, &outcome), ==, CIS_VERDICT_PASSED);
  receipt = cis_episode_get_receipt (episode);
  g_assert_cmpstr (cis_json_get_string (receipt, "status"), ==, "stored");
  g_assert_cmpstr (cis_json_get_string (receipt, "host"), ==, "lab-1");
  g_assert_cmpstr (cis_json_get_string (receipt, "sha256"), ==, cis_episode_get_sha256 (episode));
  g_assert_cmpint (cis_json_get_size (receipt, "size", -1), ==, 10);
  g_assert_false (json_object_has_member (receipt, "marks"));

  /* The intent is there until the item is home. */
  incoming = test_list (tree, "incoming/lab-1");
  g_assert_cmpstr (incoming, ==, part);
  g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.1.tar.zst"), ==, 2);
  cis_stage_settled (archive, CIS_ITEM (episode), outcome);
  uploads_assert_none_left (tree);
  g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.1.tar.zst"), ==, 1);
  text = test_read (tree, "store/lab-1/run.1.tar.zst");
  g_assert_cmpstr (text, ==, "an archive");
  uploads_close (archive);
}

static void
test_large (void)
{
  const gsize size = 7 * 1024 * 1024 + 13;
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *bytes = g_malloc (size);
  g_autoptr (GInputStream) body = NULL;
  g_autofree char *sha256 = NULL, *stored = NULL;
  g_autoptr (CisEpisode) episode = NULL;
  gsize length;
  g_autofree char *file = g_build_filename (tree, "store/lab-1/big.tar.zst", NULL);

  for (gsize i = 0; i < size; i++)
    bytes[i] = (char) (i * 2654435761u >> 13);
  sha256 = cis_digest_bytes (bytes, size);
  body = g_memory_input_stream_new_from_data (bytes, size, NULL);
  episode = uploads_make ("PUT", "lab-1", "big", sha256, size, body);
  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_true (g_file_get_contents (file, &stored, &length, NULL));
  g_assert_cmpmem (stored, length, bytes, size);
  uploads_close (archive);
}

static void
test_question (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *sha256 = cis_digest_bytes ("x", 1);
  g_autoptr (CisEpisode) episode = uploads_make ("POST", "lab-1", "run", sha256, 1, NULL);
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));

  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_DONE);
  g_assert_cmpuint (cis_request_get_status (request), ==, 200);
  g_assert_cmpstr (cis_json_get_string (cis_request_get_reply (request), "status"), ==, "welcome");
  g_assert_cmpint (cis_json_get_size (cis_request_get_reply (request), "offset", -1), ==, 0);
  g_assert_false (test_exists (tree, "incoming/lab-1"));
  uploads_close (archive);
}

static void
test_mismatch (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *sha256 = cis_digest_bytes ("other", 5);
  g_autoptr (GInputStream) body = g_memory_input_stream_new_from_data ("bytes", 5, NULL);
  g_autoptr (CisEpisode) digest = uploads_make ("PUT", "lab-1", "run", sha256, 5, body);
  g_autoptr (CisEpisode) length = uploads_make_put ("run", "bytes");
  g_autoptr (CisOutcome) by_digest = NULL, by_length = NULL;

  g_assert_cmpint (test_process (archive, digest, &by_digest), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (by_digest, "digest-mismatch");
  uploads_assert_none_left (tree); /* before it is answered */
  cis_stage_settled (archive, CIS_ITEM (digest), by_digest);

  cis_request_set_body (cis_item_get_request (CIS_ITEM (length)), body, 4);
  g_assert_cmpint (uploads_put (archive, length, &by_length), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (by_length, "digest-mismatch");
  g_assert_false (test_exists (tree, "store/lab-1/run.tar.zst"));
  uploads_close (archive);
}

static void
test_cut (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *sha256 = cis_digest_bytes ("bytes", 5);
  g_autoptr (GInputStream) body = g_memory_input_stream_new_from_data ("byt", 3, NULL);
  g_autoptr (CisEpisode) episode = uploads_make ("PUT", "lab-1", "run", sha256, 5, body);
  g_autoptr (CisEpisode) again = uploads_make_put ("run", "bytes");
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (uploads_put (archive, episode, &outcome), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (outcome, "body-cut");
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_ITEM);
  g_assert_cmpint (uploads_put (archive, again, NULL), ==, CIS_VERDICT_PASSED);
  uploads_assert_none_left (tree);
  uploads_close (archive);
}

static void
test_never_replaced (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) first = uploads_make_put ("run", "bytes");
  g_autoptr (CisEpisode) same = uploads_make_put ("run", "bytes");
  g_autoptr (CisEpisode) other = uploads_make_put ("run", "other bytes");
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *text = NULL;
  JsonObject *reply;

  g_assert_cmpint (uploads_put (archive, first, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpint (uploads_put (archive, same, NULL), ==, CIS_VERDICT_DONE);
  reply = cis_request_get_reply (cis_item_get_request (CIS_ITEM (same)));
  g_assert_cmpstr (cis_json_get_string (reply, "status"), ==, "duplicate");
  g_assert_cmpstr (cis_json_get_string (reply, "received_at"), ==,
                   cis_json_get_string (cis_episode_get_receipt (first), "received_at"));
  g_assert_cmpint (uploads_put (archive, other, &outcome), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (outcome, "episode-conflict");
  text = test_read (tree, "store/lab-1/run.tar.zst");
  g_assert_cmpstr (text, ==, "bytes");
  uploads_assert_none_left (tree);
  uploads_close (archive);
}

static void
test_full (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *disk = g_build_filename (tree, "disk", NULL);
  g_autofree char *big = g_strnfill (2 * 1024 * 1024, 'x');
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", big);
  g_autoptr (CisEpisode) again = uploads_make_put ("run", big);
  g_autoptr (CisOutcome) outcome = NULL;
  gpointer archive;

  g_assert_no_errno (g_mkdir (disk, 0750));
  g_assert_no_errno (mount ("none", disk, "tmpfs", 0, "size=1m"));
  archive = uploads_open (disk, 5 * G_USEC_PER_SEC);
  g_assert_cmpint (uploads_put (archive, episode, &outcome), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (outcome, "storage-full");
  uploads_assert_none_left (disk);
  g_assert_no_errno (mount ("none", disk, "tmpfs", MS_REMOUNT, "size=8m"));
  g_assert_cmpint (uploads_put (archive, again, NULL), ==, CIS_VERDICT_PASSED);
  uploads_close (archive);
  g_assert_no_errno (umount2 (disk, MNT_DETACH));
}

/* The file, incoming/'s folder, store/'s folder: each is fatal, and only the last one comes after the commit
 * point. */
static void
test_failed_sync (gconstpointer data)
{
  const gint nth = GPOINTER_TO_INT (data);
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) first = uploads_make_put ("first", "bytes");
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "bytes");
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (uploads_put (archive, first, NULL), ==, CIS_VERDICT_PASSED); /* makes the host's folders */
  g_atomic_int_set (&fsyncs_until_failure, nth);
  g_assert_cmpint (uploads_put (archive, episode, &outcome), ==, CIS_VERDICT_FAILED);
  g_atomic_int_set (&fsyncs_until_failure, -1);
  g_assert_error (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL);
  g_assert_null (cis_episode_get_receipt (episode));
  if (nth < 2)
    uploads_assert_none_left (tree);
  g_assert_cmpint (test_exists (tree, "store/lab-1/run.tar.zst"), ==, nth == 2);
  if (nth == 2)
    g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.tar.zst"), ==, 2);
  uploads_close (archive);
}

static void
test_second_receiver (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  gpointer second = test_part_new ("store/archive", "directory", tree, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (cis_part_open (second, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE);
  uploads_close (second);
  uploads_close (archive);
}

/* A host's folder that somebody removed: nothing can be put into it, so the receiver starts anew and makes
 * another. */
static void
test_folder_removed (gconstpointer name)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *folder = g_build_filename (tree, name, NULL);
  g_autofree char *moved = g_build_filename (tree, "moved.tar.zst", NULL);
  g_autofree char *stored = g_build_filename (tree, "store/lab-1/run-1.tar.zst", NULL);
  g_autoptr (CisEpisode) first = uploads_make_put ("run-1", "bytes");
  g_autoptr (CisEpisode) second = uploads_make_put ("run-2", "bytes");
  g_autoptr (CisEpisode) third = uploads_make_put ("run-2", "bytes");
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (uploads_put (archive, first, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_no_errno (g_rename (stored, moved));
  g_assert_no_errno (g_rmdir (folder));
  g_assert_cmpint (uploads_put (archive, second, &outcome), ==, CIS_VERDICT_FAILED);
  g_assert_error (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL);
  g_assert_true (g_str_has_prefix (cis_outcome_get_error (outcome)->message, name));
  uploads_close (archive);
  archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_assert_cmpint (uploads_put (archive, third, NULL), ==, CIS_VERDICT_PASSED);
  uploads_close (archive);
}

/* What becomes part of a path is checked, whoever lets it through. */
static void
test_odd_claims (void)
{
  g_autofree char *sha256 = g_strnfill (64, 'a');
  const struct
  {
    const char *host, *name, *sha256, *commit;
  } claims[] = {
    { "..", "run", sha256, COMMIT },
    { "lab-1", "../run", sha256, COMMIT },
    { "lab-1", "run", "abc", COMMIT },
    { "lab-1", "run", sha256, "HEAD" },
  };
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) nobody = cis_episode_new (NULL, "run", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (claims); i++)
    {
      g_autoptr (GInputStream) body = g_memory_input_stream_new_from_data ("bytes", 5, NULL);
      g_autoptr (CisEpisode) episode =
          uploads_make ("PUT", claims[i].host, claims[i].name, claims[i].sha256, 5, body);

      cis_episode_set_commit (episode, claims[i].commit);
      g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_FAILED);
    }
  g_assert_cmpint (uploads_put (archive, nobody, NULL), ==, CIS_VERDICT_FAILED);
  uploads_close (archive);
}

static void
test_empty (void)
{
  g_autofree char *sha256 = g_strnfill (64, 'a');
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) no_body = uploads_make ("PUT", "lab-1", "run", sha256, 5, NULL);
  g_autoptr (CisEpisode) no_size = uploads_make ("PATCH", "lab-1", "run", sha256, 0, NULL);
  g_autoptr (CisOutcome) first = NULL, second = NULL;

  g_assert_cmpint (uploads_put (archive, no_body, &first), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (first, "archive-empty");
  g_assert_cmpint (uploads_put (archive, no_size, &second), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (second, "archive-empty");
  uploads_close (archive);
}

/* A stage after this one may have nothing left to do: that, too, is home. */
static void
test_settled_done (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "bytes");
  g_autoptr (CisOutcome) done = cis_outcome_done ();

  g_assert_cmpint (test_process (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  cis_stage_settled (archive, CIS_ITEM (episode), done);
  uploads_assert_none_left (tree);
  uploads_close (archive);
}

/* What was gated by nobody may have no commit, and is found again all the same. */
static void
test_without_commit (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "bytes");
  g_autoptr (CisEpisode) again = uploads_make_put ("run", "bytes");
  g_autoptr (CisOutcome) deferred = cis_outcome_deferred (CIS_SCOPE_ITEM, 0, NULL);

  cis_episode_set_commit (episode, NULL);
  g_assert_cmpint (test_process (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  cis_stage_settled (archive, CIS_ITEM (episode), deferred);
  g_assert_cmpint (uploads_put (archive, again, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_null (cis_episode_get_commit (again));
  uploads_assert_none_left (tree);
  uploads_close (archive);
}

/* A hard link does not leave a file system. */
static void
test_two_file_systems (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *store = g_build_filename (tree, "store", NULL);
  gpointer archive = test_part_new ("store/archive", "directory", tree, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_no_errno (g_mkdir (store, 0750));
  g_assert_no_errno (mount ("none", store, "tmpfs", 0, "size=1m"));
  g_assert_false (cis_part_open (archive, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  uploads_close (archive);
  g_assert_no_errno (umount2 (store, MNT_DETACH));
}

/* The program is stopped: no outcome, and what came stays for the next run. */
static void
test_stopped (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  int ends[2]; /* of a line on which nothing comes */
  g_autoptr (GInputStream) body = NULL;
  g_autoptr (CisEpisode) put = uploads_make_put ("run", "bytes");
  g_autoptr (CisEpisode) patch = uploads_make_put ("other", "bytes");
  g_autoptr (CisRequest) request = cis_request_new ("PATCH", "/v1/episodes/lab-1/other");
  g_autoptr (CisEpisode) rest = cis_episode_new ("lab-1", "other", request);
  g_autofree char *part =
      g_strdup_printf ("incoming/lab-1/other.%s." COMMIT ".part", cis_episode_get_sha256 (patch));
  g_autoptr (CisOutcome) outcome = NULL, hashing = NULL;

  g_assert_no_errno (pipe2 (ends, O_CLOEXEC));
  body = g_unix_input_stream_new (ends[0], TRUE);
  cis_request_set_body (cis_item_get_request (CIS_ITEM (put)), body, 5);
  g_cancellable_cancel (cancellable);
  outcome = cis_stage_process (archive, CIS_ITEM (put), cancellable);
  close (ends[1]);
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_NONE);
  cis_stage_settled (archive, CIS_ITEM (put), outcome);
  g_assert_false (test_exists (tree, "store/lab-1/run.tar.zst"));

  /* All of it is there, and would only have to be hashed. */
  test_write (tree, part, "bytes");
  cis_request_set_header (request, "upload-offset", "5");
  cis_episode_set_commit (rest, COMMIT);
  cis_episode_set_archive (rest, NULL, cis_episode_get_sha256 (patch), 5);
  hashing = cis_stage_process (archive, CIS_ITEM (rest), cancellable);
  g_assert_cmpint (cis_outcome_get_verdict (hashing), ==, CIS_VERDICT_NONE);
  cis_stage_settled (archive, CIS_ITEM (rest), hashing);
  g_assert_true (test_exists (tree, part));
  uploads_close (archive);
}

static gpointer
put_many (gpointer data)
{
  static gint counter = 0;

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *name = g_strdup_printf ("run-%d", g_atomic_int_add (&counter, 1));
      g_autoptr (CisEpisode) episode = uploads_make_put (name, name);

      g_assert_cmpint (uploads_put (data, episode, NULL), ==, CIS_VERDICT_PASSED);
    }
  return NULL;
}

static void
test_concurrent (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *names = NULL;
  g_auto (GStrv) words = NULL;
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("put", put_many, archive);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  names = test_list (tree, "store/lab-1");
  words = g_strsplit (names, " ", -1);
  g_assert_cmpuint (g_strv_length (words), ==, 160);
  uploads_assert_none_left (tree);
  uploads_close (archive);
}

int
main (int argc, char **argv)
{
  test_enter_namespace ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/archive/stores", test_stores);
  g_test_add_func ("/archive/large", test_large);
  g_test_add_func ("/archive/question", test_question);
  g_test_add_func ("/archive/mismatch", test_mismatch);
  g_test_add_func ("/archive/cut", test_cut);
  g_test_add_func ("/archive/never-replaced", test_never_replaced);
  g_test_add_func ("/archive/full", test_full);
  g_test_add_data_func ("/archive/failed-sync/file", GINT_TO_POINTER (0), test_failed_sync);
  g_test_add_data_func ("/archive/failed-sync/incoming", GINT_TO_POINTER (1), test_failed_sync);
  g_test_add_data_func ("/archive/failed-sync/store", GINT_TO_POINTER (2), test_failed_sync);
  g_test_add_func ("/archive/second-receiver", test_second_receiver);
  g_test_add_data_func ("/archive/folder-removed/incoming", "incoming/lab-1", test_folder_removed);
  g_test_add_data_func ("/archive/folder-removed/store", "store/lab-1", test_folder_removed);
  g_test_add_func ("/archive/odd-claims", test_odd_claims);
  g_test_add_func ("/archive/empty", test_empty);
  g_test_add_func ("/archive/settled-done", test_settled_done);
  g_test_add_func ("/archive/without-commit", test_without_commit);
  g_test_add_func ("/archive/two-file-systems", test_two_file_systems);
  g_test_add_func ("/archive/stopped", test_stopped);
  g_test_add_func ("/archive/concurrent", test_concurrent);
  return g_test_run ();
}
