/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"
#include "terminal.h"
#include "verbs.h"

#include "cis-option.h"
#include "cis-part.h"

#include <glib/gi18n.h>
#include <sysexits.h>
#include <unistd.h>

/* What the verb was asked for, and what is known so far. */
typedef struct
{
  const char *site_file; /* nullable */
  gboolean deep;
  GHashTable *said;     /* subject and summary: a mistake in cis490.ini is one of all pipelines */
  JsonArray *pipelines; /* nullable: with --json */
} Check;

/* The files that the parts name, and with --deep whatever they depend on. The names (full) of those that
 * could say more over the network. */
static char *
look (Check *self, CisPipeline *pipeline, GPtrArray *findings)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);
  GString *more = g_string_new (NULL);

  for (guint i = 0; i <= steps->len; i++)
    {
      CisPart *part = i == 0 ? CIS_PART (cis_pipeline_get_source (pipeline))
                             : CIS_PART (g_array_index (steps, CisStep, i - 1).stage);

      if (!self->deep)
        cis_part_look (part, findings);
      if (!cis_part_can_check (part))
        continue;
      if (self->deep)
        cis_part_check (part, findings, NULL);
      else
        g_string_append_printf (more, "%s%s", more->len > 0 ? ", " : "", cis_part_get_name (part));
    }
  return g_string_free (more, FALSE);
}

static gboolean
has_error (GPtrArray *findings)
{
  for (guint i = 0; i < findings->len; i++)
    if (cis_finding_get_severity (findings->pdata[i]) == CIS_SEVERITY_ERROR)
      return TRUE;
  return FALSE;
}

static void
print (Check *self, const char *name, GPtrArray *findings, const char *more)
{
  gboolean ok = !has_error (findings);
  g_autofree char *verdict =
      ok ? terminal_style (TERMINAL_GREEN, _ ("ok")) : terminal_style (TERMINAL_RED, _ ("has mistakes"));

  for (guint i = 0; i < findings->len; i++)
    {
      CisFinding *finding = findings->pdata[i];
      char *key = g_strconcat (cis_finding_get_subject (finding), cis_finding_get_summary (finding), NULL);

      if (g_hash_table_add (self->said, key))
        options_print_finding (finding);
    }
  if (ok && more[0] != '\0')
    g_print (_ ("%s: %s; --deep asks further: %s\n"), name, verdict, more);
  else
    g_print ("%s: %s\n", name, verdict);
}

static void
add_json (Check *self, const char *name, GPtrArray *findings)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "pipeline", name);
  json_object_set_boolean_member (object, "ok", !has_error (findings));
  json_object_set_array_member (object, "findings", options_findings_to_json (findings));
  json_array_add_object_element (self->pipelines, object);
}

/* Whether the pipeline can be run as far as one can see without running it. */
static gboolean
check (Check *self, const char *name)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (CisPipeline) pipeline = options_load_pipeline (name, self->site_file, findings);
  g_autofree char *more = pipeline != NULL ? look (self, pipeline, findings) : g_strdup ("");

  if (self->pipelines != NULL)
    add_json (self, name, findings);
  else
    print (self, name, findings, more);
  return !has_error (findings);
}

/* Else a name misspelled there would be a setting that is silently not in force. */
static void
warn_of_unused (const char *site_file, const char *const *names)
{
  g_auto (GStrv) folders = cis_config_list_unused (site_file);

  for (char **folder = folders; *folder != NULL; folder++)
    {
      g_autofree char *base = g_path_get_basename (*folder);
      g_autofree char *name = g_strndup (base, strlen (base) - strlen (".ini.d"));
      const char *nearest = cis_nearest_name (name, names);
      g_autoptr (CisFinding) finding = NULL;

      finding = cis_finding_new ("drop-ins-unused", CIS_SEVERITY_WARNING, *folder,
                                 "there is no pipeline “%s”, so what is in here does nothing%s%s%s", name,
                                 nearest != NULL ? "; did you mean “" : "", nearest != NULL ? nearest : "",
                                 nearest != NULL ? "”?" : "");
      if (nearest != NULL)
        {
          g_autofree char *parent = g_path_get_dirname (*folder);
          g_autofree char *right = g_strdup_printf ("%s/%s.ini.d", parent, nearest);
          g_autofree char *quoted = g_shell_quote (*folder);
          g_autofree char *right_quoted = g_shell_quote (right);

          /* mv moves no folder to where there is one. */
          if (g_file_test (right, G_FILE_TEST_IS_DIR))
            cis_finding_set_fix (finding, "mv -n %s/*.ini %s/; rmdir %s", quoted, right_quoted, quoted);
          else
            cis_finding_set_fix (finding, "mv -nT %s %s", quoted, right_quoted);
        }
      options_print_finding (finding);
    }
}

int
cis_verb_check (int argc, char **argv)
{
  g_autofree char *site_file = NULL;
  g_auto (GStrv) overrides = NULL;
  gboolean deep = FALSE, json = FALSE;
  const GOptionEntry entries[] = {
    OPTIONS_CONFIG_ENTRY (&site_file),
    OPTIONS_SET_ENTRY (&overrides),
    { "deep", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &deep,
      N_ ("Ask over the network, too: the receiver, the forge"), NULL },
    OPTIONS_JSON_ENTRY (&json),
    { NULL },
  };
  g_autoptr (GHashTable) said = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (JsonArray) pipelines = NULL;
  Check self = { .said = said };
  g_auto (GStrv) all = NULL;
  char **names;
  gboolean ok = TRUE;

  if (!options_parse (&argc, &argv, _ ("[NAME…]"),
                      _ ("Reads pipelines and the files that they name as `cis490 run` does, and writes "
                         "nothing. Without NAME: all that are there."),
                      entries))
    return EX_USAGE;
  if (site_file != NULL && access (site_file, R_OK) != 0)
    {
      g_printerr (_ ("cis490 check: %s cannot be read: %s\n"), site_file, g_strerror (errno));
      return EX_CONFIG;
    }
  if (!options_set_overrides (overrides))
    return EX_USAGE;
  all = cis_config_list (site_file);
  names = argc > 1 ? argv + 1 : all;
  warn_of_unused (site_file, (const char *const *) all);
  if (names[0] == NULL)
    {
      g_printerr (_ ("cis490 check: there is no pipeline\n"));
      return EX_CONFIG;
    }
  self.site_file = site_file;
  self.deep = deep;
  self.pipelines = pipelines = json ? json_array_new () : NULL;
  for (char **name = names; *name != NULL; name++)
    ok = check (&self, *name) && ok;
  if (json)
    options_print_json_array (pipelines);
  return ok ? 0 : EX_CONFIG;
}
