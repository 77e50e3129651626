/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include "terminal.h"

#include "cis-suggestion.h"

#include <glib/gi18n.h>

gboolean
options_parse (int *argc, char ***argv, const char *arguments, const char *description,
               const GOptionEntry *entries)
{
  g_autofree char *name = g_strconcat ("cis490 ", (*argv)[0], NULL);
  g_autoptr (GOptionContext) context = g_option_context_new (arguments);
  g_autoptr (GError) error = NULL;

  g_set_prgname (name); /* for the usage line */
  g_option_context_set_summary (context, description);
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!g_option_context_parse (context, argc, argv, &error))
    {
      g_printerr (_ ("%s: %s; see `%s --help`\n"), name, error->message, name);
      return FALSE;
    }
  /* Gone since GOption skips it only where it stands between options. */
  if (*argc > 1 && g_str_equal ((*argv)[1], "--"))
    {
      memmove (*argv + 1, *argv + 2, (gsize) (*argc - 1) * sizeof (char *));
      (*argc)--;
    }
  return TRUE;
}

void
options_print_finding (CisFinding *finding)
{
  static const char *const labels[] = { N_ ("note"), N_ ("warning"), N_ ("error") };
  static const TerminalStyle styles[] = { TERMINAL_BOLD, TERMINAL_YELLOW, TERMINAL_RED };
  CisSeverity severity = cis_finding_get_severity (finding);
  const char *fix = cis_finding_get_fix (finding);
  g_autofree char *label = terminal_style (styles[severity], _ (labels[severity]));

  /* The id is what docs/findings.md is looked up by. */
  g_printerr ("%s%s%s: %s [%s]\n", cis_finding_get_subject (finding),
              cis_finding_get_subject (finding)[0] != '\0' ? ": " : "", label,
              cis_finding_get_summary (finding), cis_finding_get_id (finding));
  if (fix != NULL)
    {
      g_auto (GStrv) lines = g_strsplit (fix, "\n", -1);

      for (char **line = lines; *line != NULL; line++)
        g_printerr ("    %s\n", *line);
    }
}

JsonArray *
options_findings_to_json (GPtrArray *findings)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < findings->len; i++)
    json_array_add_object_element (array, cis_finding_to_json (findings->pdata[i]));
  return array;
}

static void
print_node (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, FALSE);

  g_print ("%s\n", text);
}

void
options_print_json (JsonObject *object)
{
  g_autoptr (JsonNode) node = json_node_alloc ();

  print_node (json_node_init_object (node, object));
}

void
options_print_json_array (JsonArray *array)
{
  g_autoptr (JsonNode) node = json_node_alloc ();

  print_node (json_node_init_array (node, array));
}

static char **overrides; /* nullable */

gboolean
options_set_overrides (char **assignments)
{
  g_autoptr (GError) error = NULL;

  for (char **assignment = assignments; assignment != NULL && *assignment != NULL; assignment++)
    if (!cis_config_check_override (*assignment, &error))
      {
        g_printerr (_ ("%s: %s; see `%s --help`\n"), g_get_prgname (), error->message, g_get_prgname ());
        return FALSE;
      }
  g_strfreev (overrides);
  overrides = g_strdupv (assignments);
  return TRUE;
}

static CisConfig *
load_config (const char *name, const char *site_file, GError **error)
{
  g_autoptr (CisConfig) config = cis_config_load (name, site_file, error);

  for (char **assignment = overrides; config != NULL && assignment != NULL && *assignment != NULL;
       assignment++)
    cis_config_override (config, *assignment);
  return g_steal_pointer (&config);
}

typedef CisPipeline *(*Make) (CisConfig *config, GPtrArray *findings);

static CisPipeline *
load_pipeline (const char *name, const char *site_file, Make make, GPtrArray *findings)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisConfig) config = load_config (name, site_file, &error);
  g_autofree char *where = NULL;
  CisFinding *finding;

  if (config != NULL)
    return make (config, findings);
  finding = cis_finding_new ("config-unreadable", CIS_SEVERITY_ERROR, NULL, "%s", error->message);
  cis_finding_set_fix (finding,
                       "# once that is put right, this looks at all pipelines that there are:\ncis490 check");
  /* "FILE:LINE: what is wrong" */
  where = g_strndup (error->message, strcspn (error->message, " "));
  if (g_str_has_suffix (where, ":"))
    {
      where[strlen (where) - 1] = '\0';
      cis_finding_suggest_edit (finding, where);
    }
  g_ptr_array_add (findings, finding);
  return NULL;
}

static CisPipeline *
load_and_print (const char *name, const char *site_file, Make make)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  CisPipeline *pipeline = load_pipeline (name, site_file, make, findings);

  for (guint i = 0; i < findings->len; i++)
    options_print_finding (findings->pdata[i]);
  return pipeline;
}

CisPipeline *
options_load_pipeline (const char *name, const char *site_file, GPtrArray *findings)
{
  return load_pipeline (name, site_file, cis_pipeline_new, findings);
}

CisPipeline *
options_load_draft (const char *name, const char *site_file)
{
  return load_and_print (name, site_file, cis_pipeline_new_draft);
}

GPtrArray *
options_load_pipelines (const char *const *names, const char *site_file)
{
  g_autoptr (GPtrArray) pipelines = g_ptr_array_new_with_free_func (g_object_unref);
  gboolean ok = TRUE;

  for (; *names != NULL; names++)
    {
      CisPipeline *pipeline = load_and_print (*names, site_file, cis_pipeline_new);

      if (pipeline != NULL)
        g_ptr_array_add (pipelines, pipeline);
      else
        ok = FALSE;
    }
  return ok ? g_steal_pointer (&pipelines) : NULL;
}

int
options_become_owner (GPtrArray *pipelines)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < pipelines->len; i++)
    {
      g_autoptr (GPtrArray) states = cis_pipeline_list_states (pipelines->pdata[i]);

      /* Of several owners the first; what is another's then refuses to open. */
      for (guint j = 0; j < states->len; j++)
        if (!cis_become_owner (states->pdata[j], &error))
          {
            g_printerr ("%s: %s\n", g_get_prgname (), error->message);
            return cis_error_exit_status (error);
          }
    }
  return 0;
}
