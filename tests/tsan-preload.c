/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells ThreadSanitizer what Debian's GLib, which is not built with it, does between threads. GMutex and
 * GCond are futexes there, of which TSan knows nothing: each lock would be a race. Preloaded into the tests
 * of a build with -Db_sanitize=thread; in other programs, such as git, all that is TSan's is absent and this
 * only passes on.
 *
 * An object's last reference is dropped after all others: those who drop one are put in an order, too.
 */
#include <dlfcn.h>
#include <gio/gio.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#pragma weak __tsan_acquire
#pragma weak __tsan_release
#pragma weak __tsan_mutex_pre_lock
#pragma weak __tsan_mutex_post_lock
#pragma weak __tsan_mutex_pre_unlock
#pragma weak __tsan_mutex_post_unlock

void __tsan_acquire (void *address);
void __tsan_release (void *address);
void __tsan_mutex_pre_lock (void *mutex, unsigned flags);
void __tsan_mutex_post_lock (void *mutex, unsigned flags, int recursion);
int __tsan_mutex_pre_unlock (void *mutex, unsigned flags);
void __tsan_mutex_post_unlock (void *mutex, unsigned flags);

/* As sanitizer/tsan_interface.h has them: it needs no constructor; this was a trylock; it has failed. */
enum
{
  STATIC_MUTEX = 1 << 0,
  TRY_LOCK = 1 << 4,
  TRY_LOCK_FAILED = 1 << 5,
};

#define NEXT(function)                                                                                       \
  ({                                                                                                         \
    static __typeof__ (&function) next;                                                                      \
    __typeof__ (&function) found = __atomic_load_n (&next, __ATOMIC_RELAXED);                                \
    if (found == NULL)                                                                                       \
      __atomic_store_n (&next, found = (__typeof__ (&function)) dlsym (RTLD_NEXT, #function),                \
                        __ATOMIC_RELAXED);                                                                   \
    found;                                                                                                   \
  })

static void
will_lock (void *mutex)
{
  if (__tsan_mutex_pre_lock != NULL)
    __tsan_mutex_pre_lock (mutex, STATIC_MUTEX);
}

static void
has_locked (void *mutex)
{
  if (__tsan_mutex_post_lock != NULL)
    __tsan_mutex_post_lock (mutex, STATIC_MUTEX, 1);
}

static void
will_unlock (void *mutex)
{
  if (__tsan_mutex_pre_unlock != NULL)
    __tsan_mutex_pre_unlock (mutex, STATIC_MUTEX);
}

static void
has_unlocked (void *mutex)
{
  if (__tsan_mutex_post_unlock != NULL)
    __tsan_mutex_post_unlock (mutex, STATIC_MUTEX);
}

static void
give (void *address)
{
  if (__tsan_release != NULL && address != NULL)
    __tsan_release (address);
}

static void
take (void *address)
{
  if (__tsan_acquire != NULL && address != NULL)
    __tsan_acquire (address);
}

/* ---- mutexes and conditions ---- */

void
g_mutex_lock (GMutex *mutex)
{
  will_lock (mutex);
  NEXT (g_mutex_lock) (mutex);
  has_locked (mutex);
}

gboolean
g_mutex_trylock (GMutex *mutex)
{
  gboolean locked;

  if (__tsan_mutex_pre_lock != NULL)
    __tsan_mutex_pre_lock (mutex, STATIC_MUTEX | TRY_LOCK);
  locked = NEXT (g_mutex_trylock) (mutex);
  if (__tsan_mutex_post_lock != NULL)
    __tsan_mutex_post_lock (mutex, STATIC_MUTEX | TRY_LOCK | (locked ? 0 : TRY_LOCK_FAILED), 1);
  return locked;
}

void
g_mutex_unlock (GMutex *mutex)
{
  will_unlock (mutex);
  NEXT (g_mutex_unlock) (mutex);
  has_unlocked (mutex);
}

void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  will_unlock (mutex);
  has_unlocked (mutex);
  NEXT (g_cond_wait) (cond, mutex);
  will_lock (mutex);
  has_locked (mutex);
}

gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
  gboolean signalled;

  will_unlock (mutex);
  has_unlocked (mutex);
  signalled = NEXT (g_cond_wait_until) (cond, mutex, end_time);
  will_lock (mutex);
  has_locked (mutex);
  return signalled;
}

void (g_once_init_leave) (volatile void *location, gsize result)
{
  give ((void *) location);
  NEXT (g_once_init_leave) (location, result);
}

/* ---- what is handed from thread to thread ---- */

void
g_async_queue_push (GAsyncQueue *queue, gpointer data)
{
  give (queue);
  NEXT (g_async_queue_push) (queue, data);
}

#define POP(function, parameters, arguments)                                                                 \
  gpointer function parameters                                                                               \
  {                                                                                                          \
    gpointer data = NEXT (function) arguments;                                                               \
                                                                                                             \
    take (queue);                                                                                            \
    return data;                                                                                             \
  }

POP (g_async_queue_pop, (GAsyncQueue * queue), (queue))
POP (g_async_queue_try_pop, (GAsyncQueue * queue), (queue))
POP (g_async_queue_timeout_pop, (GAsyncQueue * queue, guint64 timeout), (queue, timeout))

#define UNREF(function, type)                                                                                \
  void function (type *thing)                                                                                \
  {                                                                                                          \
    give (thing);                                                                                            \
    take (thing);                                                                                            \
    NEXT (function) (thing);                                                                                 \
  }

UNREF (g_object_unref, void)
UNREF (g_bytes_unref, GBytes)
UNREF (g_ptr_array_unref, GPtrArray)
UNREF (g_hash_table_unref, GHashTable)
UNREF (g_source_unref, GSource)
UNREF (g_main_context_unref, GMainContext)

/* ---- loops: what was before a source was attached or a descriptor armed, is before what the loop does after
 * its wait ---- */

static char order;

guint
g_source_attach (GSource *source, GMainContext *context)
{
  take (&order);
  give (&order);
  return NEXT (g_source_attach) (source, context);
}

int
epoll_ctl (int epoll, int operation, int fd, struct epoll_event *event)
{
  give (&order);
  return NEXT (epoll_ctl) (epoll, operation, fd, event);
}

int
epoll_wait (int epoll, struct epoll_event *events, int most, int timeout)
{
  int n = NEXT (epoll_wait) (epoll, events, most, timeout);

  take (&order);
  return n;
}

int
poll (struct pollfd *fds, nfds_t n_fds, int timeout)
{
  int n = NEXT (poll) (fds, n_fds, timeout);

  take (&order);
  return n;
}

/* By it GLib wakes the loop of another thread. */
int
eventfd (unsigned value, int flags)
{
  int fd = NEXT (eventfd) (value, flags);

  give (&order);
  return fd;
}

/* ---- thread pools: a task sees what its giver did, and who frees the pool what the tasks did ---- */

typedef struct
{
  GFunc function;
  gpointer data;
} Work;

static void
work (gpointer task, gpointer data)
{
  Work *self = data;

  take (task);
  self->function (task, self->data);
  give (self);
}

GThreadPool *
g_thread_pool_new (GFunc function, gpointer data, int max_threads, gboolean exclusive, GError **error)
{
  Work *self = g_new (Work, 1);

  *self = (Work){ function, data };
  give (self);
  return NEXT (g_thread_pool_new) (work, self, max_threads, exclusive, error);
}

gboolean
g_thread_pool_push (GThreadPool *pool, gpointer task, GError **error)
{
  give (task);
  return NEXT (g_thread_pool_push) (pool, task, error);
}

void
g_thread_pool_free (GThreadPool *pool, gboolean immediate, gboolean wait)
{
  Work *self = pool->func == work && wait ? pool->user_data : NULL;

  NEXT (g_thread_pool_free) (pool, immediate, wait);
  take (self);
  g_free (self);
}
