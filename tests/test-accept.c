/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What transport/accept makes of requests and of outcomes. */

#include "receiver-site.h"

#include <string.h>
#include <sys/socket.h>

static void
test_keep_alive (void)
{
  g_autoptr (Site) site = site_new (4, "");
  g_autoptr (Client) client = client_new (site);
  g_autofree char *put = make_put ("h", "");
  g_autofree char *sha256 = body_sha256 ();
  g_autofree char *question =
      g_strdup_printf ("POST /v1/episodes/h/e HTTP/1.1\r\n" COMMON "Content-Length: 0\r\nUpload-Length: 7\r\n"
                       "X-Cis490-Sha256: %s\r\n\r\n",
                       sha256);

  for (guint round = 0; round < 3; round++)
    {
      g_auto (Answer) answer = { 0 };

      client_say (client, put);
      answer = client_read (client);
      g_assert_cmpuint (answer.status, ==, 201);
      g_assert_true (has_header (&answer, "Content-Type: application/json"));
      g_assert_cmpstr (cis_json_get_string (answer.body, "status"), ==, "stored");
      g_assert_cmpstr (cis_json_get_string (answer.body, "host"), ==, "h");
      g_assert_cmpstr (cis_json_get_string (answer.body, "episode"), ==, "e");
      g_assert_cmpstr (cis_json_get_string (answer.body, "sha256"), ==, sha256);
      g_assert_cmpint (cis_json_get_size (answer.body, "size", -1), ==, 7);
      answer_clear (&answer);

      client_say (client, question);
      answer = client_read (client);
      g_assert_cmpuint (answer.status, ==, 200);
      g_assert_cmpstr (cis_json_get_string (answer.body, "status"), ==, "welcome");
      g_assert_cmpint (cis_json_get_size (answer.body, "offset", -1), ==, 0);
      answer_clear (&answer);

      client_say (client, PING);
      answer = client_read (client);
      g_assert_cmpuint (answer.status, ==, 200);
      g_assert_cmpstr (cis_json_get_string (answer.body, "host"), ==, "h");
    }
}

/* In pieces of one byte, and all in one: answered in order, one at a time. */
static void
test_pipelined (void)
{
  g_autoptr (Site) site = site_new (4, "");
  g_autofree char *put = make_put ("h", "");
  g_autofree char *wrong = g_strdup_printf ("%s" BODY, PUT_HEAD ("h", "7", ZERO_SHA256, ""));
  g_autofree char *last = make_put ("h", "Connection: close\r\n");
  g_autofree char *all =
      g_strconcat (put, PING, wrong, "GET /nowhere HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n", last,
                   PING, NULL);

  for (guint piece = 1; piece <= strlen (all); piece += piece < 4 ? 1 : strlen (all) - 4)
    {
      g_autoptr (Client) client = client_new (site);

      for (gsize i = 0; i < strlen (all); i += piece)
        client_send (client, all + i, MIN (piece, strlen (all) - i));
      assert_answer (client, 201, NULL);
      assert_answer (client, 200, NULL);
      assert_answer (client, 400, "digest-mismatch");
      assert_answer (client, 404, "not-found");
      assert_answer (client, 201, NULL);
      assert_end (client);
    }
}

static void
test_refused (void)
{
  static const struct
  {
    const char *text, *id;
    guint status;
  } refused[] = {
    { "PUT /v1/episodes/h/e HTTP/1.0\r\n\r\n", "http-version-unsupported", 505 },
    { "PUT /v1/episodes/h/e HTTP/1.1\n", "request-malformed", 400 },
    { "hello\r\n\r\n", "request-malformed", 400 },
    { "PUT /v1/episodes/h/e HTTP/1.1\r\n" COMMON "\r\n", "length-required", 411 },
    { "PUT /v1/episodes/h/e HTTP/1.1\r\n" COMMON "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
      "request-malformed", 400 },
    { "PUT /v1/episodes/h/e HTTP/1.1\r\n" COMMON "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "length-required", 411 },
    { "PUT /v1/episodes/h/e HTTP/1.1\r\n" COMMON
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      "request-malformed", 400 },
    { PUT_HEAD ("h", "99999999999999999999", ZERO_SHA256, ""), "too-large", 413 },
    { PUT_HEAD ("h", "1000001", ZERO_SHA256, ""), "too-large", 413 },
    { PUT_HEAD ("h%2f..", "5", ZERO_SHA256, "") "12345", "id-invalid", 400 },
    { PUT_HEAD ("..", "5", ZERO_SHA256, ""), "id-invalid", 400 },
    { PUT_HEAD ("h", "5", "12", ""), "digest-malformed", 400 },
    { "DELETE /v1/episodes/h/e HTTP/1.1\r\n" COMMON "Content-Length: 5\r\n\r\n12345", "method-not-allowed",
      405 },
    { "PUT /v1/host-health/h HTTP/1.1\r\n" COMMON "Content-Length: 5\r\n\r\n12345", "not-found", 404 },
    { "PUT /v1/episodes/h/e?q HTTP/1.1\r\n" COMMON "Content-Length: 5\r\n\r\n12345", "id-invalid", 400 },
    { PUT_HEAD ("h", "5", ZERO_SHA256, "Range: bytes=0-1\r\n"), "request-malformed", 400 },
    { PUT_HEAD ("h", "5", ZERO_SHA256, "Upgrade: h2c\r\n"), "request-malformed", 400 },
  };
  g_autoptr (Site) site = site_new (2, "max-body=1000000\n");

  for (guint i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr (Client) client = client_new (site);

      g_test_message ("%s", refused[i].text);
      client_say (client, refused[i].text);
      assert_answer (client, refused[i].status, refused[i].id);
      assert_end (client);
    }
}

static void
test_allow (void)
{
  g_autoptr (Site) site = site_new (2, "");
  g_autoptr (Client) client = client_new (site);
  g_auto (Answer) answer = { 0 };

  client_say (client, PING);
  assert_answer (client, 200, NULL);
  client_say (client, "HEAD /v1/episodes/h/e HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n");
  while (strstr (client->bytes->str, "\r\n\r\n") == NULL)
    g_assert_true (client_receive (client));
  g_assert_true (g_str_has_suffix (client->bytes->str, "\r\n\r\n"));
  g_assert_nonnull (strstr (client->bytes->str, "\r\nAllow: PATCH, POST, PUT\r\n"));
  g_string_truncate (client->bytes, 0);
  client_say (client, PING);
  assert_answer (client, 200, NULL);
}

/* Who has not shown who he is has one answer for each connection. */
static void
test_stranger (void)
{
  static const char *const texts[] = { "GET /nowhere HTTP/1.1\r\n" COMMON "Content-Length: 0\r\n\r\n",
                                       "POST /v1/ping HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n" };
  static const guint statuses[] = { 404, 500 };
  g_autoptr (Site) site = site_new (2, "");

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (Client) client = client_new (site);
      g_auto (Answer) answer = { 0 };

      client_say (client, texts[i]);
      client_say (client, PING);
      answer = client_read (client);
      g_assert_cmpuint (answer.status, ==, statuses[i]);
      g_assert_true (has_header (&answer, "Connection: close"));
      assert_end (client);
    }
}

static void
test_expect (void)
{
  g_autoptr (Site) site = site_new (2, "");
  g_autoptr (Client) client = client_new (site), refused = client_new (site);
  g_autofree char *sha256 = body_sha256 ();
  g_autofree char *head = g_strdup_printf (PUT_HEAD ("h", "7", "%s", "Expect: 100-continue\r\n"), sha256);
  g_autofree char *eager = g_strconcat (head, BODY, NULL);
  g_autofree char *bad =
      g_strdup_printf (PUT_HEAD ("h", "7", "%s", "Expect: 100-continue\r\nX-Test: reject not-your-host\r\n"),
                       sha256);

  for (guint round = 0; round < 2; round++)
    {
      g_auto (Answer) go_on = { 0 };

      client_say (client, head);
      go_on = client_read (client);
      g_assert_cmpstr (go_on.head, ==, "HTTP/1.1 100 Continue\r\n\r\n");
      client_say (client, BODY);
      assert_answer (client, 201, NULL);
    }
  /* One that does not wait is not told to go on. */
  client_say (client, eager);
  assert_answer (client, 201, NULL);
  client_say (refused, bad);
  assert_answer (refused, 403, "not-your-host");
  assert_end (refused);
}

/* The sender writes all of it before it looks: it gets the answer, not a broken pipe. */
static void
test_refused_large (void)
{
  g_autoptr (Site) site = site_new (2, "");
  g_autoptr (Client) client = client_new (site);
  g_autofree char *megabyte = g_strnfill (1 << 20, 'x');
  g_auto (Answer) answer = { 0 };

  client_say (client, PUT_HEAD ("h", "16777216", ZERO_SHA256, "X-Test: reject commit-not-in-window\r\n"));
  for (guint i = 0; i < 16; i++)
    client_send (client, megabyte, 1 << 20);
  g_assert_no_errno (shutdown (client->fd, SHUT_WR));
  answer = client_read (client);
  g_assert_cmpuint (answer.status, ==, 412);
  g_assert_true (has_header (&answer, "Connection: close"));
  g_assert_cmpstr (cis_json_get_string (answer.body, "remedy"), ==, "ask otherwise");
  g_assert_cmpstr (cis_json_get_string (answer.body, "your_commit"), ==, "abc");
  assert_end (client);
}

static void
test_curl (void)
{
  g_autoptr (Site) site = site_new (2, "");
  g_autofree char *file = g_build_filename (site->tree, "archive", NULL);
  g_autofree char *megabytes = g_strnfill (8 << 20, 'x');
  g_autofree char *sha256 = cis_digest_bytes (megabytes, 8 << 20);
  g_autofree char *digest = g_strconcat ("X-Cis490-Sha256: ", sha256, NULL);
  const char *const wanted[] = { "201", "412" };

  test_write (site->tree, "archive", megabytes);
  for (guint i = 0; i < 2; i++)
    {
      const char *argv[] = { "curl",
                             "--silent",
                             "--show-error",
                             "--unix-socket",
                             site->socket,
                             "--upload-file",
                             file,
                             "--header",
                             digest,
                             "--header",
                             "Authorization: Bearer h",
                             "--output",
                             "/dev/null",
                             "--write-out",
                             "%{http_code}",
                             "--header",
                             i == 0 ? "X-A: 1" : "X-Test: reject commit-not-in-window",
                             "http://receiver/v1/episodes/h/e",
                             NULL };
      g_autoptr (GError) error = NULL;
      g_autofree char *output = NULL, *complaint = NULL;
      int status;

      g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &complaint, &status,
                    &error);
      g_assert_no_error (error);
      g_assert_cmpstr (complaint, ==, "");
      g_assert_true (g_spawn_check_wait_status (status, NULL));
      g_assert_cmpstr (output, ==, wanted[i]);
    }
}

/* Sent in full and never looked at by a stage: the next request on the connection is still read as one. */
static void
test_unread_body (void)
{
  g_autoptr (Site) site = site_new (2, "");
  g_autoptr (Client) client = client_new (site);
  g_autofree char *put = make_put ("h", "X-Test: reject not-your-host\r\n");

  client_say (client, put);
  assert_answer (client, 403, "not-your-host");
  client_say (client, PING);
  assert_answer (client, 200, NULL);
}

static void
test_bad_bodies (void)
{
  g_autoptr (Site) site = site_new (4, "minimum-rate=1000\nrate-period=300ms\n");
  g_autoptr (Client) cut = client_new (site), slow = client_new (site), after = client_new (site);

  client_say (cut, PUT_HEAD ("h1", "1000", ZERO_SHA256, "") "123");
  g_assert_no_errno (shutdown (cut->fd, SHUT_WR));
  assert_end (cut);
  client_say (slow, PUT_HEAD ("h2", "1000", ZERO_SHA256, "") "123");
  assert_answer (slow, 408, "body-too-slow");
  client_say (after, PING);
  assert_answer (after, 200, NULL);
}

static void
test_outcomes (void)
{
  static const struct
  {
    const char *more, *id;
    guint status;
    const char *header;
  } outcomes[] = {
    { "X-Test: fail\r\n", "receiver-error", 503, "Retry-After: 1" },
    { "X-Test: reply-and-fail\r\n", "receiver-error", 503, "Retry-After: 1" },
    { "X-Test: defer\r\n", "receiver-error", 503, "Retry-After: 3" },
    { "X-Test: reject token-unknown\r\n", "token-unknown", 401, "WWW-Authenticate: Bearer" },
    { "X-Test: reject episode-conflict\r\n", "episode-conflict", 409,
      "Content-Type: application/problem+json" },
    { "X-Test: reject something-else\r\n", "something-else", 422, "Content-Type: application/problem+json" },
    { "X-Test: reject storage-full\r\n", "storage-full", 507, "Retry-After: 1" },
    { "X-Test: ignore\r\n", "receiver-error", 500, "Retry-After: 1" },
  };
  g_autoptr (Site) site = site_new (2, "");

  for (guint i = 0; i < G_N_ELEMENTS (outcomes); i++)
    {
      g_autoptr (Client) client = client_new (site);
      g_autofree char *put = make_put ("h", outcomes[i].more);
      g_auto (Answer) answer = { 0 };
      g_autofree char *type = g_strconcat ("urn:cis490:finding:", outcomes[i].id, NULL);

      client_say (client, put);
      answer = client_read (client);
      g_test_message ("%s%s", outcomes[i].more, answer.head);
      g_assert_cmpuint (answer.status, ==, outcomes[i].status);
      g_assert_cmpstr (cis_json_get_string (answer.body, "type"), ==, type);
      g_assert_true (has_header (&answer, outcomes[i].header));
      g_assert_null (strstr (cis_json_get_string (answer.body, "detail"), "/secret"));
    }
}

/* No stage has said whose request it is: no 2xx, whatever else they said. */
static void
test_not_identified (void)
{
  g_autoptr (Site) site = site_new (2, "");
  g_autoptr (Client) client = client_new (site), another = client_new (site);
  g_autofree char *sha256 = body_sha256 ();
  g_autofree char *put = g_strdup_printf (
      "PUT /v1/episodes/h/e HTTP/1.1\r\nHost: r\r\nContent-Length: 7\r\nX-Cis490-Sha256: %s\r\n\r\n" BODY,
      sha256);

  client_say (client, put);
  assert_answer (client, 500, "not-identified");
  client_say (another, "POST /v1/ping HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n");
  assert_answer (another, 500, "not-identified");
}

int
main (int argc, char **argv)
{
  site_init (&argc, &argv);
  g_test_add_func ("/accept/keep-alive", test_keep_alive);
  g_test_add_func ("/accept/pipelined", test_pipelined);
  g_test_add_func ("/accept/refused", test_refused);
  g_test_add_func ("/accept/allow", test_allow);
  g_test_add_func ("/accept/stranger", test_stranger);
  g_test_add_func ("/accept/expect", test_expect);
  g_test_add_func ("/accept/refused-large", test_refused_large);
  g_test_add_func ("/accept/curl", test_curl);
  g_test_add_func ("/accept/unread-body", test_unread_body);
  g_test_add_func ("/accept/bad-bodies", test_bad_bodies);
  g_test_add_func ("/accept/outcomes", test_outcomes);
  g_test_add_func ("/accept/not-identified", test_not_identified);
  return g_test_run ();
}
