/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uploads.h"

#include "../plugins/store/archive/holds.h"

#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <glib/gstdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* An upload on a thread of its own, whose body comes through a pipe. */
typedef struct
{
  gpointer archive;
  CisEpisode *episode;
  GCancellable *cancellable;
  CisOutcome *outcome;
  GThread *thread;
  int pipe;
} Upload;

static gpointer
run_upload (gpointer data)
{
  Upload *upload = data;

  upload->outcome = cis_stage_process (upload->archive, CIS_ITEM (upload->episode), upload->cancellable);
  cis_stage_settled (upload->archive, CIS_ITEM (upload->episode), upload->outcome);
  return NULL;
}

static int
count_unread (int pipe)
{
  int n = -1;

  g_assert_no_errno (ioctl (pipe, FIONREAD, &n));
  return n;
}

/* Sends the first bytes of "whole body" and returns once they are read. */
static void
upload_start (Upload *upload, gpointer archive, const char *tree)
{
  g_autofree char *sha256 = cis_digest_bytes ("whole body", 10);
  g_autofree char *part = g_strdup_printf ("incoming/lab-1/run.%s." COMMIT ".part", sha256);
  g_autoptr (GInputStream) body = NULL;
  int fds[2];

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  body = g_unix_input_stream_new (fds[0], TRUE);
  upload->pipe = fds[1];
  upload->archive = archive;
  upload->episode = uploads_make ("PUT", "lab-1", "run", sha256, 10, body);
  upload->cancellable = g_cancellable_new ();
  upload->thread = g_thread_new ("upload", run_upload, upload);
  test_wait_for (test_exists (tree, part));
  g_assert_cmpint (write (upload->pipe, "whole ", 6), ==, 6);
  test_wait_for (count_unread (upload->pipe) == 0);
}

static void
upload_end (Upload *upload)
{
  g_thread_join (upload->thread);
  g_close (upload->pipe, NULL);
}

static void
upload_clear (Upload *upload)
{
  g_object_unref (upload->episode);
  g_object_unref (upload->cancellable);
  cis_outcome_unref (upload->outcome);
}

/* Only an upload of the same bytes, that is still reading, and that has been silent for long enough, is
 * ended; for one that does not end nobody waits for long. */
static void
test_held (void)
{
  g_autoptr (CisEpisodeHolds) patient = cis_holds_new (G_TIME_SPAN_HOUR);
  g_autoptr (CisEpisodeHolds) hasty = cis_holds_new (0);
  CisEpisodeHold *hold = cis_holds_take (patient, "lab-1/run", "a");

  cis_holds_hear (patient, hold);
  g_assert_null (cis_holds_take (patient, "lab-1/run", "a"));
  cis_holds_release (patient, cis_holds_take (patient, "lab-1/run-2", "a"));
  g_assert_false (g_cancellable_is_cancelled (hold->cancellable));
  cis_holds_release (patient, hold);
  cis_holds_release (patient, cis_holds_take (patient, "lab-1/run", "a"));

  hold = cis_holds_take (hasty, "lab-1/run", "a");
  g_assert_null (cis_holds_take (hasty, "lab-1/run", "a"));
  cis_holds_hear (hasty, hold);
  g_assert_null (cis_holds_take (hasty, "lab-1/run", "b"));
  cis_holds_heard_all (hasty, hold);
  g_assert_null (cis_holds_take (hasty, "lab-1/run", "a"));
  g_assert_false (g_cancellable_is_cancelled (hold->cancellable));
  cis_holds_hear (hasty, hold);
  g_assert_null (cis_holds_take (hasty, "lab-1/run", "a"));
  g_assert_true (g_cancellable_is_cancelled (hold->cancellable));
  cis_holds_release (hasty, hold);
}

static void
test_in_flight (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, G_TIME_SPAN_HOUR);
  g_autoptr (CisEpisode) same = uploads_make_put ("run", "whole body");
  g_autoptr (CisEpisode) question =
      uploads_make ("POST", "lab-1", "run", cis_episode_get_sha256 (same), 10, NULL);
  g_autoptr (CisEpisode) another = uploads_make_put ("another", "whole body");
  g_autoptr (CisOutcome) to_put = NULL, to_question = NULL;
  g_autofree char *text = NULL;
  Upload upload = { 0 };

  upload_start (&upload, archive, tree);
  g_assert_cmpint (uploads_put (archive, same, &to_put), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (to_put, "in-flight");
  g_assert_cmpint (cis_outcome_get_retry_after (to_put), ==, G_USEC_PER_SEC);
  g_assert_cmpint (uploads_put (archive, question, &to_question), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (to_question, "in-flight");
  g_assert_cmpint (uploads_put (archive, another, NULL), ==, CIS_VERDICT_PASSED);

  g_assert_cmpint (write (upload.pipe, "body", 4), ==, 4);
  upload_end (&upload);
  g_assert_cmpint (cis_outcome_get_verdict (upload.outcome), ==, CIS_VERDICT_PASSED);
  text = test_read (tree, "store/lab-1/run.tar.zst");
  g_assert_cmpstr (text, ==, "whole body");
  upload_clear (&upload);
  uploads_close (archive);
}

static void
test_stalled (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 0);
  g_autoptr (CisEpisode) other = uploads_make_put ("run", "other bytes");
  g_autoptr (CisEpisode) newer = uploads_make_put ("run", "whole body");
  g_autoptr (CisEpisode) question =
      uploads_make ("POST", "lab-1", "run", cis_episode_get_sha256 (newer), 10, NULL);
  g_autoptr (CisOutcome) to_other = NULL;
  Upload upload = { 0 };

  upload_start (&upload, archive, tree);
  g_assert_cmpint (uploads_put (archive, other, &to_other), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (to_other, "in-flight");
  g_assert_false (g_cancellable_is_cancelled (upload.cancellable));
  /* Whoever asks can go on at once from where it ended. */
  g_assert_cmpint (uploads_put (archive, question, NULL), ==, CIS_VERDICT_DONE);
  g_assert_cmpint (cis_json_get_size (cis_request_get_reply (cis_item_get_request (CIS_ITEM (question))),
                                      "offset", -1),
                   ==, 6);
  upload_end (&upload);
  /* Ended by the newer one and not by the pipeline: it has an outcome. */
  g_assert_cmpint (cis_outcome_get_verdict (upload.outcome), ==, CIS_VERDICT_DEFERRED);
  uploads_assert_finding (upload.outcome, "body-cut");
  g_assert_cmpint (uploads_put (archive, newer, NULL), ==, CIS_VERDICT_PASSED);
  upload_clear (&upload);
  uploads_close (archive);
}

static void
test_cancelled (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, G_TIME_SPAN_HOUR);
  g_autoptr (CisEpisode) again = uploads_make_put ("run", "whole body");
  Upload upload = { 0 };

  upload_start (&upload, archive, tree);
  g_cancellable_cancel (upload.cancellable);
  upload_end (&upload);
  g_assert_cmpint (cis_outcome_get_verdict (upload.outcome), ==, CIS_VERDICT_NONE);
  g_assert_cmpint (uploads_put (archive, again, NULL), ==, CIS_VERDICT_PASSED);
  upload_clear (&upload);
  uploads_close (archive);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/holds/held", test_held);
  g_test_add_func ("/holds/in-flight", test_in_flight);
  g_test_add_func ("/holds/stalled", test_stalled);
  g_test_add_func ("/holds/cancelled", test_cancelled);
  return g_test_run ();
}
