/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands: told when it is raised and when it is over, and handed on to the pipeline that a reload
 * makes. */

#include "cis-pipeline-private.h"

/* A stage is the same in the next configuration if it is of the same name and plugin. */
static char *
get_owner (CisPart *part)
{
  return g_strjoin (" ", cis_part_get_name (part), cis_part_get_plugin (part), NULL);
}

static void
log_finding (CisPart *part, CisFinding *finding, gboolean cleared)
{
  static const GLogLevelFlags levels[] = { G_LOG_LEVEL_INFO, G_LOG_LEVEL_WARNING, G_LOG_LEVEL_CRITICAL };
  const char *fix = cis_finding_get_fix (finding);

  if (cleared)
    cis_part_log (part, NULL, G_LOG_LEVEL_MESSAGE, CIS_MESSAGE_FINDING, "%s: over: %s",
                  cis_finding_get_id (finding), cis_finding_get_summary (finding));
  else
    cis_part_log (part, NULL, levels[cis_finding_get_severity (finding)], CIS_MESSAGE_FINDING, "%s: %s%s%s",
                  cis_finding_get_id (finding), cis_finding_get_summary (finding), fix != NULL ? "\n" : "",
                  fix != NULL ? fix : "");
}

void
cis_pipeline_raise (CisPipeline *self, CisPart *part, CisFinding *finding)
{
  g_autofree char *owner = get_owner (part);
  CisFindingChange change;

  if (!cis_findings_raise (self->findings, finding, owner, &change))
    return;
  log_finding (part, finding, FALSE);
  if (self->afterwards != NULL)
    cis_afterwards_push_finding (self->afterwards, finding, change);
}

static void
tell_cleared (CisPipeline *self, CisPart *part, CisFinding *finding)
{
  log_finding (part, finding, TRUE);
  if (self->afterwards != NULL)
    cis_afterwards_push_finding (self->afterwards, finding, CIS_FINDING_CLEARED);
}

void
cis_pipeline_clear (CisPipeline *self, CisPart *part, const char *id, const char *subject)
{
  g_autoptr (CisFinding) finding = cis_findings_clear (self->findings, id, subject);

  if (finding != NULL)
    tell_cleared (self, part, finding);
}

static void
clear_all (CisPipeline *self, CisPart *part, CisFindingsFunc is_over, gpointer user_data)
{
  g_autoptr (GPtrArray) over = cis_findings_take (self->findings, is_over, user_data);

  for (guint i = 0; i < over->len; i++)
    tell_cleared (self, part, over->pdata[i]);
}

typedef struct
{
  const char *owner;
  const char *id;
  CisSubjectFunc holds; /* nullable */
  gpointer user_data;
} Sweep;

static gboolean
is_swept (CisFinding *finding, const char *owner, gpointer user_data)
{
  const Sweep *sweep = user_data;

  return g_str_equal (owner, sweep->owner) && g_str_equal (cis_finding_get_id (finding), sweep->id) &&
         (sweep->holds == NULL || !sweep->holds (sweep->user_data, cis_finding_get_subject (finding)));
}

void
cis_pipeline_clear_unless (CisPipeline *self, CisPart *part, const char *id, CisSubjectFunc holds,
                           gpointer user_data)
{
  g_autofree char *owner = get_owner (part);
  Sweep sweep = { owner, id, holds, user_data };

  clear_all (self, part, is_swept, &sweep);
}

static gboolean
is_orphan (CisFinding *finding, const char *owner, gpointer user_data)
{
  return !g_strv_contains (user_data, owner);
}

void
cis_pipeline_clear_orphans (CisPipeline *self)
{
  g_autoptr (GPtrArray) owners = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (owners, get_owner (CIS_PART (self->source)));
  for (guint i = 0; i < self->steps->len; i++)
    g_ptr_array_add (owners, get_owner (CIS_PART (cis_pipeline_get_step (self, i)->stage)));
  g_ptr_array_add (owners, NULL);
  clear_all (self, NULL, is_orphan, owners->pdata);
}

/* Where the stage that held the old one is there again, its first item is a probe, and tells whether that is
 * over. One that takes over again, as its successor did not open, may have a hold of its own, that the
 * successor had no stage for. */
static void
inherit_hold (CisPipeline *self, CisPipeline *from)
{
  g_autofree char *holder = NULL;

  if (!from->hold.held)
    return;
  holder = get_owner (CIS_PART (cis_pipeline_get_step (from, from->hold.step)->stage));
  for (guint i = 0; i < self->steps->len; i++)
    {
      g_autofree char *owner = get_owner (CIS_PART (cis_pipeline_get_step (self, i)->stage));

      if (!g_str_equal (owner, holder))
        continue;
      self->hold.held = TRUE;
      self->hold.step = i;
      self->hold.n_probes = from->hold.n_probes;
      self->hold.until = 0;
      g_set_object (&self->hold.finding, from->hold.finding);
    }
}

void
cis_pipeline_inherit (CisPipeline *self, CisPipeline *from)
{
  cis_findings_inherit (self->findings, from->findings);
  inherit_hold (self, from);
}
