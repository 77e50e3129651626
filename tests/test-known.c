/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "../plugins/store/archive/layout.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

typedef struct
{
  char *tree;
  gpointer known;
  CisEpisode *episode; /* what a request claims: lab-1/run with "bytes" */
  CisRequest *request;
  char *stored; /* path */
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *sha256 = cis_digest_bytes ("bytes", 5);

  f->tree = test_tree_new ();
  f->known = test_part_new ("store/known", "directory", f->tree, NULL);
  cis_part_open (f->known, NULL, &error);
  g_assert_no_error (error);
  f->request = cis_request_new ("PUT", "/v1/episodes/lab-1/run");
  cis_request_identify (f->request, "lab-1");
  f->episode = cis_episode_new ("lab-1", "run", f->request);
  cis_episode_set_commit (f->episode, COMMIT);
  cis_episode_set_archive (f->episode, NULL, sha256, 5);
  f->stored = g_build_filename (f->tree, "store/lab-1/run.tar.zst", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  cis_part_close (f->known);
  g_object_unref (f->known);
  g_object_unref (f->episode);
  g_object_unref (f->request);
  g_free (f->stored);
  test_tree_remove (f->tree);
}

/* Links the stored archive to the .part that says it is of @bytes. */
static void
add_intent (Fixture *f, const char *bytes)
{
  g_autofree char *sha256 = cis_digest_bytes (bytes, strlen (bytes));
  g_autofree char *folder = g_build_filename (f->tree, "incoming/lab-1", NULL);
  g_autofree char *part = g_strdup_printf ("%s/run.%s." COMMIT ".part", folder, sha256);

  g_assert_no_errno (g_mkdir_with_parents (folder, 0750));
  g_assert_no_errno (link (f->stored, part));
}

static void
note_receipt (Fixture *f)
{
  g_autoptr (JsonObject) receipt =
      cis_receipt_new (f->episode, "lab-1", "stored", "2026-01-02T03:04:05.000000Z");
  int fd = open (f->stored, O_WRONLY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (cis_layout_write_receipt (fd, receipt, CIS_ITEM (f->episode)));
  g_close (fd, NULL);
}

static void
assert_finding (CisOutcome *outcome, const char *id)
{
  g_assert_nonnull (cis_outcome_get_finding (outcome));
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, id);
}

static void
assert_duplicate (Fixture *f)
{
  JsonObject *reply = cis_request_get_reply (f->request);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_DONE);
  g_assert_cmpuint (cis_request_get_status (f->request), ==, 200);
  reply = cis_request_get_reply (f->request);
  g_assert_cmpstr (cis_json_get_string (reply, "status"), ==, "duplicate");
  cis_receipt_matches (reply, f->episode, "lab-1", &error);
  g_assert_no_error (error);
}

/* So that no other question has it hashed. */
static void
assert_noted (const char *archive, CisEpisode *episode)
{
  int fd = open (archive, O_RDONLY | O_CLOEXEC);
  g_autoptr (JsonObject) receipt = cis_layout_read_receipt (fd, episode, CIS_ITEM (episode));

  g_assert_nonnull (receipt);
  g_assert_cmpstr (cis_json_get_string (receipt, "sha256"), ==, cis_episode_get_sha256 (episode));
  g_assert_cmpstr (cis_json_get_string (receipt, "status"), ==, "stored");
  /* Nobody has looked whether that is true of the bytes. */
  g_assert_false (json_object_has_member (receipt, "commit"));
  g_close (fd, NULL);
}

static void
test_unknown (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_PASSED);
  test_write (f->tree, "store/lab-1/run.tar.zst.old", "bytes");
  test_write (f->tree, "store/lab-2/run.tar.zst", "other bytes");
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpuint (cis_request_get_status (f->request), ==, 0);
}

/* While one request has it hashed, which may take minutes, the next ones need not. */
static void
test_being_hashed (Fixture *f, gconstpointer data)
{
  g_autoptr (CisOutcome) outcome = NULL;
  int fd;

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  fd = open (f->stored, O_RDONLY | O_CLOEXEC);
  g_assert_no_errno (flock (fd, LOCK_EX));
  g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_DEFERRED);
  assert_finding (outcome, "in-flight");
  g_close (fd, NULL);
  assert_duplicate (f);
  g_assert_cmpstr (cis_json_get_string (cis_request_get_reply (f->request), "commit"), ==,
                   cis_episode_get_commit (f->episode));
}

/* As when a host got another name, and its archives were moved. */
static void
test_moved (Fixture *f, gconstpointer data)
{
  g_autoptr (CisRequest) request = cis_request_new ("PUT", "/v1/episodes/lab-2/walk");
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab-2", "walk", request);
  g_autofree char *folder = g_build_filename (f->tree, "store/lab-2", NULL);
  g_autofree char *path = g_build_filename (folder, "walk.tar.zst", NULL);
  JsonObject *reply;

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  note_receipt (f);
  g_assert_no_errno (g_mkdir (folder, 0750));
  g_assert_no_errno (g_rename (f->stored, path));
  cis_request_identify (request, "lab-2");
  cis_episode_set_archive (episode, NULL, cis_episode_get_sha256 (f->episode), 5);
  g_assert_cmpint (test_process (f->known, episode, NULL), ==, CIS_VERDICT_DONE);
  reply = cis_request_get_reply (request);
  g_assert_true (cis_receipt_matches (reply, episode, "lab-2", NULL));
  assert_noted (path, episode);
}

static void
test_duplicate (Fixture *f, gconstpointer data)
{
  JsonObject *reply;

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  note_receipt (f);
  assert_duplicate (f);
  reply = cis_request_get_reply (f->request);
  g_assert_cmpstr (cis_json_get_string (reply, "received_at"), ==, "2026-01-02T03:04:05.000000Z");
  g_assert_false (json_object_has_member (reply, "marks"));
}

/* A file system without attributes, or an archive that was copied without them. */
static void
test_hashed (Fixture *f, gconstpointer data)
{
  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  assert_duplicate (f);
}

/* The attribute of other bytes: by its size it can't be the file's. */
static void
test_stale_receipt (Fixture *f, gconstpointer data)
{
  g_autoptr (CisOutcome) outcome = NULL;
  CisFinding *finding;

  g_autofree char *sha256 = cis_digest_bytes ("other bytes", 11);

  test_write (f->tree, "store/lab-1/run.tar.zst", "other bytes");
  note_receipt (f);
  g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_REJECTED);
  finding = cis_outcome_get_finding (outcome);
  assert_finding (outcome, "episode-conflict");
  g_assert_cmpstr (cis_finding_get_detail (finding, "stored_sha256"), ==, sha256);
}

/* Whatever is asked, the archive is hashed once. */
static void
assert_noted_for (Fixture *f, const char *claimed, guint64 size, const char *id)
{
  g_autoptr (CisOutcome) outcome = NULL;
  g_autoptr (CisEpisode) truth = cis_episode_new ("lab-1", "run", NULL);
  g_autofree char *sha256 = cis_digest_bytes ("bytes", 5);
  g_autofree char *other = cis_digest_bytes (claimed, strlen (claimed));

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  cis_item_set_mark (CIS_ITEM (f->episode), "grant", "this question's own");
  cis_episode_set_archive (f->episode, NULL, other, size);
  g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_REJECTED);
  assert_finding (outcome, id);
  cis_episode_set_archive (truth, NULL, sha256, 5);
  assert_noted (f->stored, truth);
  g_assert_null (cis_item_get_mark (CIS_ITEM (truth), "grant"));
}

static void
test_hashed_conflict (Fixture *f, gconstpointer data)
{
  assert_noted_for (f, "BYTES", 5, "episode-conflict");
}

/* A damaged archive was hashed, and then put right in place, as by cp(1). */
static void
test_hashed_and_mended (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->tree, "store/lab-1/run.tar.zst", NULL);

  assert_noted_for (f, "BYTES", 5, "episode-conflict");
  g_assert_true (g_file_set_contents_full (path, "BYTES", 5, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  /* All of this took less than an mtime tells. */
  g_assert_no_errno (utimensat (AT_FDCWD, path, (struct timespec[]){ { .tv_sec = 1 }, { .tv_sec = 1 } }, 0));
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_DONE);
}

static void
test_hashed_wrong_length (Fixture *f, gconstpointer data)
{
  assert_noted_for (f, "bytes", 6, "digest-mismatch");
}

static void
test_conflict (Fixture *f, gconstpointer data)
{
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *sha256 = g_strdup (cis_episode_get_sha256 (f->episode));
  g_autofree char *other = cis_digest_bytes ("BYTES", 5);

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  note_receipt (f);
  cis_episode_set_archive (f->episode, NULL, other, 5);
  g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_REJECTED);
  assert_finding (outcome, "episode-conflict");
  g_assert_cmpstr (cis_finding_get_detail (cis_outcome_get_finding (outcome), "stored_sha256"), ==, sha256);
  g_assert_nonnull (cis_finding_get_fix (cis_outcome_get_finding (outcome)));
}

/* The digest, but not as many bytes: what is claimed cannot be, whether they are home or not. */
static void
test_wrong_length (Fixture *f, gconstpointer data)
{
  g_autofree char *sha256 = g_strdup (cis_episode_get_sha256 (f->episode));

  cis_episode_set_archive (f->episode, NULL, sha256, 6);
  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CisOutcome) outcome = NULL;

      g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_REJECTED);
      assert_finding (outcome, "digest-mismatch");
      g_assert_cmpuint (cis_request_get_status (f->request), ==, 0);
      if (i == 0)
        add_intent (f, "bytes");
    }
}

/* Whether somebody is still at it, these bytes or other ones, is for store/archive to say; but of these the
 * version gate must not be asked again. */
static void
test_unfinished (Fixture *f, gconstpointer bytes)
{
  const char *admitted = g_str_equal (bytes, "bytes") ? "true" : NULL;

  test_write (f->tree, "store/lab-1/run.tar.zst", bytes);
  add_intent (f, bytes);
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpuint (cis_request_get_status (f->request), ==, 0);
  g_assert_cmpstr (cis_item_get_mark (CIS_ITEM (f->episode), "recovered"), ==, admitted);
}

static gboolean
admits (Fixture *f, const char *method, const char *commit, guint64 size)
{
  g_autoptr (CisRequest) request = cis_request_new (method, "/v1/episodes/lab-1/run");
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab-1", "run", request);

  cis_episode_set_commit (episode, commit);
  cis_episode_set_archive (episode, NULL, cis_episode_get_sha256 (f->episode), size);
  g_assert_cmpint (test_process (f->known, episode, NULL), ==, CIS_VERDICT_PASSED);
  return cis_item_get_mark (CIS_ITEM (episode), "recovered") != NULL;
}

/* All the bytes have come, and are being hashed or synced. Only a question passes the gate for that. */
static void
test_complete (Fixture *f, gconstpointer data)
{
  const char *sha256 = cis_episode_get_sha256 (f->episode);
  g_autofree char *part = g_strdup_printf ("incoming/lab-1/run.%s." COMMIT ".part", sha256);

  g_assert_false (admits (f, "POST", COMMIT, 0));
  test_write (f->tree, part, "");
  g_assert_false (admits (f, "POST", COMMIT, 0));
  test_write (f->tree, part, "byt");
  g_assert_false (admits (f, "POST", COMMIT, 5));
  test_write (f->tree, part, "bytes");
  g_assert_true (admits (f, "POST", COMMIT, 5));
  g_assert_false (admits (f, "POST", "ffffffffffffffffffffffffffffffffffffffff", 5));
  g_assert_false (admits (f, "PUT", COMMIT, 5));
  g_assert_false (admits (f, "PATCH", COMMIT, 5));
}

/* Two links, but the second one is a backup's. */
static void
test_backup (Fixture *f, gconstpointer data)
{
  g_autofree char *backup = g_build_filename (f->tree, "backup", NULL);
  g_autofree char *another =
      g_strdup_printf ("incoming/lab-1/run.%s." COMMIT ".part", cis_episode_get_sha256 (f->episode));

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  test_write (f->tree, another, "byt");
  test_write (f->tree, "incoming/lab-1/notes.txt", "not ours");
  g_assert_no_errno (link (f->stored, backup));
  assert_duplicate (f);
}

static void
test_symlink (Fixture *f, gconstpointer data)
{
  g_autofree char *folder = g_path_get_dirname (f->stored);

  g_assert_no_errno (g_mkdir (folder, 0750));
  g_assert_no_errno (symlink ("/etc/passwd", f->stored));
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_FAILED);
}

/* What others write beside an archive is no receipt, and the archive is hashed; what is not a mark is not
 * taken for one. */
static void
test_odd_receipts (Fixture *f, gconstpointer data)
{
  g_autofree char *zeros = g_strnfill (64, '0');
  const char *sha256 = cis_episode_get_sha256 (f->episode);
  char *receipts[] = {
    g_strdup ("no JSON"),
    g_strdup ("{\"size\":5}"),
    g_strdup_printf ("{\"sha256\":\"%sx\",\"size\":5}", zeros),
    g_strdup_printf ("{\"sha256\":\"%s\",\"size\":6}", zeros),
    g_strdup_printf ("{\"episode\":\"run\",\"host\":\"lab-1\",\"sha256\":\"%s\",\"size\":5}", sha256),
    g_strdup_printf ("{\"episode\":\"run\",\"host\":\"lab-1\",\"sha256\":\"%s\",\"size\":5,\"marks\":7}",
                     sha256),
  };

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  for (guint i = 0; i < G_N_ELEMENTS (receipts); i++)
    {
      g_assert_no_errno (setxattr (f->stored, "user.cis490.receipt", receipts[i], strlen (receipts[i]), 0));
      assert_duplicate (f);
      g_assert_false (json_object_has_member (cis_request_get_reply (f->request), "marks"));
      if (i < G_N_ELEMENTS (receipts) - 2) /* which are good */
        assert_noted (f->stored, f->episode);
    }
  for (guint i = 0; i < G_N_ELEMENTS (receipts); i++)
    g_free (receipts[i]);
}

static void
test_odd_marks (Fixture *f, gconstpointer data)
{
  g_autofree char *receipt = g_strdup_printf ("{\"episode\":\"run\",\"host\":\"lab-1\",\"sha256\":\"%s\","
                                              "\"size\":5,\"marks\":{\"gate\":\"disabled\",\"grant\":7}}",
                                              cis_episode_get_sha256 (f->episode));
  g_autoptr (JsonObject) read = NULL;
  int fd;

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  g_assert_no_errno (setxattr (f->stored, "user.cis490.receipt", receipt, strlen (receipt), 0));
  fd = open (f->stored, O_RDONLY | O_CLOEXEC);
  read = cis_layout_read_receipt (fd, f->episode, CIS_ITEM (f->episode));
  g_assert_nonnull (read);
  g_assert_cmpstr (cis_item_get_mark (CIS_ITEM (f->episode), "gate"), ==, "disabled");
  g_assert_null (cis_item_get_mark (CIS_ITEM (f->episode), "grant"));
  g_close (fd, NULL);
}

/* Not sent by anybody, as by a pipeline of one's own. */
static void
test_without_request (Fixture *f, gconstpointer data)
{
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab-1", "run", NULL);

  cis_episode_set_archive (episode, NULL, cis_episode_get_sha256 (f->episode), 5);
  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  g_assert_cmpint (test_process (f->known, episode, NULL), ==, CIS_VERDICT_DONE);
}

static void
test_odd_names (Fixture *f, gconstpointer data)
{
  static const char *const names[][2] = { { NULL, "run" }, { "..", "run" }, { "lab-1", "../run" } };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (CisEpisode) episode = cis_episode_new (names[i][0], names[i][1], f->request);

      g_assert_cmpint (test_process (f->known, episode, NULL), ==, CIS_VERDICT_FAILED);
    }
  /* A file where a host's folder would be holds no archives. */
  test_write (f->tree, "store/lab-1", "");
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_PASSED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/known/unknown", Fixture, NULL, set_up, test_unknown, tear_down);
  g_test_add ("/known/duplicate", Fixture, NULL, set_up, test_duplicate, tear_down);
  g_test_add ("/known/moved", Fixture, NULL, set_up, test_moved, tear_down);
  g_test_add ("/known/being-hashed", Fixture, NULL, set_up, test_being_hashed, tear_down);
  g_test_add ("/known/hashed", Fixture, NULL, set_up, test_hashed, tear_down);
  g_test_add ("/known/hashed-conflict", Fixture, NULL, set_up, test_hashed_conflict, tear_down);
  g_test_add ("/known/hashed-and-mended", Fixture, NULL, set_up, test_hashed_and_mended, tear_down);
  g_test_add ("/known/hashed-wrong-length", Fixture, NULL, set_up, test_hashed_wrong_length, tear_down);
  g_test_add ("/known/stale-receipt", Fixture, NULL, set_up, test_stale_receipt, tear_down);
  g_test_add ("/known/conflict", Fixture, NULL, set_up, test_conflict, tear_down);
  g_test_add ("/known/wrong-length", Fixture, NULL, set_up, test_wrong_length, tear_down);
  g_test_add ("/known/unfinished-same", Fixture, "bytes", set_up, test_unfinished, tear_down);
  g_test_add ("/known/unfinished-other", Fixture, "other bytes", set_up, test_unfinished, tear_down);
  g_test_add ("/known/complete", Fixture, NULL, set_up, test_complete, tear_down);
  g_test_add ("/known/backup", Fixture, NULL, set_up, test_backup, tear_down);
  g_test_add ("/known/symlink", Fixture, NULL, set_up, test_symlink, tear_down);
  g_test_add ("/known/odd-receipts", Fixture, NULL, set_up, test_odd_receipts, tear_down);
  g_test_add ("/known/odd-marks", Fixture, NULL, set_up, test_odd_marks, tear_down);
  g_test_add ("/known/odd-names", Fixture, NULL, set_up, test_odd_names, tear_down);
  g_test_add ("/known/without-request", Fixture, NULL, set_up, test_without_request, tear_down);
  return g_test_run ();
}
