/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-pipeline.h"
#include "fuzz.h"

#include <string.h>

#define SITE     0
#define PIPELINE 1

/* A mistake is told with file and line, or with the file where there is no line at fault; and as JSON it can
 * be read. */
static void
check_finding (CisFinding *finding, const char *const *paths, const FuzzPart *parts)
{
  const char *subject = cis_finding_get_subject (finding);
  guint part = g_str_has_prefix (subject, paths[PIPELINE]) ? PIPELINE : SITE;
  g_autoptr (JsonObject) object = cis_finding_to_json (finding);
  g_autofree char *line = cis_json_to_line (object);
  g_autoptr (JsonObject) again = cis_json_parse (line, strlen (line), NULL);

  g_assert_nonnull (again);
  if (!g_str_equal (subject, paths[PIPELINE]))
    {
      g_autofree char *message = g_strconcat (subject, ": ", NULL);

      fuzz_assert_position (message, paths[part], parts[part].data, parts[part].size);
    }
}

/* cis490.ini, and the pipeline's: parts are made of them, with all their options, or it is said why not.
 * Nothing is opened. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  FuzzPart parts[2];
  const char *paths[2];
  g_autoptr (CisConfig) config = NULL;
  g_autoptr (CisPipeline) pipeline = NULL;
  guint n_errors = 0;

  fuzz_split (data, size, parts, G_N_ELEMENTS (parts));
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    paths[i] = fuzz_memory_file (i, parts[i].data, parts[i].size);
  config = cis_config_load (paths[PIPELINE], paths[SITE], NULL);
  if (config == NULL)
    return 0;
  pipeline = cis_pipeline_new (config, findings);
  for (guint i = 0; i < findings->len; i++)
    {
      n_errors += cis_finding_get_severity (findings->pdata[i]) == CIS_SEVERITY_ERROR;
      check_finding (findings->pdata[i], paths, parts);
    }
  g_assert_true ((pipeline == NULL) == (n_errors > 0));
  if (pipeline != NULL)
    g_assert_nonnull (cis_pipeline_get_source (pipeline));
  return 0;
}
