/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The epoll set. Connections are armed for one event at a time (EPOLLONESHOT): whoever has one unarmed has it
 * alone, and hands it over by arming it, after which only the set's thread touches it. */

#include "set.h"

#include "http-head.h"
#include "listener.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_EVENTS    64
#define MAX_ACCEPTS   64 /* in one go */
#define SCRATCH_SIZE  (64 * 1024)
#define TICK          (1 * G_USEC_PER_SEC)  /* how late a deadline may be noticed */
#define DRAIN_TIMEOUT (30 * G_USEC_PER_SEC) /* how long a refused sender may go on */
#define LINGER        (G_USEC_PER_SEC / 4)  /* how long the end waits for those who came before it */

struct _CisSet
{
  CisSetConfig config;
  gint64 timeouts[CIS_CONNECTION_N_LISTS]; /* how long a connection may be in which state, µs */
  int epoll;
  int wake; /* eventfd */
  /* Of the thread of cis_set_run(): */
  CisListener listener;
  guint8 *scratch;
  GMutex mutex;                         /* guards all below */
  GQueue lists[CIS_CONNECTION_N_LISTS]; /* each by its age, oldest first */
  guint n_connections;                  /* those that are away included */
  gboolean ended;
};

/* With the mutex held. */
static void
move_to (CisSet *self, CisConnection *connection, CisConnectionState state)
{
  if (connection->state < CIS_CONNECTION_N_LISTS)
    g_queue_unlink (&self->lists[connection->state], &connection->link);
  connection->state = state;
  if (state == CIS_CONNECTION_AWAY)
    return;
  connection->since = g_get_monotonic_time ();
  g_queue_push_tail_link (&self->lists[state], &connection->link);
}

static void
change_state (CisSet *self, CisConnection *connection, CisConnectionState state)
{
  g_mutex_lock (&self->mutex);
  move_to (self, connection, state);
  g_mutex_unlock (&self->mutex);
}

/* The oldest. Only the set's thread takes any out, so that it stays there. */
static CisConnection *
peek_first (CisSet *self, CisConnectionState state)
{
  CisConnection *first;

  g_mutex_lock (&self->mutex);
  first = g_queue_peek_head (&self->lists[state]);
  g_mutex_unlock (&self->mutex);
  return first;
}

/* Not just close(): a child process between fork and exec holds a copy, and the set would go on to report for
 * it. */
static void
close_connection (CisSet *self, CisConnection *connection)
{
  epoll_ctl (self->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
  cis_connection_free (connection);
}

static void
drop (CisSet *self, CisConnection *connection)
{
  g_mutex_lock (&self->mutex);
  move_to (self, connection, CIS_CONNECTION_AWAY);
  self->n_connections--;
  g_mutex_unlock (&self->mutex);
  close_connection (self, connection);
}

static gboolean
is_idle (const CisConnection *connection)
{
  return connection->state == CIS_CONNECTION_IDLE || connection->state == CIS_CONNECTION_STRANGER;
}

static gboolean
arm (CisSet *self, CisConnection *connection, int operation)
{
  const guint wanted = connection->state == CIS_CONNECTION_ANSWERING ? EPOLLOUT : EPOLLIN;
  struct epoll_event event = { .events = wanted | EPOLLONESHOT, .data.ptr = connection };

  /* The next request has come with the last one, and no event will tell: a socket that can be written to
   * fires at once. */
  if (is_idle (connection) && cis_connection_get_pending (connection) > 0)
    event.events |= EPOLLOUT;
  return epoll_ctl (self->epoll, operation, connection->fd, &event) == 0;
}

static void
rearm (CisSet *self, CisConnection *connection)
{
  if (!arm (self, connection, EPOLL_CTL_MOD))
    drop (self, connection);
}

static void
hand_over (CisSet *self, CisConnection *connection, CisArrival arrival, gsize length)
{
  change_state (self, connection, CIS_CONNECTION_AWAY);
  self->config.arrived (self->config.part, connection, arrival, length);
}

static gboolean
hand_over_if_complete (CisSet *self, CisConnection *connection)
{
  gsize pending = cis_connection_get_pending (connection);
  gssize end =
      pending > 0 ? cis_http_head_find_end (connection->bytes->data, pending, &connection->scanned) : 0;

  if (end != 0)
    hand_over (self, connection, end > 0 ? CIS_ARRIVAL_HEAD : CIS_ARRIVAL_MALFORMED, MAX (end, 0));
  else if (pending >= self->config.max_head)
    hand_over (self, connection, CIS_ARRIVAL_TOO_LARGE, 0);
  else
    return FALSE;
  return TRUE;
}

static void
drain (CisSet *self, CisConnection *connection)
{
  if (cis_connection_drain (connection, self->scratch, SCRATCH_SIZE))
    rearm (self, connection);
  else
    drop (self, connection);
}

/* The peer makes room: the rest of its answer, and then what was to become of the connection. */
static void
go_on_answering (CisSet *self, CisConnection *connection)
{
  if (!cis_connection_flush (connection))
    drop (self, connection);
  else if (connection->unsent != NULL)
    rearm (self, connection);
  else
    cis_set_give_back (self, connection, connection->after);
}

static void
collect (CisSet *self, CisConnection *connection)
{
  gssize n;

  if (hand_over_if_complete (self, connection))
    return;
  n = recv (connection->fd, self->scratch,
            MIN (SCRATCH_SIZE, self->config.max_head - cis_connection_get_pending (connection)),
            MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
    {
      drop (self, connection);
      return;
    }
  if (n > 0)
    {
      cis_connection_append (connection, self->scratch, n);
      if (hand_over_if_complete (self, connection))
        return;
    }
  /* The head's deadline counts from its first byte: one more byte now and then does not move it. */
  if (is_idle (connection) && cis_connection_get_pending (connection) > 0)
    change_state (self, connection, CIS_CONNECTION_HEAD);
  rearm (self, connection);
}

/* Those that are idle hold more than half of what there is. */
static gboolean
idle_are_many (CisSet *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);

  return self->lists[CIS_CONNECTION_IDLE].length > self->config.max_connections / 2;
}

/* Who goes where one too many comes: of those that have not shown who they are, or that hold something up,
 * the one that does so for longest. An honest one is through in milliseconds, so that it takes as many
 * connections within these to have it thrown out. Only then one that is merely idle, unless these are so many
 * that the others would not be left those milliseconds. */
static CisConnection *
peek_least_deserving (CisSet *self)
{
  CisConnection *oldest = NULL;

  for (CisConnectionState state = CIS_CONNECTION_STRANGER; state < CIS_CONNECTION_N_LISTS; state++)
    {
      CisConnection *first = peek_first (self, state);

      if (first != NULL && (oldest == NULL || first->since < oldest->since))
        oldest = first;
    }
  return oldest != NULL && !idle_are_many (self) ? oldest : peek_first (self, CIS_CONNECTION_IDLE);
}

static gboolean
is_full (CisSet *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);

  return self->n_connections >= self->config.max_connections;
}

static void
add_connection (CisSet *self, int fd)
{
  CisConnection *connection = cis_connection_new (fd);

  g_mutex_lock (&self->mutex);
  self->n_connections++;
  move_to (self, connection, CIS_CONNECTION_STRANGER);
  g_mutex_unlock (&self->mutex);
  if (!arm (self, connection, EPOLL_CTL_ADD))
    drop (self, connection);
}

static void
accept_connections (CisSet *self)
{
  gint64 began = g_get_monotonic_time ();

  for (guint i = 0; i < MAX_ACCEPTS; i++)
    {
      gboolean full = is_full (self);
      CisConnection *goes = full ? peek_least_deserving (self) : NULL;
      int fd;

      if (full && goes == NULL)
        {
          cis_listener_pause (&self->listener);
          return;
        }
      /* Who has only just come is looked at first; the others knock once more. */
      if (full && goes->since >= began)
        return;
      fd = cis_listener_accept (&self->listener);
      if (fd < 0)
        return;
      /* Only now: where nobody else knocks, it would be the one just let in that goes. */
      if (goes != NULL)
        drop (self, goes);
      add_connection (self, fd);
    }
}

static void
expire (CisSet *self, gint64 now)
{
  CisConnection *first;

  for (CisConnectionState state = 0; state < CIS_CONNECTION_N_LISTS; state++)
    while ((first = peek_first (self, state)) != NULL && first->since + self->timeouts[state] <= now)
      if (state == CIS_CONNECTION_HEAD)
        hand_over (self, first, CIS_ARRIVAL_TOO_SLOW, 0);
      else
        drop (self, first);
}

static void
handle (CisSet *self, const struct epoll_event *events, int n)
{
  gboolean knocked = FALSE;

  for (int i = 0; i < n; i++)
    {
      CisConnection *connection = events[i].data.ptr;
      guint64 count;

      if (events[i].data.ptr == &self->listener)
        knocked = TRUE;
      else if (events[i].data.ptr == &self->wake)
        (void) !read (self->wake, &count, sizeof count);
      else if (events[i].data.ptr == self)
        continue; /* cancelled */
      else if (connection->state == CIS_CONNECTION_DRAINING)
        drain (self, connection);
      else if (connection->state == CIS_CONNECTION_ANSWERING)
        go_on_answering (self, connection);
      else
        collect (self, connection);
    }
  /* Last, because it may close a connection to make room, and that could be one of these events'. */
  if (knocked)
    accept_connections (self);
}

static int
get_wait (gint64 next)
{
  gint64 now = g_get_monotonic_time ();

  next = MIN (next, now + TICK);
  return (CLAMP (next - now, 0, TICK) + 999) / 1000;
}

static gboolean
watch (CisSet *self, int fd, gpointer what, GError **error)
{
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

  return epoll_ctl (self->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
         cis_error_set_errno (error, errno, "Cannot watch a socket");
}

static void
end (CisSet *self)
{
  CisConnection *connection;

  g_mutex_lock (&self->mutex);
  self->ended = TRUE;
  g_mutex_unlock (&self->mutex);
  for (CisConnectionState state = 0; state < CIS_CONNECTION_N_LISTS; state++)
    while ((connection = peek_first (self, state)) != NULL)
      drop (self, connection);
}

/* One look at the sockets, for at most until @next; then it says when the next one is due. */
static gboolean
look (CisSet *self, gint64 *next, GError **error)
{
  struct epoll_event events[MAX_EVENTS];
  int n = epoll_wait (self->epoll, events, MAX_EVENTS, get_wait (*next));

  if (n < 0 && errno != EINTR)
    return cis_error_set_errno (error, errno, "Cannot wait for connections");
  handle (self, events, n);
  expire (self, g_get_monotonic_time ());
  *next = self->config.turn (self->config.part);
  return TRUE;
}

static gboolean
loop (CisSet *self, GCancellable *cancellable, GError **error)
{
  gint64 next = self->config.turn (self->config.part);

  while (!g_cancellable_is_cancelled (cancellable))
    {
      if (!look (self, &next, error))
        return FALSE;
      next = MIN (next, cis_listener_resume (&self->listener, g_get_monotonic_time ()));
    }
  return TRUE;
}

/* Whether somebody has been let in and has had no answer yet, or is being told off. */
static gboolean
has_begun (CisSet *self)
{
  gboolean begun = FALSE;

  for (CisConnectionState state = CIS_CONNECTION_STRANGER; state < CIS_CONNECTION_N_LISTS; state++)
    begun = begun || peek_first (self, state) != NULL;
  return begun;
}

/* Nobody new is let in, but who came before the end gets an answer: a reload resets no connection. */
static gboolean
linger (CisSet *self, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + LINGER;

  while (has_begun (self) && g_get_monotonic_time () < deadline)
    {
      gint64 next = deadline;

      if (!look (self, &next, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
cis_set_run (CisSet *self, int listener, GCancellable *cancellable, GError **error)
{
  GPollFD cancelled = { .fd = -1 };
  gboolean cancellable_has_fd = g_cancellable_make_pollfd (cancellable, &cancelled);
  gboolean ok;

  self->listener = (CisListener){ .part = self->config.part, .epoll = self->epoll, .fd = listener };
  ok = cis_listener_start (&self->listener, error) && watch (self, self->wake, &self->wake, error) &&
       (!cancellable_has_fd || watch (self, cancelled.fd, self, error)) && loop (self, cancellable, error);
  epoll_ctl (self->epoll, EPOLL_CTL_DEL, listener, NULL);
  if (cancellable_has_fd)
    {
      epoll_ctl (self->epoll, EPOLL_CTL_DEL, cancelled.fd, NULL);
      g_cancellable_release_fd (cancellable);
    }
  ok = ok && linger (self, error);
  end (self);
  return ok;
}

void
cis_set_wake (CisSet *self)
{
  guint64 one = 1;

  /* It fails only where the counter is full, and then the set is about to wake up anyway. */
  (void) !write (self->wake, &one, sizeof one);
}

void
cis_set_give_back (CisSet *self, CisConnection *connection, CisAfter after)
{
  gboolean keep;

  if (after == CIS_AFTER_DRAIN && connection->unsent == NULL)
    {
      while (cis_connection_take (connection, NULL, G_MAXSIZE) > 0)
        continue;
      shutdown (connection->fd, SHUT_WR);
    }
  connection->after = after;
  g_mutex_lock (&self->mutex);
  keep = !self->ended && after != CIS_AFTER_CLOSE;
  if (keep)
    {
      move_to (self, connection,
               connection->unsent != NULL ? CIS_CONNECTION_ANSWERING
               : after == CIS_AFTER_DRAIN ? CIS_CONNECTION_DRAINING
                                          : CIS_CONNECTION_IDLE);
      keep = arm (self, connection, EPOLL_CTL_MOD);
    }
  if (!keep)
    {
      move_to (self, connection, CIS_CONNECTION_AWAY);
      self->n_connections--;
    }
  g_mutex_unlock (&self->mutex);
  if (!keep)
    close_connection (self, connection);
}

CisSet *
cis_set_new (const CisSetConfig *config, GError **error)
{
  g_autoptr (CisSet) self = g_atomic_rc_box_new0 (CisSet);

  self->config = *config;
  self->timeouts[CIS_CONNECTION_IDLE] = self->timeouts[CIS_CONNECTION_STRANGER] = config->idle_timeout;
  self->timeouts[CIS_CONNECTION_HEAD] = self->timeouts[CIS_CONNECTION_ANSWERING] = config->head_timeout;
  self->timeouts[CIS_CONNECTION_DRAINING] = DRAIN_TIMEOUT;
  g_mutex_init (&self->mutex);
  self->scratch = g_malloc (SCRATCH_SIZE);
  self->epoll = epoll_create1 (EPOLL_CLOEXEC);
  self->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->epoll < 0 || self->wake < 0)
    {
      cis_error_set_errno (error, errno, "Cannot make an epoll set");
      return NULL;
    }
  return g_steal_pointer (&self);
}

CisSet *
cis_set_ref (CisSet *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
cis_set_clear (CisSet *self)
{
  if (self->epoll >= 0)
    g_close (self->epoll, NULL);
  if (self->wake >= 0)
    g_close (self->wake, NULL);
  g_free (self->scratch);
  g_mutex_clear (&self->mutex);
}

void
cis_set_unref (CisSet *self)
{
  g_atomic_rc_box_release_full (self, (GDestroyNotify) cis_set_clear);
}
