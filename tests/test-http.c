/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>

static void
test_upload (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  g_autofree char *sha256 = cis_digest_bytes (ARCHIVE, strlen (ARCHIVE));
  g_autofree char *receipt = NULL;

  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer_seen (peer, 0), ==, "PUT /v1/episodes/lab-7/e1\n" ARCHIVE);
  g_assert_null (peer_seen (peer, 1));
  g_assert_cmpstr (peer_header (peer, 0, "Authorization"), ==, "Bearer s3cret");
  g_assert_cmpstr (peer_header (peer, 0, "X-Cis490-Sha256"), ==, sha256);
  g_assert_cmpstr (peer_header (peer, 0, "X-Cis490-Code-Commit"), ==,
                   "cccccccccccccccccccccccccccccccccccccccc");
  g_assert_cmpstr (peer_header (peer, 0, "Content-Length"), ==, "19");
  g_assert_cmpstr (peer_header (peer, 0, "Content-Type"), ==, "application/zstd");
  g_assert_null (peer_header (peer, 0, "Expect"));
  g_assert_null (peer_header (peer, 0, "Transfer-Encoding"));
  receipt = test_read (fixture.tree, "state/receipts/e1.json");
  g_assert_nonnull (receipt);
  g_assert_nonnull (strstr (receipt, sha256));
}

static void
test_question (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 0, NULL);

  peer_say (peer, 200, NULL, "{\"status\": \"welcome\", \"offset\": 0}");
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer_seen (peer, 0), ==, "POST /v1/episodes/lab-7/e1\n");
  g_assert_cmpstr (peer_header (peer, 0, "Content-Length"), ==, "0");
  g_assert_cmpstr (peer_header (peer, 0, "Upload-Length"), ==, "19");
  g_assert_true (g_str_has_prefix (peer_seen (peer, 1), "PUT "));

  /* Stored before: its receipt is the answer, and nothing is sent. */
  peer_say (peer, 200, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_true (g_str_has_prefix (peer_seen (peer, 2), "POST "));
  g_assert_null (peer_seen (peer, 3));
}

static void
test_rejected (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 0, NULL);
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *fix = g_strdup_printf ("# the receiver at %s says:\nfirst line\nsecond line", peer->url);
  CisFinding *finding;

  peer_say_problem (peer, 412, "commit-not-in-window");
  outcome = fixture_ship (&fixture, CIS_VERDICT_REJECTED, "commit-not-in-window");
  finding = cis_outcome_get_finding (outcome);
  g_assert_null (peer_seen (peer, 1));
  g_assert_cmpstr (cis_finding_get_subject (finding), ==, "e1");
  g_assert_cmpstr (cis_finding_get_fix (finding), ==, fix);
  g_assert_false (test_exists (fixture.tree, "state/receipts/e1.json"));
}

static void
test_mismatch (void)
{
  static const char *const bodies[] = {
    "<html>Welcome to the hotel's network</html>",
    "{}",
    "",
    "{\"episode\": \"e2\", \"host\": \"lab-7\", \"sha256\": \"00\", \"size\": 19, \"status\": \"stored\"}",
    "{\"status\": \"welcome\", \"offset\": 0}",
  };
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  g_autofree char *endless = g_strnfill (100 * 1024, ' ');

  for (guint i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      peer_say (peer, 201, NULL, bodies[i]);
      fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "receipt-mismatch");
    }
  peer_say (peer, 201, NULL, endless);
  fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "receipt-mismatch");
  g_assert_false (test_exists (fixture.tree, "state/receipts/e1.json"));
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
}

static void
test_repack (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  g_autoptr (CisOutcome) outcome = NULL;

  peer_say_problem (peer, 400, "digest-mismatch");
  outcome = fixture_ship (&fixture, CIS_VERDICT_DEFERRED, "digest-mismatch");
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_ITEM);
  g_assert_false (test_exists (fixture.tree, "state/outbox/e1.json"));
}

static void
test_retry_after (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) soon = g_date_time_add_seconds (now, 600);
  g_autofree char *date = soup_date_time_to_string (soon, SOUP_DATE_HTTP);
  const struct
  {
    const char *value;
    gint64 least, most;
  } cases[] = {
    { "7", 7, 7 },    { date, 540, 600 }, { "999999999", 3600, 3600 },
    { "soon", 0, 0 }, { "-5", 0, 0 },     { "Sun, 06 Nov 1994 08:49:37 GMT", 0, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Reply *reply = peer_say (peer, 503, "text/plain", "busy");
      g_autoptr (CisOutcome) outcome = NULL;

      reply->header = "Retry-After";
      reply->value = cases[i].value;
      outcome = fixture_ship (&fixture, CIS_VERDICT_DEFERRED, "receiver-busy");
      g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_STAGE);
      g_assert_cmpint (cis_outcome_get_retry_after (outcome), >=, cases[i].least * G_USEC_PER_SEC);
      g_assert_cmpint (cis_outcome_get_retry_after (outcome), <=, cases[i].most * G_USEC_PER_SEC);
    }
}

static void
test_redirect (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  Reply *reply = peer_say (peer, 307, "text/html", "elsewhere");

  reply->header = "Location";
  reply->value = "/elsewhere";
  fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "proxy-refused");
  g_assert_null (peer_seen (peer, 1));
}

typedef struct
{
  GSocketListener *listener;
  char verb[5];
} Cut;

/* Takes one connection, and cuts it in the middle of its request. */
static gpointer
cut_connection (gpointer data)
{
  Cut *cut = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketConnection) connection = g_socket_listener_accept (cut->listener, NULL, NULL, &error);

  g_assert_no_error (error);
  g_input_stream_read_all (g_io_stream_get_input_stream (G_IO_STREAM (connection)), cut->verb, 4, NULL, NULL,
                           &error);
  g_assert_no_error (error);
  g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
  return NULL;
}

static void
test_cut (void)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  g_autofree char *url = g_strdup_printf ("http://127.0.0.1:%u", port);
  g_auto (Fixture) fixture = fixture_new (url, 1024, NULL);
  /* It may have been a refusal that came in the middle of the body, so the next attempt asks.
   * And the next. */
  static const char *const verbs[] = { "PUT ", "POST", "POST" };

  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    {
      Cut cut = { listener, "" };
      GThread *thread = g_thread_new ("cut", cut_connection, &cut);
      g_autoptr (CisOutcome) outcome = fixture_ship (&fixture, CIS_VERDICT_DEFERRED, "receiver-unreachable");

      g_thread_join (thread);
      g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_STAGE);
      g_assert_cmpstr (cut.verb, ==, verbs[i]);
    }
  g_socket_listener_close (listener);
  fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "receiver-unreachable");
}

/* After a cut the question comes first, until the episode is through. */
static void
test_ask_after_in_flight (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  g_autoptr (CisOutcome) outcome = NULL;

  peer_say_problem (peer, 503, "in-flight");
  outcome = fixture_ship (&fixture, CIS_VERDICT_DEFERRED, "in-flight");
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_ITEM);
  peer_say (peer, 200, NULL, "{\"status\": \"welcome\", \"offset\": 0}");
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_true (g_str_has_prefix (peer_seen (peer, 0), "PUT "));
  g_assert_true (g_str_has_prefix (peer_seen (peer, 1), "POST "));
  g_assert_true (g_str_has_prefix (peer_seen (peer, 2), "PUT "));
  peer_say (peer, 200, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_true (g_str_has_prefix (peer_seen (peer, 3), "PUT "));
}

#define WELCOME(offset) "{\"status\": \"welcome\", \"offset\": " offset "}"

/* Only what is not there yet goes out. */
static void
test_resume (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 0, NULL);
  g_autofree char *sha256 = cis_digest_bytes (ARCHIVE, strlen (ARCHIVE));

  peer_say (peer, 200, NULL, WELCOME ("4"));
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer_seen (peer, 1), ==, "PATCH /v1/episodes/lab-7/e1\narchive's bytes");
  g_assert_cmpstr (peer_header (peer, 1, "Upload-Offset"), ==, "4");
  g_assert_cmpstr (peer_header (peer, 1, "Upload-Length"), ==, "19");
  g_assert_cmpstr (peer_header (peer, 1, "Content-Length"), ==, "15");
  g_assert_cmpstr (peer_header (peer, 1, "Content-Type"), ==, "application/partial-upload");
  g_assert_cmpstr (peer_header (peer, 1, "X-Cis490-Sha256"), ==, sha256);
  g_assert_cmpstr (peer_header (peer, 1, "X-Cis490-Code-Commit"), ==,
                   "cccccccccccccccccccccccccccccccccccccccc");

  /* All of it is there; or more than there can be. */
  peer_say (peer, 200, NULL, WELCOME ("19"));
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer_seen (peer, 3), ==, "PATCH /v1/episodes/lab-7/e1\n");
  g_assert_cmpstr (peer_header (peer, 3, "Content-Length"), ==, "0");
  g_assert_cmpstr (peer_header (peer, 3, "Content-Type"), ==, "application/partial-upload");
  peer_say (peer, 200, NULL, WELCOME ("20"));
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer_seen (peer, 5), ==, "PUT /v1/episodes/lab-7/e1\n" ARCHIVE);
}

/* What we believe of the receiver is not so any more: the next attempt asks anew, and is told. */
static void
test_offset_mismatch (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 0, NULL);
  g_autoptr (CisOutcome) outcome = NULL;

  peer_say (peer, 200, NULL, WELCOME ("4"));
  peer_say_problem (peer, 409, "upload-offset-mismatch");
  outcome = fixture_ship (&fixture, CIS_VERDICT_DEFERRED, "upload-offset-mismatch");
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_ITEM);
  peer_say (peer, 200, NULL, WELCOME ("8"));
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer_seen (peer, 3), ==, "PATCH /v1/episodes/lab-7/e1\nive's bytes");
}

/* A receiver, or a proxy, that does not know PATCH. */
static void
test_put_only (void)
{
  static const guint statuses[] = { 405, 501 };
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 0, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (statuses); i++)
    {
      peer_say (peer, 200, NULL, WELCOME ("4"));
      peer_say (peer, statuses[i], "text/html", "<html>");
      peer_say (peer, 201, NULL, NULL);
      fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
      g_assert_true (g_str_has_prefix (peer_seen (peer, 3 * i + 1), "PATCH "));
      g_assert_cmpstr (peer_seen (peer, 3 * i + 2), ==, "PUT /v1/episodes/lab-7/e1\n" ARCHIVE);
      g_assert_null (peer_header (peer, 3 * i + 2, "Upload-Offset"));
    }
}

/* Its server ends the kept connection after each answer, with and without saying so. */
static void
test_kept_connection (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 0, NULL);

  for (guint i = 0; i < 4; i++)
    {
      peer_say (peer, 200, NULL, "{\"status\": \"welcome\", \"offset\": 0}")->close = i % 2 == 1;
      peer_say (peer, 201, NULL, NULL)->close = i > 1;
      fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
    }
  g_assert_cmpstr (peer_seen (peer, 7), ==, "PUT /v1/episodes/lab-7/e1\n" ARCHIVE);
}

static void
test_token (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  g_autofree char *token = g_build_filename (fixture.tree, "token", NULL);
  g_autoptr (CisOutcome) outcome = NULL;

  peer_say_problem (peer, 401, "token-unknown");
  outcome = fixture_ship (&fixture, CIS_VERDICT_DEFERRED, "receiver-refused-token");
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_STAGE);
  g_assert_nonnull (
      strstr (cis_finding_get_fix (cis_outcome_get_finding (outcome)), "cis490 token new lab-7"));

  test_write (fixture.tree, "token", "renewed\n");
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer_header (peer, 1, "Authorization"), ==, "Bearer renewed");

  test_write (fixture.tree, "token", "two\nlines\n");
  fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "token-unreadable");
  test_write (fixture.tree, "token", "\n");
  fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "token-unreadable");
  g_assert_no_errno (g_unlink (token));
  fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "token-unreadable");
  g_assert_null (peer_seen (peer, 2));
}

/* The archive is not the one that was packed. */
static void
test_short_archive (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);

  test_write (fixture.tree, "state/outbox/e1.tar.zst", "short");
  fixture_expect (&fixture, CIS_VERDICT_FAILED, NULL);
  g_assert_null (peer_seen (peer, 0));
}

static void
test_unix (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "socket", NULL);
  g_autofree char *url = g_strconcat ("unix:", path, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autoptr (GSocket) listening = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, &error);
  g_autoptr (Peer) peer = NULL;
  g_auto (Fixture) fixture = fixture_new (url, 0, NULL);

  fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "receiver-unreachable");
  g_socket_bind (listening, address, FALSE, &error);
  g_assert_no_error (error);
  g_socket_listen (listening, &error);
  g_assert_no_error (error);
  peer = peer_new (NULL, NULL, listening);
  peer_say (peer, 200, NULL, "{\"status\": \"welcome\", \"offset\": 0}");
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
}

static gpointer
cancel_soon (gpointer data)
{
  gpointer *pair = data;
  g_autoptr (GSocketConnection) connection = g_socket_listener_accept (pair[0], NULL, NULL, NULL);
  char byte;

  /* The request has come, and no answer will: only being cancelled ends the wait. */
  g_input_stream_read (g_io_stream_get_input_stream (G_IO_STREAM (connection)), &byte, 1, NULL, NULL);
  g_cancellable_cancel (pair[1]);
  test_wait_for (g_atomic_pointer_get (&pair[2]) != NULL);
  return NULL;
}

static void
test_cancel (void)
{
  g_autoptr (GSocketListener) listener = g_socket_listener_new ();
  guint16 port = g_socket_listener_add_any_inet_port (listener, NULL, NULL);
  g_autofree char *url = g_strdup_printf ("http://127.0.0.1:%u", port);
  g_auto (Fixture) fixture = fixture_new (url, 1024, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (CisEpisode) episode = fixture_episode (&fixture);
  g_autoptr (CisOutcome) outcome = NULL;
  gpointer pair[] = { listener, cancellable, NULL };
  GThread *thread = g_thread_new ("cancel", cancel_soon, pair);

  outcome = cis_stage_process (fixture.stage, CIS_ITEM (episode), cancellable);
  g_atomic_pointer_set (&pair[2], outcome);
  g_thread_join (thread);
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_NONE);
}

static void
test_bad_options (void)
{
  static const char *const urls[] = { "",
                                      "receiver.example",
                                      "ftp://receiver.example",
                                      "http://",
                                      "unix:relative",
                                      "https://user@receiver.example",
                                      "https://receiver.example/?a=b" };
  g_autoptr (TestTree) tree = test_tree_new ();

  for (guint i = 0; i < G_N_ELEMENTS (urls); i++)
    {
      g_autoptr (GError) error = NULL;
      CisPart *part = test_part_new ("transport/http", "state", tree, "url", urls[i], "host", "lab-7",
                                     "token-file", "", NULL);

      g_assert_false (cis_part_open (part, NULL, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      cis_part_close (part);
      g_object_unref (part);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/http/upload", test_upload);
  g_test_add_func ("/http/question", test_question);
  g_test_add_func ("/http/rejected", test_rejected);
  g_test_add_func ("/http/mismatch", test_mismatch);
  g_test_add_func ("/http/repack", test_repack);
  g_test_add_func ("/http/retry-after", test_retry_after);
  g_test_add_func ("/http/redirect", test_redirect);
  g_test_add_func ("/http/cut", test_cut);
  g_test_add_func ("/http/ask-after-in-flight", test_ask_after_in_flight);
  g_test_add_func ("/http/resume", test_resume);
  g_test_add_func ("/http/offset-mismatch", test_offset_mismatch);
  g_test_add_func ("/http/put-only", test_put_only);
  g_test_add_func ("/http/kept-connection", test_kept_connection);
  g_test_add_func ("/http/token", test_token);
  g_test_add_func ("/http/short-archive", test_short_archive);
  g_test_add_func ("/http/unix", test_unix);
  g_test_add_func ("/http/cancel", test_cancel);
  g_test_add_func ("/http/bad-options", test_bad_options);
  return g_test_run ();
}
