/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include "options.h"

#include "terminal.h"

#include <glib/gi18n.h>

/* Before a bar is shown. */
#define QUICK    (400 * G_TIME_SPAN_MILLISECOND)
#define BARS_MAX 8
#define ITEM_MAX 24

static char *
format_bar (const CisActivity *activity, guint width)
{
  double fraction = CLAMP ((double) activity->done / (double) activity->total, 0, 1);
  double seconds = MAX ((double) (g_get_monotonic_time () - activity->since) / G_USEC_PER_SEC, 0.001);
  g_autofree char *rate = g_format_size ((guint64) ((double) activity->done / seconds));
  GString *line = g_string_new (NULL);
  guint cells = width > 70 ? MIN (width - 60, 40) : 10;
  gboolean cut = strlen (activity->item) > ITEM_MAX;

  g_string_append_printf (line, "  %-8.8s %-*.*s%s ", activity->stage, cut ? ITEM_MAX - 1 : ITEM_MAX,
                          cut ? ITEM_MAX - 1 : ITEM_MAX, activity->item, cut ? "…" : "");
  for (guint i = 0; i < cells; i++)
    g_string_append (line, i < (guint) (fraction * cells) ? "█" : "░");
  g_string_append_printf (line, " %3.0f %%  %s/s\n", fraction * 100, rate);
  return g_string_free (line, FALSE);
}

void
progress_draw (GPtrArray *pipelines)
{
  g_autoptr (GString) lines = g_string_new (NULL);
  guint n = 0;

  for (guint i = 0; i < pipelines->len; i++)
    {
      g_autoptr (GPtrArray) activities = cis_pipeline_list_activities (pipelines->pdata[i]);

      for (guint j = 0; j < activities->len && n < BARS_MAX; j++)
        {
          CisActivity *activity = activities->pdata[j];
          g_autofree char *bar = NULL;

          if (activity->stage == NULL || activity->total == 0 ||
              g_get_monotonic_time () - activity->since < QUICK)
            continue;
          bar = format_bar (activity, terminal_get_width ());
          g_string_append (lines, bar);
          n++;
        }
    }
  terminal_set_status (n > 0 ? lines->str : NULL);
}

static char *
format_time (gint64 time)
{
  if (time < G_TIME_SPAN_SECOND)
    return g_strdup_printf ("%.1f ms", (double) time / 1000);
  return g_strdup_printf ("%.2f s", (double) time / G_USEC_PER_SEC);
}

void
progress_print_summary (CisPipeline *pipeline)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);

  g_print ("%-14s %9s %9s %9s %9s %9s %10s\n", cis_pipeline_get_name (pipeline), _ ("seen"), _ ("passed"),
           _ ("rejected"), _ ("deferred"), _ ("failed"), _ ("time"));
  for (guint i = 0; i < steps->len; i++)
    {
      const CisStep *step = &g_array_index (steps, CisStep, i);
      g_autofree char *time = format_time (step->time);

      if (step->when == CIS_WHEN_AFTERWARDS)
        continue;
      g_print ("  %-12s %9" G_GUINT64_FORMAT " %9" G_GUINT64_FORMAT " %9" G_GUINT64_FORMAT
               " %9" G_GUINT64_FORMAT " %9" G_GUINT64_FORMAT " %10s\n",
               cis_part_get_name (CIS_PART (step->stage)), step->n_seen, step->n_passed, step->n_rejected,
               step->n_deferred, step->n_failed, time);
    }
}

void
progress_print_json (CisPipeline *pipeline, int status)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);
  g_autoptr (JsonObject) object = json_object_new ();
  JsonArray *stages = json_array_new ();

  json_object_set_string_member (object, "pipeline", cis_pipeline_get_name (pipeline));
  json_object_set_int_member (object, "status", status);
  for (guint i = 0; i < steps->len; i++)
    {
      const CisStep *step = &g_array_index (steps, CisStep, i);
      JsonObject *stage = json_object_new ();

      json_object_set_string_member (stage, "name", cis_part_get_name (CIS_PART (step->stage)));
      json_object_set_int_member (stage, "seen", (gint64) step->n_seen);
      json_object_set_int_member (stage, "passed", (gint64) step->n_passed);
      json_object_set_int_member (stage, "rejected", (gint64) step->n_rejected);
      json_object_set_int_member (stage, "deferred", (gint64) step->n_deferred);
      json_object_set_int_member (stage, "failed", (gint64) step->n_failed);
      json_object_set_int_member (stage, "time_us", step->time);
      json_array_add_object_element (stages, stage);
    }
  json_object_set_array_member (object, "stages", stages);
  options_print_json (object);
}

void
progress_log (CisPipeline *pipeline)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);

  for (guint i = 0; i < steps->len; i++)
    {
      const CisStep *step = &g_array_index (steps, CisStep, i);
      g_autofree char *time = format_time (step->time);

      if (step->when == CIS_WHEN_AFTERWARDS)
        continue;
      cis_part_log (CIS_PART (step->stage), NULL, G_LOG_LEVEL_MESSAGE, NULL,
                    "%s: %s: %" G_GUINT64_FORMAT " seen, %" G_GUINT64_FORMAT " passed, %" G_GUINT64_FORMAT
                    " rejected, %" G_GUINT64_FORMAT " deferred, %" G_GUINT64_FORMAT " failed, %s",
                    cis_pipeline_get_name (pipeline), cis_part_get_name (CIS_PART (step->stage)),
                    step->n_seen, step->n_passed, step->n_rejected, step->n_deferred, step->n_failed, time);
    }
}
