/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Plays a receiver that lies, breaks off and speaks nonsense to the shipper's client: each run ends, and
 * nothing counts as shipped without a whole receipt for it. CIS490_ANSWERS=1000000 is the long round; --seed
 * says how to repeat one. */

#include "peer.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHORT   1000
#define LONGEST (10 * G_TIME_SPAN_SECOND)
#define GROWTH  (8 * 1024 * 1024) /* bytes, after the first tenth */

/* AddressSanitizer keeps what was freed, up to quarantine_size_mb. */
#ifdef __SANITIZE_ADDRESS__
#define KEPT (256 * 1024 * 1024)
#else
#define KEPT 0
#endif

typedef struct
{
  GSocketListener *listener;
  GCancellable *over;
  GRand *rand;
  char *sha256;
  gint n_answers; /* atomic, as whole */
  gint whole;     /* the last answer was a right receipt, of which nothing was left out */
} Player;

#define CHOOSE(player, list) ((list)[g_rand_int_range ((player)->rand, 0, G_N_ELEMENTS (list))])

static gboolean
happens (Player *self, guint one_in)
{
  return g_rand_int_range (self->rand, 0, (gint) one_in) == 0;
}

static void
append_junk (Player *self, GString *text, gint most)
{
  for (gint n = g_rand_int_range (self->rand, 0, most); n > 0; n--)
    g_string_append_c (text, (char) g_rand_int_range (self->rand, 0, 256));
}

static void
append_receipt (Player *self, GString *body, gboolean right)
{
  static const char
      *const hosts[] = { "lab-7", "lab-8", "", "LAB-7" },
             *const episodes[] = { "e1", "e2", "e1 ", "E1" },
             *const sizes[] = { "19", "18", "\"19\"", "19.5", "-1", "null", "190000000000000000000" },
             *const statuses[] = { "stored", "duplicate", "ok", "welcome" },
             *const times[] = { "2026-11-21T23:36:56.542633Z", "yesterday", "" };
  const gint odd = right ? -1 : g_rand_int_range (self->rand, 0, 6);

  g_string_append_printf (
      body, "{\"host\":\"%s\",\"episode\":\"%s\",\"sha256\":\"%s\",\"size\":%s,\"received_at\":\"%s\"%s%s%s}",
      odd == 0 ? hosts[g_rand_int_range (self->rand, 1, 4)] : hosts[0],
      odd == 1 ? episodes[g_rand_int_range (self->rand, 1, 4)] : episodes[0], odd == 2 ? "00" : self->sha256,
      odd == 3 ? sizes[g_rand_int_range (self->rand, 1, 7)] : sizes[0],
      odd == 4 ? times[g_rand_int_range (self->rand, 1, 3)] : times[0], odd == 5 ? "" : ",\"status\":\"",
      odd == 5 ? "" : statuses[g_rand_int_range (self->rand, 0, 2)], odd == 5 ? "" : "\"");
}

static void
append_problem (Player *self, GString *body)
{
  static const char *const ids[] = { "commit-not-in-window",
                                     "in-flight",
                                     "too-large",
                                     "window-unavailable",
                                     "x",
                                     "",
                                     "No Id",
                                     "storage-full",
                                     "upload-offset-mismatch",
                                     "token-unknown" },
                           *const scopes[] = { "item", "stage", "", "\\u001b[8m" };

  g_string_append_printf (body,
                          "{\"type\":\"urn:cis490:finding:%s\",\"detail\":\"\\u001b[2J "
                          "why\",\"remedy\":\"rm\\nx\",\"scope\":\"%s\"}",
                          CHOOSE (self, ids), CHOOSE (self, scopes));
}

/* Whether it is a right receipt. */
static gboolean
append_body (Player *self, GString *body)
{
  switch (g_rand_int_range (self->rand, 0, 8))
    {
    case 0:
    case 1:
      append_receipt (self, body, TRUE);
      return TRUE;
    case 2:
      append_receipt (self, body, FALSE);
      break;
    case 3:
    case 4:
      append_problem (self, body);
      break;
    case 5:
      g_string_append_printf (body, "{\"status\":\"welcome\",\"offset\":%d}",
                              g_rand_int_range (self->rand, -1, 22));
      break;
    case 6:
      append_junk (self, body, 300);
      break;
    default:
      g_string_set_size (body, (gsize) g_rand_int_range (self->rand, 0, 100 * 1024));
      memset (body->str, happens (self, 2) ? '[' : ' ', body->len);
    }
  return FALSE;
}

/* Whether it is plain enough for the client to know where it ends. */
static gboolean
append_head (Player *self, GString *text, const GString *body, gboolean chunked)
{
  static const guint statuses[] = { 200, 200, 201, 201, 202, 204, 206, 301, 304, 400, 401, 403,
                                    404, 409, 412, 413, 422, 429, 500, 502, 503, 507, 999, 0 };
  static const char *const versions[] = { "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1",
                                          "HTTP/1.1", "HTTP/1.0", "HTTP/9.9", "ICY" },
                           *const types[] = { "application/json",
                                              "application/json",
                                              "application/problem+json",
                                              "application/problem+json",
                                              "text/html",
                                              "",
                                              "a/b;;=" },
                           *const headers[] = { "Retry-After: 99999999999\r\n",
                                                "Retry-After: -1\r\n",
                                                "Date: never\r\n",
                                                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                                                "Connection: close\r\n",
                                                "Location: http://127.0.0.1:1/\r\n",
                                                "Content-Encoding: gzip\r\n",
                                                ": \r\n",
                                                " folded\r\n",
                                                "X\r\n",
                                                "Content-Length: 1\r\n",
                                                "WWW-Authenticate: Basic realm=x\r\n",
                                                "Set-Cookie: a=b\r\n",
                                                "Upgrade: h2c\r\n" };

  gboolean plain = TRUE;

  for (gint n = happens (self, 10) ? g_rand_int_range (self->rand, 1, 24) : 0; n > 0; n--)
    {
      g_string_append_printf (text, "HTTP/1.1 %d Wait\r\n%s\r\n", g_rand_int_range (self->rand, 100, 104),
                              happens (self, 2) ? "" : "X: y\r\n");
      plain = FALSE;
    }
  if (happens (self, 4))
    {
      g_string_append_printf (text, "%s %u Because\r\nContent-Type: %s\r\n", CHOOSE (self, versions),
                              CHOOSE (self, statuses), CHOOSE (self, types));
      plain = FALSE;
    }
  else
    g_string_append_printf (text, "HTTP/1.1 %d Fine\r\nContent-Type: %s\r\n", happens (self, 2) ? 201 : 503,
                            types[happens (self, 2) ? 0 : 2]);
  for (; happens (self, 3); plain = FALSE)
    g_string_append (text, CHOOSE (self, headers));
  if (chunked)
    g_string_append (text, "Transfer-Encoding: chunked\r\n\r\n");
  else if (!happens (self, 20))
    g_string_append_printf (text, "Content-Length: %zu\r\n\r\n", body->len);
  else
    g_string_append (text, "\r\n");
  return plain && !chunked && g_str_has_suffix (text->str, "\r\n\r\n") &&
         strstr (text->str, "Length") != NULL;
}

/* What to write; %NULL: nothing, and the connection is cut. @keep: whether it may go on. full */
static GString *
make_answer (Player *self, gboolean *keep)
{
  g_autoptr (GString) body = g_string_new (NULL);
  GString *text = g_string_new (NULL);
  gboolean chunked = happens (self, 8), whole = append_body (self, body);
  gsize end; /* of the body */

  /* Else the client would wait for what does not come, as it may. */
  *keep = append_head (self, text, body, chunked) && !happens (self, 4);
  if (chunked)
    g_string_append_printf (text, "%zx%s\r\n", body->len, happens (self, 4) ? ";extension" : "");
  g_string_append_len (text, body->str, (gssize) body->len);
  end = text->len;
  if (chunked)
    g_string_append (text, happens (self, 4) ? "\r\n0\r\nTrailer: x\r\n\r\n" : "\r\n0\r\n\r\n");
  if (happens (self, 10))
    {
      gsize length = (gsize) g_rand_int_range (self->rand, 0, (gint) text->len);

      whole = whole && length >= end;
      g_string_truncate (text, length);
      *keep = FALSE;
    }
  else if (happens (self, 10))
    {
      text->str[g_rand_int_range (self->rand, 0, (gint) text->len)] ^=
          (char) (1 << g_rand_int_range (self->rand, 0, 8));
      *keep = FALSE;
    }
  g_atomic_int_set (&self->whole, whole);
  g_atomic_int_inc (&self->n_answers);
  return text;
}

/* One request, its body included. */
static gboolean
read_request (Player *self, GSocket *socket)
{
  g_autoptr (GString) text = g_string_new (NULL);
  char buffer[4096];

  while (TRUE)
    {
      gssize n = g_socket_receive (socket, buffer, sizeof buffer, self->over, NULL);
      const char *end, *length;

      if (n <= 0)
        return FALSE;
      g_string_append_len (text, buffer, n);
      end = strstr (text->str, "\r\n\r\n");
      length = strstr (text->str, "Content-Length: ");
      if (end != NULL && length != NULL &&
          text->len >= (gsize) (end + 4 - text->str) + g_ascii_strtoull (length + 16, NULL, 10))
        return TRUE;
    }
}

static gpointer
play (gpointer data)
{
  Player *self = data;
  GSocketConnection *connection;

  while ((connection = g_socket_listener_accept (self->listener, NULL, self->over, NULL)) != NULL)
    {
      GSocket *socket = g_socket_connection_get_socket (connection);
      gboolean keep = TRUE;

      while (keep && read_request (self, socket))
        {
          g_autoptr (GString) text = make_answer (self, &keep);
          gsize done = 0;
          gssize n = 1;

          while (done < text->len &&
                 (n = g_socket_send (socket, text->str + done, text->len - done, self->over, NULL)) > 0)
            done += (gsize) n;
        }
      shutdown (g_socket_get_fd (socket), SHUT_RDWR);
      g_object_unref (connection);
    }
  return NULL;
}

static gint64
get_memory (void)
{
  g_autofree char *text = NULL;
  long size = 0, resident = 0;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  g_assert_cmpint (sscanf (text, "%ld %ld", &size, &resident), ==, 2);
  return (gint64) resident * sysconf (_SC_PAGESIZE);
}

/* What the pipeline would be told, after one item. Whether the archive is still there. */
static gboolean
ship (Player *player, Fixture *fixture)
{
  g_autoptr (CisEpisode) episode = fixture_episode (fixture);
  gint64 began = g_get_monotonic_time ();
  g_autoptr (CisOutcome) outcome = cis_stage_process (fixture->stage, CIS_ITEM (episode), NULL);
  CisFinding *finding = cis_outcome_get_finding (outcome);

  g_assert_cmpint (g_get_monotonic_time () - began, <, LONGEST);
  if (cis_outcome_get_verdict (outcome) == CIS_VERDICT_PASSED)
    g_assert_true (g_atomic_int_get (&player->whole));
  else
    g_assert_true (cis_outcome_get_verdict (outcome) == CIS_VERDICT_REJECTED ||
                   cis_outcome_get_verdict (outcome) == CIS_VERDICT_DEFERRED);
  g_assert_true (cis_outcome_get_verdict (outcome) == CIS_VERDICT_PASSED || finding != NULL);
  return test_exists (fixture->tree, "state/outbox/e1.json");
}

static void
test_played (void)
{
  const char *wanted = g_getenv ("CIS490_ANSWERS");
  gint n = wanted != NULL ? (gint) g_ascii_strtoll (wanted, NULL, 10) : SHORT;
  Player player = { g_socket_listener_new (),
                    g_cancellable_new (),
                    g_rand_new_with_seed (g_test_rand_int ()),
                    cis_digest_bytes (ARCHIVE, strlen (ARCHIVE)),
                    0,
                    0 };
  guint16 port = g_socket_listener_add_any_inet_port (player.listener, NULL, NULL);
  g_autofree char *url = g_strdup_printf ("http://127.0.0.1:%u", port);
  Fixture fixture = fixture_new (url, 1024, NULL);
  GThread *thread = g_thread_new ("player", play, &player);
  gint64 before = 0;
  guint n_passed = 0;

  while (g_atomic_int_get (&player.n_answers) < n)
    {
      if (before == 0 && g_atomic_int_get (&player.n_answers) > n / 10)
        before = get_memory ();
      if (!ship (&player, &fixture))
        {
          fixture_clear (&fixture);
          fixture = fixture_new (url, 1024, NULL);
        }
      n_passed += test_exists (fixture.tree, "state/receipts/e1.json");
    }
  g_test_message ("%d answers; memory %+" G_GINT64_FORMAT " KiB", g_atomic_int_get (&player.n_answers),
                  (get_memory () - before) / 1024);
  g_assert_cmpint (get_memory () - before, <, GROWTH + KEPT);
  g_assert_cmpuint (n_passed, >, 0);
  fixture_clear (&fixture);
  g_cancellable_cancel (player.over);
  g_thread_join (thread);
  g_object_unref (player.listener);
  g_object_unref (player.over);
  g_rand_free (player.rand);
  g_free (player.sha256);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/played-receiver/answers", test_played);
  return g_test_run ();
}
