/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-housekeeping.h"

struct _CisHousekeeping
{
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;
};

static gpointer
run (gpointer data)
{
  CisHousekeeping *self = data;

  /* Not pushed as the thread's default: libsoup's synchronous calls ask for a client certificate in that
   * context, and would wait for ever for the thread that waits for them. */
  g_main_loop_run (self->loop);
  return NULL;
}

CisHousekeeping *
cis_housekeeping_new (void)
{
  CisHousekeeping *self = g_new0 (CisHousekeeping, 1);

  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  self->thread = g_thread_new ("housekeeping", run, self);
  return self;
}

static gboolean
quit (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

void
cis_housekeeping_add (CisHousekeeping *self, gint64 delay, GSourceFunc function, gpointer data)
{
  g_autoptr (GSource) source = g_timeout_source_new ((guint) MIN (delay / 1000, G_MAXINT));

  g_source_set_callback (source, function, data, NULL);
  g_source_attach (source, self->context);
}

void
cis_housekeeping_free (CisHousekeeping *self)
{
  /* Not g_main_loop_quit() from here: it would be lost where the thread has not begun its loop yet. */
  cis_housekeeping_add (self, 0, quit, self->loop);
  g_thread_join (self->thread);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
  g_free (self);
}
