/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "queue.h"

typedef struct
{
  CisItem *item;   /* owned */
  gint64 deadline; /* monotonic, µs */
} CisWaiting;

struct _CisQueue
{
  CisQueueLimits limits;
  CisOutstanding outstanding;
  GMutex mutex;      /* guards all below */
  GQueue waiting;    /* of CisWaiting, oldest first */
  GHashTable *hosts; /* host to how many of its requests are at work */
  guint n_at_work;
  guint n_bodies; /* of those at work */
};

CisQueue *
cis_queue_new (const CisQueueLimits *limits)
{
  CisQueue *self = g_new0 (CisQueue, 1);

  self->limits = *limits;
  self->hosts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_mutex_init (&self->mutex);
  g_queue_init (&self->waiting);
  return self;
}

static void
waiting_free (CisWaiting *waiting)
{
  g_clear_object (&waiting->item);
  g_free (waiting);
}

void
cis_queue_free (CisQueue *self)
{
  g_queue_clear_full (&self->waiting, (GDestroyNotify) waiting_free);
  g_hash_table_unref (self->hosts);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

CisOutstanding *
cis_queue_get_outstanding (CisQueue *self)
{
  return &self->outstanding;
}

static const char *
get_host (CisItem *item)
{
  return CIS_IS_EPISODE (item) ? cis_episode_get_host (CIS_EPISODE (item)) : NULL;
}

static guint
count_host (CisQueue *self, const char *host)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (self->hosts, host));
}

static void
set_host_count (CisQueue *self, const char *host, guint n)
{
  if (n > 0)
    g_hash_table_replace (self->hosts, g_strdup (host), GUINT_TO_POINTER (n));
  else
    g_hash_table_remove (self->hosts, host);
}

static gboolean
may_begin (CisQueue *self, CisItem *item)
{
  guint64 length = cis_request_get_length (cis_item_get_request (item));
  guint64 outstanding = atomic_load (&self->outstanding);
  const char *host = get_host (item);
  /* One more where there is no body: a host whose connections are half dead asks where to go on, and so ends
   * them. */
  guint most = MAX (1, self->limits.workers / 4) + (length == 0 ? 1 : 0);

  if (self->n_at_work >= self->limits.workers)
    return FALSE;
  if (host != NULL && count_host (self, host) >= most)
    return FALSE;
  if (length == 0)
    return TRUE;
  if (self->n_bodies >= MAX (1, self->limits.workers - 1))
    return FALSE;
  /* One that alone is over the limit still has its turn, when nothing else is on its way. */
  return outstanding == 0 ||
         (outstanding < self->limits.max_outstanding && length <= self->limits.max_outstanding - outstanding);
}

static void
begin (CisQueue *self, CisItem *item)
{
  guint64 length = cis_request_get_length (cis_item_get_request (item));
  const char *host = get_host (item);

  self->n_at_work++;
  self->n_bodies += length > 0 ? 1 : 0;
  atomic_fetch_add (&self->outstanding, length);
  if (host != NULL)
    set_host_count (self, host, count_host (self, host) + 1);
}

void
cis_queue_push (CisQueue *self, CisItem *item)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  CisWaiting *waiting = g_new (CisWaiting, 1);

  waiting->item = item;
  waiting->deadline = g_get_monotonic_time () + self->limits.timeout;
  g_queue_push_tail (&self->waiting, waiting);
}

static CisItem *
take (CisQueue *self, GList *link)
{
  CisWaiting *waiting = link->data;
  CisItem *item = g_steal_pointer (&waiting->item);

  g_queue_delete_link (&self->waiting, link);
  waiting_free (waiting);
  return item;
}

CisItem *
cis_queue_pop (CisQueue *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);

  for (GList *link = self->waiting.head; link != NULL && self->n_at_work < self->limits.workers;
       link = link->next)
    if (may_begin (self, ((CisWaiting *) link->data)->item))
      {
        CisItem *item = take (self, link);

        begin (self, item);
        return item;
      }
  return NULL;
}

CisItem *
cis_queue_expire (CisQueue *self, gint64 now)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  CisWaiting *oldest = g_queue_peek_head (&self->waiting);

  return oldest != NULL && oldest->deadline <= now ? take (self, self->waiting.head) : NULL;
}

gint64
cis_queue_get_deadline (CisQueue *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  CisWaiting *oldest = g_queue_peek_head (&self->waiting);

  return oldest != NULL ? oldest->deadline : G_MAXINT64;
}

gboolean
cis_queue_release (CisQueue *self, CisItem *item, guint64 remaining)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  const char *host = get_host (item);

  self->n_at_work--;
  self->n_bodies -= cis_request_get_length (cis_item_get_request (item)) > 0 ? 1 : 0;
  atomic_fetch_sub (&self->outstanding, remaining);
  if (host != NULL)
    set_host_count (self, host, count_host (self, host) - 1);
  return self->waiting.length > 0;
}
