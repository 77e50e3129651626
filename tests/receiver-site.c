/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "receiver-site.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---------------------------------------------------------------- site */

static void
finished (CisPipeline *pipeline, gpointer data)
{
  ((Site *) data)->finished = TRUE;
}

void
site_start (Site *self)
{
  g_autoptr (GError) error = NULL;

  cis_pipeline_open (self->pipeline, &error);
  g_assert_no_error (error);
  self->finished = FALSE;
  cis_pipeline_start (self->pipeline, FALSE, finished, self);
}

Site *
site_new (guint workers, const char *options)
{
  Site *self = g_new0 (Site, 1);
  g_autoptr (CisConfig) config = NULL;
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;
  g_autofree char *ini = NULL, *path = NULL;

  self->tree = test_tree_new ();
  self->socket = g_build_filename (self->tree, "s", NULL);
  self->hold = g_strdup_printf ("X-Test: hold %s/go\r\n", self->tree);
  path = g_build_filename (self->tree, "receiver.ini", NULL);
  ini = g_strdup_printf (
      "[pipeline]\nstages=accept;receive;log\nworkers=%u\n\n[accept]\nplugin=transport/accept\n"
      "listen=unix:%s\ndirectory=%s\n%s\n[receive]\nplugin=test/receive\n\n"
      "[log]\nplugin=alert/jsonl\nfile=%s/findings.jsonl\n",
      workers, self->socket, self->tree, options, self->tree);
  test_write (self->tree, "receiver.ini", ini);
  test_write (self->tree, "cis490.ini", "[site]\n");
  config = cis_config_load (path, NULL, &error);
  g_assert_no_error (error);
  self->pipeline = cis_pipeline_new (config, findings);
  for (guint i = 0; i < findings->len; i++)
    g_test_message ("%s: %s", cis_finding_get_subject (findings->pdata[i]),
                    cis_finding_get_summary (findings->pdata[i]));
  g_assert_nonnull (self->pipeline);
  site_start (self);
  return self;
}

void
site_stop (Site *self)
{
  gint64 began = g_get_monotonic_time ();

  cis_pipeline_cancel (self->pipeline);
  while (!self->finished)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (g_get_monotonic_time () - began, <, 30 * G_USEC_PER_SEC);
}

void
site_let_go (Site *self)
{
  test_write (self->tree, "go", "");
}

void
site_free (Site *self)
{
  if (!self->finished)
    site_stop (self);
  cis_pipeline_close (self->pipeline);
  g_assert_finalize_object (self->pipeline);
  test_tree_remove (self->tree);
  g_free (self->hold);
  g_free (self->socket);
  g_free (self);
}

/* -------------------------------------------------------------- client */

/* With a time limit a socket's calls end with EINTR where the process was stopped, whatever sigaction(2) says
 * of restarting: signal(7). */

Client *
client_new_unconnected (void)
{
  Client *self = g_new0 (Client, 1);
  const struct timeval patience = { .tv_sec = 120 };

  self->bytes = g_string_new (NULL);
  self->fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_no_errno (self->fd);
  g_assert_no_errno (setsockopt (self->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
  g_assert_no_errno (setsockopt (self->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
  return self;
}

void
client_connect (Client *self, Site *site)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  g_strlcpy (address.sun_path, site->socket, sizeof address.sun_path);
  g_assert_no_errno (TEMP_FAILURE_RETRY (connect (self->fd, (struct sockaddr *) &address, sizeof address)));
}

Client *
client_new (Site *site)
{
  Client *self = client_new_unconnected ();

  client_connect (self, site);
  return self;
}

void
client_free (Client *self)
{
  close (self->fd);
  g_string_free (self->bytes, TRUE);
  g_free (self);
}

void
client_send (Client *self, const char *text, gsize length)
{
  while (length > 0)
    {
      gssize n = TEMP_FAILURE_RETRY (send (self->fd, text, length, MSG_NOSIGNAL));

      g_assert_no_errno (n);
      text += n;
      length -= n;
    }
}

void
client_say (Client *self, const char *text)
{
  client_send (self, text, strlen (text));
}

gboolean
client_receive (Client *self)
{
  char buffer[4096];
  gssize n = TEMP_FAILURE_RETRY (recv (self->fd, buffer, sizeof buffer, 0));

  g_assert_true (n >= 0 || errno == ECONNRESET);
  if (n <= 0)
    return FALSE;
  g_string_append_len (self->bytes, buffer, n);
  return TRUE;
}

void
answer_clear (Answer *answer)
{
  g_clear_pointer (&answer->head, g_free);
  g_clear_pointer (&answer->body, json_object_unref);
}

Answer
client_read (Client *self)
{
  Answer answer = { 0 };
  g_autoptr (GError) error = NULL;
  const char *end, *length_header;
  gsize head_length, length = 0;

  while ((end = strstr (self->bytes->str, "\r\n\r\n")) == NULL)
    if (!client_receive (self))
      {
        answer.head = g_strdup ("");
        return answer;
      }
  head_length = end + 4 - self->bytes->str;
  answer.head = g_strndup (self->bytes->str, head_length);
  answer.status = atoi (answer.head + strlen ("HTTP/1.1 "));
  length_header = strstr (answer.head, "\r\nContent-Length: ");
  if (length_header != NULL)
    length = atoi (length_header + strlen ("\r\nContent-Length: "));
  while (self->bytes->len < head_length + length)
    g_assert_true (client_receive (self));
  if (length > 0)
    answer.body = cis_json_parse (self->bytes->str + head_length, length, &error);
  g_assert_no_error (error);
  g_string_erase (self->bytes, 0, head_length + length);
  return answer;
}

void
assert_end (Client *client)
{
  while (client->bytes->len == 0 && client_receive (client))
    continue;
  g_assert_cmpstr (client->bytes->str, ==, "");
}

gboolean
has_header (const Answer *answer, const char *line)
{
  g_autofree char *whole = g_strdup_printf ("\r\n%s\r\n", line);

  return strstr (answer->head, whole) != NULL;
}

void
assert_answer (Client *client, guint status, const char *id)
{
  assert_remedy (client, status, id, "");
}

void
assert_remedy (Client *client, guint status, const char *id, const char *words)
{
  g_auto (Answer) answer = client_read (client);
  g_autofree char *type = id != NULL ? g_strconcat ("urn:cis490:finding:", id, NULL) : NULL;

  g_assert_cmpuint (answer.status, ==, status);
  g_assert_true (strstr (answer.head, "\r\nDate: ") != NULL);
  if (id == NULL)
    return;
  g_assert_nonnull (answer.body);
  g_assert_cmpstr (cis_json_get_string (answer.body, "type"), ==, type);
  g_assert_cmpint (cis_json_get_size (answer.body, "status", 0), ==, status);
  g_assert_nonnull (strstr (cis_json_get_string (answer.body, "remedy"), words));
  g_assert_true (has_header (&answer, "Content-Type: application/problem+json"));
}

char *
body_sha256 (void)
{
  return cis_digest_bytes (BODY, strlen (BODY));
}

char *
make_put_as (const char *token, const char *host, const char *more)
{
  g_autofree char *sha256 = body_sha256 ();

  return g_strdup_printf (PUT_HEAD_AS ("%s", "%s", "7", "%s", "%s") "%s", host, token, sha256, more, BODY);
}

char *
make_put (const char *host, const char *more)
{
  return make_put_as (host, host, more);
}

void
site_init (int *argc, char ***argv)
{
  g_autofree char *path = NULL;

  g_test_init (argc, argv, NULL);
  g_log_writer_default_set_use_stderr (TRUE); /* standard output speaks TAP */
  path = g_strdup_printf ("%s:%s/plugins", g_getenv ("CIS490_PLUGIN_PATH"), g_test_get_dir (G_TEST_BUILT));
  g_setenv ("CIS490_PLUGIN_PATH", path, TRUE);
}
