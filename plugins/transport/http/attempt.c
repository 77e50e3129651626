/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "attempt.h"

#include "trust.h"

#define INTERIM_MAX 16 /* answers of 1xx before the one that counts */
/* What the sockets of both ends may have taken of a body before it shows that nobody reads it. */
#define REPEAT_MAX (16 * 1024 * 1024)
/* The least of an upload that has to go out while nothing else limits how long it takes, bytes per second. */
#define MINIMUM_RATE 1024

void
cis_attempt_clear (CisAttempt *self)
{
  g_clear_object (&self->stop);
  g_clear_pointer (&self->distrust, g_free);
}

/* libsoup would do it for some of the ends that a kept connection can have, and without a body. We do it for
 * all, see cis_attempt_is_stale(). */
static void
on_restarted (SoupMessage *message, gpointer user_data)
{
  CisAttempt *self = user_data;

  self->restarted = TRUE;
  g_cancellable_cancel (self->stop);
}

/* However long an archive is, some of it has to move in each time-out. */
static void
on_wrote_body_data (SoupMessage *message, guint length, gpointer user_data)
{
  CisAttempt *self = user_data;

  self->done += length;
  if ((double) (self->done - self->looked) >= (double) self->timeout / G_USEC_PER_SEC * MINIMUM_RATE)
    {
      self->looked = self->done;
      cis_deadline_put_off (self->deadline, self->timeout);
    }
  self->progress (self->done, self->user_data);
}

/* From here on it is the whole answer that has to come in time, not its next byte. */
static void
on_wrote_body (SoupMessage *message, gpointer user_data)
{
  CisAttempt *self = user_data;

  self->sent = TRUE;
  cis_deadline_put_off (self->deadline, self->timeout);
}

static void
on_got_informational (SoupMessage *message, gpointer user_data)
{
  CisAttempt *self = user_data;

  self->answered = TRUE;
  if (++self->n_interim > INTERIM_MAX)
    g_cancellable_cancel (self->stop);
}

static void
on_got_headers (SoupMessage *message, gpointer user_data)
{
  ((CisAttempt *) user_data)->answered = TRUE;
}

static gboolean
on_accept_certificate (SoupMessage *message, GTlsCertificate *certificate, GTlsCertificateFlags errors,
                       gpointer user_data)
{
  CisAttempt *self = user_data;
  const char *ca_file = self->ca_file;

  g_free (self->distrust);
  self->distrust = cis_trust_describe (certificate, errors, g_uri_get_host (soup_message_get_uri (message)),
                                       ca_file != NULL && *ca_file != '\0' ? ca_file : NULL);
  return FALSE;
}

/* The certificate is set before the handshake, not when the server asks: sessions are resumed per certificate
 * then. Else a renewed one would not be shown as long as the session of the former lasts. */
static void
on_network_event (SoupMessage *message, GSocketClientEvent event, GIOStream *connection, gpointer user_data)
{
  CisAttempt *self = user_data;
  GTlsCertificate *certificate = self->certificate;

  self->connected = TRUE;
  if (event != G_SOCKET_CLIENT_TLS_HANDSHAKING)
    return;
  self->shook_hands = TRUE;
  if (certificate != NULL && G_IS_TLS_CONNECTION (connection))
    g_tls_connection_set_certificate (G_TLS_CONNECTION (connection), certificate);
}

void
cis_attempt_watch (CisAttempt *self, SoupMessage *message)
{
  g_signal_connect (message, "network-event", G_CALLBACK (on_network_event), self);
  g_signal_connect (message, "accept-certificate", G_CALLBACK (on_accept_certificate), self);
  g_signal_connect (message, "restarted", G_CALLBACK (on_restarted), self);
  g_signal_connect (message, "wrote-body", G_CALLBACK (on_wrote_body), self);
  g_signal_connect (message, "got-informational", G_CALLBACK (on_got_informational), self);
  g_signal_connect (message, "got-headers", G_CALLBACK (on_got_headers), self);
  if (self->progress != NULL)
    g_signal_connect (message, "wrote-body-data", G_CALLBACK (on_wrote_body_data), self);
}

/* In TLS 1.3 a server refuses our certificate only after the handshake; its alert is often lost behind the
 * end of the connection. */
gboolean
cis_attempt_is_cut (const GError *reason)
{
  return reason->domain == G_TLS_ERROR ||
         g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED) ||
         g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE) ||
         g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT);
}

/* Whether its server had closed the kept connection already, as after an idle time of its own: then nobody
 * has seen the request. Where very much went out it is a cut, and there is a better way to go on than to
 * begin anew. */
gboolean
cis_attempt_is_stale (const CisAttempt *self, const GError *reason)
{
  return (self->restarted || (!self->connected && cis_attempt_is_cut (reason))) && !self->answered &&
         self->done - self->begin <= REPEAT_MAX;
}

char *
cis_attempt_describe_failure (const CisAttempt *self, gboolean late, const GError *reason)
{
  double seconds = (double) self->timeout / G_USEC_PER_SEC;

  if (self->n_interim > INTERIM_MAX)
    return g_strdup_printf ("over %d interim answers (1xx) came before any that counts", INTERIM_MAX);
  if (late && self->sent)
    return g_strdup_printf ("no whole answer came in %.3g s", seconds);
  if (late && self->done > self->begin)
    return g_strdup_printf ("less than %d bytes per second of the upload were taken for %.3g s", MINIMUM_RATE,
                            seconds);
  if (late)
    return g_strdup_printf ("the request could not be sent in %.3g s", seconds);
  if (self->restarted)
    return g_strdup ("the connection was cut");
  return g_strdup (reason->message);
}
