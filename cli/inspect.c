/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"
#include "terminal.h"
#include "verbs.h"

#include "cis-plugin.h"

#include <glib/gi18n.h>
#include <sysexits.h>

static const char *const when_names[] = { "passed", "rejected", "deferred", "afterwards" };

/* What the class of a plugin says of itself, for all three ways to print it. */
typedef struct
{
  const CisPlugin *plugin;
  GTypeClass *klass;                          /* owned */
  GPtrArray *options;                         /* of GParamSpec */
  char *item;                                 /* "Episode" */
  const char *when;                           /* NULL for a source */
  const char *const *needs, *const *provides; /* nullable */
} About;

static void
about_clear (About *about)
{
  g_clear_pointer (&about->options, g_ptr_array_unref);
  g_clear_pointer (&about->item, g_free);
  g_clear_pointer (&about->klass, g_type_class_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (About, about_clear)

static void
about_init (About *about, const CisPlugin *plugin)
{
  about->plugin = plugin;
  about->klass = g_type_class_ref (plugin->type);
  about->options = cis_option_list (G_OBJECT_CLASS (about->klass));
  if (CIS_IS_SOURCE_CLASS (about->klass))
    {
      CisSourceClass *klass = CIS_SOURCE_CLASS (about->klass);
      GString *items = g_string_new (NULL);

      for (const GType *type = klass->item_types; *type != 0; type++)
        g_string_append_printf (items, "%s%s", items->len > 0 ? ", " : "",
                                g_type_name (*type) + strlen ("Cis"));
      about->item = g_string_free (items, FALSE);
      about->provides = klass->provides;
    }
  else
    {
      CisStageClass *klass = CIS_STAGE_CLASS (about->klass);

      about->item = g_strdup (g_type_name (klass->item_type) + strlen ("Cis"));
      about->when = when_names[klass->when];
      about->needs = klass->needs;
      about->provides = klass->provides;
    }
}

static const char *
required_or_default (GParamSpec *pspec, char **text)
{
  if (cis_option_has (pspec, CIS_PARAM_REQUIRED))
    return _ ("required");
  *text = cis_option_describe_default (pspec);
  return *text;
}

static void
print_text (const About *about)
{
  const CisPluginDescriptor *descriptor = about->plugin->descriptor;
  g_autofree char *title = terminal_style (TERMINAL_BOLD, descriptor->name);

  g_print ("%s: %s\n\n", title, descriptor->summary);
  g_print ("  %-10s %s\n", about->when != NULL ? _ ("items") : _ ("emits"), about->item);
  if (about->when != NULL)
    g_print ("  %-10s %s\n", "when", about->when);
  if (about->needs != NULL)
    {
      g_autofree char *needs = g_strjoinv (", ", (char **) about->needs);

      g_print ("  %-10s %s\n", _ ("needs"), needs);
    }
  if (about->provides != NULL)
    {
      g_autofree char *provides = g_strjoinv (", ", (char **) about->provides);

      g_print ("  %-10s %s\n", _ ("provides"), provides);
    }
  g_print ("  %-10s %s\n", _ ("file"), about->plugin->path);

  for (guint i = 0; i < about->options->len; i++)
    {
      GParamSpec *pspec = about->options->pdata[i];
      g_autofree char *type = cis_option_describe_type (pspec);
      g_autofree char *range = cis_option_describe_range (pspec);
      g_autofree char *text = NULL;
      const char *value = required_or_default (pspec, &text);
      g_autofree char *name = terminal_style (TERMINAL_BOLD, pspec->name);

      g_print ("\n  %s=%s\n      %s\n      %s%s%s\n", name, value != NULL ? value : "",
               _ (g_param_spec_get_blurb (pspec)), type, range != NULL ? ", " : "",
               range != NULL ? range : "");
    }
}

/* In a table's cell, which a bar would split; full. */
static char *
escape_cell (const char *text)
{
  GString *escaped = g_string_new (text);

  g_string_replace (escaped, "|", "\\|", 0);
  return g_string_free (escaped, FALSE);
}

/* As code there, without a newline, which would end the cell; full. */
static char *
quote_cell (const char *text)
{
  g_autofree char *escaped = escape_cell (text);
  GString *quoted = g_string_new (escaped);

  if (quoted->len == 0)
    return g_string_free (quoted, FALSE);
  g_string_replace (quoted, "\n", "`<br>`", 0);
  g_string_prepend_c (quoted, '`');
  g_string_append_c (quoted, '`');
  return g_string_free (quoted, FALSE);
}

static void
print_markdown (const About *about)
{
  const CisPluginDescriptor *descriptor = about->plugin->descriptor;

  g_print ("### %s\n\n%s\n\n", descriptor->name, descriptor->summary);
  if (about->when == NULL)
    g_print ("A source; emits: %s.\n", about->item);
  else if (g_str_equal (about->item, "Item"))
    g_print ("For items of every type, `when=%s`.\n", about->when);
  else
    g_print ("For %s items, `when=%s`.\n", about->item, about->when);
  if (about->options->len > 0)
    g_print ("\n| option | type | default | |\n|---|---|---|---|\n");
  for (guint i = 0; i < about->options->len; i++)
    {
      GParamSpec *pspec = about->options->pdata[i];
      g_autofree char *type = cis_option_describe_type (pspec);
      g_autofree char *range = cis_option_describe_range (pspec);
      g_autofree char *text = NULL;
      g_autofree char *cell = NULL;
      g_autofree char *blurb = escape_cell (g_param_spec_get_blurb (pspec));

      text = cis_option_describe_default (pspec);
      cell = cis_option_has (pspec, CIS_PARAM_REQUIRED) ? g_strdup ("required") : quote_cell (text);
      g_print ("| `%s` | %s%s%s | %s | %s |\n", pspec->name, type, range != NULL ? ", " : "",
               range != NULL ? range : "", cell, blurb);
    }
  g_print ("\n");
}

static void
add_names (JsonObject *object, const char *member, const char *const *names)
{
  JsonArray *array = json_array_new ();

  for (; names != NULL && *names != NULL; names++)
    json_array_add_string_element (array, *names);
  json_object_set_array_member (object, member, array);
}

static JsonObject *
option_to_json (GParamSpec *pspec)
{
  JsonObject *object = json_object_new ();
  g_autofree char *type = cis_option_describe_type (pspec);
  g_autofree char *range = cis_option_describe_range (pspec);
  g_autofree char *value = cis_option_describe_default (pspec);

  json_object_set_string_member (object, "name", pspec->name);
  json_object_set_string_member (object, "type", type);
  json_object_set_boolean_member (object, "required", cis_option_has (pspec, CIS_PARAM_REQUIRED));
  if (range != NULL)
    json_object_set_string_member (object, "range", range);
  if (value != NULL)
    json_object_set_string_member (object, "default", value);
  json_object_set_string_member (object, "blurb", g_param_spec_get_blurb (pspec));
  return object;
}

static JsonObject *
to_json (const About *about)
{
  JsonObject *object = json_object_new ();
  JsonArray *options = json_array_new ();

  json_object_set_string_member (object, "name", about->plugin->descriptor->name);
  json_object_set_string_member (object, "summary", about->plugin->descriptor->summary);
  json_object_set_string_member (object, "kind", about->when != NULL ? "stage" : "source");
  json_object_set_string_member (object, "items", about->item);
  if (about->when != NULL)
    json_object_set_string_member (object, "when", about->when);
  add_names (object, "needs", about->needs);
  add_names (object, "provides", about->provides);
  json_object_set_string_member (object, "file", about->plugin->path);
  for (guint i = 0; i < about->options->len; i++)
    json_array_add_object_element (options, option_to_json (about->options->pdata[i]));
  json_object_set_array_member (object, "options", options);
  return object;
}

static void
print_json (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, TRUE);

  g_print ("%s\n", text);
}

static int
inspect_one (const char *name, gboolean json, gboolean markdown)
{
  g_autoptr (GError) error = NULL;
  const CisPlugin *plugin = cis_plugin_load (name, &error);
  g_auto (GStrv) known = cis_plugin_list ();
  g_auto (About) about = { 0 };

  if (plugin == NULL)
    {
      g_printerr ("cis490 inspect: %s\n", error->message);
      return g_strv_contains ((const char *const *) known, name) ? EX_CONFIG : EX_USAGE;
    }
  about_init (&about, plugin);
  if (json)
    {
      g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);

      json_node_take_object (node, to_json (&about));
      print_json (node);
    }
  else if (markdown)
    print_markdown (&about);
  else
    print_text (&about);
  return 0;
}

static int
inspect_all (gboolean json, gboolean markdown)
{
  g_auto (GStrv) names = cis_plugin_list ();
  g_autoptr (JsonArray) array = json_array_new ();
  int status = 0;

  for (char **name = names; *name != NULL; name++)
    {
      g_autoptr (GError) error = NULL;
      const CisPlugin *plugin = cis_plugin_load (*name, &error);

      if (plugin == NULL)
        {
          g_printerr ("cis490 inspect: %s\n", error->message);
          status = EX_CONFIG;
        }
      else if (markdown)
        inspect_one (*name, FALSE, TRUE);
      else if (json)
        {
          g_auto (About) about = { 0 };

          about_init (&about, plugin);
          json_array_add_object_element (array, to_json (&about));
        }
      else
        g_print ("%-22s %s\n", *name, plugin->descriptor->summary);
    }
  if (json)
    {
      g_autoptr (JsonNode) node = json_node_init_array (json_node_alloc (), array);

      print_json (node);
    }
  return status;
}

int
cis_verb_inspect (int argc, char **argv)
{
  gboolean json = FALSE, markdown = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &json, N_ ("As JSON"), NULL },
    { "markdown", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &markdown,
      N_ ("As the tables of the README files"), NULL },
    { NULL },
  };

  if (!options_parse (&argc, &argv, _ ("[PLUGIN]"),
                      _ ("Lists every plugin, or tells what one does and which options it has."), entries))
    return EX_USAGE;
  if (argc > 2 || (json && markdown))
    {
      g_printerr (_ ("cis490 inspect: give one plugin, and one of --json and --markdown\n"));
      return EX_USAGE;
    }
  return argc == 2 ? inspect_one (argv[1], json, markdown) : inspect_all (json, markdown);
}
