/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What holds for every plugin, whoever wrote it: how it describes itself, that it opens and closes twice, is
 * cancelled at once and leaves nothing behind. */

#include "harness.h"

#include "cis-option.h"
#include "cis-part.h"
#include "cis-plugin.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* @option: gets @text in place of what it normally gets; nullable. */
static CisPart *
make_with (Fixture *fixture, const char *option, const char *given)
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
      char *text = g_strcmp0 (option, pspec->name) == 0 ? g_strdup (given) : choose_value (fixture, pspec);
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

static CisPart *
make (Fixture *fixture)
{
  return make_with (fixture, NULL, NULL);
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

/* ---- files that are none ---- */

#define HALF_PEM "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU"

/* What lies at a path; what @says is told by `cis490 check` of an option that is a file. */
static const struct
{
  const char *what, *says;
} oddities[] = {
  { "fifo", "is a FIFO, not a regular file" },
  { "socket", "is a socket, not a regular file" },
  { "device", "is a device, not a regular file" },
  { "folder", "is a folder, not a regular file" },
  { "dangling", "is a symbolic link to nowhere, which is not there" },
  { "loop", "Too many levels of symbolic links" },
  { "unreadable", "Permission denied" },
  { "missing", "No such file" },
  { "huge", NULL },
  { "truncated", NULL },
  { "empty", NULL },
};

static void
make_oddity (const char *tree, const char *what)
{
  static const struct
  {
    const char *what, *text;
    mode_t mode;
    goffset size;
  } files[] = {
    { "unreadable", "secret\n", 0, 7 },
    { "huge", "lab-1 ", 0600, G_GINT64_CONSTANT (1) << 40 },
    { "truncated", HALF_PEM, 0600, strlen (HALF_PEM) },
    { "empty", "", 0600, 0 },
  };
  int dirfd = test_tree_open (tree);

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    if (g_str_equal (files[i].what, what))
      {
        int fd = openat (dirfd, what, O_WRONLY | O_CREAT | O_CLOEXEC, files[i].mode);

        g_assert_cmpint (write (fd, files[i].text, strlen (files[i].text)), ==, strlen (files[i].text));
        g_assert_no_errno (ftruncate (fd, files[i].size));
        g_assert_no_errno (close (fd));
      }
  if (g_str_equal (what, "fifo"))
    g_assert_no_errno (mkfifoat (dirfd, what, 0600));
  else if (g_str_equal (what, "socket"))
    g_assert_no_errno (mknodat (dirfd, what, S_IFSOCK | 0600, 0));
  else if (g_str_equal (what, "device"))
    g_assert_no_errno (symlinkat ("/dev/zero", dirfd, what));
  else if (g_str_equal (what, "folder"))
    g_assert_no_errno (mkdirat (dirfd, what, 0700));
  else if (g_str_equal (what, "dangling"))
    g_assert_no_errno (symlinkat ("nowhere", dirfd, what));
  else if (g_str_equal (what, "loop"))
    g_assert_no_errno (symlinkat ("loop", dirfd, what));
  g_assert_no_errno (close (dirfd));
}

/* What the part does with it, which was put there since it was looked at: it may fail, but neither waits nor
 * crashes. */
static void
try_oddity (Fixture *fixture, const char *option, const char *path)
{
  CisPart *part = make_with (fixture, option, path);
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;
  gboolean opened;

  cis_part_look (part, findings);
  opened = cis_part_open (part, NULL, &error);
  g_assert_true (opened == (error == NULL));
  if (opened && CIS_IS_STAGE (part))
    cancel_stage (fixture, part);
  cis_part_close (part);
  if (cis_part_can_check (part))
    cis_part_check (part, findings, NULL);
  g_assert_finalize_object (part);
}

/* What is said of it before that. */
static void
check_oddity (Fixture *fixture, const char *option, const char *path, const char *says)
{
  g_autofree char *ini = g_strdup_printf ("[pipeline]\nstages=a;b\n[a]\nplugin=%s\n%s=%s\n",
                                          fixture->plugin->descriptor->name, option, path);
  g_autofree char *file = g_build_filename (fixture->tree, "pipelines", "odd.ini", NULL);
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (CisConfig) config = NULL;
  uid_t user = geteuid ();
  guint n = 0;

  test_write (fixture->tree, "pipelines/odd.ini", ini);
  config = cis_config_load (file, NULL, NULL);
  /* To root nothing is unreadable. */
  if (user == 0 && g_str_has_suffix (path, "unreadable"))
    g_assert_no_errno (seteuid (65534));
  g_assert_null (cis_pipeline_new (config, findings));
  g_assert_no_errno (seteuid (user));
  for (guint i = 0; i < findings->len; i++)
    if (g_str_equal (cis_finding_get_id (findings->pdata[i]), "file-unreadable") &&
        strstr (cis_finding_get_summary (findings->pdata[i]), path) != NULL)
      {
        g_assert_nonnull (says);
        g_test_message ("%s", cis_finding_get_summary (findings->pdata[i]));
        g_assert_nonnull (strstr (cis_finding_get_summary (findings->pdata[i]), says));
        n++;
      }
  g_assert_cmpuint (n, ==, says != NULL);
}

static gboolean
is_path (GParamSpec *pspec)
{
  static const char *const endings[] = { "file", "directory", "state", "record", "repository" };

  for (guint i = 0; i < G_N_ELEMENTS (endings); i++)
    if (pspec->value_type == G_TYPE_STRING && g_str_has_suffix (pspec->name, endings[i]))
      return TRUE;
  return FALSE;
}

static void
test_files (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GPtrArray) options = cis_option_list (G_OBJECT_CLASS (fixture->klass));
  g_autofree char *odd = g_build_filename (fixture->tree, "odd", NULL);

  alarm (120); /* ends what waits */
  g_assert_no_errno (g_chmod (fixture->tree, 0755));
  for (guint i = 0; i < options->len * G_N_ELEMENTS (oddities); i++)
    {
      GParamSpec *pspec = options->pdata[i / G_N_ELEMENTS (oddities)];
      const char *what = oddities[i % G_N_ELEMENTS (oddities)].what;
      g_autofree char *path = g_build_filename (odd, what, NULL);

      g_assert_true (is_path (pspec) || !cis_option_has (pspec, CIS_PARAM_FILE));
      if (!is_path (pspec))
        continue;
      g_assert_no_errno (g_mkdir (odd, 0755));
      make_oddity (odd, what);
      if (cis_option_has (pspec, CIS_PARAM_FILE))
        check_oddity (fixture, pspec->name, path, oddities[i % G_N_ELEMENTS (oddities)].says);
      try_oddity (fixture, pspec->name, path);
      g_assert_true (cis_folder_remove (AT_FDCWD, odd, NULL, NULL));
    }
  alarm (0);
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
      ADD ("files", test_files);
    }
  return g_test_run ();
}
