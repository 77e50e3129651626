/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From an ini to parts that are ready to be opened. Daemon and `cis490 check` come through here, so that both
 * say the same. */

#include "cis-pipeline-build.h"

#include "cis-fix.h"
#include "cis-owner.h"
#include "cis-plugin.h"
#include "cis-suggestion.h"

#include <fcntl.h>

/* The values of one object's construct properties. */
typedef struct
{
  GPtrArray *names; /* static strings */
  GArray *values;   /* of GValue */
} Values;

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

static void
check_secret (CisBuild *build, const char *group, GParamSpec *pspec, const char *path,
              const struct stat *info)
{
  g_autofree char *fix = NULL;
  g_autoptr (GError) error = NULL;
  CisFinding *finding;

  if ((info->st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0)
    {
      fix = cis_fix_exposed (path);
      finding =
          cis_build_complain_of_value (build, "secret-exposed", group, pspec,
                                       "[%s] %s=%s is a secret that others on this machine can read or write",
                                       group, pspec->name, path);
    }
  else if (!cis_owner_check (path, CIS_OWNERS_WRITER, &fix, &error))
    finding =
        cis_build_complain_of_value (build, "secret-exposed", group, pspec,
                                     "[%s] %s=%s is a secret that others on this machine can replace: %s",
                                     group, pspec->name, path, error->message);
  else
    return;
  cis_finding_set_fix (finding, "%s", fix != NULL ? fix : "");
}

/* What is named must be a file that whoever runs this can read now; a secret nobody else. */
static void
check_file (CisBuild *build, const char *group, GParamSpec *pspec, const char *path)
{
  g_autoptr (GError) error = NULL;
  struct stat info;
  int fd = cis_file_open (AT_FDCWD, path, O_RDONLY, &info, &error);

  if (fd < 0)
    {
      CisFinding *finding =
          cis_build_complain_of_value (build, "file-unreadable", group, pspec,
                                       "[%s] %s=%s cannot be read by %s: %s", group, pspec->name, path,
                                       g_get_user_name (), error->message);

      if (!g_error_matches (error, CIS_ERROR, CIS_ERROR_INVALID))
        cis_finding_suggest_access (finding, path);
    }
  else if (cis_option_has (pspec, CIS_PARAM_SECRET))
    check_secret (build, group, pspec, path, &info);
  cis_file_close (&fd, path, NULL); /* which nobody wrote to */
}

static void
set_option (CisBuild *build, const char *group, GParamSpec *pspec, const char *text, Values *values)
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
      cis_build_complain_of_value (build, "config-bad-value", group, pspec, "[%s] %s=%s %s", group,
                                   pspec->name, text, error->message);
      return;
    }
  values_add (values, pspec->name, &value);
  if (cis_option_has (pspec, CIS_PARAM_FILE))
    check_file (build, group, pspec, text);
}

/* @value: what is in force, of @text, a default or what the ini says. It may not be what somebody meant who
 * left nothing behind "key=". */
static void
warn_of_empty (CisBuild *build, const char *group, GParamSpec *pspec, const char *text, const char *value)
{
  g_autofree char *own = cis_config_get_raw (build->config, group, pspec->name);
  g_autofree char *variable = cis_config_find_variable (build->config, text, TRUE);
  g_autofree char *site = variable != NULL ? cis_config_get_site_raw (build->config, variable) : NULL;
  g_autofree char *where = NULL;

  if (value[0] == '\0')
    return;
  if (own != NULL && own[0] == '\0')
    {
      where = cis_config_where (build->config, group, pspec->name);
      cis_build_warn_of_empty (build, where, group, pspec->name, value);
    }
  else if (site != NULL && site[0] == '\0')
    {
      where = cis_config_where_site (build->config, variable);
      cis_build_warn_of_empty (build, where, "site", variable, value);
    }
}

static void
set_default (CisBuild *build, const char *group, GParamSpec *pspec, Values *values)
{
  g_autofree char *text = cis_option_describe_default (pspec);
  g_autofree char *expanded = NULL;
  g_autoptr (GError) error = NULL;

  if (cis_option_has (pspec, CIS_PARAM_REQUIRED))
    {
      cis_build_complain (build, "config-missing-key", group, NULL, "[%s] needs “%s=…”: %s", group,
                          pspec->name, g_param_spec_get_blurb (pspec));
      return;
    }
  if (pspec->value_type != G_TYPE_STRING || text == NULL)
    return;
  expanded = cis_config_expand (build->config, text, &error);
  if (expanded != NULL)
    {
      warn_of_empty (build, group, pspec, text, expanded);
      set_option (build, group, pspec, expanded, values);
    }
  else
    {
      g_autofree char *summary = g_strdup_printf ("[%s] needs “%s”: %s", group, pspec->name, error->message);

      cis_build_complain_of_variable (build, group, NULL, text, summary);
    }
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
complain_of_key (CisBuild *build, const char *group, const char *key, GPtrArray *options,
                 const char *const *more)
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
    cis_finding_suggest_word (cis_build_complain (build, "config-unknown-key", group, key,
                                                  "[%s] has no key “%s”; did you mean “%s”?", group, key,
                                                  nearest),
                              key, nearest);
  else
    {
      g_autofree char *all = g_strjoinv (", ", (char **) names->pdata);

      cis_build_complain (build, "config-unknown-key", group, key, "[%s] has no key “%s”; there are: %s",
                          group, key, all);
    }
}

/* @pspec: nullable, of a key that is no option. */
static gboolean
has_comment (CisBuild *build, const char *group, const char *key, GParamSpec *pspec)
{
  gboolean list = pspec != NULL ? pspec->value_type == G_TYPE_STRV : g_str_equal (key, "stages");
  g_autofree char *raw = cis_config_get_raw (build->config, group, key);
  g_autofree char *where = cis_config_where (build->config, group, key);

  return raw != NULL && (pspec == NULL || !cis_option_has (pspec, CIS_PARAM_PROSE)) &&
         cis_build_find_comment (build, where, group, key, raw, list ? "" : ";");
}

/* Every option of @klass from the group, or its default. @more: keys that are none of the class's;
 * NULL-terminated. */
static void
read_group (CisBuild *build, const char *group, GObjectClass *klass, const char *const *more, Values *values)
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
          /* Its value is shown to nobody: it may be a token. */
          complain_of_key (build, group, *key, options, more);
          continue;
        }
      if (has_comment (build, group, *key, pspec))
        continue;
      text = cis_config_get (build->config, group, *key, &error);
      if (text == NULL)
        {
          g_autofree char *raw = cis_config_get_raw (build->config, group, *key);
          g_autofree char *summary = g_strdup_printf ("[%s] %s: %s", group, *key, error->message);

          cis_build_complain_of_variable (build, group, *key, raw != NULL ? raw : "", summary);
        }
      /* Nothing between "=" and the line's end is the same as no such line; where there is a default, that is
       * told. */
      else if (text[0] == '\0' && pspec->value_type == G_TYPE_STRING)
        set_default (build, group, pspec, values);
      else
        {
          g_autofree char *raw = cis_config_get_raw (build->config, group, *key);

          warn_of_empty (build, group, pspec, raw, text);
          set_option (build, group, pspec, text, values);
        }
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
read_when (CisBuild *build, const char *group, CisPart *part)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = cis_config_get (build->config, group, "when", &error);
  g_autoptr (GParamSpec) pspec = g_param_spec_ref_sink (
      g_param_spec_enum ("when", NULL, NULL, CIS_TYPE_WHEN, CIS_WHEN_PASSED, CIS_PARAM_OPTION));
  g_auto (GValue) value = G_VALUE_INIT;

  if ((text == NULL && error == NULL) || has_comment (build, group, "when", NULL))
    return;
  if (text == NULL)
    cis_build_complain (build, "config-bad-value", group, "when", "[%s] when: %s", group, error->message);
  else if (!CIS_IS_STAGE (part))
    cis_build_complain (build, "config-unknown-key", group, "when", "[%s] is the source: it has no “when”",
                        group);
  else if (!cis_option_parse (pspec, text, &value, &error))
    cis_build_complain (build, "config-bad-value", group, "when", "[%s] when=%s %s", group, text,
                        error->message);
  else
    cis_stage_set_when (CIS_STAGE (part), g_value_get_enum (&value));
}

/* A name in stages= that has no usable group. */
static void
complain_of_group (CisBuild *build, const char *group, const GError *error)
{
  g_auto (GStrv) groups = cis_config_get_groups (build->config);
  const char *nearest = cis_nearest_name (group, (const char *const *) groups);

  if (error != NULL)
    cis_build_complain (build, "config-bad-value", group, "plugin", "[%s] plugin: %s", group, error->message);
  else if (g_strv_contains ((const char *const *) groups, group))
    cis_build_complain (build, "config-missing-key", group, NULL,
                        "[%s] needs “plugin=family/name”; `cis490 inspect` lists what there is", group);
  else if (nearest != NULL)
    cis_finding_suggest_word (
        cis_build_complain (build, "config-missing-key", "pipeline", "stages",
                            "stages= names “%s”, and there is no group [%s]; did you mean “%s”?", group,
                            group, nearest),
        group, nearest);
  else
    cis_build_complain (build, "config-missing-key", "pipeline", "stages",
                        "stages= names “%s”, and there is no group [%s] with “plugin=family/name”", group,
                        group);
}

/* What a plugin refuses names the option, as in "url=x is no …": the first that is named is to blame. */
static void
complain_of_part (CisBuild *build, const char *group, CisPart *part, const char *message)
{
  g_autoptr (GPtrArray) options = cis_option_list (G_OBJECT_GET_CLASS (part));
  const char *at = NULL;
  GParamSpec *blamed = NULL;

  for (guint i = 0; i < options->len; i++)
    {
      g_autofree char *named = g_strconcat (((GParamSpec *) options->pdata[i])->name, "=", NULL);
      const char *found = strstr (message, named);

      /* Of "key-file=" and "file=" the longer one begins first. */
      if (found != NULL && (at == NULL || found < at))
        {
          at = found;
          blamed = options->pdata[i];
        }
    }
  if (blamed != NULL)
    cis_build_complain_of_value (build, "config-bad-value", group, blamed, "[%s] %s", group, message);
  else
    cis_build_complain (build, "config-bad-value", group, NULL, "[%s] %s", group, message);
}

/* %NULL where something is wrong, which is said. full. */
static CisPart *
make_part (CisBuild *build, const char *group)
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
    complain_of_group (build, group, error);
  if (name == NULL || has_comment (build, group, "plugin", NULL))
    return NULL;
  plugin = cis_plugin_load (name, &error);
  if (plugin == NULL)
    {
      CisFinding *finding = cis_build_complain (build, "plugin-not-loaded", group, "plugin",
                                                "[%s] plugin=%s: %s", group, name, error->message);
      g_autofree char *edit = g_strdup (cis_finding_get_fix (finding));

      cis_finding_set_fix (finding, "# all plugins that there are:\ncis490 inspect%s%s",
                           edit != NULL ? "\n" : "", edit != NULL ? edit : "");
      return NULL;
    }

  klass = g_type_class_ref (plugin->type);
  values_init (&values);
  if (!build->draft)
    read_group (build, group, G_OBJECT_CLASS (klass), more, &values);
  if (build->n_errors == n_errors)
    {
      GValue text = G_VALUE_INIT;

      g_value_set_string (g_value_init (&text, G_TYPE_STRING), group);
      values_add (&values, "name", &text);
      part = CIS_PART (make (plugin->type, &values));
      cis_part_set_plugin (part, plugin->descriptor->name);
      read_when (build, group, part);
      if (!build->draft && !cis_part_validate (part, &error))
        complain_of_part (build, group, part, error->message);
    }
  values_clear (&values);
  return part;
}

static void
add_part (CisBuild *build, CisPipeline *self, const char *group, gboolean is_first)
{
  g_autoptr (CisPart) part = make_part (build, group);

  if (part == NULL)
    return;
  if (CIS_IS_SOURCE (part) != is_first)
    {
      cis_build_complain (build, "stage-order", "pipeline", "stages",
                          is_first ? "stages= begins with “%s”, which is no source; the first one must be "
                                     "one (scan/…, transport/accept)"
                                   : "“%s” is a source: only the first of stages= can be one",
                          group);
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

static GStrv
read_stages (CisBuild *build)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = cis_config_get (build->config, "pipeline", "stages", &error);
  g_autoptr (GParamSpec) pspec =
      g_param_spec_ref_sink (g_param_spec_boxed ("stages", NULL, NULL, G_TYPE_STRV, CIS_PARAM_OPTION));
  g_auto (GValue) value = G_VALUE_INIT;
  g_auto (GStrv) stages = NULL;

  if (has_comment (build, "pipeline", "stages", NULL))
    return NULL;
  if (text == NULL || !cis_option_parse (pspec, text, &value, &error) ||
      g_strv_length (g_value_get_boxed (&value)) < 2)
    {
      const char *reason = error != NULL                                  ? error->message
                           : text != NULL && strpbrk (text, ", ") != NULL ? "put “;” between the names"
                                                                          : NULL;

      cis_build_complain (build, "config-missing-key", "pipeline", "stages",
                          "[pipeline] needs “stages=SOURCE;STAGE;…”%s%s", reason != NULL ? ": " : "",
                          reason != NULL ? reason : "");
      return NULL;
    }
  stages = g_value_dup_boxed (&value);
  for (guint i = 0; stages[i] != NULL; i++)
    for (guint j = 0; j < i; j++)
      if (g_str_equal (stages[i], stages[j]))
        {
          cis_build_complain (build, "stage-order", "pipeline", "stages",
                              "stages= names “%s” twice; give the second one a group of its own", stages[i]);
          return NULL;
        }
  return g_steal_pointer (&stages);
}

static CisPipeline *
build_pipeline (CisBuild *build)
{
  static const char *const more[] = { "stages", NULL };
  g_autoptr (GTypeClass) klass = g_type_class_ref (CIS_TYPE_PIPELINE);
  g_autoptr (CisPipeline) self = NULL;
  g_auto (GStrv) stages = NULL;
  Values values;

  values_init (&values);
  read_group (build, "pipeline", G_OBJECT_CLASS (klass), more, &values);
  self = CIS_PIPELINE (make (CIS_TYPE_PIPELINE, &values));
  values_clear (&values);
  self->name = g_strdup (cis_config_get_name (build->config));

  stages = read_stages (build);
  if (stages == NULL)
    return NULL;
  cis_build_check_groups (build, (const char *const *) stages);
  for (guint i = 0; stages[i] != NULL; i++)
    add_part (build, self, stages[i], i == 0);
  if (build->n_errors == 0 && !build->draft)
    cis_build_check_whole (build, self);
  return build->n_errors == 0 ? g_steal_pointer (&self) : NULL;
}

CisPipeline *
cis_pipeline_new (CisConfig *config, GPtrArray *findings)
{
  CisBuild build = { .config = config, .findings = findings };

  cis_build_check_site (&build);
  return build_pipeline (&build);
}

CisPipeline *
cis_pipeline_new_draft (CisConfig *config, GPtrArray *findings)
{
  CisBuild build = { .config = config, .findings = findings, .draft = TRUE };

  return build_pipeline (&build);
}
