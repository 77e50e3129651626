/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One GET with a deadline for all of it.
 *
 * libsoup's own timeout begins anew with each byte, so a server that drips would hold the refresher for ever;
 * and its blocking calls cannot be given a timer. Hence the asynchronous ones, in a main context that nobody
 * else runs.
 */
#include "forgejo-client.h"

#include "cis490.h"

#include <libsoup/soup.h>

/* Fifty commits with all that Forgejo says of them are 150 KiB. */
#define BODY_MAX (32 * 1024 * 1024)
#define BLOCK    (64 * 1024)
/* Answers of 1xx before the one that counts: more cost a core until the deadline. */
#define INTERIM_MAX 16

struct _CisForgejoClient
{
  gint64 timeout; /* µs */
  char *ca_file;  /* nullable */
  GMainContext *context;
  SoupSession *session; /* NULL: made for the next request */
};

typedef struct
{
  GCancellable *caller;      /* none, nullable */
  GCancellable *cancellable; /* owned: of this exchange alone */
  GInputStream *stream;      /* owned, nullable */
  GByteArray *body;
  GError *error; /* owned, nullable */
  guint n_interim;
  gboolean late;
  gboolean done;
} Exchange;

CisForgejoClient *
cis_forgejo_client_new (gint64 timeout, const char *ca_file)
{
  CisForgejoClient *self = g_new0 (CisForgejoClient, 1);

  self->timeout = timeout;
  self->ca_file = g_strdup (ca_file);
  self->context = g_main_context_new ();
  return self;
}

static void
drop_session (CisForgejoClient *self)
{
  g_clear_object (&self->session);
}

void
cis_forgejo_client_free (CisForgejoClient *self)
{
  g_main_context_push_thread_default (self->context);
  drop_session (self);
  g_main_context_pop_thread_default (self->context);
  g_main_context_unref (self->context);
  g_free (self->ca_file);
  g_free (self);
}

void
cis_forgejo_answer_clear (CisForgejoAnswer *answer)
{
  g_clear_pointer (&answer->etag, g_free);
  g_clear_pointer (&answer->body, g_bytes_unref);
}

/* The authorities are read with each new session, and each failure makes one:
 * a renewed file needs no reload. */
static gboolean
prepare (CisForgejoClient *self, GError **error)
{
  g_autoptr (GTlsDatabase) authorities = NULL;

  if (self->session != NULL)
    return TRUE;
  if (self->ca_file != NULL)
    {
      authorities = cis_authorities_load (self->ca_file, error);
      if (authorities == NULL)
        {
          g_prefix_error (error, "%s: ", self->ca_file);
          return FALSE;
        }
    }
  self->session =
      soup_session_new_with_options ("timeout",
                                     (guint) CLAMP (self->timeout / G_USEC_PER_SEC + 1, 1, G_MAXINT),
                                     "user-agent", "cis490/" CIS_VERSION, NULL);
  soup_session_set_proxy_resolver (self->session, NULL);
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_AUTH_MANAGER);
  if (authorities != NULL)
    soup_session_set_tls_database (self->session, authorities);
  return TRUE;
}

static SoupMessage *
make_message (const char *url, const char *token, const char *etag, GError **error)
{
  SoupMessage *message = soup_message_new (SOUP_METHOD_GET, url);
  SoupMessageHeaders *headers;

  if (message == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%s is no address", url);
      return NULL;
    }
  /* A redirect would carry the token elsewhere. */
  soup_message_set_flags (message, SOUP_MESSAGE_NO_REDIRECT);
  headers = soup_message_get_request_headers (message);
  soup_message_headers_replace (headers, "Accept", "application/json");
  /* Only an answer younger than the question may refuse: no proxy's cache gives that. */
  soup_message_headers_replace (headers, "Cache-Control", "no-cache");
  if (token != NULL)
    {
      g_autofree char *value = g_strconcat ("token ", token, NULL);

      soup_message_headers_replace (headers, "Authorization", value);
    }
  if (etag != NULL)
    soup_message_headers_replace (headers, "If-None-Match", etag);
  return message;
}

static void
end (Exchange *exchange, GError *error)
{
  exchange->error = error;
  exchange->done = TRUE;
}

static void
on_read (GObject *object, GAsyncResult *result, gpointer data)
{
  Exchange *exchange = data;
  GError *error = NULL;
  g_autoptr (GBytes) block = g_input_stream_read_bytes_finish (exchange->stream, result, &error);

  if (block == NULL || g_bytes_get_size (block) == 0)
    {
      end (exchange, error);
      return;
    }
  g_byte_array_append (exchange->body, g_bytes_get_data (block, NULL), (guint) g_bytes_get_size (block));
  if (exchange->body->len > BODY_MAX)
    end (exchange, g_error_new (G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the answer is over 32 MiB long"));
  else
    g_input_stream_read_bytes_async (exchange->stream, BLOCK, G_PRIORITY_DEFAULT, exchange->cancellable,
                                     on_read, exchange);
}

static void
on_sent (GObject *object, GAsyncResult *result, gpointer data)
{
  Exchange *exchange = data;
  GError *error = NULL;

  exchange->stream = soup_session_send_finish (SOUP_SESSION (object), result, &error);
  if (exchange->stream == NULL)
    end (exchange, error);
  else
    g_input_stream_read_bytes_async (exchange->stream, BLOCK, G_PRIORITY_DEFAULT, exchange->cancellable,
                                     on_read, exchange);
}

static void
on_got_informational (SoupMessage *message, gpointer data)
{
  Exchange *exchange = data;

  if (++exchange->n_interim > INTERIM_MAX)
    g_cancellable_cancel (exchange->cancellable);
}

static gboolean
on_over (gpointer data)
{
  Exchange *exchange = data;

  exchange->late = !g_cancellable_is_cancelled (exchange->caller);
  g_cancellable_cancel (exchange->cancellable);
  return G_SOURCE_REMOVE;
}

/* On whose thread it is cancelled. */
static void
hurry (GCancellable *caller, gpointer timer)
{
  g_source_set_ready_time (timer, 0);
}

/* Sends and reads until all is there, or the time is over, or the caller's patience. No source of the
 * caller's cancellable: GLib 2.74 often leaks one that is cancelled by another thread. */
static void
run (CisForgejoClient *self, SoupMessage *message, Exchange *exchange)
{
  g_autoptr (GSource) timer = g_timeout_source_new ((guint) (self->timeout / 1000));
  gulong chain;

  g_source_set_callback (timer, on_over, exchange, NULL);
  g_source_attach (timer, self->context);
  chain = exchange->caller != NULL ? g_cancellable_connect (exchange->caller, G_CALLBACK (hurry), timer, NULL)
                                   : 0;
  g_signal_connect (message, "got-informational", G_CALLBACK (on_got_informational), exchange);
  soup_session_send_async (self->session, message, G_PRIORITY_DEFAULT, exchange->cancellable, on_sent,
                           exchange);
  while (!exchange->done)
    g_main_context_iteration (self->context, TRUE);
  g_cancellable_disconnect (exchange->caller, chain);
  g_source_destroy (timer);
}

static void
take_answer (SoupMessage *message, Exchange *exchange, CisForgejoAnswer *answer)
{
  SoupMessageHeaders *headers = soup_message_get_response_headers (message);
  const char *total = soup_message_headers_get_one (headers, "X-Total-Count");
  guint64 number;

  answer->status = soup_message_get_status (message);
  answer->etag = g_strdup (soup_message_headers_get_one (headers, "ETag"));
  answer->total = -1;
  if (total != NULL && g_ascii_string_to_unsigned (total, 10, 0, G_MAXUINT32, &number, NULL))
    answer->total = (gint64) number;
  answer->body = g_byte_array_free_to_bytes (g_steal_pointer (&exchange->body));
}

static gboolean
exchange_message (CisForgejoClient *self, SoupMessage *message, CisForgejoAnswer *answer,
                  GCancellable *cancellable, GError **error)
{
  Exchange exchange = { .caller = cancellable,
                        .cancellable = g_cancellable_new (),
                        .body = g_byte_array_new () };
  gboolean ok;

  run (self, message, &exchange);
  ok = exchange.error == NULL;
  if (ok)
    take_answer (message, &exchange, answer);
  else if (exchange.n_interim > INTERIM_MAX)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "over %d interim answers (1xx) came before any that counts", INTERIM_MAX);
  else if (exchange.late)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no whole answer in %.3g s",
                 (double) self->timeout / G_USEC_PER_SEC);
  else
    g_propagate_error (error, g_steal_pointer (&exchange.error));
  g_clear_object (&exchange.stream);
  g_clear_error (&exchange.error);
  g_clear_pointer (&exchange.body, g_byte_array_unref);
  g_object_unref (exchange.cancellable);
  if (!ok)
    drop_session (self);
  return ok;
}

gboolean
cis_forgejo_client_get (CisForgejoClient *self, const char *url, const char *token, const char *etag,
                        CisForgejoAnswer *answer, GCancellable *cancellable, GError **error)
{
  g_autoptr (SoupMessage) message = make_message (url, token, etag, error);
  gboolean ok;

  *answer = (CisForgejoAnswer){ 0 };
  if (message == NULL)
    return FALSE;
  g_main_context_push_thread_default (self->context);
  ok = prepare (self, error) && exchange_message (self, message, answer, cancellable, error);
  g_main_context_pop_thread_default (self->context);
  return ok;
}
