/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-afterwards.h"

#include "cis-part.h"

/* How long a stage may take to notice that it was cancelled. */
#define CANCEL_PATIENCE (2 * G_USEC_PER_SEC)

typedef struct
{
  CisItem *item;       /* owned, or NULL */
  CisFinding *finding; /* owned, or NULL */
  CisFindingChange change;
} Letter;

/* Shared with a thread that may have to be given up: the last of both frees it. */
struct _CisAfterwards
{
  GPtrArray *stages; /* of CisStage, owned */
  guint length;
  GCancellable *cancellable;

  GMutex lock;
  GCond changed;
  GQueue letters;
  guint64 n_dropped;
  gboolean ending;
  gboolean ended;
};

static void
letter_free (Letter *letter)
{
  g_clear_object (&letter->item);
  g_clear_object (&letter->finding);
  g_free (letter);
}

static void
cis_afterwards_clear (gpointer data)
{
  CisAfterwards *self = data;

  g_queue_clear_full (&self->letters, (GDestroyNotify) letter_free);
  g_ptr_array_unref (self->stages);
  g_object_unref (self->cancellable);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
}

static void
unref (CisAfterwards *self)
{
  g_atomic_rc_box_release_full (self, cis_afterwards_clear);
}

static void
tell (CisAfterwards *self, CisStage *stage, Letter *letter)
{
  g_autoptr (GError) error = NULL;

  if (letter->item != NULL)
    {
      g_autoptr (CisOutcome) outcome = NULL;

      if (!g_type_is_a (G_OBJECT_TYPE (letter->item), CIS_STAGE_GET_CLASS (stage)->item_type))
        return;
      outcome = cis_stage_process (stage, letter->item, self->cancellable);
      if (cis_outcome_get_error (outcome) != NULL)
        error = g_error_copy (cis_outcome_get_error (outcome));
    }
  else
    cis_stage_tell (stage, letter->finding, letter->change, self->cancellable, &error);

  if (error != NULL)
    cis_part_log (CIS_PART (stage), letter->item, G_LOG_LEVEL_WARNING, NULL, "%s: not told: %s",
                  cis_part_get_name (CIS_PART (stage)), error->message);
}

static gpointer
run (gpointer data)
{
  CisAfterwards *self = data;
  Letter *letter;

  g_mutex_lock (&self->lock);
  while (TRUE)
    {
      while ((letter = g_queue_pop_head (&self->letters)) == NULL && !self->ending)
        g_cond_wait (&self->changed, &self->lock);
      if (letter == NULL)
        break;
      g_mutex_unlock (&self->lock);
      for (guint i = 0; i < self->stages->len && !g_cancellable_is_cancelled (self->cancellable); i++)
        tell (self, self->stages->pdata[i], letter);
      letter_free (letter);
      g_mutex_lock (&self->lock);
    }
  self->ended = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  unref (self);
  return NULL;
}

CisAfterwards *
cis_afterwards_new (GPtrArray *stages, guint length)
{
  CisAfterwards *self = g_atomic_rc_box_new0 (CisAfterwards);

  self->stages = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < stages->len; i++)
    g_ptr_array_add (self->stages, g_object_ref (stages->pdata[i]));
  self->length = length;
  self->cancellable = g_cancellable_new ();
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  g_queue_init (&self->letters);
  g_thread_unref (g_thread_new ("afterwards", run, g_atomic_rc_box_acquire (self)));
  return self;
}

static void
push (CisAfterwards *self, CisItem *item, CisFinding *finding, CisFindingChange change)
{
  Letter *letter = NULL;
  guint64 n_dropped = 0;

  if (self->stages->len == 0)
    return;
  letter = g_new0 (Letter, 1);
  g_set_object (&letter->item, item);
  g_set_object (&letter->finding, finding);
  letter->change = change;

  g_mutex_lock (&self->lock);
  if (self->letters.length < self->length)
    {
      g_queue_push_tail (&self->letters, g_steal_pointer (&letter));
      g_cond_broadcast (&self->changed);
    }
  else
    n_dropped = ++self->n_dropped;
  g_mutex_unlock (&self->lock);

  if (letter != NULL)
    letter_free (letter);
  /* Told at 1, 2, 4, 8, …: a queue that stays full fills no log. */
  if (n_dropped != 0 && (n_dropped & (n_dropped - 1)) == 0)
    cis_part_log (NULL, item, G_LOG_LEVEL_WARNING, NULL,
                  "alerts are too slow: %" G_GUINT64_FORMAT " dropped so far, the queue of %u is full",
                  n_dropped, self->length);
}

void
cis_afterwards_push_item (CisAfterwards *self, CisItem *item)
{
  push (self, item, NULL, CIS_FINDING_EVENT);
}

void
cis_afterwards_push_finding (CisAfterwards *self, CisFinding *finding, CisFindingChange change)
{
  push (self, NULL, finding, change);
}

static gboolean
wait_for_end (CisAfterwards *self, gint64 patience)
{
  gint64 deadline = g_get_monotonic_time () + patience;

  while (!self->ended && g_cond_wait_until (&self->changed, &self->lock, deadline))
    ;
  return self->ended;
}

gboolean
cis_afterwards_end (CisAfterwards *self, gint64 patience)
{
  gboolean ended;

  g_mutex_lock (&self->lock);
  self->ending = TRUE;
  g_cond_broadcast (&self->changed);
  ended = wait_for_end (self, patience);
  g_mutex_unlock (&self->lock);

  if (!ended)
    {
      g_cancellable_cancel (self->cancellable);
      g_mutex_lock (&self->lock);
      ended = wait_for_end (self, CANCEL_PATIENCE);
      g_mutex_unlock (&self->lock);
    }
  unref (self);
  return ended;
}
