/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How transport/accept bears those who send slowly, much, nothing, or all at once; and how it stops. */

#include "receiver-site.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define QUESTION                                                                                             \
  "POST /v1/episodes/h/e HTTP/1.1\r\n" COMMON                                                                \
  "Content-Length: 0\r\nUpload-Length: 7\r\nX-Cis490-Sha256: " ZERO_SHA256 "\r\n\r\n"
/* The end of an upload of which all has come. */
#define EMPTY_PATCH                                                                                          \
  "PATCH /v1/episodes/h2/e HTTP/1.1\r\nHost: receiver\r\nAuthorization: Bearer h2\r\n"                       \
  "Content-Length: 0\r\nContent-Type: application/partial-upload\r\nUpload-Offset: 7\r\n"                    \
  "Upload-Length: 7\r\nX-Cis490-Sha256: " ZERO_SHA256 "\r\n\r\n"

static void
test_long_head (void)
{
  g_autoptr (Site) site = site_new (2, "max-head=1024\n");
  g_autoptr (Client) client = client_new (site);
  g_autofree char *line = g_strnfill (2000, 'x');

  client_say (client, "PUT /");
  client_say (client, line);
  assert_answer (client, 431, "head-too-large");
  assert_end (client);
}

static void
test_slow_heads (void)
{
  g_autoptr (Site) site = site_new (2, "head-timeout=300ms\nidle-timeout=600ms\n");
  gint64 began = g_get_monotonic_time ();
  g_autoptr (Client) slow = client_new (site), idle = client_new (site);
  char byte;

  /* A byte now and then does not help. */
  client_say (slow, "PUT / HTTP/1.1\r\nX: ");
  while (recv (slow->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0)
    {
      g_assert_cmpint (g_get_monotonic_time () - began, <, 20 * G_USEC_PER_SEC);
      (void) !send (slow->fd, "x", 1, MSG_NOSIGNAL);
      g_usleep (20 * 1000);
    }
  assert_answer (slow, 408, "head-too-slow");
  assert_end (slow);
  assert_end (idle);
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 600 * 1000);
}

/* A host whose only turn hangs on a half-dead connection can still ask where to go on. */
static void
test_question_beside_body (void)
{
  g_autoptr (Site) site = site_new (3, "queue-timeout=300ms\n");
  g_autoptr (Client) first = client_new (site), second = client_new (site), question = client_new (site);
  g_autofree char *held = make_put ("h", site->hold), *plain = make_put ("h", "");

  client_say (first, held);
  client_say (question, QUESTION);
  assert_answer (question, 200, NULL);
  client_say (second, plain);
  assert_answer (second, 429, "host-busy");
  site_let_go (site);
  assert_answer (first, 201, NULL);
}

/* One worker is kept for questions, and no upload has it, whatever is left of that: the store reads what it
 * has of one. */
static void
test_reserved_worker (void)
{
  g_autoptr (Site) site = site_new (2, "queue-timeout=300ms\n");
  g_autoptr (Client) first = client_new (site), second = client_new (site), ping = client_new (site);
  g_autoptr (Client) third = client_new (site);
  g_autofree char *held = make_put ("h1", site->hold), *plain = make_put ("h2", "");

  client_say (first, held);
  client_say (second, plain);
  client_say (third, EMPTY_PATCH);
  client_say (ping, PING);
  assert_answer (ping, 200, NULL);
  assert_remedy (second, 503, "busy", "workers=4");
  assert_remedy (third, 503, "busy", "workers=4");
  site_let_go (site);
  assert_answer (first, 201, NULL);
}

static void
test_no_room (void)
{
  g_autoptr (Site) site = site_new (2, "free-space=1000000000GiB\n");
  g_autoptr (Client) client = NULL;
  g_autofree char *put = make_put ("h", ""), *told = NULL;
  const char *first;

  for (guint i = 0; i < 2; i++)
    {
      g_clear_pointer (&client, client_free);
      client = client_new (site);
      client_say (client, put);
      assert_answer (client, 507, "storage-full");
    }
  g_clear_pointer (&client, client_free);
  client = client_new (site);
  client_say (client, QUESTION);
  assert_answer (client, 507, "storage-full");

  /* People are told once, not for every request. */
  site_stop (site);
  cis_pipeline_close (site->pipeline);
  told = test_read (site->tree, "findings.jsonl");
  g_assert_nonnull (told);
  first = strstr (told, "\"raised\"");
  g_assert_nonnull (first);
  g_assert_null (strstr (first + 1, "\"raised\""));
  site_start (site);
}

static void
test_in_flight (void)
{
  g_autoptr (Site) site = site_new (8, "max-in-flight=10\nqueue-timeout=300ms\n");
  g_autoptr (Client) first = client_new (site), second = client_new (site);
  g_autofree char *held = make_put ("h1", site->hold), *plain = make_put ("h2", "");

  client_say (first, held);
  client_say (second, plain);
  assert_remedy (second, 503, "busy", "max-in-flight=20");
  site_let_go (site);
  assert_answer (first, 201, NULL);
  g_clear_pointer (&second, client_free);
  second = client_new (site);
  client_say (second, plain);
  assert_answer (second, 201, NULL);

  /* Refused unread: nothing of it is on its way any more. */
  g_clear_pointer (&first, client_free);
  first = client_new (site);
  client_say (first, PUT_HEAD ("h1", "9", ZERO_SHA256, "X-Test: reject not-your-host\r\n"));
  assert_answer (first, 403, "not-your-host");
  client_say (second, plain);
  assert_answer (second, 201, NULL);
}

/* They may wait at the gate as any other, and have a share of the workers as a host has: a host that pings
 * too often still uploads. */
static void
test_pings (void)
{
  g_autoptr (GPtrArray) pings = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = site_new (8, "host-requests=10\nqueue-timeout=1s\n");
  g_autoptr (Client) client = client_new (site), late = client_new (site);
  g_autofree char *held =
      g_strdup_printf ("POST /v1/ping HTTP/1.1\r\n" COMMON "Content-Length: 0\r\n%s\r\n", site->hold);
  g_autofree char *put = make_put ("h", "");

  for (guint i = 0; i < 10; i++)
    {
      g_ptr_array_add (pings, client_new (site));
      client_say (pings->pdata[i], held);
    }
  client_say (client, put);
  assert_answer (client, 201, NULL);
  client_say (late, held);
  assert_answer (late, 429, "host-busy");
  assert_answer (pings->pdata[9], 429, "host-busy");
  site_let_go (site);
  assert_answer (pings->pdata[0], 200, NULL);
}

/* Asks until the sockets take no more of it; returns how often. */
static guint
ask_without_listening (Client *client)
{
  const struct timeval patience = { .tv_usec = 200 * 1000 };
  guint n = 0;

  g_assert_no_errno (setsockopt (client->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
  while (TEMP_FAILURE_RETRY (send (client->fd, PING, strlen (PING), MSG_NOSIGNAL)) == (gssize) strlen (PING))
    n++;
  return n;
}

/* Who takes no answer keeps no worker waiting; and has them all in the end. */
static void
test_not_taken (void)
{
  /* Nobody ends them, which would let their workers go. */
  g_autoptr (Site) site = site_new (2, "head-timeout=1h\n");
  g_autoptr (Client) deaf = client_new (site), deaf_too = client_new (site), ping = client_new (site);
  guint n_asked = ask_without_listening (deaf);

  ask_without_listening (deaf_too);
  client_say (ping, PING);
  assert_answer (ping, 200, NULL);
  for (guint i = 0; i < n_asked; i++)
    assert_answer (deaf, 200, NULL);
}

static void
allow_descriptors (rlim_t n)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  g_assert_cmpuint (limit.rlim_max, >=, n);
  limit.rlim_cur = n;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
}

/* A thousand that say nothing, a hundred that stop in mid-head, and one honest upload through the midst of
 * them. */
static void
test_many_idle (void)
{
  g_autoptr (GPtrArray) idle = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = NULL;
  g_autoptr (Client) client = NULL;
  g_autofree char *sha256 = NULL, *head = NULL;
  g_autofree char *megabytes = g_strnfill (4 << 20, 'x');

  allow_descriptors (4096);
  site = site_new (4, "max-connections=1200\n");
  for (guint i = 0; i < 1100; i++)
    {
      g_ptr_array_add (idle, client_new (site));
      if (i % 11 == 0)
        client_say (idle->pdata[i], "PUT /v1/epi");
    }
  client = client_new (site);
  sha256 = cis_digest_bytes (megabytes, 4 << 20);
  head = g_strdup_printf (PUT_HEAD ("h", "4194304", "%s", ""), sha256);
  client_say (client, head);
  client_send (client, megabytes, 4 << 20);
  assert_answer (client, 201, NULL);

  /* Over the limit the one that has been idle for longest goes, and the new one is served. */
  for (guint i = 0; i < 200; i++)
    g_ptr_array_add (idle, client_new (site));
  client_say (idle->pdata[idle->len - 1], PING);
  assert_answer (idle->pdata[idle->len - 1], 200, NULL);
  assert_end (idle->pdata[1]);
}

/* Those that said nothing, or half a head, go before one that has shown who it is; a new one is served. */
static void
test_strangers (void)
{
  g_autoptr (GPtrArray) strangers = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = site_new (2, "max-connections=20\n");
  g_autoptr (Client) known = client_new (site), newcomer = NULL;

  client_say (known, PING);
  assert_answer (known, 200, NULL);
  for (guint i = 0; i < 60; i++)
    {
      g_ptr_array_add (strangers, client_new (site));
      if (i >= 20)
        (void) !send (((Client *) strangers->pdata[i])->fd, "PUT /v1", 7, MSG_NOSIGNAL);
    }
  newcomer = client_new (site);
  client_say (newcomer, PING);
  assert_answer (newcomer, 200, NULL);
  client_say (known, PING);
  assert_answer (known, 200, NULL);
  assert_end (strangers->pdata[0]);
}

/* Those that nobody knows, and whose turn does not come, leave connections for others: the one goes that has
 * waited for longest, and none that has shown who it is. */
static void
test_waiting_strangers (void)
{
  g_autoptr (GPtrArray) strangers = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = site_new (2, "max-connections=16\nqueue-timeout=10min\n");
  g_autoptr (Client) known = client_new (site), first = client_new (site), newcomer = NULL;
  g_autofree char *held = make_put ("h1", site->hold), *put = make_put ("h", ""),
                  *theirs = make_put ("x", "");

  client_say (first, held);
  client_say (known, PING);
  assert_answer (known, 200, NULL);
  client_say (known, put);
  for (guint i = 0; i < 40; i++)
    {
      g_ptr_array_add (strangers, client_new (site));
      (void) !send (((Client *) strangers->pdata[i])->fd, theirs, strlen (theirs), MSG_NOSIGNAL);
    }
  assert_remedy (strangers->pdata[0], 503, "busy", "max-connections=32");
  for (guint i = 0; i < 20; i++)
    {
      g_clear_pointer (&newcomer, client_free);
      newcomer = client_new (site);
      client_say (newcomer, PING);
      assert_answer (newcomer, 200, NULL);
    }
  site_let_go (site);
  assert_answer (first, 201, NULL);
  assert_answer (known, 201, NULL);
  assert_answer (strangers->pdata[39], 201, NULL);
}

/* Those that have shown who they are, but ask for nothing, make room for whoever comes. */
static void
test_full (void)
{
  g_autoptr (GPtrArray) known = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = site_new (1, "max-connections=8\n");
  g_autoptr (Client) newcomer = NULL;

  for (guint i = 0; i < 8; i++)
    {
      g_ptr_array_add (known, client_new (site));
      client_say (known->pdata[i], PING);
      assert_answer (known->pdata[i], 200, NULL);
    }
  newcomer = client_new (site);
  client_say (newcomer, PING);
  assert_answer (newcomer, 200, NULL);
  /* One for one. */
  assert_end (known->pdata[0]);
  client_say (known->pdata[1], PING);
  assert_answer (known->pdata[1], 200, NULL);
}

/* Those that have shown who they are, but ask for nothing, make room for those that come at once, too. */
static void
test_newcomers (void)
{
  g_autoptr (GPtrArray) known = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (GPtrArray) newcomers = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = site_new (1, "max-connections=8\n");

  for (guint i = 0; i < 8; i++)
    {
      g_ptr_array_add (known, client_new (site));
      client_say (known->pdata[i], PING);
      assert_answer (known->pdata[i], 200, NULL);
    }
  for (guint i = 0; i < 3; i++)
    g_ptr_array_add (newcomers, client_new (site));
  for (guint i = 3; i-- > 0;)
    {
      client_say (newcomers->pdata[i], PING);
      assert_answer (newcomers->pdata[i], 200, NULL);
    }
  assert_end (known->pdata[0]);
}

/* The soft limit that a program starts with is raised, so that as many connections as are allowed can be
 * open. */
static void
test_descriptor_limit (void)
{
  g_autoptr (Site) site = NULL;
  struct rlimit limit;

  allow_descriptors (256);
  site = site_new (2, "max-connections=1000\n");
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  g_assert_cmpuint (limit.rlim_cur, ==, 2000);
}

/* Another process does it, as the limit that one sets oneself valgrind(1) only plays: what that refuses has
 * been accepted. Without a number, to as many as may be. */
static void
limit_descriptors (GSubprocess *limiter, const char *line)
{
  char done;

  g_assert_true (g_output_stream_write_all (g_subprocess_get_stdin_pipe (limiter), line, strlen (line), NULL,
                                            NULL, NULL));
  g_assert_cmpint (g_input_stream_read (g_subprocess_get_stdout_pipe (limiter), &done, 1, NULL, NULL), ==, 1);
}

/* Descriptors run out: accept() fails, those that are connected are served, and once there are descriptors
 * again so is the new one. */
static void
test_out_of_descriptors (void)
{
  g_autoptr (Site) site = site_new (2, "");
  g_autoptr (GSubprocess) limiter = g_subprocess_new (
      G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, NULL, "sh", "-c",
      "while read n; do prlimit --pid $PPID --nofile=${n:-$(ulimit -Hn)}: || exit; echo; done", NULL);
  g_autoptr (Client) before = client_new (site), late = NULL;
  g_autofree char *tight = NULL;
  char answer;

  g_assert_nonnull (limiter);
  client_say (before, PING);
  assert_answer (before, 200, NULL);
  /* Descriptors are given lowest first: there is none below the limit for the receiver's end. */
  late = client_new_unconnected ();
  tight = g_strdup_printf ("%d\n", late->fd + 1);
  limit_descriptors (limiter, tight);
  client_connect (late, site);
  client_say (late, PING);
  for (guint i = 0; i < 3; i++)
    {
      client_say (before, PING);
      assert_answer (before, 200, NULL);
    }
  g_assert_cmpint (recv (late->fd, &answer, 1, MSG_DONTWAIT | MSG_PEEK), ==, -1);
  limit_descriptors (limiter, "\n");
  assert_answer (late, 200, NULL);
}

/* After a reload the socket is the same one: nobody is refused in between. */
static void
test_reopen (void)
{
  g_autoptr (Site) site = site_new (2, "");
  g_autoptr (Client) client = NULL;

  for (guint round = 0; round < 2; round++)
    {
      site_stop (site);
      cis_pipeline_close (site->pipeline);
      g_clear_pointer (&client, client_free);
      client = client_new (site);
      client_say (client, PING);
      site_start (site);
      assert_answer (client, 200, NULL);
    }
}

/* Stopped: what is at work is told so, what is idle is closed, and nobody waits. */
static void
test_stop (void)
{
  g_autoptr (Site) site = site_new (4, "");
  g_autoptr (Client) working = client_new (site), half = client_new (site), idle = client_new (site);
  g_autoptr (Client) uploading = client_new (site);
  g_autofree char *put = make_put ("h", "X-Test: hold /nonexistent/file\r\n");

  client_say (working, put);
  client_say (uploading, PUT_HEAD ("h2", "1000", ZERO_SHA256, "") "123");
  client_say (half, "PUT /v1");
  client_say (idle, PING);
  assert_answer (idle, 200, NULL);
  site_stop (site);
  assert_answer (working, 503, "shutting-down");
  assert_answer (uploading, 503, "shutting-down");
  assert_end (half);
  assert_end (idle);
}

/* Those whose turn never came are told the same. */
static void
test_stop_waiting (void)
{
  g_autoptr (GPtrArray) clients = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = site_new (4, "queue-timeout=10min\n");
  g_autoptr (Client) ping = client_new (site);
  g_autofree char *put = make_put ("h", "X-Test: hold /nonexistent/file\r\n");

  for (guint i = 0; i < 20; i++)
    {
      g_ptr_array_add (clients, client_new (site));
      client_say (clients->pdata[i], put);
    }
  client_say (ping, PING); /* so that they have been read */
  assert_answer (ping, 200, NULL);
  site_stop (site);
  for (guint i = 0; i < clients->len; i++)
    assert_answer (clients->pdata[i], 503, "shutting-down");
}

int
main (int argc, char **argv)
{
  site_init (&argc, &argv);
  g_test_add_func ("/accept-limits/long-head", test_long_head);
  g_test_add_func ("/accept-limits/slow-heads", test_slow_heads);
  g_test_add_func ("/accept-limits/question-beside-body", test_question_beside_body);
  g_test_add_func ("/accept-limits/reserved-worker", test_reserved_worker);
  g_test_add_func ("/accept-limits/no-room", test_no_room);
  g_test_add_func ("/accept-limits/in-flight", test_in_flight);
  g_test_add_func ("/accept-limits/pings", test_pings);
  g_test_add_func ("/accept-limits/not-taken", test_not_taken);
  g_test_add_func ("/accept-limits/many-idle", test_many_idle);
  g_test_add_func ("/accept-limits/strangers", test_strangers);
  g_test_add_func ("/accept-limits/waiting-strangers", test_waiting_strangers);
  g_test_add_func ("/accept-limits/full", test_full);
  g_test_add_func ("/accept-limits/newcomers", test_newcomers);
  g_test_add_func ("/accept-limits/descriptor-limit", test_descriptor_limit);
  g_test_add_func ("/accept-limits/out-of-descriptors", test_out_of_descriptors);
  g_test_add_func ("/accept-limits/reopen", test_reopen);
  g_test_add_func ("/accept-limits/stop", test_stop);
  g_test_add_func ("/accept-limits/stop-waiting", test_stop_waiting);
  return g_test_run ();
}
