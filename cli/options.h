/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis-option.h"
#include "cis-pipeline.h"

G_BEGIN_DECLS

/* Parses a verb's options; what is left of the arguments stays in @argv, argv[0] included. @arguments: for
 * the usage line, such as
 * "[NAME…]". On a mistake it is said and FALSE returned: exit with EX_USAGE. --help prints and exits 0. */
gboolean options_parse (int *argc, char ***argv, const char *arguments, const char *description,
                        const GOptionEntry *entries);

/* What OPTIONS_SET_ENTRY() got: holds for every pipeline that is loaded from then on, in a reload too. FALSE
 * where one is no STAGE.KEY=VALUE, which is said. */
gboolean options_set_overrides (char **assignments);
/* The pipelines of these names, every mistake printed on stderr; %NULL where one is an error. full, of
 * CisPipeline. */
GPtrArray *options_load_pipelines (const char *const *names, const char *site_file);
/* One for looking at only: its options are left alone. The same; full. */
CisPipeline *options_load_draft (const char *name, const char *site_file);
/* Loads one; the findings (of CisFinding) are added to @findings. full. */
CisPipeline *options_load_pipeline (const char *name, const char *site_file, GPtrArray *findings);
/* Where root runs this: becomes the owner of the state folders that the pipelines (of CisPipeline) work in.
 * The exit status: 0, or that of an error, which is said. */
int options_become_owner (GPtrArray *pipelines);
/* "file:line: summary" and the fix. */
void options_print_finding (CisFinding *finding);

/* Of CisFinding; full. */
JsonArray *options_findings_to_json (GPtrArray *findings);
/* On one line of stdout. */
void options_print_json (JsonObject *object);
void options_print_json_array (JsonArray *array);

#define OPTIONS_JSON_ENTRY(variable)                                                                         \
  {                                                                                                          \
    "json", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, (variable), N_ ("Print JSON"), NULL                    \
  }

#define OPTIONS_CONFIG_ENTRY(variable)                                                                       \
  {                                                                                                          \
    "config", 'c', G_OPTION_FLAG_NONE, G_OPTION_ARG_FILENAME, (variable),                                    \
        N_ ("Another cis490.ini; pipelines/ beside it is searched first"), N_ ("FILE")                       \
  }

#define OPTIONS_SET_ENTRY(variable)                                                                          \
  {                                                                                                          \
    "set", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_STRING_ARRAY, (variable),                                     \
        N_ ("Use VALUE instead of what the ini says"), N_ ("STAGE.KEY=VALUE")                                \
  }

G_END_DECLS
