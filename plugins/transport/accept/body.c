/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "body.h"

#include <errno.h>
#include <sys/socket.h>

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
/* What of an unread body is thrown away so that the connection can be kept. */
#define SKIP_MAX (64 * 1024)

struct _CisBody
{
  GInputStream parent;
  CisConnection *connection; /* none; NULL once ended */
  CisOutstanding *outstanding;
  CisStorage *storage;
  gboolean promised; /* the room for what remains */
  CisBodyLimits limits;
  guint64 remaining; /* bytes */
  gboolean expects_continue;
  CisBodyFailure failure;
  CisFinding *problem; /* owned; of CIS_BODY_NO_ROOM */
  gint64 waited;   /* µs spent waiting for the sender in this period: a slow disk of ours is not its fault */
  guint64 arrived; /* bytes in this period */
};

G_DEFINE_FINAL_TYPE (CisBody, cis_body, G_TYPE_INPUT_STREAM)

static void
fail (CisBody *self, CisBodyFailure failure, GError **error)
{
  self->failure = failure;
  if (failure == CIS_BODY_TOO_SLOW)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                 "The body came slower than %" G_GUINT64_FORMAT " bytes per second, with %" G_GUINT64_FORMAT
                 " bytes missing",
                 self->limits.minimum_rate, self->remaining);
  else if (failure == CIS_BODY_NO_ROOM)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, cis_finding_get_summary (self->problem));
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                 "The connection ended with %" G_GUINT64_FORMAT " bytes of the body missing",
                 self->remaining);
}

static void
begin_period (CisBody *self)
{
  self->waited = 0;
  self->arrived = 0;
}

static gboolean
wait_for_bytes (CisBody *self, GCancellable *cancellable, GError **error)
{
  gint64 began = g_get_monotonic_time ();
  gint64 left = self->limits.rate_period - self->waited;
  guint64 wanted = self->limits.minimum_rate * (self->limits.rate_period / 1000) / 1000;
  GPollFD fds[2] = { { .fd = self->connection->fd, .events = G_IO_IN } };
  gboolean cancellable_has_fd = g_cancellable_make_pollfd (cancellable, &fds[1]);

  /* An interrupted poll, or a spurious one, is found out by the next recv(). */
  g_poll (fds, cancellable_has_fd ? 2 : 1, (MAX (left, 0) + 999) / 1000);
  if (cancellable_has_fd)
    g_cancellable_release_fd (cancellable);
  self->waited += g_get_monotonic_time () - began;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (self->waited < self->limits.rate_period)
    return TRUE;
  if (self->arrived < wanted)
    {
      fail (self, CIS_BODY_TOO_SLOW, error);
      return FALSE;
    }
  begin_period (self);
  return TRUE;
}

static gssize
receive (CisBody *self, void *buffer, gsize count, GCancellable *cancellable, GError **error)
{
  while (TRUE)
    {
      gssize n = recv (self->connection->fd, buffer, count, MSG_DONTWAIT);

      if (n > 0)
        return n;
      if (n < 0 && errno == EINTR)
        continue;
      if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        {
          fail (self, CIS_BODY_CUT, error);
          return -1;
        }
      if (!wait_for_bytes (self, cancellable, error))
        return -1;
    }
}

static void
account (CisBody *self, gsize n)
{
  self->remaining -= n;
  self->arrived += n;
  atomic_fetch_sub (self->outstanding, n);
  if (self->promised)
    cis_storage_redeem (self->storage, n);
}

/* There was room when it came, but it may have waited for its turn since. */
static gboolean
take_room (CisBody *self, GError **error)
{
  if (self->promised)
    return TRUE;
  self->problem = cis_storage_promise (self->storage, self->remaining);
  self->promised = self->problem == NULL;
  if (!self->promised)
    fail (self, CIS_BODY_NO_ROOM, error);
  return self->promised;
}

static gssize
cis_body_read (GInputStream *stream, void *buffer, gsize count, GCancellable *cancellable, GError **error)
{
  CisBody *self = CIS_BODY (stream);
  gssize n;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return -1;
  if (self->connection == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_CLOSED, "The request has been answered");
      return -1;
    }
  count = MIN (count, self->remaining);
  if (count == 0)
    return 0;
  if (self->failure != CIS_BODY_FINE)
    {
      fail (self, self->failure, error);
      return -1;
    }
  if (!take_room (self, error))
    return -1;

  n = cis_connection_take (self->connection, buffer, count);
  /* One that sends without waiting is not told to. */
  if (n == 0 && self->expects_continue)
    cis_connection_send (self->connection, CONTINUE, sizeof CONTINUE - 1);
  self->expects_continue = FALSE;
  if (n == 0)
    n = receive (self, buffer, count, cancellable, error);
  if (n > 0)
    account (self, n);
  return n;
}

static void
cis_body_finalize (GObject *object)
{
  g_clear_object (&CIS_BODY (object)->problem);
  G_OBJECT_CLASS (cis_body_parent_class)->finalize (object);
}

static void
cis_body_class_init (CisBodyClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = cis_body_finalize;
  G_INPUT_STREAM_CLASS (klass)->read_fn = cis_body_read;
}

static void
cis_body_init (CisBody *self)
{
}

CisBody *
cis_body_new (CisConnection *connection, guint64 length, gboolean expects_continue,
              const CisBodyLimits *limits, CisOutstanding *outstanding, CisStorage *storage)
{
  CisBody *self = g_object_new (CIS_TYPE_BODY, NULL);

  self->connection = connection;
  self->outstanding = outstanding;
  self->storage = storage;
  self->limits = *limits;
  self->remaining = length;
  self->expects_continue = expects_continue;
  return self;
}

CisBodyFailure
cis_body_get_failure (CisBody *self)
{
  return self->failure;
}

CisFinding *
cis_body_get_problem (CisBody *self)
{
  return self->problem;
}

guint64
cis_body_get_remaining (CisBody *self)
{
  return self->remaining;
}

gboolean
cis_body_skip (CisBody *self)
{
  char scrap[4096];

  if (self->failure != CIS_BODY_FINE || self->expects_continue || self->remaining > SKIP_MAX)
    return FALSE;
  while (self->remaining > 0)
    {
      gsize count = MIN (sizeof scrap, self->remaining);
      gssize n = cis_connection_take (self->connection, NULL, count);

      if (n == 0)
        n = recv (self->connection->fd, scrap, count, MSG_DONTWAIT);
      if (n <= 0)
        return FALSE;
      account (self, n);
    }
  return TRUE;
}

void
cis_body_end (CisBody *self)
{
  self->connection = NULL;
  if (self->promised)
    cis_storage_redeem (self->storage, self->remaining);
  self->promised = FALSE;
}
