/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "forge.h"

#define READY "listening on "

char *
forge_run (const char *tree, const char *format, ...)
{
  const char *argv[] = { "sh", "-ec", NULL, NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *script = NULL;
  char *output = NULL;
  int status;
  va_list arguments;

  va_start (arguments, format);
  script = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  argv[2] = script;
  g_spawn_sync (tree, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, &status, &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  g_assert_no_error (error);
  return g_strstrip (output);
}

void
forge_prepare (void)
{
  g_setenv ("HOME", "/nonexistent", TRUE);
  g_setenv ("GIT_CONFIG_NOSYSTEM", "1", TRUE);
  g_setenv ("GIT_AUTHOR_NAME", "A", TRUE);
  g_setenv ("GIT_AUTHOR_EMAIL", "a@example.org", TRUE);
  g_setenv ("GIT_COMMITTER_NAME", "A", TRUE);
  g_setenv ("GIT_COMMITTER_EMAIL", "a@example.org", TRUE);
}

void
forge_make_repository (const char *tree, guint n)
{
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (GString) stream = g_string_new (NULL);

  for (guint i = 1; i <= n; i++)
    g_string_append_printf (stream,
                            "commit refs/heads/main\ncommitter A <a@b> %" G_GINT64_FORMAT
                            " +0000\ndata <<E\nChange %u\nE\n"
                            "reset refs/tags/c%u\nfrom refs/heads/main\n\n",
                            now - (gint64) (n - i) * 60, i, i);
  test_write (tree, "stream", stream->str);
  g_free (
      forge_run (tree,
                 "git init -q -b main repository; git -C repository fast-import --quiet --force < stream"));
}

Forge *
forge_new (const char *tree, const char *option)
{
  Forge *forge = g_new0 (Forge, 1);
  g_autofree char *script = g_test_build_filename (G_TEST_DIST, "system", "forgejo.py", NULL);
  g_autofree char *repository = g_build_filename (tree, "repository", NULL);
  g_autofree char *control = g_build_filename (tree, "control", NULL);
  g_autofree char *log = g_strdup_printf ("--log=%s/log", tree);
  g_autoptr (GDataInputStream) output = NULL;
  g_autofree char *line = NULL;
  g_autoptr (GError) error = NULL;

  forge->tree = (char *) tree;
  forge_set (forge, "ok");
  forge->process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                                     "/usr/bin/python3", script, repository, control, log, option, NULL);
  g_assert_no_error (error);
  output = g_data_input_stream_new (g_subprocess_get_stdout_pipe (forge->process));
  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (output), FALSE);
  line = g_data_input_stream_read_line (output, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (line);
  g_assert_true (g_str_has_prefix (line, READY));
  forge->url = g_strdup (line + strlen (READY));
  return forge;
}

void
forge_free (Forge *forge)
{
  g_subprocess_force_exit (forge->process);
  g_assert_true (g_subprocess_wait (forge->process, NULL, NULL));
  g_object_unref (forge->process);
  g_free (forge->url);
  g_free (forge);
}

void
forge_set (Forge *forge, const char *mode)
{
  /* Moved there, so that no request reads half of it. */
  test_write (forge->tree, "control.new", mode);
  g_free (forge_run (forge->tree, "mv control.new control"));
}

char *
forge_get_log (Forge *forge)
{
  char *log = test_read (forge->tree, "log");

  return log != NULL ? log : g_strdup ("");
}
