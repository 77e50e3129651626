/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define PAUSE       (100 * 1000) /* µs */
#define SEND_BUFFER (64 * 1024)

gboolean
cis_listener_start (CisListener *self, GError **error)
{
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = self };

  return epoll_ctl (self->epoll, EPOLL_CTL_ADD, self->fd, &event) == 0 ||
         cis_error_set_errno (error, errno, "Cannot watch the listening socket");
}

void
cis_listener_pause (CisListener *self)
{
  struct epoll_event event = { .events = 0, .data.ptr = self };

  self->again = g_get_monotonic_time () + PAUSE;
  epoll_ctl (self->epoll, EPOLL_CTL_MOD, self->fd, &event);
}

gint64
cis_listener_resume (CisListener *self, gint64 now)
{
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = self };

  if (self->again != 0 && self->again <= now)
    self->again = epoll_ctl (self->epoll, EPOLL_CTL_MOD, self->fd, &event) == 0 ? 0 : now + PAUSE;
  return self->again != 0 ? self->again : G_MAXINT64;
}

/* Without a care for what a kind of socket does not know. */
static void
adjust (int fd)
{
  const int one = 1, send_buffer = SEND_BUFFER;

  /* Answers are small and written whole. */
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  /* By itself it grows to megabytes of answers, for each peer that asks and does not read: tcp(7). */
  setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
}

int
cis_listener_accept (CisListener *self)
{
  int fd = accept4 (self->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  int errsv = errno;

  if (fd >= 0)
    {
      self->complained = FALSE;
      adjust (fd);
      return fd;
    }
  if (errsv == EAGAIN || errsv == EWOULDBLOCK || errsv == EINTR || errsv == ECONNABORTED)
    return -1;
  if (!self->complained)
    cis_part_log (self->part, NULL, G_LOG_LEVEL_WARNING, NULL,
                  "No connection can be accepted at the moment: %s; trying again every 100 ms",
                  g_strerror (errsv));
  self->complained = TRUE;
  cis_listener_pause (self);
  return -1;
}
