/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the receiver's store promises wherever a call fails: no 2xx without the whole archive in the store,
 * nothing that was stored is ever lost or replaced, and what was not stored can be sent again. */

#include "faults.h"
#include "uploads.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BYTES "the bytes of an archive"

/* One kind of request for lab-1/run, and what it meets. */
typedef struct
{
  void (*prepare) (gpointer archive, const char *tree); /* nullable */
  const char *method;
  const char *bytes;  /* of the whole archive */
  gsize offset;       /* where the body begins in it */
  CisVerdict verdict; /* undisturbed */
  const char *stored; /* afterwards, undisturbed; nullable */
} Upload;

static gpointer
open_archive (const char *tree)
{
  g_autoptr (GError) error = NULL;
  gpointer archive = test_part_new ("store/archive", "directory", tree, "host-quota",
                                    G_GUINT64_CONSTANT (1000), "resume-keep", G_GINT64_CONSTANT (0), NULL);

  cis_part_open (archive, NULL, &error);
  g_assert_no_error (error);
  return archive;
}

static CisEpisode *
make_episode (const char *method, const char *bytes, gsize offset)
{
  g_autoptr (GInputStream) body =
      g_memory_input_stream_new_from_data (bytes + offset, (gssize) (strlen (bytes) - offset), NULL);
  g_autofree char *sha256 = cis_digest_bytes (bytes, strlen (bytes));
  g_autofree char *from = g_strdup_printf ("%" G_GSIZE_FORMAT, offset);
  CisEpisode *episode = uploads_make (method, "lab-1", "run", sha256, strlen (bytes), NULL);
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));

  cis_item_set_mark (CIS_ITEM (episode), "gate", "disabled");
  if (!g_str_equal (method, "POST"))
    cis_request_set_body (request, body, strlen (bytes) - offset);
  cis_request_set_header (request, "upload-offset", from);
  return episode;
}

static void
prepare_stored (gpointer archive, const char *tree)
{
  g_autoptr (CisEpisode) episode = make_episode ("PUT", BYTES, 0);

  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
}

static void
prepare_stored_without_receipt (gpointer archive, const char *tree)
{
  g_autofree char *path = g_build_filename (tree, "store/lab-1/run.tar.zst", NULL);

  prepare_stored (archive, tree);
  removexattr (path, "user.cis490.receipt");
}

static void
prepare_unfinished (gpointer archive, const char *tree)
{
  g_autoptr (CisEpisode) episode = make_episode ("PUT", BYTES, 0);
  g_autoptr (CisOutcome) deferred = cis_outcome_deferred (CIS_SCOPE_ITEM, 0, NULL);

  g_assert_cmpint (test_process (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  cis_stage_settled (archive, CIS_ITEM (episode), deferred);
}

static void
prepare_cut (gpointer archive, const char *tree)
{
  g_autoptr (CisEpisode) episode = make_episode ("PUT", BYTES, 0);
  g_autoptr (GInputStream) body = g_memory_input_stream_new_from_data (BYTES, 10, NULL);

  cis_request_set_body (cis_item_get_request (CIS_ITEM (episode)), body, strlen (BYTES));
  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_DEFERRED);
}

/* Ten bytes came, which are not those that the archive begins with. */
static void
prepare_damaged (gpointer archive, const char *tree)
{
  g_autoptr (CisEpisode) episode = make_episode ("PUT", BYTES, 0);
  g_autofree char *path =
      g_strdup_printf ("incoming/lab-1/run.%s." COMMIT ".part", cis_episode_get_sha256 (episode));

  test_write (tree, path, "0123456789");
}

static const Upload put = { NULL, "PUT", BYTES, 0, CIS_VERDICT_PASSED, BYTES };
static const Upload put_again = { prepare_stored, "PUT", BYTES, 0, CIS_VERDICT_DONE, BYTES };
static const Upload put_hashed = { prepare_stored_without_receipt, "PUT", BYTES, 0, CIS_VERDICT_DONE, BYTES };
static const Upload put_other = { prepare_stored, "PUT", "other bytes", 0, CIS_VERDICT_REJECTED, BYTES };
static const Upload put_unfinished = { prepare_unfinished, "PUT", BYTES, 0, CIS_VERDICT_PASSED, BYTES };
static const Upload put_after_cut = { prepare_cut, "PUT", BYTES, 0, CIS_VERDICT_PASSED, BYTES };
static const Upload question = { prepare_cut, "POST", BYTES, 0, CIS_VERDICT_DONE, NULL };
static const Upload patch = { prepare_cut, "PATCH", BYTES, 10, CIS_VERDICT_PASSED, BYTES };
static const Upload patch_damaged = { prepare_damaged, "PATCH", BYTES, 10, CIS_VERDICT_REJECTED, NULL };

static void
assert_stored (const char *tree, const char *bytes)
{
  g_autofree char *text = test_read (tree, "store/lab-1/run.tar.zst");

  g_assert_cmpstr (text, ==, bytes);
}

/* The sender comes again with what it has, and all is well, but for what was in the store before. */
static void
try_again (gpointer archive, const char *tree, const Upload *upload)
{
  g_autoptr (CisEpisode) episode = make_episode ("PUT", upload->bytes, 0);
  g_autoptr (CisOutcome) outcome = NULL;
  CisVerdict verdict = uploads_put (archive, episode, &outcome);

  if (upload->verdict == CIS_VERDICT_REJECTED && upload->stored != NULL)
    g_assert_cmpint (verdict, ==, CIS_VERDICT_REJECTED);
  else
    {
      g_assert_true (verdict == CIS_VERDICT_PASSED || verdict == CIS_VERDICT_DONE);
      assert_stored (tree, upload->bytes);
      g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.tar.zst"), ==, 1);
      uploads_assert_none_left (tree);
    }
}

static void
assert_kept_promise (const char *tree, CisEpisode *episode, const Upload *upload, CisOutcome *outcome)
{
  CisVerdict verdict = cis_outcome_get_verdict (outcome);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = test_read (tree, "store/lab-1/run.tar.zst");

  /* What is in the store is whole, whatever the answer is. */
  g_assert_true (text == NULL || g_str_equal (text, BYTES));
  if (upload->prepare != NULL && upload->stored != NULL && upload->offset == 0 &&
      upload->prepare != prepare_cut)
    g_assert_nonnull (text);
  if (g_str_equal (upload->method, "POST"))
    return;
  if (verdict == CIS_VERDICT_PASSED || verdict == CIS_VERDICT_DONE)
    {
      g_assert_cmpstr (text, ==, upload->bytes);
      cis_receipt_matches (cis_episode_get_receipt (episode), episode, "lab-1", &error);
      g_assert_no_error (error);
      /* An intent says that it may lack its row: it has to pass by the index, but where the intent seems to
       * be gone. */
      if (upload->prepare == prepare_unfinished && faults_get_error () != ENOENT)
        g_assert_cmpint (verdict, ==, CIS_VERDICT_PASSED);
    }
  else if (verdict == CIS_VERDICT_FAILED)
    g_assert_nonnull (cis_outcome_get_error (outcome));
  else
    g_assert_nonnull (cis_outcome_get_finding (outcome));
}

static void
try_upload (gpointer data)
{
  const Upload *upload = data;
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = open_archive (tree);
  g_autoptr (CisEpisode) episode = make_episode (upload->method, upload->bytes, upload->offset);
  g_autoptr (CisOutcome) outcome = NULL;
  const char *failed;

  if (upload->prepare != NULL)
    upload->prepare (archive, tree);
  faults_begin ();
  uploads_put (archive, episode, &outcome);
  failed = faults_end ();

  assert_kept_promise (tree, episode, upload, outcome);
  if (failed == NULL)
    {
      g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, upload->verdict);
      assert_stored (tree, upload->stored);
    }
  /* EINTR is nobody's business; a full disk delays. */
  else if (faults_get_error () == EINTR && g_strcmp0 (failed, "openat") != 0)
    g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, upload->verdict);
  else if (faults_get_error () == ENOSPC && cis_outcome_get_verdict (outcome) == CIS_VERDICT_FAILED)
    g_assert_false (g_error_matches (cis_outcome_get_error (outcome), G_IO_ERROR, G_IO_ERROR_NO_SPACE));

  if (!g_error_matches (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL))
    try_again (archive, tree, upload);
  uploads_close (archive);
}

/* ---- a damaged archive, and the good one again */

static void
try_set_aside (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = open_archive (tree);
  g_autoptr (CisEpisode) episode = make_episode ("PUT", BYTES, 0);
  g_autofree char *path = g_build_filename (tree, "store/lab-1/run.tar.zst", NULL);
  g_autofree char *spare = g_build_filename (tree, "incoming/lab-1/.run.swap", NULL);
  g_autofree char *aside = NULL, *damaged_path = NULL, *stored = NULL, *damaged = NULL;
  g_autoptr (CisOutcome) outcome = NULL;
  CisVerdict verdict;

  prepare_stored (archive, tree);
  g_assert_no_errno (truncate (path, 4));
  faults_begin ();
  verdict = uploads_put (archive, episode, &outcome);
  if (faults_end () == NULL)
    g_assert_cmpint (verdict, ==, CIS_VERDICT_PASSED);

  /* Whatever failed, the damaged one is somewhere; and only the good one is acknowledged. */
  stored = test_read (tree, "store/lab-1/run.tar.zst");
  aside = test_exists (tree, "damaged/lab-1") ? test_list (tree, "damaged/lab-1") : g_strdup ("");
  damaged_path = g_build_filename ("damaged/lab-1", aside, NULL);
  damaged = aside[0] != '\0' ? test_read (tree, damaged_path) : NULL;
  g_assert_true (g_str_equal (stored, BYTES) || g_str_equal (stored, "the "));
  g_assert_cmpstr (g_str_equal (stored, BYTES) ? damaged : stored, ==, "the ");
  if (verdict == CIS_VERDICT_PASSED || verdict == CIS_VERDICT_DONE)
    g_assert_cmpstr (stored, ==, BYTES);
  /* The next start would clear it away. */
  g_remove (spare);
  if (!g_error_matches (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL))
    try_again (archive, tree, &put);
  uploads_close (archive);
}

/* ---- the start */

static char *
read_all (const char *tree)
{
  g_autofree char *incoming = test_list (tree, "incoming/lab-1");
  g_autofree char *store = test_list (tree, "store/lab-1");

  return g_strdup_printf ("%s | %s", incoming, store);
}

static void
try_open (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = open_archive (tree);
  g_autoptr (CisEpisode) episode = make_episode ("POST", BYTES, 0);
  g_autofree char *before = NULL, *after = NULL;
  g_autoptr (GError) error = NULL;
  gboolean opened;

  prepare_unfinished (archive, tree);
  test_write (tree, "incoming/lab-1/notes.txt", "not ours");
  cis_part_close (archive);
  before = read_all (tree);

  faults_begin ();
  opened = cis_part_open (archive, NULL, &error);
  faults_end ();
  g_assert_cmpint (opened, ==, error == NULL);
  /* What is not home yet is held, and will be brought there. */
  if (opened && faults_get_error () != ENOENT)
    g_assert_cmpint (test_process (archive, episode, NULL), ==, CIS_VERDICT_DEFERRED);
  cis_part_close (archive);
  after = read_all (tree);
  g_assert_cmpstr (after, ==, before);
  g_clear_error (&error);
  cis_part_open (archive, NULL, &error);
  g_assert_no_error (error);
  uploads_close (archive);
}

static void
try_open_known (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer known = test_part_new ("store/known", "directory", tree, NULL);
  g_autoptr (GError) error = NULL;
  gboolean opened;

  faults_begin ();
  opened = cis_part_open (known, NULL, &error);
  faults_end ();
  g_assert_cmpint (opened, ==, error == NULL);
  uploads_close (known);
}

/* ---- clean-up */

static void
try_maintain (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = open_archive (tree);
  g_autoptr (CisEpisode) episode = make_episode ("PUT", "other bytes", 0);
  g_autofree char *part =
      g_strdup_printf ("incoming/lab-1/cut.%s." COMMIT ".part", cis_episode_get_sha256 (episode));
  g_autoptr (GError) error = NULL;
  const char *failed;
  gint64 again;

  prepare_unfinished (archive, tree);
  test_write (tree, part, "other");
  faults_begin ();
  again = CIS_PART_GET_CLASS (archive)->maintain (archive, NULL, &error);
  failed = faults_end ();
  g_assert_cmpint (again < 0, ==, error != NULL);
  if (failed == NULL)
    g_assert_false (test_exists (tree, part));
  /* An intent never goes. */
  g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.tar.zst"), ==, 2);

  g_clear_error (&error);
  CIS_PART_GET_CLASS (archive)->maintain (archive, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (test_exists (tree, part));
  uploads_close (archive);
}

/* ---- what no disk does, but somebody else does meanwhile */

/* A stranger's archive takes the name just before the link: the call that reports it is lied about here. */
static void
test_taken_meanwhile (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = open_archive (tree);
  g_autoptr (CisEpisode) episode = make_episode ("PUT", BYTES, 0);
  g_autoptr (CisOutcome) outcome = NULL;

  prepare_stored (archive, tree);
  /* Looked at before it is begun, the name seems to be free. */
  faults_choose ("openat", 1, ENOENT, FALSE);
  faults_begin ();
  g_assert_cmpint (uploads_put (archive, episode, &outcome), ==, CIS_VERDICT_DONE);
  g_assert_cmpstr (faults_end (), ==, "openat");
  assert_stored (tree, BYTES);
  uploads_assert_none_left (tree);
  uploads_close (archive);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  faults_add_test ("/archive-faults/put", try_upload, &put);
  faults_add_test ("/archive-faults/put/again", try_upload, &put_again);
  faults_add_test ("/archive-faults/put/again-hashed", try_upload, &put_hashed);
  faults_add_test ("/archive-faults/put/other-bytes", try_upload, &put_other);
  faults_add_test ("/archive-faults/put/unfinished", try_upload, &put_unfinished);
  faults_add_test ("/archive-faults/put/after-cut", try_upload, &put_after_cut);
  faults_add_test ("/archive-faults/question", try_upload, &question);
  faults_add_test ("/archive-faults/patch", try_upload, &patch);
  faults_add_test ("/archive-faults/patch/damaged", try_upload, &patch_damaged);
  faults_add_test ("/archive-faults/set-aside", try_set_aside, NULL);
  faults_add_test ("/archive-faults/open", try_open, NULL);
  faults_add_test ("/archive-faults/known", try_open_known, NULL);
  faults_add_test ("/archive-faults/maintain", try_maintain, NULL);
  g_test_add_func ("/archive-faults/taken-meanwhile", test_taken_meanwhile);
  return g_test_run ();
}
