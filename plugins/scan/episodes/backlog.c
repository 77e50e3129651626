/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backlog.h"

struct _Backlog
{
  GMutex lock;
  GHashTable *entries; /* name (the entry's) to BacklogEntry (owned) */
  GSequence *ready;    /* BacklogEntry, oldest first */
  GSequence *waiting;  /* BacklogEntry, first due first */
  guint listing;
  gint64 backoff_initial;
  gint64 backoff_max;
};

static void
backlog_entry_free (gpointer data)
{
  BacklogEntry *entry = data;

  g_free (entry->name);
  g_free (entry->fingerprint);
  g_free (entry);
}

Backlog *
backlog_new (gint64 backoff_initial, gint64 backoff_max)
{
  Backlog *self = g_new0 (Backlog, 1);

  g_mutex_init (&self->lock);
  self->entries = g_hash_table_new_full (cis_str_hash, g_str_equal, NULL, backlog_entry_free);
  self->ready = g_sequence_new (NULL);
  self->waiting = g_sequence_new (NULL);
  self->backoff_initial = backoff_initial;
  self->backoff_max = backoff_max;
  return self;
}

void
backlog_free (Backlog *self)
{
  g_sequence_free (self->ready);
  g_sequence_free (self->waiting);
  g_hash_table_unref (self->entries);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Whichever was the probe in vain lets another try: one that a proxy alone refuses (413, say) looks like a
 * receiver that is down, and must not hold up all that come after it. */
static int
compare_age (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const BacklogEntry *one = a;
  const BacklogEntry *other = b;

  if (one->holds != other->holds)
    return one->holds < other->holds ? -1 : 1;
  if (one->time != other->time)
    return one->time < other->time ? -1 : 1;
  return strcmp (one->name, other->name);
}

static int
compare_due (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const BacklogEntry *one = a;
  const BacklogEntry *other = b;

  if (one->due != other->due)
    return one->due < other->due ? -1 : 1;
  return compare_age (a, b, NULL);
}

/* The functions below are called with the lock held. */

static void
detach (BacklogEntry *entry)
{
  if (entry->iter != NULL)
    g_sequence_remove (entry->iter);
  entry->iter = NULL;
}

static void
wait_until (Backlog *self, BacklogEntry *entry, gint64 due)
{
  detach (entry);
  entry->due = due;
  entry->iter = g_sequence_insert_sorted (self->waiting, entry, compare_due, NULL);
}

static BacklogEntry *
first_of (GSequence *sequence)
{
  GSequenceIter *iter = g_sequence_get_begin_iter (sequence);

  return g_sequence_iter_is_end (iter) ? NULL : g_sequence_get (iter);
}

static gint64
get_backoff (Backlog *self, guint attempts)
{
  gint64 backoff = self->backoff_initial;

  for (guint i = 1; i < attempts && backoff < self->backoff_max; i++)
    backoff *= 2;
  return MIN (backoff, self->backoff_max);
}

void
backlog_add (Backlog *self, const char *name, gint64 time, gint64 now)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry;

  if (g_hash_table_contains (self->entries, name))
    return;
  entry = g_new0 (BacklogEntry, 1);
  entry->name = g_strdup (name);
  entry->time = time;
  entry->first_seen = now;
  entry->listing = self->listing;
  g_hash_table_insert (self->entries, entry->name, entry);
  wait_until (self, entry, now);
}

void
backlog_remove (Backlog *self, const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = g_hash_table_lookup (self->entries, name);

  if (entry == NULL || entry->iter == NULL)
    return;
  detach (entry);
  g_hash_table_remove (self->entries, name);
}

void
backlog_begin_listing (Backlog *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->listing++;
}

gboolean
backlog_mark (Backlog *self, const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = g_hash_table_lookup (self->entries, name);

  if (entry == NULL)
    return FALSE;
  entry->listing = self->listing;
  return TRUE;
}

void
backlog_end_listing (Backlog *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      BacklogEntry *entry = value;

      if (entry->iter == NULL || entry->listing == self->listing)
        continue;
      detach (entry);
      g_hash_table_iter_remove (&iter);
    }
}

BacklogEntry *
backlog_take (Backlog *self, gint64 now)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry;

  while ((entry = first_of (self->waiting)) != NULL && entry->due <= now)
    {
      detach (entry);
      entry->iter = g_sequence_insert_sorted (self->ready, entry, compare_age, NULL);
    }
  entry = first_of (self->ready);
  if (entry != NULL)
    detach (entry);
  return entry;
}

void
backlog_wait (Backlog *self, const char *name, gint64 due)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = g_hash_table_lookup (self->entries, name);

  if (entry != NULL)
    wait_until (self, entry, due);
}

void
backlog_forget (Backlog *self, const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = g_hash_table_lookup (self->entries, name);

  if (entry == NULL)
    return;
  detach (entry);
  g_hash_table_remove (self->entries, name);
}

void
backlog_defer (Backlog *self, const char *name, gint64 now, gint64 retry_after)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = g_hash_table_lookup (self->entries, name);
  gint64 delay;

  if (entry == NULL)
    return;
  entry->attempts++;
  delay = MAX (get_backoff (self, entry->attempts), retry_after);
  /* Added after the cap: a fleet that was refused together must not come back together. */
  wait_until (self, entry, now + delay + (gint64) (g_random_double () * 0.25 * (double) delay));
}

void
backlog_hold (Backlog *self, const char *name, gint64 now)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = g_hash_table_lookup (self->entries, name);

  if (entry == NULL)
    return;
  entry->holds++;
  wait_until (self, entry, now);
}

void
backlog_park (Backlog *self, const char *name)
{
  backlog_wait (self, name, G_MAXINT64);
}

void
backlog_hasten (Backlog *self, const char *name, gint64 now)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = g_hash_table_lookup (self->entries, name);

  if (entry != NULL && entry->iter != NULL && entry->due > now && entry->due != G_MAXINT64)
    wait_until (self, entry, now);
}

gint64
backlog_next_due (Backlog *self, gint64 now)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = first_of (self->waiting);

  if (first_of (self->ready) != NULL)
    return now;
  return entry != NULL ? entry->due : G_MAXINT64;
}

gboolean
backlog_is_in_flight (Backlog *self, const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  BacklogEntry *entry = g_hash_table_lookup (self->entries, name);

  return entry != NULL && entry->iter == NULL;
}

gboolean
backlog_is_known (Backlog *self, const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return g_hash_table_contains (self->entries, name);
}

guint
backlog_count_waiting (Backlog *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return (guint) (g_sequence_get_length (self->ready) + g_sequence_get_length (self->waiting));
}
