/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include "attempt.h"
#include "credentials.h"
#include "trust.h"

#include <errno.h>
#include <gio/gunixinputstream.h>
#include <gio/gunixsocketaddress.h>
#include <libsoup/soup.h>
#include <unistd.h>

#define ANSWER_MAX  (64 * 1024)
#define HOST_MAX    253 /* RFC 1035, 2.3.4, as text */
#define UNIX_PREFIX "unix:"
/* As in the IETF's draft on resumable uploads. */
#define PARTIAL_UPLOAD "application/partial-upload"

struct _CisHttpClient
{
  CisPeer peer;
  gint64 timeout;               /* µs */
  SoupSession *session;         /* NULL: made for the next request */
  GTlsCertificate *certificate; /* nullable */
  char *stamp;                  /* of the files that the session was made from */
  CisDeadline *deadline;
};

static gboolean
is_web_address (const char *url, GError **reason)
{
  g_autoptr (GUri) uri = g_uri_parse (url, G_URI_FLAGS_NONE, reason);
  const char *scheme = uri != NULL ? g_uri_get_scheme (uri) : NULL;
  const char *host = uri != NULL ? g_uri_get_host (uri) : NULL;

  if (host != NULL && strlen (host) > HOST_MAX)
    g_set_error (reason, CIS_ERROR, CIS_ERROR_CONFIG, "no host's name has more than %d bytes", HOST_MAX);
  return host != NULL && *host != '\0' && strlen (host) <= HOST_MAX &&
         (g_str_equal (scheme, "http") || g_str_equal (scheme, "https")) && g_uri_get_query (uri) == NULL &&
         g_uri_get_fragment (uri) == NULL && g_uri_get_userinfo (uri) == NULL;
}

gboolean
cis_http_url_check (const char *url, GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (g_str_has_prefix (url, UNIX_PREFIX "/") ? cis_socket_path_check (url + strlen (UNIX_PREFIX), &reason)
                                              : is_web_address (url, &reason))
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "url=%s is no receiver's address%s%s: it looks like https://receiver.example, or unix:/path",
               url, reason != NULL ? ": " : "", reason != NULL ? reason->message : "");
  return FALSE;
}

CisHttpClient *
cis_http_client_new (const CisPeer *peer, gint64 timeout)
{
  CisHttpClient *self = g_new0 (CisHttpClient, 1);

  self->peer = *peer;
  self->timeout = timeout;
  self->deadline = cis_deadline_new ();
  return self;
}

static void
drop_session (CisHttpClient *self)
{
  g_clear_object (&self->session);
  g_clear_object (&self->certificate);
  g_clear_pointer (&self->stamp, g_free);
}

void
cis_http_client_free (CisHttpClient *self)
{
  drop_session (self);
  cis_deadline_free (self->deadline);
  g_free (self);
}

/* Makes the session where there is none, or the certificates changed. */
static gboolean
prepare (CisHttpClient *self, GError **error)
{
  g_autofree char *stamp = cis_credentials_stamp (&self->peer);
  g_autoptr (GTlsDatabase) authorities = NULL;
  g_autoptr (GSocketConnectable) address = NULL;

  if (self->session != NULL && g_strcmp0 (stamp, self->stamp) == 0)
    return TRUE;
  drop_session (self);
  if (!cis_http_url_check (self->peer.url, error))
    return FALSE;
  if (!cis_credentials_load (&self->peer, &self->certificate, &authorities, error))
    return FALSE;
  if (g_str_has_prefix (self->peer.url, UNIX_PREFIX))
    address = G_SOCKET_CONNECTABLE (g_unix_socket_address_new (self->peer.url + strlen (UNIX_PREFIX)));
  /* No main context of our own: libsoup asks for the client's certificate in the thread's default one while
   * this thread waits for the handshake, so one that was pushed here would never answer. And no idle timer,
   * which another thread's loop would run: a connection that its server closed is found out when it is used
   * again. */
  self->session =
      soup_session_new_with_options ("remote-connectable", address, "idle-timeout", 0u, "timeout",
                                     (guint) CLAMP ((self->timeout + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC, 1,
                                                    G_MAXINT),
                                     "user-agent", "cis490/" CIS_VERSION, NULL);
  soup_session_set_proxy_resolver (self->session, NULL);
  /* No basic authentication, no content coding: what is not asked for cannot surprise. */
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_AUTH_MANAGER);
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_CONTENT_DECODER);
  if (authorities != NULL)
    soup_session_set_tls_database (self->session, authorities);
  self->stamp = g_steal_pointer (&stamp);
  return TRUE;
}

static gboolean
add_token (SoupMessageHeaders *headers, const CisPeer *peer, GError **error)
{
  g_autofree char *token = NULL, *value = NULL;

  if (peer->token_file == NULL || *peer->token_file == '\0')
    return TRUE;
  token = cis_credentials_read_token (peer->token_file, error);
  if (token == NULL)
    return FALSE;
  value = g_strconcat ("Bearer ", token, NULL);
  soup_message_headers_replace (headers, "Authorization", value);
  return TRUE;
}

static char *
make_url (const CisPeer *peer, CisEpisode *episode)
{
  gboolean local = g_str_has_prefix (peer->url, UNIX_PREFIX);
  g_autofree char *base = g_strdup (local ? "http://localhost" : peer->url);

  while (g_str_has_suffix (base, "/"))
    base[strlen (base) - 1] = '\0';
  if (episode == NULL)
    return g_strconcat (base, "/v1/ping", NULL);
  return g_strconcat (base, "/v1/episodes/", peer->host, "/", cis_episode_get_name (episode), NULL);
}

static void
add_claims (SoupMessageHeaders *headers, const CisHttpRequest *request)
{
  const char *commit = cis_episode_get_commit (request->episode);
  const char *restamped = cis_item_get_mark (CIS_ITEM (request->episode), "restamped");
  g_autofree char *size = g_strdup_printf ("%" G_GUINT64_FORMAT, cis_episode_get_size (request->episode));

  soup_message_headers_replace (headers, "X-Cis490-Sha256", cis_episode_get_sha256 (request->episode));
  if (commit != NULL)
    soup_message_headers_replace (headers, "X-Cis490-Code-Commit", commit);
  if (restamped != NULL)
    soup_message_headers_replace (headers, "X-Cis490-Code-Restamped", restamped);
  if (request->acknowledged)
    soup_message_headers_replace (headers, "X-Cis490-Acknowledged", "true");
  if (request->asked != CIS_ASKED_UPLOAD)
    soup_message_headers_replace (headers, "Upload-Length", size);
  if (request->asked == CIS_ASKED_REST)
    {
      g_autofree char *offset = g_strdup_printf ("%" G_GUINT64_FORMAT, request->offset);

      soup_message_headers_replace (headers, "Upload-Offset", offset);
      soup_message_headers_replace (headers, "Content-Type", PARTIAL_UPLOAD);
    }
}

/* Should the file's offset not move, there is no body, and the receiver refuses it. */
static void
set_body (SoupMessage *message, const CisHttpRequest *request)
{
  const gboolean rest = request->asked == CIS_ASKED_REST;
  g_autoptr (GInputStream) body = NULL;

  if (lseek (request->fd, (off_t) request->offset, SEEK_SET) < 0)
    return;
  body = g_unix_input_stream_new (request->fd, FALSE);
  soup_message_set_request_body (message, rest ? PARTIAL_UPLOAD : "application/zstd", body,
                                 (gssize) (cis_episode_get_size (request->episode) - request->offset));
}

static const char *
get_method (const CisHttpRequest *request)
{
  switch (request->asked)
    {
    case CIS_ASKED_UPLOAD:
      return SOUP_METHOD_PUT;
    case CIS_ASKED_REST:
      return "PATCH";
    default:
      return SOUP_METHOD_POST;
    }
}

/* All of it may be there, and yet not stored: then the rest is nothing. */
static gboolean
has_body (const CisHttpRequest *request)
{
  return request->asked == CIS_ASKED_UPLOAD ||
         (request->asked == CIS_ASKED_REST && request->offset < cis_episode_get_size (request->episode));
}

static SoupMessage *
make_message (CisHttpClient *self, const CisHttpRequest *request, GError **error)
{
  g_autofree char *url = make_url (&self->peer, request->episode);
  g_autoptr (SoupMessage) message = soup_message_new (get_method (request), url);
  SoupMessageHeaders *headers;

  if (message == NULL)
    {
      cis_http_url_check (self->peer.url, error);
      return NULL;
    }
  headers = soup_message_get_request_headers (message);
  if (!add_token (headers, &self->peer, error))
    return NULL;
  /* A question may go over a kept connection as it changes nothing; a ping tries a new one, which is what it
   * is for. */
  soup_message_set_flags (message, SOUP_MESSAGE_NO_REDIRECT |
                                       (request->asked == CIS_ASKED_PING ? SOUP_MESSAGE_NEW_CONNECTION
                                                                         : SOUP_MESSAGE_IDEMPOTENT));
  soup_message_set_tls_client_certificate (message, self->certificate);
  if (request->episode != NULL)
    add_claims (headers, request);
  else if (request->commit != NULL)
    soup_message_headers_replace (headers, "X-Cis490-Code-Commit", request->commit);
  if (has_body (request))
    set_body (message, request);
  else
    soup_message_headers_set_content_length (headers, 0);
  return g_steal_pointer (&message);
}

/* Reads the answer's body; one that is too long is as good as none, and the connection is not used again. */
static gboolean
read_body (CisHttpClient *self, GInputStream *stream, CisAnswer *answer, GCancellable *cancellable,
           GError **error)
{
  g_autofree char *data = g_malloc (ANSWER_MAX + 1);
  gsize length;

  if (!g_input_stream_read_all (stream, data, ANSWER_MAX + 1, &length, cancellable, error))
    return FALSE;
  if (length > ANSWER_MAX)
    drop_session (self);
  else
    answer->body = g_bytes_new_take (g_steal_pointer (&data), length);
  return g_input_stream_close (stream, cancellable, error);
}

static gint64
parse_date (const char *value)
{
  g_autoptr (GDateTime) date = value != NULL ? soup_date_time_new_from_http_string (value) : NULL;

  return date != NULL ? g_date_time_to_unix (date) * G_USEC_PER_SEC : 0;
}

static gboolean
receive (CisHttpClient *self, SoupMessage *message, CisAnswer *answer, GCancellable *cancellable,
         GError **error)
{
  g_autoptr (GInputStream) stream = soup_session_send (self->session, message, cancellable, error);
  SoupMessageHeaders *headers = soup_message_get_response_headers (message);
  const char *retry_after;

  if (stream == NULL || !read_body (self, stream, answer, cancellable, error))
    return FALSE;
  answer->status = soup_message_get_status (message);
  answer->content_type = g_strdup (soup_message_headers_get_content_type (headers, NULL));
  retry_after = soup_message_headers_get_one (headers, "Retry-After");
  answer->retry_after = retry_after != NULL ? cis_retry_after_parse (retry_after) : 0;
  answer->date = parse_date (soup_message_headers_get_one (headers, "Date"));
  answer->their_end = cis_trust_get_end (soup_message_get_tls_peer_certificate (message));
  answer->our_end = cis_trust_get_end (self->certificate);
  return TRUE;
}

static void
cancel_request (GCancellable *cancellable, gpointer stop)
{
  g_cancellable_cancel (stop);
}

/* Ends by itself, however the peer behaves. @late: whether that was why. */
static gboolean
receive_in_time (CisHttpClient *self, CisAttempt *attempt, SoupMessage *message, CisAnswer *answer,
                 GCancellable *cancellable, gboolean *late, GError **error)
{
  gulong chain = cancellable == NULL ? 0
                                     : g_cancellable_connect (cancellable, G_CALLBACK (cancel_request),
                                                              g_object_ref (attempt->stop), g_object_unref);
  gboolean received;

  cis_deadline_begin (self->deadline, attempt->stop, self->timeout);
  received = receive (self, message, answer, attempt->stop, error);
  *late = cis_deadline_end (self->deadline);
  g_cancellable_disconnect (cancellable, chain);
  return received;
}

/* An archive that cannot be read where the upload stands looks to libsoup like any other end of it. */
static gboolean
is_readable (const CisHttpRequest *request)
{
  off_t at = lseek (request->fd, 0, SEEK_CUR);
  char byte;

  return at >= 0 && TEMP_FAILURE_RETRY (pread (request->fd, &byte, 1, at)) >= 0;
}

/* @stale: whether it is worth another attempt at once. */
static gboolean
send_once (CisHttpClient *self, const CisHttpRequest *request, CisAnswer *answer, gboolean *stale,
           GCancellable *cancellable, GError **error)
{
  g_auto (CisAttempt) attempt = {
    .stop = g_cancellable_new (),
    .deadline = self->deadline,
    .timeout = self->timeout,
    .ca_file = self->peer.ca_file,
    .begin = request->offset,
    .done = request->offset,
    .looked = request->offset,
    .progress = has_body (request) ? request->progress : NULL,
    .user_data = request->user_data,
  };
  g_autoptr (GError) reason = NULL;
  g_autoptr (SoupMessage) message = NULL;
  g_autofree char *fault = NULL;
  gboolean late;

  *answer = (CisAnswer){ 0 };
  *stale = FALSE;
  if (!prepare (self, error))
    return FALSE;
  attempt.certificate = self->certificate;
  message = make_message (self, request, error);
  if (message == NULL)
    return FALSE;
  cis_attempt_watch (&attempt, message);
  if (receive_in_time (self, &attempt, message, answer, cancellable, &late, &reason))
    {
      answer->fault = answer->status == 400 ? cis_credentials_fault (self->certificate, &self->peer) : NULL;
      return TRUE;
    }

  fault = cis_credentials_fault (self->certificate, &self->peer);
  drop_session (self);
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  cis_answer_clear (answer);
  *answer = (CisAnswer){ 0 };
  *stale = !late && cis_attempt_is_stale (&attempt, reason);
  if (has_body (request) && !is_readable (request))
    *answer = (CisAnswer){ .failure = g_strdup (g_strerror (errno)), .unreadable = TRUE };
  else
    *answer = (CisAnswer){ .failure = cis_attempt_describe_failure (&attempt, late, reason),
                           .distrust = g_steal_pointer (&attempt.distrust),
                           .cut_new = attempt.shook_hands && !late && cis_attempt_is_cut (reason),
                           .fault = g_steal_pointer (&fault) };
  return TRUE;
}

gboolean
cis_http_client_send (CisHttpClient *self, const CisHttpRequest *request, CisAnswer *answer,
                      GCancellable *cancellable, GError **error)
{
  gboolean stale;

  if (!send_once (self, request, answer, &stale, cancellable, error))
    return FALSE;
  answer->stale = stale;
  if (!stale || answer->unreadable || request->resumable)
    return TRUE;
  cis_answer_clear (answer);
  return send_once (self, request, answer, &stale, cancellable, error);
}
