/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What bounds a request, however its server behaves; and what is sent once more. */

#include "../plugins/transport/http/client.h"
#include "peer.h"

#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <unistd.h>

#define LARGE   (12 * 1024 * 1024) /* more than the sockets of both ends hold */
#define TIMEOUT G_TIME_SPAN_SECOND
#define WHOLE   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

/* A server that does what a real one does not. */
typedef struct
{
  GSocketListener *listener;
  GCancellable *over;
  const char *once;  /* written first */
  const char *again; /* and then for ever, … */
  gint64 pause;      /* … this far apart, µs */
  gboolean deaf;     /* it does not read a body, or at this pause */
  guint n_cut;       /* requests behind the first that it hangs up on */
  guint n_connections;
  CisHttpClient *client;
} Server;

static void
read_head (GSocket *socket, GCancellable *over)
{
  guint matched = 0;
  char c;

  while (matched < 4 && g_socket_receive (socket, &c, 1, over, NULL) == 1)
    matched = c == "\r\n\r\n"[matched] ? matched + 1 : c == '\r';
}

static void
serve_cut (Server *server, GSocket *socket)
{
  guint n = 0;
  char c;

  while (g_socket_receive (socket, &c, 1, server->over, NULL) == 1)
    {
      if (server->n_cut > 0 && (n++ > 0 || server->n_connections > 1))
        {
          server->n_cut--;
          return;
        }
      read_head (socket, server->over);
      if (server->n_connections > 1)
        for (gsize rest = LARGE; rest > 0;)
          {
            static char sink[65536];
            gssize got = g_socket_receive (socket, sink, MIN (rest, sizeof sink), server->over, NULL);

            if (got <= 0)
              return;
            rest -= (gsize) got;
          }
      g_socket_send (socket, WHOLE, strlen (WHOLE), server->over, NULL);
    }
}

static void
serve_endlessly (Server *server, GSocket *socket)
{
  const char *text = server->once;

  read_head (socket, server->over);
  while (text == NULL || g_socket_send (socket, text, strlen (text), server->over, NULL) >= 0)
    {
      GPollFD fd;
      char c;

      if (server->pause > 0)
        {
          g_cancellable_make_pollfd (server->over, &fd);
          g_poll (&fd, 1, (int) (server->pause / 1000));
          g_cancellable_release_fd (server->over);
        }
      if (g_cancellable_is_cancelled (server->over) ||
          (server->deaf && g_socket_receive (socket, &c, 1, server->over, NULL) != 1))
        return;
      text = server->again;
    }
}

static gpointer
serve (gpointer data)
{
  Server *server = data;
  GSocketConnection *connection;

  while ((connection = g_socket_listener_accept (server->listener, NULL, server->over, NULL)) != NULL)
    {
      server->n_connections++;
      (server->again != NULL || server->deaf
           ? serve_endlessly
           : serve_cut) (server, g_socket_connection_get_socket (connection));
      g_object_unref (connection);
    }
  return NULL;
}

static void
ignore_progress (guint64 done, gpointer user_data)
{
}

/* What a PUT of LARGE bytes is answered; or where there is no file, a question. */
static void
send_to (Server *server, int fd, CisAnswer *answer)
{
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);
  CisHttpRequest request = { .asked = fd >= 0 ? CIS_ASKED_UPLOAD : CIS_ASKED_QUESTION,
                             .episode = episode,
                             .fd = fd };
  g_autoptr (GError) error = NULL;

  request.progress = ignore_progress;
  cis_episode_set_archive (episode, NULL, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                           LARGE);
  g_assert_true (cis_http_client_send (server->client, &request, answer, NULL, &error));
  g_assert_no_error (error);
}

static GThread *
server_start (Server *server, CisPeer *peer)
{
  static GMutex lock;
  guint16 port;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);

  server->listener = g_socket_listener_new ();
  server->over = g_cancellable_new ();
  port = g_socket_listener_add_any_inet_port (server->listener, NULL, NULL);
  *peer = (CisPeer){ .url = g_strdup_printf ("http://127.0.0.1:%u", port), .host = "lab-7" };
  server->client = cis_http_client_new (peer, TIMEOUT);
  return g_thread_new ("server", serve, server);
}

static void
server_stop (Server *server, GThread *thread, CisPeer *peer)
{
  cis_http_client_free (server->client);
  g_cancellable_cancel (server->over);
  g_thread_join (thread);
  g_object_unref (server->listener);
  g_object_unref (server->over);
  g_free ((char *) peer->url);
}

static int
make_large (const char *tree)
{
  g_autofree char *path = g_build_filename (tree, "large", NULL);
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

  g_assert_no_errno (ftruncate (fd, LARGE));
  return fd;
}

typedef struct
{
  Server server;
  gboolean uploads;
  const char *said;
  const char *tree;
} Endless;

static gpointer
run_endless (gpointer data)
{
  Endless *self = data;
  g_auto (CisAnswer) answer = { 0 };
  CisPeer peer;
  int fd = self->uploads ? make_large (self->tree) : -1;
  GThread *thread = server_start (&self->server, &peer);
  gint64 began = g_get_monotonic_time ();

  send_to (&self->server, fd, &answer);
  g_test_message ("%s after %.2f s", answer.failure,
                  (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC);
  g_assert_cmpuint (answer.status, ==, 0);
  g_assert_nonnull (strstr (answer.failure, self->said));
  server_stop (&self->server, thread, &peer);
  if (fd >= 0)
    g_assert_no_errno (close (fd));
  return NULL;
}

#define OK "HTTP/1.1 200 OK\r\n"

/* Each step of these answers comes in time, and their end never. */
static void
test_endless (void)
{
  const gint64 often = 50 * G_TIME_SPAN_MILLISECOND;
  g_autoptr (TestTree) tree = test_tree_new ();
  Endless cases[] = {
    { { .once = "HTTP/1.1 2", .again = "0", .pause = often }, FALSE, "no whole answer", NULL },
    { { .once = OK, .again = "X: y\r\n", .pause = often }, FALSE, "no whole answer", NULL },
    { { .once = OK "Content-Length: 1000\r\n\r\n", .again = " ", .pause = often },
      FALSE,
      "no whole answer",
      NULL },
    { { .once = OK "Transfer-Encoding: chunked\r\n\r\n", .again = "1\r\n \r\n", .pause = often },
      FALSE,
      "no whole answer",
      NULL },
    { { .again = "HTTP/1.1 103 Early Hints\r\n\r\n" }, FALSE, "interim answers", NULL },
    { { .again = "HTTP/1.1 102 Processing\r\n\r\n", .pause = often }, FALSE, "", NULL },
    { { .once = OK, .again = "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" }, FALSE, "", NULL },
    { { .deaf = TRUE, .pause = often }, TRUE, "of the upload were taken", tree },
  };
  GThread *threads[G_N_ELEMENTS (cases)];

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    threads[i] = g_thread_new ("case", run_endless, &cases[i]);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_thread_join (threads[i]);
}

/* A front that has closed the kept connection is no outage, unless the new one ends alike. */
static void
test_stale (void)
{
  static const guint cuts[] = { 1, 2 };
  g_autoptr (TestTree) tree = test_tree_new ();
  int fd = make_large (tree);

  for (guint i = 0; i < G_N_ELEMENTS (cuts); i++)
    {
      Server server = { .n_cut = cuts[i] };
      CisPeer peer;
      GThread *thread = server_start (&server, &peer);
      g_auto (CisAnswer) first = { 0 }, second = { 0 };

      send_to (&server, -1, &first);
      g_assert_cmpuint (first.status, ==, 200);
      send_to (&server, fd, &second);
      g_test_message ("%u %s", second.status, second.failure);
      g_assert_cmpuint (second.status, ==, cuts[i] == 1 ? 200 : 0);
      server_stop (&server, thread, &peer);
      g_assert_cmpuint (server.n_connections, ==, 2);
    }
  g_assert_no_errno (close (fd));
}

/* GLib cuts the path, so that the token would go to whoever listens at the shorter one. */
static void
test_long_socket_path (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *fill = g_strnfill (107 - strlen (tree) - 1, 'x');
  g_autofree char *most = g_build_filename (tree, fill, NULL);
  g_autofree char *good = g_strconcat ("unix:", most, NULL), *bad = g_strconcat (good, "x", NULL);
  g_autofree char *name = g_strnfill (254, 'n');
  g_autofree char *long_name = g_strconcat ("https://", name, NULL);
  const char *const urls[] = { bad, long_name };
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (most);
  g_autoptr (GSocket) other = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, NULL);
  g_auto (Fixture) fixture = fixture_new (good, 0, NULL);

  g_assert_true (g_socket_bind (other, address, FALSE, NULL) && g_socket_listen (other, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (urls); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
      CisPart *part = test_part_new ("transport/http", "state", tree, "url", urls[i], "host", "lab-7",
                                     "token-file", "", NULL);

      g_assert_false (cis_part_open (part, NULL, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_test_message ("%s", error->message);
      CIS_PART_GET_CLASS (part)->check (part, findings, NULL);
      g_assert_cmpuint (findings->len, ==, 1);
      g_assert_cmpstr (cis_finding_get_id (findings->pdata[0]), ==, "receiver-not-found");
      g_object_unref (part);
    }
  /* Nobody has come. */
  g_socket_set_blocking (other, FALSE);
  g_assert_null (g_socket_accept (other, NULL, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/http-limits/endless", test_endless);
  g_test_add_func ("/http-limits/stale", test_stale);
  g_test_add_func ("/http-limits/socket-path", test_long_socket_path);
  return g_test_run ();
}
