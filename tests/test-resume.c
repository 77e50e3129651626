/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An upload that was cut, and what becomes of what is there of it. */

#include "uploads.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define ARCHIVE "an archive of some bytes"
#define SIZE    (sizeof ARCHIVE - 1)

/* A PUT, or from @offset on a PATCH, of which only @coming bytes come; full. @bytes: none. */
static CisEpisode *
make_upload (const char *name, const char *bytes, gsize offset, gsize coming, gboolean resumed)
{
  g_autofree char *sha256 = cis_digest_bytes (bytes, strlen (bytes));
  g_autofree char *value = g_strdup_printf ("%zu", offset);
  g_autoptr (GInputStream) body =
      offset < strlen (bytes) ? g_memory_input_stream_new_from_data (bytes + offset, coming, NULL) : NULL;
  CisEpisode *episode = uploads_make (resumed ? "PATCH" : "PUT", "lab-1", name, sha256, strlen (bytes), NULL);
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));

  if (body != NULL)
    cis_request_set_body (request, body, strlen (bytes) - offset);
  if (resumed)
    cis_request_set_header (request, "upload-offset", value);
  return episode;
}

static void
cut (gpointer archive, const char *name, const char *bytes, gsize offset, gsize coming)
{
  g_autoptr (CisEpisode) episode = make_upload (name, bytes, offset, coming, offset > 0);
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (uploads_put (archive, episode, &outcome), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (outcome, "body-cut");
}

static CisVerdict
send_rest (gpointer archive, const char *name, const char *bytes, gsize offset, CisOutcome **outcome)
{
  g_autoptr (CisEpisode) episode = make_upload (name, bytes, offset, strlen (bytes) - offset, TRUE);

  return uploads_put (archive, episode, outcome);
}

static gint64
ask (gpointer archive, const char *name, const char *bytes, const char *commit)
{
  g_autofree char *sha256 = cis_digest_bytes (bytes, strlen (bytes));
  g_autoptr (CisEpisode) episode = uploads_make ("POST", "lab-1", name, sha256, strlen (bytes), NULL);
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));

  cis_episode_set_commit (episode, commit);
  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_DONE);
  g_assert_cmpstr (cis_json_get_string (cis_request_get_reply (request), "status"), ==, "welcome");
  return cis_json_get_size (cis_request_get_reply (request), "offset", -1);
}

static char *
get_part (const char *name, const char *bytes)
{
  g_autofree char *sha256 = cis_digest_bytes (bytes, strlen (bytes));

  return g_strdup_printf ("incoming/lab-1/%s.%s." COMMIT ".part", name, sha256);
}

static void
assert_stored (const char *tree, const char *name, const char *bytes)
{
  g_autofree char *path = g_strdup_printf ("store/lab-1/%s.tar.zst", name);
  g_autofree char *text = test_read (tree, path);

  g_assert_cmpstr (text, ==, bytes);
  uploads_assert_none_left (tree);
}

/* Cut twice, the second time across a restart: nothing that is there is sent again. */
static void
test_goes_on (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *part = get_part ("run", ARCHIVE);
  g_autofree char *kept = NULL;

  cut (archive, "run", ARCHIVE, 0, 3);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 3);
  cut (archive, "run", ARCHIVE, 3, 7);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 10);
  kept = test_read (tree, part);
  g_assert_cmpint (strncmp (kept, ARCHIVE, 10), ==, 0);
  uploads_close (archive);

  archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 10);
  g_assert_cmpint (send_rest (archive, "run", ARCHIVE, 10, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (tree, "run", ARCHIVE);
  uploads_close (archive);
}

/* All of it came, and the receiver went before it had stored it. */
static void
test_nothing_missing (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *part = get_part ("run", ARCHIVE);

  test_write (tree, part, ARCHIVE);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, SIZE);
  g_assert_cmpint (send_rest (archive, "run", ARCHIVE, SIZE, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (tree, "run", ARCHIVE);
  uploads_close (archive);
}

static void
test_large (void)
{
  const gsize size = 3 * 1024 * 1024 + 7, offset = 1024 * 1024 + 5;
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *bytes = g_malloc (size + 1);

  for (gsize i = 0; i < size; i++)
    bytes[i] = 'a' + (i * 2654435761u >> 13) % 26;
  bytes[size] = '\0';
  cut (archive, "run", bytes, 0, offset);
  g_assert_cmpint (ask (archive, "run", bytes, COMMIT), ==, offset);
  g_assert_cmpint (send_rest (archive, "run", bytes, offset, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (tree, "run", bytes);
  uploads_close (archive);
}

/* The disk is full when the rest comes: what was there before stays, and not a byte more. */
static void
test_full (void)
{
  const gsize size = 2 * 1024 * 1024, offset = 300 * 1000;
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *disk = g_build_filename (tree, "disk", NULL);
  g_autofree char *bytes = g_strnfill (size, 'x');
  g_autofree char *part = get_part ("run", bytes);
  g_autofree char *kept = NULL;
  g_autoptr (CisOutcome) outcome = NULL;
  gpointer archive;

  g_assert_no_errno (g_mkdir (disk, 0750));
  g_assert_no_errno (mount ("none", disk, "tmpfs", 0, "size=1m"));
  archive = uploads_open (disk, 5 * G_USEC_PER_SEC);
  cut (archive, "run", bytes, 0, offset);
  g_assert_cmpint (send_rest (archive, "run", bytes, offset, &outcome), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (outcome, "storage-full");
  kept = test_read (disk, part);
  g_assert_nonnull (kept);
  g_assert_cmpuint (strlen (kept), ==, offset);
  g_assert_cmpint (ask (archive, "run", bytes, COMMIT), ==, offset);
  g_assert_no_errno (mount ("none", disk, "tmpfs", MS_REMOUNT, "size=8m"));
  g_assert_cmpint (send_rest (archive, "run", bytes, offset, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (disk, "run", bytes);
  uploads_close (archive);
  g_assert_no_errno (umount2 (disk, MNT_DETACH));
}

static void
assert_elsewhere (gpointer archive, gsize offset, const char *there)
{
  g_autoptr (CisEpisode) episode = make_upload ("run", ARCHIVE, offset, SIZE - offset, TRUE);
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (uploads_put (archive, episode, &outcome), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (outcome, "upload-offset-mismatch");
  g_assert_cmpstr (cis_finding_get_detail (cis_outcome_get_finding (outcome), "offset"), ==, there);
  g_assert_cmpuint (cis_request_get_status (request), ==, 409);
  g_assert_cmpstr (cis_json_get_string (cis_request_get_reply (request), "offset"), ==, there);
}

static void
test_odd_offsets (void)
{
  static const char *const offsets[] = { NULL, "", "five", "-1", "5.0", "99999999999999999999" };
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);

  cut (archive, "run", ARCHIVE, 0, 5);
  for (guint i = 0; i < G_N_ELEMENTS (offsets); i++)
    {
      g_autoptr (CisEpisode) episode = make_upload ("run", ARCHIVE, 5, SIZE - 5, FALSE);
      g_autoptr (CisRequest) request = cis_request_new ("PATCH", "/v1/episodes/lab-1/run");
      g_autoptr (CisEpisode) patch = cis_episode_new ("lab-1", "run", request);
      g_autoptr (CisOutcome) outcome = NULL;

      cis_request_set_header (request, "upload-offset", offsets[i]);
      cis_episode_set_commit (patch, COMMIT);
      cis_episode_set_archive (patch, NULL, cis_episode_get_sha256 (episode), SIZE);
      g_assert_cmpint (uploads_put (archive, patch, &outcome), ==, CIS_VERDICT_DEFERRED);
      uploads_assert_finding (outcome, "upload-offset-mismatch");
    }
  /* A rest that is all of it. */
  g_assert_cmpint (send_rest (archive, "new", ARCHIVE, 0, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpint (send_rest (archive, "run", ARCHIVE, 5, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (tree, "new", ARCHIVE);
  uploads_close (archive);
}

static void
test_elsewhere (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);

  assert_elsewhere (archive, 4, "0");
  cut (archive, "run", ARCHIVE, 0, 5);
  assert_elsewhere (archive, 4, "5");
  assert_elsewhere (archive, 6, "5");
  assert_elsewhere (archive, 0, "5");
  g_assert_cmpint (send_rest (archive, "run", ARCHIVE, 5, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (tree, "run", ARCHIVE);
  uploads_close (archive);
}

/* As after a crash: of the right length, but not the bytes that came. */
static void
test_damaged (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *part = get_part ("run", ARCHIVE);
  g_autoptr (CisEpisode) whole = uploads_make_put ("run", ARCHIVE);
  g_autoptr (CisOutcome) outcome = NULL;

  cut (archive, "run", ARCHIVE, 0, 5);
  test_write (tree, part, "An ar");
  g_assert_cmpint (send_rest (archive, "run", ARCHIVE, 5, &outcome), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (outcome, "digest-mismatch");
  uploads_assert_none_left (tree);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 0);
  g_assert_cmpint (uploads_put (archive, whole, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (tree, "run", ARCHIVE);
  uploads_close (archive);
}

/* Each digest, and each commit, has its own; a PUT begins anew. */
static void
test_others (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *ours = get_part ("run", ARCHIVE), *theirs = get_part ("run", "other bytes");

  cut (archive, "run", ARCHIVE, 0, 5);
  cut (archive, "run", "other bytes", 0, 2);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 5);
  g_assert_cmpint (ask (archive, "run", "other bytes", COMMIT), ==, 2);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, OTHER_COMMIT), ==, 0);
  g_assert_cmpint (ask (archive, "run-2", ARCHIVE, COMMIT), ==, 0);
  cut (archive, "run", ARCHIVE, 0, 1);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 1);
  g_assert_cmpint (send_rest (archive, "run", "other bytes", 2, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_false (test_exists (tree, theirs));
  g_assert_true (test_exists (tree, ours));
  uploads_close (archive);
}

static guint
count_parts (const char *tree)
{
  g_autofree char *incoming = test_list (tree, "incoming/lab-1");
  g_auto (GStrv) parts = g_strsplit (incoming, " ", -1);

  return g_strv_length (parts);
}

/* One host does not take all inodes, of which no quota counts any, with a byte each. */
static void
test_many (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *large = g_strnfill (1024 * 1024 + 1, 'x');

  for (guint i = 0; i < 101; i++)
    {
      g_autofree char *bytes = g_strdup_printf ("%u bytes", i);

      cut (archive, "run", bytes, 0, 1);
      g_assert_cmpuint (count_parts (tree), ==, MIN (i + 1, 100));
    }
  /* Others go on, and what is large is kept. */
  cut (archive, "run", "0 bytes", 1, 2);
  g_assert_cmpint (ask (archive, "run", "0 bytes", COMMIT), ==, 3);
  g_assert_cmpint (ask (archive, "run", "100 bytes", COMMIT), ==, 0);
  cut (archive, "large", large, 0, 1024 * 1024);
  g_assert_cmpint (ask (archive, "large", large, COMMIT), ==, 1024 * 1024);
  g_assert_cmpint (send_rest (archive, "run", "0 bytes", 3, NULL), ==, CIS_VERDICT_PASSED);
  uploads_close (archive);
}

/* What cannot be its beginning, and what must not be written to. */
static void
test_not_ours (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *part = get_part ("run", ARCHIVE);
  g_autofree char *file = g_build_filename (tree, part, NULL),
                  *other = g_build_filename (tree, "other", NULL);
  g_autofree char *text = NULL;

  test_write (tree, part, ARCHIVE " and more");
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 0);
  assert_elsewhere (archive, SIZE, "0");

  test_write (tree, part, "an ar");
  g_assert_no_errno (link (file, other));
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 0);
  assert_elsewhere (archive, 5, "0");
  g_assert_no_errno (g_unlink (file));
  g_assert_no_errno (symlink (other, file));
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, 0);
  assert_elsewhere (archive, 5, "0");
  g_assert_cmpint (send_rest (archive, "run", ARCHIVE, 0, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (tree, "run", ARCHIVE);
  text = test_read (tree, "other");
  g_assert_cmpstr (text, ==, "an ar");
  uploads_close (archive);
}

static CisOutcome *
stop_while_looking (CisEpisode *episode, int fd, GCancellable *cancellable, gpointer data)
{
  GError *error = NULL;

  g_cancellable_cancel (cancellable);
  g_assert_true (g_cancellable_set_error_if_cancelled (cancellable, &error));
  return cis_outcome_failed (error);
}

/* All of it came, and the receiver is stopped while gate/verify looks into it. */
static void
test_stopped_while_looking (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", ARCHIVE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (CisOutcome) outcome = NULL;

  cis_episode_add_inspection (episode, stop_while_looking, NULL);
  outcome = cis_stage_process (archive, CIS_ITEM (episode), cancellable);
  cis_stage_settled (archive, CIS_ITEM (episode), outcome);
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_NONE);
  g_assert_cmpint (ask (archive, "run", ARCHIVE, COMMIT), ==, SIZE);
  g_assert_cmpint (send_rest (archive, "run", ARCHIVE, SIZE, NULL), ==, CIS_VERDICT_PASSED);
  assert_stored (tree, "run", ARCHIVE);
  uploads_close (archive);
}

static gpointer
open_with_quota (const char *tree, guint64 quota)
{
  g_autoptr (GError) error = NULL;
  gpointer archive = test_part_new ("store/archive", "directory", tree, "host-quota", quota, NULL);

  cis_part_open (archive, NULL, &error);
  g_assert_no_error (error);
  return archive;
}

static void
assert_over_quota (gpointer archive, const char *method, const char *name)
{
  g_autoptr (CisEpisode) episode = uploads_make_put (name, ARCHIVE);
  g_autoptr (CisEpisode) question =
      uploads_make ("POST", "lab-1", name, cis_episode_get_sha256 (episode), SIZE, NULL);
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (uploads_put (archive, g_str_equal (method, "PUT") ? episode : question, &outcome), ==,
                   CIS_VERDICT_DEFERRED);
  uploads_assert_finding (outcome, "host-quota-used-up");
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_STAGE);
}

static void
test_quota (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = open_with_quota (tree, 2 * SIZE + 6);
  g_autofree char *sha256 = cis_digest_bytes (ARCHIVE, SIZE);
  g_autoptr (GInputStream) body = g_memory_input_stream_new_from_data (ARCHIVE, SIZE, NULL);
  g_autoptr (CisEpisode) first = uploads_make_put ("run-1", ARCHIVE);
  g_autoptr (CisEpisode) another_host = uploads_make ("PUT", "lab-2", "run", sha256, SIZE, body);

  g_assert_cmpint (uploads_put (archive, first, NULL), ==, CIS_VERDICT_PASSED);
  cut (archive, "run-2", ARCHIVE, 0, 5);
  cut (archive, "run-2b", ARCHIVE, 0, 2); /* which would not fit, did more count than what came */
  assert_over_quota (archive, "PUT", "run-3");
  assert_over_quota (archive, "POST", "run-3");
  g_assert_cmpint (uploads_put (archive, another_host, NULL), ==, CIS_VERDICT_PASSED);
  uploads_close (archive);

  /* What is there is looked up, and what is gone on with has its place. */
  test_write (tree, "store/lab-1/a folder/with a file", "which no host has sent, so that it does not count");
  archive = open_with_quota (tree, 2 * SIZE + 6);
  assert_over_quota (archive, "PUT", "run-3");
  g_assert_cmpint (ask (archive, "run-2", ARCHIVE, COMMIT), ==, 5);
  g_assert_cmpint (send_rest (archive, "run-2", ARCHIVE, 5, NULL), ==, CIS_VERDICT_PASSED);
  assert_over_quota (archive, "POST", "run-3");
  cut (archive, "run-4", "tiny", 0, 1);
  uploads_close (archive);
}

int
main (int argc, char **argv)
{
  test_enter_namespace ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/resume/goes-on", test_goes_on);
  g_test_add_func ("/resume/nothing-missing", test_nothing_missing);
  g_test_add_func ("/resume/large", test_large);
  g_test_add_func ("/resume/full", test_full);
  g_test_add_func ("/resume/elsewhere", test_elsewhere);
  g_test_add_func ("/resume/odd-offsets", test_odd_offsets);
  g_test_add_func ("/resume/damaged", test_damaged);
  g_test_add_func ("/resume/others", test_others);
  g_test_add_func ("/resume/many", test_many);
  g_test_add_func ("/resume/not-ours", test_not_ours);
  g_test_add_func ("/resume/stopped-while-looking", test_stopped_while_looking);
  g_test_add_func ("/resume/quota", test_quota);
  return g_test_run ();
}
