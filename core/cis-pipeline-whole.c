/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What only the whole of a pipeline shows: each stage may be right,
 * and their order or their folders wrong. */

#include "cis-pipeline-build.h"

#include "cis-suggestion.h"

static gboolean
can_reach (CisSource *source, CisStage *stage)
{
  for (const GType *type = CIS_SOURCE_GET_CLASS (source)->item_types; *type != 0; type++)
    if (g_type_is_a (*type, CIS_STAGE_GET_CLASS (stage)->item_type))
      return TRUE;
  return FALSE;
}

static void
add_names (GPtrArray *names, const char *const *more)
{
  for (; more != NULL && *more != NULL; more++)
    g_ptr_array_add (names, (gpointer) *more);
}

static gboolean
has_name (GPtrArray *names, const char *name)
{
  return g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL);
}

static void
check_order (CisBuild *build, CisPipeline *self)
{
  g_autoptr (GPtrArray) provided = g_ptr_array_new ();

  add_names (provided, CIS_SOURCE_GET_CLASS (self->source)->provides);
  for (guint i = 0; i < self->steps->len; i++)
    {
      CisStep *step = cis_pipeline_get_step (self, i);
      CisStageClass *klass = CIS_STAGE_GET_CLASS (step->stage);
      const char *name = cis_part_get_name (CIS_PART (step->stage));

      if (!can_reach (self->source, step->stage))
        cis_build_complain (build, "stage-unreachable", name, NULL,
                            "[%s] is made for %s items, but the source [%s] emits none: no item can reach it",
                            name, g_type_name (klass->item_type) + strlen ("Cis"),
                            cis_part_get_name (CIS_PART (self->source)));
      for (const char *const *need = klass->needs; need != NULL && *need != NULL; need++)
        if (!has_name (provided, *need))
          {
            CisFinding *finding =
                cis_build_complain (build, "stage-order", "pipeline", "stages",
                                    "[%s] needs an item's %s, but no stage before it in stages= gives one",
                                    name, *need);

            cis_finding_set_fix (finding,
                                 "# a plugin that provides “%s” has to stand before %s in stages=; what "
                                 "there is:\ncis490 inspect",
                                 *need, name);
          }
      if (step->when == CIS_WHEN_PASSED)
        add_names (provided, klass->provides);
    }
}

/* ---- a host's state folder ---- */

/* Core knows no plugin; whatever works in a host's state folder has this option. */
static char *
get_state (CisPart *part)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (part), "state");
  g_autofree char *state = NULL;

  if (pspec == NULL || pspec->value_type != G_TYPE_STRING)
    return NULL;
  g_object_get (part, "state", &state, NULL);
  return state != NULL ? g_canonicalize_filename (state, NULL) : NULL;
}

/* Else the episodes of one folder would be shipped, and those of the same names in another be retired. */
static void
check_states (CisBuild *build, CisPipeline *self)
{
  CisPart *first = CIS_PART (self->source);
  g_autofree char *state = get_state (first);

  for (guint i = 0; i < self->steps->len; i++)
    {
      CisPart *part = CIS_PART (cis_pipeline_get_step (self, i)->stage);
      g_autofree char *its = get_state (part);

      if (its == NULL)
        continue;
      if (state == NULL)
        {
          state = g_steal_pointer (&its);
          first = part;
        }
      else if (!g_str_equal (its, state))
        cis_build_complain_of_value (
            build, "config-bad-value", cis_part_get_name (part),
            g_object_class_find_property (G_OBJECT_GET_CLASS (part), "state"),
            "[%s] state=%s, but [%s] state=%s: all of a pipeline work in one folder; say the same in each "
            "group, or nothing in any",
            cis_part_get_name (part), its, cis_part_get_name (first), state);
    }
}

/* Two pipelines that pack, ship and retire the same episodes would remove each other's tarballs. */
static void
check_lock (CisBuild *build, CisPipeline *self)
{
  GObjectClass *klass = G_OBJECT_GET_CLASS (self->source);
  GParamSpec *pspec = g_object_class_find_property (klass, "lock");
  gboolean lock = TRUE;

  if (pspec != NULL && pspec->value_type == G_TYPE_BOOLEAN)
    g_object_get (self->source, "lock", &lock, NULL);
  for (guint i = 0; i < self->steps->len && !lock; i++)
    {
      CisStage *stage = cis_pipeline_get_step (self, i)->stage;
      CisStageClass *stage_class = CIS_STAGE_GET_CLASS (stage);

      if (stage_class->needs == NULL && stage_class->provides == NULL)
        continue;
      cis_build_complain_of_value (
          build, "config-bad-value", cis_part_get_name (CIS_PART (self->source)), pspec,
          "[%s] lock=false is for a pipeline that judges and quarantines only, but [%s] works on what "
          "another pipeline may work on too; remove the line, or [%s] from stages=",
          cis_part_get_name (CIS_PART (self->source)), cis_part_get_name (CIS_PART (stage)),
          cis_part_get_name (CIS_PART (stage)));
      return;
    }
}

/* Core knows no plugin; whatever only tells what it would do with a rejected item has this option. */
static gboolean
is_dry_run (CisStage *stage)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (stage), "dry-run");
  gboolean dry_run = FALSE;

  if (pspec != NULL && pspec->value_type == G_TYPE_BOOLEAN)
    g_object_get (stage, "dry-run", &dry_run, NULL);
  return dry_run;
}

/* Its remedies would name what is not there. */
static void
find_dry_run (CisPipeline *self)
{
  for (guint i = 0; i < self->steps->len; i++)
    {
      const CisStep *step = cis_pipeline_get_step (self, i);

      self->dry_run |= step->when == CIS_WHEN_REJECTED && is_dry_run (step->stage);
    }
}

/* A warning only: who wants a host without a quarantine may have one. */
static void
check_rejected (CisBuild *build, CisPipeline *self)
{
  g_autofree char *state = get_state (CIS_PART (self->source));
  g_autofree char *where = cis_config_where (build->config, "pipeline", "stages");
  g_autofree char *edit = NULL;
  CisFinding *finding;

  if (state == NULL)
    return;
  for (guint i = 0; i < self->steps->len; i++)
    if (cis_pipeline_get_step (self, i)->when == CIS_WHEN_REJECTED)
      return;
  finding = cis_build_warn (build, "quarantine-missing", where,
                            "no stage has when=rejected: an episode that is rejected stays where it is, and "
                            "[%s] brings it again and again",
                            cis_part_get_name (CIS_PART (self->source)));
  edit = g_strdup (cis_finding_get_fix (finding));
  cis_finding_set_fix (finding,
                       "# “quarantine” in stages=, and a group [quarantine] with plugin=store/quarantine%s%s",
                       edit != NULL ? "\n" : "", edit != NULL ? edit : "");
}

void
cis_build_check_whole (CisBuild *build, CisPipeline *self)
{
  check_order (build, self);
  check_states (build, self);
  check_lock (build, self);
  find_dry_run (self);
  check_rejected (build, self);
}

/* A group that stages= does not name: harmless where it is a whole one (a drop-in took it out), else a
 * misspelling. */
void
cis_build_check_groups (CisBuild *build, const char *const *stages)
{
  g_auto (GStrv) groups = cis_config_get_groups (build->config);

  for (char **group = groups; *group != NULL; group++)
    {
      g_autofree char *plugin = cis_config_get_raw (build->config, *group, "plugin");
      g_autofree char *where = NULL;
      CisFinding *finding;
      const char *nearest;

      if (g_str_equal (*group, "pipeline") || g_strv_contains (stages, *group))
        continue;
      nearest = cis_nearest_name (*group, stages);
      /* Then it is stages= that is misspelled, which is said there. */
      if (plugin != NULL && nearest != NULL && !g_strv_contains ((const char *const *) groups, nearest))
        continue;
      if (plugin == NULL || nearest != NULL)
        {
          finding = cis_build_complain (build, "config-unknown-group", *group, NULL,
                                        "there is no stage “%s” in stages=%s%s%s", *group,
                                        nearest != NULL ? "; did you mean [" : "",
                                        nearest != NULL ? nearest : "", nearest != NULL ? "]?" : "");
          if (nearest != NULL)
            cis_finding_suggest_word (finding, *group, nearest);
          continue;
        }
      where = cis_config_where (build->config, *group, NULL);
      cis_build_warn (build, "group-unused", where, "[%s] is not in stages=, so it does nothing", *group);
    }
}

/* Core knows no plugin: an option that is ${STATE_DIRECTORY} where nobody says otherwise names one. */
static void
add_states (CisPart *part, GPtrArray *states)
{
  guint n = 0;
  g_autofree GParamSpec **options = g_object_class_list_properties (G_OBJECT_GET_CLASS (part), &n);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *state = NULL;

      if (!G_IS_PARAM_SPEC_STRING (options[i]) ||
          g_strcmp0 (G_PARAM_SPEC_STRING (options[i])->default_value, "${STATE_DIRECTORY}") != 0)
        continue;
      g_object_get (part, options[i]->name, &state, NULL);
      if (state != NULL)
        g_ptr_array_add (states, g_steal_pointer (&state));
    }
}

GPtrArray *
cis_pipeline_list_states (CisPipeline *self)
{
  g_autoptr (GPtrArray) states = g_ptr_array_new_with_free_func (g_free);

  add_states (CIS_PART (self->source), states);
  for (guint i = 0; i < self->steps->len; i++)
    add_states (CIS_PART (cis_pipeline_get_step (self, i)->stage), states);
  return g_steal_pointer (&states);
}
