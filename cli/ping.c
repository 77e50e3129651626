/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"
#include "verbs.h"

#include "cis-part.h"

#include <glib/gi18n.h>
#include <sysexits.h>

/* Prints what the stages found, one line for each; the exit status. */
static int
print (GPtrArray *findings, gboolean json)
{
  int status = 0;

  if (json)
    {
      g_autoptr (JsonArray) array = options_findings_to_json (findings);

      options_print_json_array (array);
    }
  for (guint i = 0; i < findings->len; i++)
    {
      CisFinding *finding = findings->pdata[i];

      if (cis_finding_get_severity (finding) != CIS_SEVERITY_INFO)
        status = 1;
      if (json)
        continue;
      if (cis_finding_get_severity (finding) == CIS_SEVERITY_INFO)
        g_print ("%s\n", cis_finding_get_summary (finding));
      else
        options_print_finding (finding);
    }
  return status;
}

int
cis_verb_ping (int argc, char **argv)
{
  g_autofree char *site_file = NULL;
  g_auto (GStrv) overrides = NULL;
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
    OPTIONS_CONFIG_ENTRY (&site_file), OPTIONS_SET_ENTRY (&overrides), OPTIONS_JSON_ENTRY (&json), { NULL }
  };
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  const char *names[] = { "shipper", NULL };
  g_autoptr (GPtrArray) pipelines = NULL;
  g_autoptr (GArray) steps = NULL;
  gboolean found = FALSE;

  if (!options_parse (&argc, &argv, _ ("[NAME]"),
                      _ ("Does what the transport of pipeline NAME (shipper) does before it ships: same "
                         "connection, same credentials."),
                      entries))
    return EX_USAGE;
  if (argc > 2)
    {
      g_printerr (_ ("cis490 ping: give one pipeline at the most\n"));
      return EX_USAGE;
    }
  if (!options_set_overrides (overrides))
    return EX_USAGE;
  if (argc > 1)
    names[0] = argv[1];
  pipelines = options_load_pipelines (names, site_file);
  if (pipelines == NULL)
    return EX_CONFIG;
  steps = cis_pipeline_list_steps (pipelines->pdata[0]);
  for (guint i = 0; i < steps->len; i++)
    {
      CisStage *stage = g_array_index (steps, CisStep, i).stage;
      const char *const *provides = CIS_STAGE_GET_CLASS (stage)->provides;

      /* Whoever gets receipts is the transport. */
      if (provides == NULL || !g_strv_contains (provides, "receipt") ||
          !cis_part_can_check (CIS_PART (stage)))
        continue;
      found = TRUE;
      cis_part_check (CIS_PART (stage), findings, NULL);
    }
  if (!found)
    {
      g_printerr (_ ("cis490 ping: no stage of %s has a receiver to ask\n"), names[0]);
      return EX_UNAVAILABLE;
    }
  return print (findings, json);
}
