/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"
#include "verbs.h"

#include "cis-part.h"

#include <glib/gi18n.h>
#include <sysexits.h>

/* Prints what the stage found, one line for each; the exit status. */
static int
ping (CisPart *part)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  int status = 0;

  cis_part_check (part, findings, NULL);
  for (guint i = 0; i < findings->len; i++)
    {
      CisFinding *finding = findings->pdata[i];

      if (cis_finding_get_severity (finding) == CIS_SEVERITY_INFO)
        g_print ("%s\n", cis_finding_get_summary (finding));
      else
        {
          options_print_finding (finding);
          status = 1;
        }
    }
  return status;
}

int
cis_verb_ping (int argc, char **argv)
{
  g_autofree char *site_file = NULL;
  const GOptionEntry entries[] = { OPTIONS_CONFIG_ENTRY (&site_file), { NULL } };
  const char *names[] = { "shipper", NULL };
  g_autoptr (GPtrArray) pipelines = NULL;
  g_autoptr (GArray) steps = NULL;
  gboolean found = FALSE;
  int status = 0;

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
      if (ping (CIS_PART (stage)) != 0)
        status = 1;
    }
  if (!found)
    {
      g_printerr (_ ("cis490 ping: no stage of %s has a receiver to ask\n"), names[0]);
      return EX_UNAVAILABLE;
    }
  return status;
}
