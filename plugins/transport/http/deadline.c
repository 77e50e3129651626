/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "deadline.h"

struct _CisDeadline
{
  GThread *thread;
  GMutex lock;
  GCond changed;
  /* Under the lock. */
  GCancellable *cancellable; /* owned; NULL: nothing is to be cancelled */
  gint64 at;                 /* monotonic */
  gboolean over;
  gboolean ending;
};

/* Putting it off does not wake the thread: it finds out when the former time has come. */
static gpointer
watch (gpointer data)
{
  CisDeadline *self = data;

  g_mutex_lock (&self->lock);
  while (!self->ending)
    if (self->cancellable == NULL)
      g_cond_wait (&self->changed, &self->lock);
    else if (g_get_monotonic_time () < self->at)
      g_cond_wait_until (&self->changed, &self->lock, self->at);
    else
      {
        g_autoptr (GCancellable) cancellable = g_steal_pointer (&self->cancellable);

        self->over = TRUE;
        g_mutex_unlock (&self->lock);
        g_cancellable_cancel (cancellable);
        g_mutex_lock (&self->lock);
      }
  g_mutex_unlock (&self->lock);
  return NULL;
}

CisDeadline *
cis_deadline_new (void)
{
  CisDeadline *self = g_new0 (CisDeadline, 1);

  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->thread = g_thread_new ("deadline", watch, self);
  return self;
}

void
cis_deadline_free (CisDeadline *self)
{
  g_mutex_lock (&self->lock);
  self->ending = TRUE;
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->thread);
  g_clear_object (&self->cancellable);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}

void
cis_deadline_begin (CisDeadline *self, GCancellable *cancellable, gint64 time)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_set_object (&self->cancellable, cancellable);
  self->at = g_get_monotonic_time () + time;
  self->over = FALSE;
  g_cond_signal (&self->changed);
}

void
cis_deadline_put_off (CisDeadline *self, gint64 time)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->at = g_get_monotonic_time () + time;
}

gboolean
cis_deadline_end (CisDeadline *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_clear_object (&self->cancellable);
  return self->over;
}
