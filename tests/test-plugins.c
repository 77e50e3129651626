/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What holds for every plugin, whoever wrote it: how it describes itself, that it opens and closes twice, is
 * cancelled at once and leaves nothing behind. */

#include "harness.h"

#include "cis-option.h"
#include "cis-part.h"
#include "cis-plugin.h"

#include <glib/gstdio.h>

/* Options that have no default. */
static const struct
{
  const char *plugin, *option, *path;
} required[] = {
  { "transport/directory", "directory", "mounted" },
};

typedef struct
{
  char *tree;
  CisConfig *config;
  const CisPlugin *plugin;
  GTypeClass *klass;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  static const char *const folders[] = { "state", "run", "mounted", "pipelines" };
  g_autoptr (GError) error = NULL;
  g_autofree char *site = NULL, *state = NULL, *run = NULL, *text = NULL, *token = NULL, *tokens = NULL;

  fixture->tree = test_tree_new ();
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *path = g_build_filename (fixture->tree, folders[i], NULL);

      g_assert_no_errno (g_mkdir (path, 0700));
    }
  site = g_build_filename (fixture->tree, "cis490.ini", NULL);
  state = g_build_filename (fixture->tree, "state", NULL);
  run = g_build_filename (fixture->tree, "run", NULL);
  token = g_build_filename (fixture->tree, "token", NULL);
  tokens = g_build_filename (fixture->tree, "tokens", NULL);
  test_write (fixture->tree, "token", "0123456789abcdef0123456789abcdef\n");
  test_write (fixture->tree, "tokens",
              "lab-1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n");
  g_assert_no_errno (g_chmod (token, 0600));
  g_assert_no_errno (g_chmod (tokens, 0600));
  text = g_strdup_printf (
      "[site]\nhost-id=lab-1\nreceiver-url=unix:%s/no.sock\ntoken-file=%s\ntokens-file=%s\nrepository=%s\n",
      run, token, tokens, fixture->tree);
  test_write (fixture->tree, "cis490.ini", text);
  test_write (fixture->tree, "pipelines/p.ini", "[pipeline]\n");
  g_setenv ("STATE_DIRECTORY", state, TRUE);
  g_setenv ("RUNTIME_DIRECTORY", run, TRUE);

  fixture->config = cis_config_load ("p", site, &error);
  g_assert_no_error (error);
  fixture->plugin = cis_plugin_load (data, &error);
  g_assert_no_error (error);
  fixture->klass = g_type_class_ref (fixture->plugin->type);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_type_class_unref (fixture->klass);
  cis_config_free (fixture->config);
  test_tree_remove (fixture->tree);
}

/* What the option gets in this test; full, %NULL where its default needs nothing of us. */
static char *
choose_value (Fixture *fixture, GParamSpec *pspec)
{
  g_autofree char *normal = cis_option_describe_default (pspec);
  char *value;

  for (guint i = 0; i < G_N_ELEMENTS (required); i++)
    if (g_str_equal (required[i].plugin, fixture->plugin->descriptor->name) &&
        g_str_equal (required[i].option, pspec->name))
      return g_build_filename (fixture->tree, required[i].path, NULL);
  g_assert_false (cis_option_has (pspec, CIS_PARAM_REQUIRED));
  if (pspec->value_type != G_TYPE_STRING || normal == NULL)
    return NULL;
  value = cis_config_expand (fixture->config, normal, NULL);
  g_assert_nonnull (value);
  return value;
}

static CisPart *
make (Fixture *fixture)
{
  g_autoptr (GPtrArray) options = cis_option_list (G_OBJECT_CLASS (fixture->klass));
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GArray) values = g_array_new (FALSE, TRUE, sizeof (GValue));
  GValue name = G_VALUE_INIT;
  CisPart *part;

  g_array_set_clear_func (values, (GDestroyNotify) g_value_unset);
  g_value_set_static_string (g_value_init (&name, G_TYPE_STRING), "part");
  g_ptr_array_add (names, (gpointer) "name");
  g_array_append_val (values, name);
  for (guint i = 0; i < options->len; i++)
    {
      GParamSpec *pspec = options->pdata[i];
      char *text = choose_value (fixture, pspec);
      GValue value = G_VALUE_INIT;

      if (text == NULL)
        continue;
      /* As in a pipeline. */
      if (text[0] == '\0')
        g_clear_pointer (&text, g_free);
      g_value_take_string (g_value_init (&value, G_TYPE_STRING), text);
      g_ptr_array_add (names, (gpointer) pspec->name);
      g_array_append_val (values, value);
    }
  part =
      CIS_PART (g_object_new_with_properties (fixture->plugin->type, names->len, (const char **) names->pdata,
                                              (const GValue *) values->data));
  return part;
}

static void
assert_sentence (const char *text)
{
  g_assert_nonnull (text);
  g_assert_true (g_str_has_suffix (text, "."));
}

static void
test_description (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) options = cis_option_list (G_OBJECT_CLASS (fixture->klass));
  const CisPluginDescriptor *descriptor = fixture->plugin->descriptor;

  g_assert_cmpstr (descriptor->name, ==, data);
  g_assert_cmpstr (g_type_name (fixture->plugin->type), ==, descriptor->type_name);
  assert_sentence (descriptor->summary);
  for (guint i = 0; i < options->len; i++)
    {
      GParamSpec *pspec = options->pdata[i];
      g_autofree char *normal = cis_option_describe_default (pspec);

      assert_sentence (g_param_spec_get_blurb (pspec));
      g_assert_cmpuint (strspn (pspec->name, "abcdefghijklmnopqrstuvwxyz0123456789-"), ==,
                        strlen (pspec->name));
      g_assert_cmpint (pspec->flags & G_PARAM_CONSTRUCT_ONLY, !=, 0);
      if (cis_option_has (pspec, CIS_PARAM_DURATION))
        g_assert_cmpint (pspec->value_type, ==, G_TYPE_INT64);
      if (cis_option_has (pspec, CIS_PARAM_SIZE))
        g_assert_cmpint (pspec->value_type, ==, G_TYPE_UINT64);
      if (cis_option_has (pspec, CIS_PARAM_SECRET))
        g_assert_true (cis_option_has (pspec, CIS_PARAM_FILE));
      /* What is printed as the default can be typed. */
      if (normal != NULL && pspec->value_type != G_TYPE_STRING)
        {
          g_auto (GValue) value = G_VALUE_INIT;
          g_autoptr (GError) error = NULL;

          cis_option_parse (pspec, normal, &value, &error);
          g_assert_no_error (error);
        }
    }
}

/* `cis490 check` makes the parts of a running daemon's pipeline: that must touch nothing. */
static void
test_make (Fixture *fixture, gconstpointer data)
{
  g_autofree char *before = test_list (fixture->tree, "state");
  CisPart *part = make (fixture);
  g_autofree char *after = test_list (fixture->tree, "state");

  g_assert_cmpstr (before, ==, after);
  g_assert_cmpstr (cis_part_get_name (part), ==, "part");
  g_assert_finalize_object (part);
}

static void
test_open (Fixture *fixture, gconstpointer data)
{
  CisPart *part = make (fixture);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;

      cis_part_open (part, NULL, &error);
      g_assert_no_error (error);
      cis_part_close (part);
    }
  g_assert_finalize_object (part);
}

static gpointer
run_source (gpointer data)
{
  gpointer *arguments = data;
  g_autoptr (GError) error = NULL;

  g_assert_true (CIS_SOURCE_GET_CLASS (arguments[0])->run (arguments[0], arguments[1], &error));
  g_assert_no_error (error);
  return NULL;
}

static void
cancel_source (CisPart *part)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  gpointer arguments[] = { part, cancellable };
  GThread *thread = g_thread_new ("source", run_source, arguments);
  gint64 start;

  g_usleep (50 * G_TIME_SPAN_MILLISECOND);
  start = g_get_monotonic_time ();
  g_cancellable_cancel (cancellable);
  g_thread_join (thread);
  g_assert_cmpint (g_get_monotonic_time () - start, <, 30 * G_TIME_SPAN_SECOND);
}

static void
cancel_stage (Fixture *fixture, CisPart *part)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *directory = g_build_filename (fixture->tree, "state", "episodes", "e", NULL);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e", NULL);
  g_autoptr (CisOutcome) outcome = NULL;

  test_make_episode (fixture->tree, "state/episodes/e", 'a');
  cis_episode_set_directory (episode, directory);
  g_cancellable_cancel (cancellable);
  outcome = cis_stage_process (CIS_STAGE (part), CIS_ITEM (episode), cancellable);
  g_assert_nonnull (outcome);
  cis_stage_settled (CIS_STAGE (part), CIS_ITEM (episode), outcome);
}

static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  CisPart *part = make (fixture);
  g_autoptr (GError) error = NULL;

  cis_part_open (part, NULL, &error);
  g_assert_no_error (error);
  if (CIS_IS_SOURCE (part))
    cancel_source (part);
  else
    cancel_stage (fixture, part);
  cis_part_close (part);
  g_assert_finalize_object (part);
}

/* The doctor looks at parts that are not open, in whatever state their surroundings are. */
static void
test_check (Fixture *fixture, gconstpointer data)
{
  CisPart *part = make (fixture);
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);

  if (cis_part_can_check (part))
    {
      cis_part_check (part, findings, NULL);
      g_assert_cmpuint (findings->len, >, 0);
      for (guint i = 0; i < findings->len; i++)
        assert_sentence (cis_finding_get_summary (findings->pdata[i]));
    }
  g_assert_finalize_object (part);
}

int
main (int argc, char **argv)
{
  g_auto (GStrv) names = NULL;

  g_test_init (&argc, &argv, NULL);
  names = cis_plugin_list ();
  g_assert_cmpuint (g_strv_length (names), >=, 17);
  for (char **name = names; *name != NULL; name++)
    {
#define ADD(what, function)                                                                                  \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    g_autofree char *path_ = g_strdup_printf ("/plugins/%s/%s", *name, what);                                \
    g_test_add (path_, Fixture, *name, set_up, function, tear_down);                                         \
  }                                                                                                          \
  G_STMT_END
      ADD ("description", test_description);
      ADD ("make", test_make);
      ADD ("open", test_open);
      ADD ("cancel", test_cancel);
      ADD ("check", test_check);
    }
  return g_test_run ();
}
