/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

/* Leader and followers: whoever finds no flush running leads the next one, for itself and for all that wait
 * by then. Flushes are numbered, and a caller waits for the first that begins after it came: one that runs
 * already may have missed its bytes. */
struct _CisGroupCommit
{
  CisFlushFunc flush;
  gpointer user_data;
  GDestroyNotify destroy;

  GMutex mutex; /* guards what follows */
  GCond ended;
  gboolean running;
  guint64 n_begun;
  guint64 n_done;  /* the number of the last flush that succeeded */
  GError *failure; /* of the flush after which there are no more */
};

CisGroupCommit *
cis_group_commit_new (CisFlushFunc flush, gpointer user_data, GDestroyNotify destroy)
{
  CisGroupCommit *self = g_new0 (CisGroupCommit, 1);

  self->flush = flush;
  self->user_data = user_data;
  self->destroy = destroy;
  g_mutex_init (&self->mutex);
  g_cond_init (&self->ended);
  return self;
}

void
cis_group_commit_free (CisGroupCommit *self)
{
  if (self->destroy != NULL)
    self->destroy (self->user_data);
  g_mutex_clear (&self->mutex);
  g_cond_clear (&self->ended);
  g_clear_error (&self->failure);
  g_free (self);
}

/* Whatever went wrong, nobody knows what is on the disk now: the next flush would say yes to lost bytes. */
static GError *
make_fatal (GError *error)
{
  g_autoptr (GError) cause = error;

  if (g_error_matches (cause, CIS_ERROR, CIS_ERROR_FATAL))
    return g_steal_pointer (&cause);
  return g_error_new (CIS_ERROR, CIS_ERROR_FATAL, "A flush failed, and the program must be restarted: %s",
                      cause->message);
}

/* With the mutex held, which is let go while the flush runs. */
static void
lead (CisGroupCommit *self)
{
  guint64 number = ++self->n_begun;
  GError *error = NULL;
  gboolean flushed;

  self->running = TRUE;
  g_mutex_unlock (&self->mutex);
  flushed = self->flush (self->user_data, &error);
  g_mutex_lock (&self->mutex);
  self->running = FALSE;
  if (flushed)
    self->n_done = number;
  else
    self->failure = make_fatal (error);
  g_cond_broadcast (&self->ended);
}

gboolean
cis_group_commit_flush (CisGroupCommit *self, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  guint64 wanted = self->n_begun + 1;

  while (self->n_done < wanted)
    {
      if (self->failure != NULL)
        {
          g_propagate_error (error, g_error_copy (self->failure));
          return FALSE;
        }
      if (self->running)
        g_cond_wait (&self->ended, &self->mutex);
      else
        lead (self);
    }
  return TRUE;
}
