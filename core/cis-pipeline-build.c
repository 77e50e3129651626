/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From an ini to parts that are ready to be opened. Daemon and `cis490 check` come through here, so that both say the same. */

#include "cis-pipeline-private.h"

#include "cis-plugin.h"
#include "cis-suggestion.h"

#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  CisConfig *config;
  GPtrArray *findings; /* of CisFinding */
  guint n_errors;
} Build;

/* The values of one object's construct properties. */
typedef struct
{
  GPtrArray *names; /* static strings */
  GArray *values;   /* of GValue */
} Values;

G_GNUC_PRINTF (5, 6)
static CisFinding *
complain (Build *build, const char *id, const char *group, const char *key, const char *format, ...)
{
  g_autofree char *where = cis_config_where (build->config, group, key);
  g_autofree char *summary = NULL;
  CisFinding *finding;
  va_list args;

  va_start (args, format);
  summary = g_strdup_vprintf (format, args);
  va_end (args);
  finding = cis_finding_new (id, CIS_SEVERITY_ERROR, where, "%s", summary);
  cis_finding_suggest_edit (finding);
  g_ptr_array_add (build->findings, finding);
  build->n_errors++;
  return finding;
}

static void
values_add (Values *values, const char *name, const GValue *value)
{
  g_ptr_array_add (values->names, (gpointer) name);
  g_array_append_vals (values->values, value, 1);
}

static void
values_init (Values *values)
{
  values->names = g_ptr_array_new ();
  values->values = g_array_new (FALSE, TRUE, sizeof (GValue));
  g_array_set_clear_func (values->values, (GDestroyNotify) g_value_unset);
}

static void
values_clear (Values *values)
{
  g_ptr_array_unref (values->names);
  g_array_unref (values->values);
}

/* What is named must be readable now, by whoever runs this; a secret by nobody else. */
static void
check_file (Build *build, const char *group, GParamSpec *pspec, const char *path)
{
  struct stat info;

  if (access (path, R_OK) != 0 || stat (path, &info) != 0)
    {
      CisFinding *finding = complain (build, "file-unreadable", group, pspec->name, "%s=%s cannot be read by %s: %s",
                                      pspec->name, path, g_get_user_name (), g_strerror (errno));

      cis_finding_suggest_access (finding, path);
    }
  else if (cis_option_has (pspec, CIS_PARAM_SECRET) && (info.st_mode & (S_IROTH | S_IWOTH)) != 0)
    {
      CisFinding *finding = complain (build, "secret-exposed", group, pspec->name,
                                      "%s=%s is a secret that everybody on this machine can read or write", pspec->name, path);

      cis_finding_set_fix (finding, "chmod o-rwx '%s'", path);
    }
}

static void
set_option (Build *build, const char *group, GParamSpec *pspec, const char *text, Values *values)
{
  g_autoptr (GError) error = NULL;
  GValue value = G_VALUE_INIT;

  /* Only a default such as "${ca-file:-}" comes empty, and means none. */
  if (text[0] == '\0' && pspec->value_type == G_TYPE_STRING)
    {
      values_add (values, pspec->name, g_value_init (&value, G_TYPE_STRING));
      return;
    }
  if (!cis_option_parse (pspec, text, &value, &error))
    {
      complain (build, "config-bad-value", group, pspec->name, "[%s] %s=%s %s", group, pspec->name, text, error->message);
      return;
    }
  values_add (values, pspec->name, &value);
  if (cis_option_has (pspec, CIS_PARAM_FILE))
    check_file (build, group, pspec, text);
}

static void
set_default (Build *build, const char *group, GParamSpec *pspec, Values *values)
{
  g_autofree char *text = cis_option_describe_default (pspec);
  g_autofree char *expanded = NULL;
  g_autoptr (GError) error = NULL;

  if (cis_option_has (pspec, CIS_PARAM_REQUIRED))
    {
      complain (build, "config-missing-key", group, NULL, "[%s] needs “%s=…”: %s", group, pspec->name, g_param_spec_get_blurb (pspec));
      return;
    }
  if (pspec->value_type != G_TYPE_STRING || text == NULL)
    return;
  expanded = cis_config_expand (build->config, text, &error);
  if (expanded != NULL)
    set_option (build, group, pspec, expanded, values);
  else
    /* What the default names belongs into [site], not into the pipeline that was shipped. */
    cis_finding_set_fix (complain (build, "config-missing-key", group, NULL, "[%s] needs a “%s”: %s", group, pspec->name,
                                   error->message),
                         "# add what is said there to [site] of cis490.ini, then\ncis490 check %s",
                         cis_config_get_name (build->config));
}

static GParamSpec *
find_option (GPtrArray *options, const char *name)
{
  for (guint i = 0; i < options->len; i++)
    if (g_str_equal (((GParamSpec *) options->pdata[i])->name, name))
      return options->pdata[i];
  return NULL;
}

static void
complain_of_key (Build *build, const char *group, const char *key, GPtrArray *options, const char *const *more)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const char *nearest;

  for (guint i = 0; i < options->len; i++)
    g_ptr_array_add (names, (gpointer) ((GParamSpec *) options->pdata[i])->name);
  for (; *more != NULL; more++)
    g_ptr_array_add (names, (gpointer) *more);
  g_ptr_array_add (names, NULL);
  nearest = cis_nearest_name (key, (const char *const *) names->pdata);
  if (nearest != NULL)
    cis_finding_suggest_word (complain (build, "config-unknown-key", group, key, "[%s] has no key “%s”; did you mean “%s”?",
                                        group, key, nearest),
                              key, nearest);
  else
    {
      g_autofree char *all = g_strjoinv (", ", (char **) names->pdata);

      complain (build, "config-unknown-key", group, key, "[%s] has no key “%s”; there are: %s", group, key, all);
    }
}

/* Every option of @klass from the group, or its default. @more: keys that are none of the class's; NULL-terminated. */
static void
read_group (Build *build, const char *group, GObjectClass *klass, const char *const *more, Values *values)
{
  g_autoptr (GPtrArray) options = cis_option_list (klass);
  g_auto (GStrv) keys = cis_config_get_keys (build->config, group);

  for (char **key = keys; *key != NULL; key++)
    {
      GParamSpec *pspec = find_option (options, *key);
      g_autoptr (GError) error = NULL;
      g_autofree char *text = NULL;

      if (g_strv_contains (more, *key))
        continue;
      if (pspec == NULL)
        {
          complain_of_key (build, group, *key, options, more);
          continue;
        }
      text = cis_config_get (build->config, group, *key, &error);
      if (text == NULL)
        complain (build, "config-bad-value", group, *key, "[%s] %s: %s", group, *key, error->message);
      /* Nothing between "=" and the line's end is the same as no such line. */
      else if (text[0] == '\0' && pspec->value_type == G_TYPE_STRING)
        set_default (build, group, pspec, values);
      else
        set_option (build, group, pspec, text, values);
    }
  for (guint i = 0; i < options->len; i++)
    if (!g_strv_contains ((const char *const *) keys, ((GParamSpec *) options->pdata[i])->name))
      set_default (build, group, options->pdata[i], values);
}

static GObject *
make (GType type, Values *values)
{
  return g_object_new_with_properties (type, values->names->len, (const char **) values->names->pdata,
                                       (const GValue *) values->values->data);
}

static void
read_when (Build *build, const char *group, CisPart *part)
{
  g_autofree char *text = cis_config_get_raw (build->config, group, "when");
  g_autoptr (GParamSpec) pspec
      = g_param_spec_ref_sink (g_param_spec_enum ("when", NULL, NULL, CIS_TYPE_WHEN, CIS_WHEN_PASSED, CIS_PARAM_OPTION));
  g_autoptr (GError) error = NULL;
  g_auto (GValue) value = G_VALUE_INIT;

  if (text == NULL)
    return;
  if (!CIS_IS_STAGE (part))
    complain (build, "config-unknown-key", group, "when", "[%s] is the source: it has no “when”", group);
  else if (!cis_option_parse (pspec, g_strstrip (text), &value, &error))
    complain (build, "config-bad-value", group, "when", "[%s] when=%s %s", group, text, error->message);
  else
    cis_stage_set_when (CIS_STAGE (part), g_value_get_enum (&value));
}

/* A name in stages= that has no usable group. */
static void
complain_of_group (Build *build, const char *group, const GError *error)
{
  g_auto (GStrv) groups = cis_config_get_groups (build->config);
  const char *nearest = cis_nearest_name (group, (const char *const *) groups);

  if (error != NULL)
    complain (build, "config-bad-value", group, "plugin", "[%s] plugin: %s", group, error->message);
  else if (g_strv_contains ((const char *const *) groups, group))
    complain (build, "config-missing-key", group, NULL, "[%s] needs “plugin=family/name”; `cis490 inspect` lists what there is", group);
  else if (nearest != NULL)
    cis_finding_suggest_word (complain (build, "config-missing-key", "pipeline", "stages",
                                        "stages= names “%s”, and there is no group [%s]; did you mean “%s”?", group, group,
                                        nearest),
                              group, nearest);
  else
    complain (build, "config-missing-key", "pipeline", "stages",
              "stages= names “%s”, and there is no group [%s] with “plugin=family/name”", group, group);
}

/* %NULL where something is wrong, which is said. full. */
static CisPart *
make_part (Build *build, const char *group)
{
  static const char *const more[] = { "plugin", "when", NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *name = cis_config_get (build->config, group, "plugin", &error);
  const CisPlugin *plugin;
  g_autoptr (GTypeClass) klass = NULL;
  guint n_errors = build->n_errors;
  Values values;
  CisPart *part = NULL;

  if (name == NULL)
    {
      complain_of_group (build, group, error);
      return NULL;
    }
  plugin = cis_plugin_load (name, &error);
  if (plugin == NULL)
    {
      CisFinding *finding = complain (build, "plugin-not-loaded", group, "plugin", "[%s] plugin=%s: %s", group, name, error->message);
      g_autofree char *edit = g_strdup (cis_finding_get_fix (finding));

      cis_finding_set_fix (finding, "# all plugins that there are:\ncis490 inspect%s%s", edit != NULL ? "\n" : "",
                           edit != NULL ? edit : "");
      return NULL;
    }

  klass = g_type_class_ref (plugin->type);
  values_init (&values);
  read_group (build, group, G_OBJECT_CLASS (klass), more, &values);
  if (build->n_errors == n_errors)
    {
      GValue text = G_VALUE_INIT;

      g_value_set_string (g_value_init (&text, G_TYPE_STRING), group);
      values_add (&values, "name", &text);
      part = CIS_PART (make (plugin->type, &values));
      cis_part_set_plugin (part, plugin->descriptor->name);
      read_when (build, group, part);
      if (!cis_part_validate (part, &error))
        complain (build, "config-bad-value", group, NULL, "[%s] %s", group, error->message);
    }
  values_clear (&values);
  return part;
}

static void
add_part (Build *build, CisPipeline *self, const char *group, gboolean is_first)
{
  g_autoptr (CisPart) part = make_part (build, group);

  if (part == NULL)
    return;
  if (CIS_IS_SOURCE (part) != is_first)
    {
      complain (build, "stage-order", "pipeline", "stages",
                is_first ? "stages= begins with “%s”, which is no source; the first one must be one (scan/…, transport/accept)"
                         : "“%s” is a source: only the first of stages= can be one", group);
      return;
    }
  cis_part_set_pipeline (part, self);
  if (is_first)
    self->source = CIS_SOURCE (g_steal_pointer (&part));
  else
    {
      CisStep step = { .stage = CIS_STAGE (g_steal_pointer (&part)) };

      step.when = cis_stage_get_when (step.stage);
      g_array_append_val (self->steps, step);
    }
}

/* ---- what only the whole shows ---- */

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
check_order (Build *build, CisPipeline *self)
{
  g_autoptr (GPtrArray) provided = g_ptr_array_new ();

  add_names (provided, CIS_SOURCE_GET_CLASS (self->source)->provides);
  for (guint i = 0; i < self->steps->len; i++)
    {
      CisStep *step = cis_pipeline_get_step (self, i);
      CisStageClass *klass = CIS_STAGE_GET_CLASS (step->stage);
      const char *name = cis_part_get_name (CIS_PART (step->stage));

      if (!can_reach (self->source, step->stage))
        complain (build, "stage-unreachable", name, NULL, "[%s] is made for %s items, but the source [%s] emits none: no item can reach it",
                  name, g_type_name (klass->item_type) + strlen ("Cis"), cis_part_get_name (CIS_PART (self->source)));
      for (const char *const *need = klass->needs; need != NULL && *need != NULL; need++)
        if (!has_name (provided, *need))
          {
            CisFinding *finding = complain (build, "stage-order", "pipeline", "stages",
                                            "[%s] needs an item's %s, but no stage before it in stages= gives one", name, *need);

            cis_finding_set_fix (finding, "# a plugin that provides “%s” has to stand before %s in stages=; what there is:\ncis490 inspect",
                                 *need, name);
          }
      if (step->when == CIS_WHEN_PASSED)
        add_names (provided, klass->provides);
    }
}

/* A group that stages= does not name: harmless where it is a whole one (a drop-in took it out), else a misspelling. */
static void
check_groups (Build *build, const char *const *stages)
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
          finding = complain (build, "config-unknown-group", *group, NULL, "there is no stage “%s” in stages=%s%s%s", *group,
                              nearest != NULL ? "; did you mean [" : "", nearest != NULL ? nearest : "",
                              nearest != NULL ? "]?" : "");
          if (nearest != NULL)
            cis_finding_suggest_word (finding, *group, nearest);
          continue;
        }
      where = cis_config_where (build->config, *group, NULL);
      finding = cis_finding_new ("group-unused", CIS_SEVERITY_WARNING, where, "[%s] is not in stages=, so it does nothing",
                                 *group);
      cis_finding_suggest_edit (finding);
      g_ptr_array_add (build->findings, finding);
    }
}

static void
check_site (Build *build)
{
  g_autofree char *key = NULL;
  g_autofree char *where = NULL;
  const char *meant = cis_config_find_site_mistake (build->config, &key, &where);
  CisFinding *finding;

  if (meant == NULL)
    return;
  finding = cis_finding_new ("config-unknown-key", CIS_SEVERITY_ERROR, where, "[site] has no key “%s”; did you mean “%s”?",
                             key, meant);
  cis_finding_suggest_word (finding, key, meant);
  g_ptr_array_add (build->findings, finding);
  build->n_errors++;
}

static GStrv
read_stages (Build *build)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = cis_config_get (build->config, "pipeline", "stages", &error);
  g_autoptr (GParamSpec) pspec
      = g_param_spec_ref_sink (g_param_spec_boxed ("stages", NULL, NULL, G_TYPE_STRV, CIS_PARAM_OPTION));
  g_auto (GValue) value = G_VALUE_INIT;
  g_auto (GStrv) stages = NULL;

  if (text == NULL || !cis_option_parse (pspec, text, &value, &error) || g_strv_length (g_value_get_boxed (&value)) < 2)
    {
      complain (build, "config-missing-key", "pipeline", "stages", "[pipeline] needs “stages=SOURCE;STAGE;…”%s%s",
                error != NULL ? ": " : "", error != NULL ? error->message : "");
      return NULL;
    }
  stages = g_value_dup_boxed (&value);
  for (guint i = 0; stages[i] != NULL; i++)
    for (guint j = 0; j < i; j++)
      if (g_str_equal (stages[i], stages[j]))
        {
          complain (build, "stage-order", "pipeline", "stages", "stages= names “%s” twice; give the second one a group of its own",
                    stages[i]);
          return NULL;
        }
  return g_steal_pointer (&stages);
}

CisPipeline *
cis_pipeline_new (CisConfig *config, GPtrArray *findings)
{
  static const char *const more[] = { "stages", NULL };
  Build build = { config, findings, 0 };
  g_autoptr (GTypeClass) klass = g_type_class_ref (CIS_TYPE_PIPELINE);
  g_autoptr (CisPipeline) self = NULL;
  g_auto (GStrv) stages = NULL;
  Values values;

  values_init (&values);
  check_site (&build);
  read_group (&build, "pipeline", G_OBJECT_CLASS (klass), more, &values);
  self = CIS_PIPELINE (make (CIS_TYPE_PIPELINE, &values));
  values_clear (&values);
  self->name = g_strdup (cis_config_get_name (config));

  stages = read_stages (&build);
  if (stages == NULL)
    return NULL;
  check_groups (&build, (const char *const *) stages);
  for (guint i = 0; stages[i] != NULL; i++)
    add_part (&build, self, stages[i], i == 0);
  if (build.n_errors == 0)
    check_order (&build, self);
  return build.n_errors == 0 ? g_steal_pointer (&self) : NULL;
}

GPtrArray *
cis_pipeline_list_options (void)
{
  g_autoptr (GTypeClass) klass = g_type_class_ref (CIS_TYPE_PIPELINE);

  return cis_option_list (G_OBJECT_CLASS (klass));
}
