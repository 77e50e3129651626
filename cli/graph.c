/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"
#include "terminal.h"
#include "verbs.h"

#include "cis-part.h"

#include <glib/gi18n.h>
#include <sysexits.h>

static const char *const when_names[] = { "passed", "rejected", "deferred", "afterwards" };

static const char *
item_name (GType type)
{
  return g_type_name (type) + strlen ("Cis");
}

static char *
source_items (CisSource *source)
{
  GString *text = g_string_new (NULL);

  for (const GType *type = CIS_SOURCE_GET_CLASS (source)->item_types; *type != 0; type++)
    g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "", item_name (*type));
  return g_string_free (text, FALSE);
}

/* "Episode; needs archive; gives receipt" */
static char *
describe (GType type, const char *const *needs, const char *const *provides)
{
  GString *text = g_string_new (type != CIS_TYPE_ITEM ? item_name (type) : _ ("any item"));

  for (; needs != NULL && *needs != NULL; needs++)
    g_string_append_printf (text, _ ("; needs %s"), *needs);
  for (; provides != NULL && *provides != NULL; provides++)
    g_string_append_printf (text, _ ("; gives %s"), *provides);
  return g_string_free (text, FALSE);
}

static int
name_width (GArray *steps, CisSource *source)
{
  gsize width = strlen (cis_part_get_name (CIS_PART (source)));

  for (guint i = 0; i < steps->len; i++)
    width = MAX (width, strlen (cis_part_get_name (CIS_PART (g_array_index (steps, CisStep, i).stage))));
  return (int) width;
}

/* What a pipeline is drawn with; a terminal that has no such characters shows "?" for each. */
typedef struct
{
  const char *line, *source, *passed, *aside, *home;
} Signs;

static const Signs *
get_signs (void)
{
  static const Signs drawn = { "│", "●", "○", "┄", "◆" }, plain = { "|", "*", "o", "-", "+" };

  return g_get_charset (NULL) ? &drawn : &plain;
}

static void
draw_part (const char *sign, CisPart *part, int width, const char *remark)
{
  const char *name = cis_part_get_name (part);
  g_autofree char *bold = terminal_style (TERMINAL_BOLD, name);
  g_autofree char *dim = terminal_style (TERMINAL_DIM, remark);

  g_print ("  %s %s%*s  %-20s  %s\n", sign, bold, width - (int) strlen (name), "", cis_part_get_plugin (part),
           dim);
}

/* The stages of one `when`, each below a heading or a piece of the line that items go along. */
static void
draw_stages (GArray *steps, CisWhen when, int width)
{
  const Signs *signs = get_signs ();
  gboolean first = TRUE;

  for (guint i = 0; i < steps->len; i++)
    {
      const CisStep *step = &g_array_index (steps, CisStep, i);
      CisStageClass *klass = CIS_STAGE_GET_CLASS (step->stage);
      g_autofree char *remark = describe (klass->item_type, klass->needs, klass->provides);

      if (step->when != when)
        continue;
      if (when == CIS_WHEN_PASSED)
        g_print ("  %s\n", signs->line);
      else if (first)
        g_print ("\n  %s\n", when_names[when]);
      draw_part (when == CIS_WHEN_PASSED ? signs->passed : signs->aside, CIS_PART (step->stage), width,
                 remark);
      first = FALSE;
    }
}

static void
draw (CisPipeline *pipeline)
{
  const Signs *signs = get_signs ();
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);
  CisSource *source = cis_pipeline_get_source (pipeline);
  g_autofree char *items = source_items (source);
  g_autofree char *remark = g_strdup_printf (_ ("emits %s"), items);
  guint workers = cis_pipeline_get_workers (pipeline);
  int width = name_width (steps, source);

  g_print (ngettext ("%s, %u worker\n\n", "%s, %u workers\n\n", workers), cis_pipeline_get_name (pipeline),
           workers);
  draw_part (signs->source, CIS_PART (source), width, remark);
  draw_stages (steps, CIS_WHEN_PASSED, width);
  g_print ("  %s\n  %s %-*s  %s\n", signs->line, signs->home, width, _ ("home"),
           _ ("settled on every stage that saw it, last first, then on the source"));
  for (CisWhen when = CIS_WHEN_REJECTED; when <= CIS_WHEN_AFTERWARDS; when++)
    draw_stages (steps, when, width);
}

static void
draw_dot (CisPipeline *pipeline)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);
  CisSource *source = cis_pipeline_get_source (pipeline);
  const char *before = cis_part_get_name (CIS_PART (source));

  g_print ("digraph \"%s\" {\n  rankdir=TB;\n  node [shape=box];\n  \"%s\" [shape=cds];\n",
           cis_pipeline_get_name (pipeline), before);
  for (guint i = 0; i < steps->len; i++)
    {
      const CisStep *step = &g_array_index (steps, CisStep, i);
      const char *name = cis_part_get_name (CIS_PART (step->stage));

      g_print ("  \"%s\" [label=\"%s\\n%s\"];\n", name, name,
               item_name (CIS_STAGE_GET_CLASS (step->stage)->item_type));
      g_print ("  \"%s\" -> \"%s\" [label=\"%s\"%s];\n", before, name, when_names[step->when],
               step->when != CIS_WHEN_PASSED ? ", style=dashed" : "");
      if (step->when == CIS_WHEN_PASSED)
        before = name;
    }
  g_print ("}\n");
}

static void
add_names (JsonObject *object, const char *member, const char *const *names)
{
  JsonArray *array = json_array_new ();

  for (; names != NULL && *names != NULL; names++)
    json_array_add_string_element (array, *names);
  json_object_set_array_member (object, member, array);
}

/* @when: nullable, of the source. full */
static JsonObject *
part_to_json (CisPart *part, const char *when, const char *const *needs, const char *const *provides)
{
  g_autoptr (GPtrArray) options = cis_option_list (G_OBJECT_GET_CLASS (part));
  JsonObject *object = json_object_new ();
  JsonArray *names = json_array_new ();

  json_object_set_string_member (object, "name", cis_part_get_name (part));
  json_object_set_string_member (object, "plugin", cis_part_get_plugin (part));
  if (when != NULL)
    json_object_set_string_member (object, "when", when);
  add_names (object, "needs", needs);
  add_names (object, "provides", provides);
  for (guint i = 0; i < options->len; i++)
    json_array_add_string_element (names, ((GParamSpec *) options->pdata[i])->name);
  json_object_set_array_member (object, "options", names);
  return object;
}

static void
print_json (CisPipeline *pipeline)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);
  CisSource *source = cis_pipeline_get_source (pipeline);
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *items = source_items (source);
  JsonArray *stages = json_array_new ();

  json_object_set_string_member (object, "pipeline", cis_pipeline_get_name (pipeline));
  json_object_set_int_member (object, "workers", cis_pipeline_get_workers (pipeline));
  json_object_set_string_member (object, "items", items);
  json_object_set_object_member (object, "source",
                                 part_to_json (CIS_PART (source), NULL, NULL,
                                               CIS_SOURCE_GET_CLASS (source)->provides));
  for (guint i = 0; i < steps->len; i++)
    {
      const CisStep *step = &g_array_index (steps, CisStep, i);
      CisStageClass *klass = CIS_STAGE_GET_CLASS (step->stage);

      json_array_add_object_element (stages, part_to_json (CIS_PART (step->stage), when_names[step->when],
                                                           klass->needs, klass->provides));
    }
  json_object_set_array_member (object, "stages", stages);
  options_print_json (object);
}

int
cis_verb_graph (int argc, char **argv)
{
  g_autofree char *site_file = NULL;
  g_auto (GStrv) overrides = NULL;
  gboolean dot = FALSE, json = FALSE;
  const GOptionEntry entries[] = {
    OPTIONS_CONFIG_ENTRY (&site_file),
    OPTIONS_SET_ENTRY (&overrides),
    OPTIONS_JSON_ENTRY (&json),
    { "dot", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &dot,
      N_ ("For Graphviz: cis490 graph NAME --dot | dot -Tsvg"), NULL },
    { NULL },
  };
  g_autoptr (CisPipeline) pipeline = NULL;

  if (!options_parse (
          &argc, &argv, _ ("NAME"),
          _ ("Draws a pipeline: its stages in order, the items that they are made for, and when they run."),
          entries))
    return EX_USAGE;
  if (argc != 2)
    {
      g_printerr (_ ("cis490 graph: give the name of one pipeline\n"));
      return EX_USAGE;
    }
  if (!options_set_overrides (overrides))
    return EX_USAGE;
  pipeline = options_load_draft (argv[1], site_file);
  if (pipeline == NULL)
    return EX_CONFIG;
  if (json)
    print_json (pipeline);
  else if (dot)
    draw_dot (pipeline);
  else
    draw (pipeline);
  return 0;
}
