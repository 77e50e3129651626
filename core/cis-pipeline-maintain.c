/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When the parts clean up: each once as the pipeline starts, and then as often as it says. */

#include "cis-pipeline-private.h"

/* After a maintain() that failed. */
#define MAINTAIN_RETRY G_TIME_SPAN_HOUR

/* `--once` waits for the first pass of each. */
static void
note_maintained (CisPipeline *self, CisPart *part)
{
  g_mutex_lock (&self->lock);
  if (g_hash_table_remove (self->unmaintained, part))
    g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static gboolean
maintain (gpointer data)
{
  CisPart *part = data;
  CisPipeline *self = cis_part_get_pipeline (part);
  g_autoptr (GError) error = NULL;
  gint64 again = cis_part_maintain (part, self->work, &error);

  note_maintained (self, part);
  if (again < 0 && g_error_matches (error, CIS_ERROR, CIS_ERROR_FATAL))
    {
      cis_pipeline_fail (self, g_steal_pointer (&error));
      return G_SOURCE_REMOVE;
    }
  if (again < 0)
    {
      if (!g_cancellable_is_cancelled (self->work))
        cis_part_log (part, NULL, G_LOG_LEVEL_WARNING, NULL, "%s: clean-up: %s", cis_part_get_name (part),
                      error != NULL ? error->message : "no reason given");
      again = MAINTAIN_RETRY;
    }
  if (again > 0)
    cis_housekeeping_add (self->housekeeping, again, maintain, part);
  return G_SOURCE_REMOVE;
}

static void
start_maintaining (CisPipeline *self, CisPart *part)
{
  if (!cis_part_maintains (part))
    return;
  g_mutex_lock (&self->lock);
  g_hash_table_add (self->unmaintained, part);
  g_mutex_unlock (&self->lock);
  cis_housekeeping_add (self->housekeeping, 0, maintain, part);
}

void
cis_pipeline_start_maintaining (CisPipeline *self)
{
  start_maintaining (self, CIS_PART (self->source));
  for (guint i = 0; i < self->steps->len; i++)
    start_maintaining (self, CIS_PART (cis_pipeline_get_step (self, i)->stage));
}

/* A run from cron(8) that ended before would never clean up. */
gboolean
cis_pipeline_must_clean_up (CisPipeline *self)
{
  return self->once && g_hash_table_size (self->unmaintained) > 0 && !g_cancellable_is_cancelled (self->work);
}
