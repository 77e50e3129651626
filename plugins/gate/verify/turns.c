/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "turns.h"

/* How often one that waits says that it is not stuck. */
#define WAIT G_TIME_SPAN_SECOND
/* How long a turn is while others wait. */
#define SLICE (G_TIME_SPAN_SECOND / 10)

struct _CisTurns
{
  guint most;
  GMutex lock;      /* guards all below */
  GCond changed;    /* a look has ended, or given up its turn */
  GPtrArray *looks; /* of CisTurn that have begun; none */
  GQueue waiting;   /* of those that have no turn, oldest first */
  guint n_running;  /* that have one */
};

CisTurns *
cis_turns_new (guint most)
{
  CisTurns *self = g_new0 (CisTurns, 1);

  self->most = most;
  self->looks = g_ptr_array_new ();
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  return self;
}

void
cis_turns_free (CisTurns *self)
{
  g_ptr_array_unref (self->looks);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}

/* Under the lock. %FALSE: cancelled. */
static gboolean
wait_for_change (CisTurn *turn)
{
  if (g_cancellable_is_cancelled (turn->cancellable))
    return FALSE;
  cis_stage_progress (turn->stage, turn->item, 0, 0);
  g_cond_wait_until (&turn->turns->changed, &turn->turns->lock, g_get_monotonic_time () + WAIT);
  return TRUE;
}

/* Under the lock. A zstd window takes up to 128 MiB, so one host has few of them. */
static gboolean
host_may_begin (CisTurns *self, const char *host)
{
  guint n_own = 0;

  for (guint i = 0; i < self->looks->len; i++)
    n_own += g_str_equal (((CisTurn *) self->looks->pdata[i])->host, host);
  return n_own < self->most / 2;
}

/* Under the lock. %FALSE: cancelled. */
static gboolean
take (CisTurn *turn)
{
  CisTurns *self = turn->turns;
  gboolean mine;

  g_queue_push_tail (&self->waiting, turn);
  while (!(mine = self->n_running < self->most && g_queue_peek_head (&self->waiting) == turn) &&
         wait_for_change (turn))
    ;
  g_queue_remove (&self->waiting, turn);
  if (mine)
    {
      self->n_running++;
      turn->since = g_get_monotonic_time ();
    }
  g_cond_broadcast (&self->changed); /* the next one is the first now */
  return mine;
}

/* Under the lock. */
static void
give_up (CisTurn *turn)
{
  if (turn->since == 0)
    return;
  turn->since = 0;
  turn->turns->n_running--;
  g_cond_broadcast (&turn->turns->changed);
}

gboolean
cis_turn_begin (CisTurn *turn, GError **error)
{
  CisTurns *self = turn->turns;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  turn->since = 0;
  while (!host_may_begin (self, turn->host))
    if (!wait_for_change (turn))
      return !g_cancellable_set_error_if_cancelled (turn->cancellable, error);
  g_ptr_array_add (self->looks, turn);
  if (take (turn))
    return TRUE;
  g_ptr_array_remove_fast (self->looks, turn);
  return !g_cancellable_set_error_if_cancelled (turn->cancellable, error);
}

/* Who is cancelled meanwhile has no turn, and ends soon. */
void
cis_turn_share (CisTurn *turn)
{
  CisTurns *self = turn->turns;
  g_autoptr (GMutexLocker) locker = NULL;

  if (g_get_monotonic_time () - turn->since < SLICE)
    return;
  locker = g_mutex_locker_new (&self->lock);
  if (self->waiting.head == NULL)
    return;
  give_up (turn);
  take (turn);
}

void
cis_turn_end (CisTurn *turn)
{
  g_mutex_lock (&turn->turns->lock);
  give_up (turn);
  g_ptr_array_remove_fast (turn->turns->looks, turn);
  g_cond_broadcast (&turn->turns->changed);
  g_mutex_unlock (&turn->turns->lock);
}
