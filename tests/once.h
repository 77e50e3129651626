/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A pipeline from an ini's text, run in the test's own process; and what it logs, which must not end the
 * test. */

#include "cis-pipeline.h"
#include "harness.h"

#include <sys/mman.h>
#include <unistd.h>

/* What is logged between the two: the harness logs to stderr. full */
static int once_stderr = -1;
static int once_log = -1;

G_GNUC_UNUSED static void
once_begin_log (void)
{
  once_stderr = dup (STDERR_FILENO);
  once_log = memfd_create ("log", MFD_CLOEXEC);
  g_assert_cmpint (dup2 (once_log, STDERR_FILENO), ==, STDERR_FILENO);
}

G_GNUC_UNUSED static char *
once_end_log (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", once_log);
  char *text = NULL;

  g_assert_cmpint (dup2 (once_stderr, STDERR_FILENO), ==, STDERR_FILENO);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  close (once_stderr);
  close (once_log);
  return text;
}

/* The pipeline tree/test.ini of that text, where @STATE@ stands for tree/state; not yet open. full */
G_GNUC_UNUSED static CisPipeline *
once_load (const char *tree, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *file = g_build_filename (tree, "test.ini", NULL);
  g_autoptr (GString) ini = g_string_new (text);
  g_autoptr (CisConfig) config = NULL;
  CisPipeline *pipeline;

  g_string_replace (ini, "@STATE@", state, 0);
  test_write (tree, "test.ini", ini->str);
  config = cis_config_load (file, NULL, &error);
  g_assert_no_error (error);
  pipeline = cis_pipeline_new (config, findings);
  for (guint i = 0; i < findings->len; i++)
    g_test_message ("%s", cis_finding_get_summary (findings->pdata[i]));
  g_assert_nonnull (pipeline);
  return pipeline;
}

G_GNUC_UNUSED static void
once_on_finished (CisPipeline *pipeline, gpointer user_data)
{
  g_main_loop_quit (user_data);
}

/* Opens it, runs it with --once and closes it; the exit status. */
G_GNUC_UNUSED static int
once_run (CisPipeline *pipeline)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  int status;

  cis_pipeline_open (pipeline, &error);
  g_assert_no_error (error);
  cis_pipeline_start (pipeline, TRUE, once_on_finished, loop);
  g_main_loop_run (loop);
  status = cis_pipeline_get_exit_status (pipeline);
  cis_pipeline_close (pipeline);
  return status;
}

G_GNUC_UNUSED static void
once_note_finished (CisPipeline *pipeline, gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
}

/* Opens it and lets it run until once_stop(). */
G_GNUC_UNUSED static void
once_start (CisPipeline *pipeline, gboolean *finished)
{
  g_autoptr (GError) error = NULL;

  cis_pipeline_open (pipeline, &error);
  g_assert_no_error (error);
  cis_pipeline_start (pipeline, FALSE, once_note_finished, finished);
}

/* Cancels it, which must not take long, and closes it. */
G_GNUC_UNUSED static void
once_stop (CisPipeline *pipeline, gboolean *finished)
{
  gint64 began = g_get_monotonic_time ();

  cis_pipeline_cancel (pipeline);
  while (!*finished)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (g_get_monotonic_time () - began, <, 30 * G_USEC_PER_SEC);
  cis_pipeline_close (pipeline);
}
