/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a pipeline tells of itself, while it runs and afterwards. */

#include "cis-journey.h"

GArray *
cis_pipeline_list_steps (CisPipeline *self)
{
  GArray *steps;

  g_mutex_lock (&self->lock);
  steps = g_array_new (FALSE, FALSE, sizeof (CisStep));
  g_array_append_vals (steps, self->steps->data, self->steps->len);
  g_mutex_unlock (&self->lock);
  return steps;
}

CisStage *
cis_pipeline_find_provider (CisPipeline *self, const char *name)
{
  for (guint i = 0; i < self->steps->len; i++)
    {
      CisStep *step = cis_pipeline_get_step (self, i);
      const char *const *provides = CIS_STAGE_GET_CLASS (step->stage)->provides;

      if (step->when == CIS_WHEN_PASSED && provides != NULL && g_strv_contains (provides, name))
        return step->stage;
    }
  return NULL;
}

static void
activity_free (gpointer data)
{
  CisActivity *activity = data;

  g_free (activity->item);
  g_free (activity);
}

GPtrArray *
cis_pipeline_list_activities (CisPipeline *self)
{
  GPtrArray *activities = g_ptr_array_new_with_free_func (activity_free);
  GHashTableIter iter;
  gpointer journey;

  g_mutex_lock (&self->lock);
  g_hash_table_iter_init (&iter, self->active);
  while (g_hash_table_iter_next (&iter, &journey, NULL))
    g_ptr_array_add (activities, cis_journey_get_activity (journey));
  g_mutex_unlock (&self->lock);
  return activities;
}

int
cis_pipeline_get_exit_status (CisPipeline *self)
{
  if (self->error != NULL)
    return cis_error_exit_status (self->error);
  if (!self->once)
    return 0;
  if (self->n_rejected > 0)
    return 65;
  return self->n_deferred > 0 || self->n_waiting > 0 ? 75 : 0;
}

gboolean
cis_pipeline_is_outdated (CisPipeline *self)
{
  return self->outdated;
}
