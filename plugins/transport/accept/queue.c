/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "queue.h"

#include <string.h>

#define KEY "cis-accept-load"

typedef struct
{
  CisItem *item;   /* owned */
  gint64 deadline; /* monotonic, µs */
  gboolean known;  /* by what came over its connection before */
} CisWaiting;

/* What there is of one asker. */
typedef struct
{
  char *asker;      /* owned */
  guint n_requests; /* those that wait included */
  guint n_at_work;
  guint64 outstanding; /* bytes of the bodies of those at work, come or not */
} CisLoad;

struct _CisQueue
{
  CisQueueLimits limits; /* host_outstanding under the mutex */
  CisOutstanding outstanding;
  GMutex mutex;      /* guards all below */
  GQueue waiting;    /* of CisWaiting, oldest first */
  guint n_strangers; /* of these, not known */
  GHashTable *loads; /* asker to CisLoad, while it has any */
  guint n_at_work;
  guint n_uploads; /* of those at work */
};

static void
load_free (CisLoad *load)
{
  g_free (load->asker);
  g_free (load);
}

CisQueue *
cis_queue_new (const CisQueueLimits *limits)
{
  CisQueue *self = g_new0 (CisQueue, 1);

  self->limits = *limits;
  self->loads = g_hash_table_new_full (cis_str_hash, g_str_equal, NULL, (GDestroyNotify) load_free);
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
  g_hash_table_unref (self->loads);
  g_mutex_clear (&self->mutex);
  g_free (self);
}

CisOutstanding *
cis_queue_get_outstanding (CisQueue *self)
{
  return &self->outstanding;
}

void
cis_queue_limit_host (CisQueue *self, guint64 bytes)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);

  self->limits.host_outstanding = bytes;
}

static guint64
get_length (CisItem *item)
{
  return cis_request_get_length (cis_item_get_request (item));
}

/* Or a ping: short, whatever comes of it. All else is an upload, also where nothing is to come any more: the
 * store reads what it has from the disk then. */
static gboolean
is_question (CisItem *item)
{
  return g_str_equal (cis_request_get_method (cis_item_get_request (item)), "POST");
}

/* A digest, so that no token is kept here, nor compared. */
static char *
get_asker (CisQueue *self, CisItem *item)
{
  CisRequest *request = cis_item_get_request (item);
  const char *token = cis_request_get_token (request);
  const char *name = cis_request_get_client_name (request);
  g_autofree char *text =
      g_strjoin ("\n", CIS_IS_EPISODE (item) ? "episode" : "ping", token != NULL ? token : "", name, NULL);

  return cis_digest_bytes (text, strlen (text));
}

/* Made where it is not there. */
static CisLoad *
find_load (CisQueue *self, CisItem *item)
{
  g_autofree char *asker = get_asker (self, item);
  CisLoad *load = g_hash_table_lookup (self->loads, asker);

  if (load == NULL)
    {
      load = g_new0 (CisLoad, 1);
      load->asker = g_steal_pointer (&asker);
      g_hash_table_insert (self->loads, load->asker, load);
    }
  return load;
}

/* Of one that was pushed. */
static CisLoad *
get_load (CisItem *item)
{
  return g_object_get_data (G_OBJECT (item), KEY);
}

static void
forget (CisQueue *self, CisItem *item)
{
  CisLoad *load = g_object_steal_data (G_OBJECT (item), KEY);

  if (--load->n_requests == 0)
    g_hash_table_remove (self->loads, load->asker);
}

/* One that alone is over the limit still has its turn, when nothing else is on its way: so the only upload of
 * a host may have all the room there is, not half of it. It would never come otherwise. */
static gboolean
has_room (guint64 outstanding, guint64 length, guint64 limit)
{
  return outstanding == 0 || length == 0 || (outstanding < limit && length <= limit - outstanding);
}

static gboolean
host_may_begin (CisQueue *self, CisItem *item)
{
  CisLoad *load = get_load (item);
  /* One more for questions: a host whose connections are half dead asks where to go on, and so ends them. */
  guint most = MAX (1, self->limits.workers / 4) + (is_question (item) ? 1 : 0);

  return load->n_at_work < most &&
         has_room (load->outstanding, get_length (item), self->limits.host_outstanding);
}

static CisBusy
get_obstacle (CisQueue *self, CisItem *item)
{
  if (!host_may_begin (self, item))
    return CIS_BUSY_HOST;
  if (self->n_at_work >= self->limits.workers)
    return CIS_BUSY_WORKERS;
  if (!is_question (item) && self->n_uploads >= MAX (1, self->limits.workers - 1))
    return CIS_BUSY_WORKERS;
  if (!has_room (atomic_load (&self->outstanding), get_length (item), self->limits.max_outstanding))
    return CIS_BUSY_BYTES;
  return CIS_BUSY_NOT;
}

static void
begin (CisQueue *self, CisItem *item)
{
  guint64 length = get_length (item);
  CisLoad *load = get_load (item);

  self->n_at_work++;
  self->n_uploads += is_question (item) ? 0 : 1;
  atomic_fetch_add (&self->outstanding, length);
  load->n_at_work++;
  load->outstanding += length;
}

gboolean
cis_queue_push (CisQueue *self, CisItem *item, gboolean known)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  CisLoad *load = find_load (self, item);
  CisWaiting *waiting;

  if (load->n_requests >= self->limits.host_requests)
    return FALSE;
  load->n_requests++;
  g_object_set_data (G_OBJECT (item), KEY, load);
  waiting = g_new (CisWaiting, 1);
  waiting->item = item;
  waiting->deadline = g_get_monotonic_time () + self->limits.timeout;
  waiting->known = known;
  self->n_strangers += known ? 0 : 1;
  g_queue_push_tail (&self->waiting, waiting);
  return TRUE;
}

static CisItem *
take (CisQueue *self, GList *link)
{
  CisWaiting *waiting = link->data;
  CisItem *item = g_steal_pointer (&waiting->item);

  self->n_strangers -= waiting->known ? 0 : 1;
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
    if (get_obstacle (self, ((CisWaiting *) link->data)->item) == CIS_BUSY_NOT)
      {
        CisItem *item = take (self, link);

        begin (self, item);
        return item;
      }
  return NULL;
}

/* The oldest of those that are not known, where they are too many. */
static GList *
find_stranger (CisQueue *self)
{
  GList *link = self->waiting.head;

  if (self->n_strangers <= self->limits.max_connections / 2)
    return NULL;
  while (((CisWaiting *) link->data)->known)
    link = link->next;
  return link;
}

CisItem *
cis_queue_expire (CisQueue *self, gint64 now, CisBusy *why)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  GList *link = self->waiting.head;
  CisItem *item;

  if (link == NULL || ((CisWaiting *) link->data)->deadline > now)
    link = find_stranger (self);
  if (link == NULL)
    return NULL;
  item = ((CisWaiting *) link->data)->item;
  *why = ((CisWaiting *) link->data)->deadline > now ? CIS_BUSY_CONNECTIONS : get_obstacle (self, item);
  forget (self, item);
  return take (self, link);
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
  guint64 length = get_length (item);
  CisLoad *load = get_load (item);

  self->n_at_work--;
  self->n_uploads -= is_question (item) ? 0 : 1;
  atomic_fetch_sub (&self->outstanding, remaining);
  load->n_at_work--;
  load->outstanding -= length;
  forget (self, item);
  return self->waiting.length > 0;
}
