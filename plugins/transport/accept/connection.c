/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "connection.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>

#define DRAIN_MAX     (64 * 1024 * 1024) /* what a refused sender may go on with */
#define DRAIN_AT_ONCE 16                 /* reads, so that one sender does not hold up the others */

CisConnection *
cis_connection_new (int fd)
{
  CisConnection *self = g_new0 (CisConnection, 1);

  self->fd = fd;
  self->state = CIS_CONNECTION_AWAY;
  self->link.data = self;
  return self;
}

void
cis_connection_free (CisConnection *self)
{
  /* A socket's close() has nothing to report that anyone could act on. */
  g_close (self->fd, NULL);
  g_clear_pointer (&self->bytes, g_byte_array_unref);
  g_clear_pointer (&self->unsent, g_byte_array_unref);
  g_free (self);
}

void
cis_connection_append (CisConnection *self, const void *data, gsize length)
{
  if (self->bytes == NULL)
    self->bytes = g_byte_array_new ();
  g_byte_array_append (self->bytes, data, length);
}

gsize
cis_connection_get_pending (const CisConnection *self)
{
  return self->bytes != NULL ? self->bytes->len : 0;
}

gsize
cis_connection_take (CisConnection *self, void *buffer, gsize count)
{
  gsize n = MIN (count, cis_connection_get_pending (self));

  if (n == 0)
    return 0;
  if (buffer != NULL)
    memcpy (buffer, self->bytes->data, n);
  self->scanned = 0;
  /* An idle connection keeps no buffer: there may be a thousand of them. */
  if (n == self->bytes->len)
    g_clear_pointer (&self->bytes, g_byte_array_unref);
  else
    g_byte_array_remove_range (self->bytes, 0, n);
  return n;
}

gboolean
cis_connection_send (CisConnection *self, const void *data, gsize length)
{
  if (self->unsent == NULL)
    self->unsent = g_byte_array_new ();
  g_byte_array_append (self->unsent, data, length);
  return cis_connection_flush (self);
}

gboolean
cis_connection_flush (CisConnection *self)
{
  while (self->unsent != NULL)
    {
      gssize n = send (self->fd, self->unsent->data, self->unsent->len, MSG_NOSIGNAL | MSG_DONTWAIT);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK;
      if ((gsize) n == self->unsent->len)
        g_clear_pointer (&self->unsent, g_byte_array_unref);
      else
        g_byte_array_remove_range (self->unsent, 0, n);
    }
  return TRUE;
}

gboolean
cis_connection_drain (CisConnection *self, void *scratch, gsize size)
{
  for (guint i = 0; i < DRAIN_AT_ONCE; i++)
    {
      gssize n = recv (self->fd, scratch, size, MSG_DONTWAIT);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return TRUE;
      if (n > 0)
        self->drained += n;
      if (n <= 0 || self->drained > DRAIN_MAX)
        return FALSE;
    }
  return TRUE;
}
