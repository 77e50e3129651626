/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-plugin.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <gobject/gvaluecollector.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

/* g_test_init() makes every warning fatal, but what the program logs for its operators is no mistake of the
 * program. Warnings of GLib's own still end the test: they come through g_log(), which judges them before it
 * calls the writer. */
static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  g_autofree char *line = g_log_writer_format_fields (level, fields, n_fields, FALSE);

  g_printerr ("%s\n", line);
  return G_LOG_WRITER_HANDLED;
}

__attribute__ ((constructor)) static void
harness_init (void)
{
  g_log_set_writer_func (write_log, NULL, NULL);
}

char *
test_tree_new (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *made = g_dir_make_tmp ("cis490-test-XXXXXX", &error);

  g_assert_no_error (error);
  return realpath (made, NULL);
}

int
test_tree_open (const char *tree)
{
  g_autoptr (GError) error = NULL;
  int fd = cis_folder_open (AT_FDCWD, tree, FALSE, &error);

  g_assert_no_error (error);
  return fd;
}

void
test_tree_remove (char *tree)
{
  g_autoptr (GError) error = NULL;

  cis_folder_remove (AT_FDCWD, tree, NULL, &error);
  g_assert_no_error (error);
  free (tree);
}

gpointer
test_part_new (const char *plugin, const char *first_option, ...)
{
  g_autoptr (GError) error = NULL;
  const CisPlugin *loaded = cis_plugin_load (plugin, &error);
  g_autofree char *name = g_path_get_basename (plugin);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autoptr (GArray) values = g_array_new (FALSE, TRUE, sizeof (GValue));
  GObjectClass *klass;
  gpointer part;
  va_list args;

  g_assert_no_error (error);
  klass = g_type_class_ref (loaded->type);
  g_ptr_array_add (names, (gpointer) "name");
  g_array_set_size (values, 1);
  g_value_set_string (g_value_init (&g_array_index (values, GValue, 0), G_TYPE_STRING), name);

  va_start (args, first_option);
  for (const char *option = first_option; option != NULL; option = va_arg (args, const char *))
    {
      GParamSpec *pspec = g_object_class_find_property (klass, option);
      g_autofree char *problem = NULL;
      GValue value = G_VALUE_INIT;

      g_assert_nonnull (pspec);
      G_VALUE_COLLECT_INIT (&value, pspec->value_type, args, 0, &problem);
      g_assert_null (problem);
      g_ptr_array_add (names, (gpointer) option);
      g_array_append_val (values, value);
    }
  va_end (args);

  part = g_object_new_with_properties (loaded->type, names->len, (const char **) names->pdata,
                                       (const GValue *) values->data);
  for (guint i = 0; i < values->len; i++)
    g_value_unset (&g_array_index (values, GValue, i));
  g_type_class_unref (klass);
  return part;
}

CisVerdict
test_process (gpointer stage, gpointer item, CisOutcome **outcome)
{
  g_autoptr (CisOutcome) result = cis_stage_process (stage, item, NULL);
  CisVerdict verdict = cis_outcome_get_verdict (result);

  if (outcome != NULL)
    *outcome = g_steal_pointer (&result);
  return verdict;
}

void
test_write (const char *tree, const char *path, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *file = g_build_filename (tree, path, NULL);
  g_autofree char *folder = g_path_get_dirname (file);

  g_assert_no_errno (g_mkdir_with_parents (folder, 0750));
  g_file_set_contents (file, text, -1, &error);
  g_assert_no_error (error);
}

char *
test_read (const char *tree, const char *path)
{
  g_autofree char *file = g_build_filename (tree, path, NULL);
  char *text = NULL;

  return g_file_get_contents (file, &text, NULL, NULL) ? text : NULL;
}

gboolean
test_exists (const char *tree, const char *path)
{
  g_autofree char *file = g_build_filename (tree, path, NULL);

  return g_file_test (file, G_FILE_TEST_EXISTS);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

char *
test_list (const char *tree, const char *path)
{
  g_autofree char *folder = g_build_filename (tree, path, NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return g_strjoinv (" ", (char **) names->pdata);
}

void
test_make_episode (const char *tree, const char *path, char digit)
{
  g_autofree char *folder = g_build_filename (tree, path, NULL);
  g_autofree char *commit = g_strnfill (40, digit);
  g_autofree char *meta = digit != '\0'
                              ? g_strdup_printf ("{\"code_version\": {\"commit\": \"%s\"}}\n", commit)
                              : g_strdup ("{\"experiment\": \"unstamped\"}\n");

  test_write (folder, "data/telemetry.jsonl",
              "{\"t\": 0.0, \"torque\": 1.25}\n{\"t\": 0.1, \"torque\": 1.5}\n");
  test_write (folder, "log.txt", "started\nstopped\n");
  test_write (folder, "meta.json", meta);
}

static void
write_map (const char *file, const char *text)
{
  g_autofree char *path = g_build_filename ("/proc/self", file, NULL);

  g_assert_true (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

void
test_enter_namespace (void)
{
  g_autofree char *users = g_strdup_printf ("0 %u 1", getuid ());
  g_autofree char *groups = g_strdup_printf ("0 %u 1", getgid ());
  gboolean is_root = getuid () == 0;

  g_assert_no_errno (unshare (CLONE_NEWNS | (is_root ? 0 : CLONE_NEWUSER)));
  if (!is_root)
    {
      write_map ("setgroups", "deny");
      write_map ("uid_map", users);
      write_map ("gid_map", groups);
    }
  g_assert_no_errno (mount ("none", "/", "", MS_REC | MS_PRIVATE, NULL));
}
