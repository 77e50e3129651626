/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holds.h"

#define ENDING_TIMEOUT (1 * G_USEC_PER_SEC)

struct _CisHolds
{
  GMutex lock;
  GCond released;
  GHashTable *taken; /* id to CisEpisodeHold, owned */
  gint64 stalled_after;
};

static void
hold_free (gpointer data)
{
  CisEpisodeHold *hold = data;

  g_free (hold->id);
  g_free (hold->sha256);
  g_free (hold->part);
  g_object_unref (hold->cancellable);
  g_free (hold);
}

CisEpisodeHolds *
cis_holds_new (gint64 stalled_after)
{
  CisEpisodeHolds *self = g_new0 (CisEpisodeHolds, 1);

  g_mutex_init (&self->lock);
  g_cond_init (&self->released);
  self->taken = g_hash_table_new_full (cis_str_hash, g_str_equal, NULL, hold_free);
  self->stalled_after = stalled_after;
  return self;
}

void
cis_holds_free (CisEpisodeHolds *self)
{
  g_hash_table_unref (self->taken);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->released);
  g_free (self);
}

static gboolean
is_stalled (CisEpisodeHolds *self, CisEpisodeHold *held, const char *sha256)
{
  return held->reading && g_strcmp0 (held->sha256, sha256) == 0 &&
         g_get_monotonic_time () - held->heard >= self->stalled_after;
}

/* Who has it, under the lock; %NULL where nobody does, or who did has just been ended. */
static CisEpisodeHold *
look_up (CisEpisodeHolds *self, const char *id, const char *sha256)
{
  const gint64 deadline = g_get_monotonic_time () + ENDING_TIMEOUT;
  CisEpisodeHold *held = g_hash_table_lookup (self->taken, id);
  g_autoptr (GCancellable) stalled = NULL;

  if (held == NULL || !is_stalled (self, held, sha256))
    return held;
  stalled = g_object_ref (held->cancellable);
  /* Its callbacks must not run under the lock. */
  g_mutex_unlock (&self->lock);
  g_cancellable_cancel (stalled);
  g_mutex_lock (&self->lock);
  while ((held = g_hash_table_lookup (self->taken, id)) != NULL && held->cancellable == stalled &&
         g_cond_wait_until (&self->released, &self->lock, deadline))
    continue;
  return held;
}

static CisEpisodeHold *
hold_new (const char *id, const char *sha256)
{
  CisEpisodeHold *hold = g_new0 (CisEpisodeHold, 1);

  hold->id = g_strdup (id);
  hold->sha256 = g_strdup (sha256);
  hold->cancellable = g_cancellable_new ();
  return hold;
}

CisEpisodeHold *
cis_holds_take (CisEpisodeHolds *self, const char *id, const char *sha256)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  CisEpisodeHold *hold;

  if (look_up (self, id, sha256) != NULL)
    return NULL;
  hold = hold_new (id, sha256);
  g_hash_table_insert (self->taken, hold->id, hold);
  return hold;
}

void
cis_holds_release (CisEpisodeHolds *self, CisEpisodeHold *hold)
{
  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->taken, hold->id);
  g_cond_broadcast (&self->released);
  g_mutex_unlock (&self->lock);
}

void
cis_holds_hear (CisEpisodeHolds *self, CisEpisodeHold *hold)
{
  g_mutex_lock (&self->lock);
  hold->reading = TRUE;
  hold->heard = g_get_monotonic_time ();
  g_mutex_unlock (&self->lock);
}

void
cis_holds_heard_all (CisEpisodeHolds *self, CisEpisodeHold *hold)
{
  g_mutex_lock (&self->lock);
  hold->reading = FALSE;
  g_mutex_unlock (&self->lock);
}
