/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "known.h"

static void
test_unknown (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_PASSED);
  test_write (f->tree, "store/lab-1/run.tar.zst.old", "bytes");
  test_write (f->tree, "store/lab-2/run.tar.zst", "other bytes");
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpuint (cis_request_get_status (f->request), ==, 0);
}

typedef struct
{
  Fixture *f;
  GCancellable *cancellable;
  CisOutcome *outcome; /* owned */
} Beside;

static gpointer
ask_beside (gpointer data)
{
  Beside *beside = data;
  g_autoptr (CisRequest) request = cis_request_new ("PUT", "/v1/episodes/lab-1/run");
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab-1", "run", request);

  cis_request_identify (request, "lab-1");
  cis_episode_set_archive (episode, NULL, cis_episode_get_sha256 (beside->f->episode), 5);
  beside->outcome = CIS_STAGE_GET_CLASS (beside->f->known)
                        ->process (CIS_STAGE (beside->f->known), CIS_ITEM (episode), beside->cancellable);
  g_cancellable_cancel (beside->cancellable);
  return NULL;
}

/* While one request has it hashed, which may take minutes, the next ones need not: of two that ask for the
 * same, one is sent away at once, and then the other need not go on. */
static void
test_being_hashed (Fixture *f, gconstpointer data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Beside both[2] = { { f, cancellable }, { f, cancellable } };
  GThread *other;
  guint n_in_flight = 0;

  test_write (f->tree, "store/lab-1/run.tar.zst", "");
  g_assert_no_errno (truncate (f->stored, G_GINT64_CONSTANT (1) << 40));
  other = g_thread_new ("beside", ask_beside, &both[1]);
  ask_beside (&both[0]);
  g_thread_join (other);
  for (guint i = 0; i < 2; i++)
    {
      if (cis_outcome_get_verdict (both[i].outcome) == CIS_VERDICT_DEFERRED)
        {
          assert_finding (both[i].outcome, "in-flight");
          n_in_flight++;
        }
      else
        g_assert_cmpint (cis_outcome_get_verdict (both[i].outcome), ==, CIS_VERDICT_NONE);
      cis_outcome_unref (both[i].outcome);
    }
  g_assert_cmpuint (n_in_flight, ==, 1);
}

static void
test_locked_by_a_reader (Fixture *f, gconstpointer data)
{
  int fd;

  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  fd = open (f->stored, O_RDONLY | O_CLOEXEC);
  g_assert_no_errno (flock (fd, LOCK_EX));
  assert_duplicate (f);
  g_assert_cmpstr (cis_json_get_string (cis_request_get_reply (f->request), "commit"), ==,
                   cis_episode_get_commit (f->episode));
  g_close (fd, NULL);
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
  g_test_add ("/known/locked-by-a-reader", Fixture, NULL, set_up, test_locked_by_a_reader, tear_down);
  g_test_add ("/known/hashed", Fixture, NULL, set_up, test_hashed, tear_down);
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
