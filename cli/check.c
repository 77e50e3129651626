/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"
#include "terminal.h"
#include "verbs.h"

#include "cis-option.h"

#include <glib/gi18n.h>
#include <sysexits.h>
#include <unistd.h>

/* Whether the pipeline can be run as far as one can see without running it. */
static gboolean
check (const char *name, const char *site_file, GHashTable *said)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (CisPipeline) pipeline = options_load_pipeline (name, site_file, findings);
  g_autofree char *verdict = NULL;

  for (guint i = 0; i < findings->len; i++)
    {
      CisFinding *finding = findings->pdata[i];

      /* A mistake in cis490.ini is one of all pipelines. */
      if (g_hash_table_add (said, g_strconcat (cis_finding_get_subject (finding),
                                               cis_finding_get_summary (finding), NULL)))
        options_print_finding (finding);
    }
  verdict = pipeline != NULL ? terminal_style (TERMINAL_GREEN, _ ("ok"))
                             : terminal_style (TERMINAL_RED, _ ("has mistakes"));
  g_print ("%s: %s\n", name, verdict);
  return pipeline != NULL;
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
  const GOptionEntry entries[] = { OPTIONS_CONFIG_ENTRY (&site_file),
                                   OPTIONS_SET_ENTRY (&overrides),
                                   { NULL } };
  g_autoptr (GHashTable) said = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  g_auto (GStrv) all = NULL;
  char **names;
  gboolean ok = TRUE;

  if (!options_parse (&argc, &argv, _ ("[NAME…]"),
                      _ ("Reads pipelines as `cis490 run` does, opens nothing and writes nothing. Without "
                         "NAME: all that are there."),
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
  for (char **name = names; *name != NULL; name++)
    ok = check (*name, site_file, said) && ok;
  return ok ? 0 : EX_CONFIG;
}
