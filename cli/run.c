/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"
#include "progress.h"
#include "terminal.h"
#include "verbs.h"

#include "cis-listen.h"
#include "cis-plugin.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#define DRAW_INTERVAL 100 /* ms */
/* A stage that has reported nothing for so long is stuck: the watchdog may bite. */
#define STUCK (15 * G_TIME_SPAN_MINUTE)

typedef struct _Run Run;

/* One pipeline of the process, and what takes its place in a reload. */
typedef struct
{
  Run *run;
  char *name;
  CisPipeline *pipeline;    /* owned */
  CisPipeline *replacement; /* owned, nullable: drained for it */
  guint timeout;            /* GSource id while it drains */
  gboolean ended;
} Runner;

struct _Run
{
  GMainLoop *loop;
  char *site_file; /* nullable */
  gboolean once;
  gboolean json;
  gboolean ending;
  GPtrArray *runners; /* of Runner */
};

static void
runner_free (Runner *runner)
{
  g_free (runner->name);
  g_clear_object (&runner->pipeline);
  g_clear_object (&runner->replacement);
  g_free (runner);
}

G_GNUC_PRINTF (2, 3)
static void
say (GLogLevelFlags level, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  cis_part_log (NULL, NULL, level, NULL, "%s", text);
}

static void
end_all (Run *run)
{
  run->ending = TRUE;
  for (guint i = 0; i < run->runners->len; i++)
    {
      Runner *runner = run->runners->pdata[i];

      g_clear_object (&runner->replacement);
      if (!runner->ended)
        cis_pipeline_cancel (runner->pipeline);
    }
}

static void on_finished (CisPipeline *pipeline, gpointer user_data);

/* Opens and starts the new one; where that fails, the old one again. */
static gboolean
switch_over (Runner *runner)
{
  g_autoptr (CisPipeline) old = g_steal_pointer (&runner->pipeline);
  g_autoptr (GError) error = NULL;

  runner->pipeline = g_steal_pointer (&runner->replacement);
  cis_pipeline_close (old);
  cis_pipeline_inherit (runner->pipeline, old);
  if (cis_pipeline_open (runner->pipeline, &error))
    say (G_LOG_LEVEL_MESSAGE, "%s runs with its new configuration", runner->name);
  else
    {
      say (G_LOG_LEVEL_WARNING, "%s goes on with its old configuration, as the new one does not open: %s",
           runner->name, error->message);
      g_clear_error (&error);
      cis_pipeline_inherit (old, runner->pipeline);
      g_set_object (&runner->pipeline, old);
      if (!cis_pipeline_open (runner->pipeline, &error))
        {
          say (G_LOG_LEVEL_CRITICAL, "%s does not open with its old configuration either: %s", runner->name,
               error->message);
          return FALSE;
        }
    }
  cis_pipeline_start (runner->pipeline, runner->run->once, on_finished, runner);
  return TRUE;
}

/* As it is, where a folder that it held open was replaced. */
static gboolean
open_anew (Runner *runner)
{
  g_autoptr (GError) error = NULL;

  cis_pipeline_close (runner->pipeline);
  if (!cis_pipeline_open (runner->pipeline, &error))
    {
      say (G_LOG_LEVEL_CRITICAL, "%s does not open anew: %s", runner->name, error->message);
      return FALSE;
    }
  say (G_LOG_LEVEL_MESSAGE, "%s is opened anew", runner->name);
  cis_pipeline_start (runner->pipeline, runner->run->once, on_finished, runner);
  return TRUE;
}

static const int deadly[] = { SIGTERM, SIGINT };

/* From here on they end the process at once. @served: what they did, as many as are deadly. */
static void
become_mortal (struct sigaction *served)
{
  const struct sigaction end = { .sa_handler = SIG_DFL };

  for (guint i = 0; i < G_N_ELEMENTS (deadly); i++)
    sigaction (deadly[i], &end, &served[i]);
}

/* Nobody serves signals while a pipeline opens, which may wait for another process: one that ends us does so
 * at once, as it does at the start. */
static gboolean
switch_over_mortally (Runner *runner)
{
  struct sigaction served[G_N_ELEMENTS (deadly)];
  gboolean switched;

  become_mortal (served);
  switched = runner->replacement != NULL ? switch_over (runner) : open_anew (runner);
  for (guint i = 0; i < G_N_ELEMENTS (deadly); i++)
    sigaction (deadly[i], &served[i], NULL);
  return switched;
}

static gboolean
is_reloading (Run *run)
{
  for (guint i = 0; i < run->runners->len; i++)
    if (((Runner *) run->runners->pdata[i])->replacement != NULL)
      return TRUE;
  return FALSE;
}

static void
on_finished (CisPipeline *pipeline, gpointer user_data)
{
  Runner *runner = user_data;
  Run *run = runner->run;
  gboolean outdated = cis_pipeline_is_outdated (pipeline) && !run->ending;

  g_clear_handle_id (&runner->timeout, g_source_remove);
  if (outdated || (runner->replacement != NULL && cis_pipeline_get_exit_status (pipeline) == 0))
    {
      if (!switch_over_mortally (runner))
        {
          runner->ended = TRUE;
          end_all (run);
        }
      else if (!outdated && !is_reloading (run))
        {
          cis_listen_drop_unused ();
          sd_notify (0, "READY=1");
        }
    }
  else
    {
      runner->ended = TRUE;
      if (!run->once)
        end_all (run);
    }

  for (guint i = 0; i < run->runners->len; i++)
    if (!((Runner *) run->runners->pdata[i])->ended)
      return;
  g_main_loop_quit (run->loop);
}

/* ---- signals ---- */

/* Before it is said, so that whoever reads it can. */
static gboolean
on_terminate (gpointer user_data)
{
  Run *run = user_data;
  struct sigaction served[G_N_ELEMENTS (deadly)];

  become_mortal (served);
  sd_notify (0, "STOPPING=1");
  say (G_LOG_LEVEL_MESSAGE, "stopping; once more ends it at once");
  end_all (run);
  return G_SOURCE_REMOVE;
}

static gboolean
on_usr1 (gpointer user_data)
{
  Run *run = user_data;

  for (guint i = 0; i < run->runners->len; i++)
    progress_log (((Runner *) run->runners->pdata[i])->pipeline);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_drain_timeout (gpointer user_data)
{
  Runner *runner = user_data;

  runner->timeout = 0;
  say (G_LOG_LEVEL_WARNING, "%s: items in flight are cancelled: they did not finish within reload-timeout",
       runner->name);
  cis_pipeline_cancel (runner->pipeline);
  return G_SOURCE_REMOVE;
}

/* As `cis490 check` does. */
static void
tell_finding (CisFinding *finding)
{
  const char *fix = cis_finding_get_fix (finding);

  say (G_LOG_LEVEL_WARNING, "%s: %s [%s]%s%s", cis_finding_get_subject (finding),
       cis_finding_get_summary (finding), cis_finding_get_id (finding), fix != NULL ? "\n" : "",
       fix != NULL ? fix : "");
}

static void
begin_reload (Run *run)
{
  g_autofree char *message =
      g_strdup_printf ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
  g_auto (GStrv) replaced = cis_plugin_list_replaced ();
  gboolean ok = TRUE;

  sd_notify (0, message);
  for (char **name = replaced; *name != NULL; name++)
    say (G_LOG_LEVEL_WARNING, "plugin %s was replaced on disk; the old one stays in use until a restart",
         *name);
  for (guint i = 0; i < run->runners->len; i++)
    {
      Runner *runner = run->runners->pdata[i];
      g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);

      runner->replacement = options_load_pipeline (runner->name, run->site_file, findings);
      for (guint j = 0; j < findings->len; j++)
        tell_finding (findings->pdata[j]);
      ok = ok && runner->replacement != NULL;
    }
  for (guint i = 0; i < run->runners->len; i++)
    {
      Runner *runner = run->runners->pdata[i];

      if (!ok)
        g_clear_object (&runner->replacement);
      else
        {
          runner->timeout =
              g_timeout_add ((guint) (cis_pipeline_get_reload_timeout (runner->pipeline) / 1000),
                             on_drain_timeout, runner);
          cis_pipeline_drain (runner->pipeline);
        }
    }
  if (!ok)
    {
      say (G_LOG_LEVEL_WARNING, "the old configuration stays in use");
      sd_notify (0, "READY=1");
    }
}

static gboolean
on_hangup (gpointer user_data)
{
  Run *run = user_data;

  if (run->ending || run->once || is_reloading (run))
    say (G_LOG_LEVEL_MESSAGE, "no reload: %s",
         run->once     ? "--once"
         : run->ending ? "stopping"
                       : "the last one goes on");
  else
    begin_reload (run);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_draw (gpointer user_data)
{
  Run *run = user_data;
  g_autoptr (GPtrArray) pipelines = g_ptr_array_new ();

  for (guint i = 0; i < run->runners->len; i++)
    g_ptr_array_add (pipelines, ((Runner *) run->runners->pdata[i])->pipeline);
  progress_draw (pipelines);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_watchdog (gpointer user_data)
{
  Run *run = user_data;
  gint64 now = g_get_monotonic_time ();

  for (guint i = 0; i < run->runners->len; i++)
    {
      g_autoptr (GPtrArray) activities =
          cis_pipeline_list_activities (((Runner *) run->runners->pdata[i])->pipeline);

      for (guint j = 0; j < activities->len; j++)
        {
          const CisActivity *activity = activities->pdata[j];

          if (activity->stage != NULL && now - activity->progress > STUCK)
            return G_SOURCE_CONTINUE;
        }
    }
  sd_notify (0, "WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

static void
add_sources (Run *run)
{
  guint64 watchdog = 0;

  g_unix_signal_add (SIGTERM, on_terminate, run);
  g_unix_signal_add (SIGINT, on_terminate, run);
  g_unix_signal_add (SIGHUP, on_hangup, run);
  g_unix_signal_add (SIGUSR1, on_usr1, run);
  if (terminal_is_interactive ())
    g_timeout_add (DRAW_INTERVAL, on_draw, run);
  if (sd_watchdog_enabled (0, &watchdog) > 0)
    g_timeout_add ((guint) (watchdog / 2000), on_watchdog, run);
}

/* ---- from start to end ---- */

static int
start (Run *run)
{
  for (guint i = 0; i < run->runners->len; i++)
    {
      Runner *runner = run->runners->pdata[i];
      g_autoptr (GError) error = NULL;

      if (cis_pipeline_open (runner->pipeline, &error))
        continue;
      say (G_LOG_LEVEL_CRITICAL, "%s does not start: %s", runner->name, error->message);
      while (i-- > 0)
        cis_pipeline_close (((Runner *) run->runners->pdata[i])->pipeline);
      return cis_error_exit_status (error);
    }
  /* Until here a signal ended it at once: opening may take long, and what it does is done again. */
  add_sources (run);
  for (guint i = 0; i < run->runners->len; i++)
    {
      Runner *runner = run->runners->pdata[i];

      cis_pipeline_start (runner->pipeline, run->once, on_finished, runner);
    }
  sd_notify (0, "READY=1");
  return 0;
}

/* The gravest of all: an error, else 65, else 75, else 0. */
static int
end (Run *run)
{
  int status = 0;

  terminal_set_status (NULL);
  for (guint i = 0; i < run->runners->len; i++)
    {
      Runner *runner = run->runners->pdata[i];
      int its = cis_pipeline_get_exit_status (runner->pipeline);

      cis_pipeline_close (runner->pipeline);
      if (run->json)
        progress_print_json (runner->pipeline, its);
      else if (run->once)
        progress_print_summary (runner->pipeline);
      if (status == 0 || status == 75 || (status == 65 && its != 0 && its != 75))
        status = its != 0 ? its : status;
    }
  return status;
}

static int
add_runners (Run *run, char **names)
{
  g_autoptr (GPtrArray) pipelines = NULL;

  for (char **name = names; *name != NULL; name++)
    if (g_strv_contains ((const char *const *) name + 1, *name))
      {
        g_printerr (_ ("cis490 run: %s is named twice\n"), *name);
        return EX_USAGE;
      }
  pipelines = options_load_pipelines ((const char *const *) names, run->site_file);
  if (pipelines == NULL)
    return EX_CONFIG;
  for (guint i = 0; i < pipelines->len; i++)
    {
      Runner *runner = g_new0 (Runner, 1);

      runner->run = run;
      runner->name = g_strdup (names[i]);
      runner->pipeline = g_object_ref (pipelines->pdata[i]);
      g_ptr_array_add (run->runners, runner);
      if (run->once && CIS_SOURCE_GET_CLASS (cis_pipeline_get_source (runner->pipeline))->endless)
        {
          g_printerr (_ ("cis490: --once: the source of %s never ends; run it without --once\n"), names[i]);
          return EX_USAGE;
        }
    }
  return options_become_owner (pipelines);
}

int
cis_verb_run (int argc, char **argv)
{
  g_autofree char *site_file = NULL;
  g_auto (GStrv) overrides = NULL;
  gboolean once = FALSE, json = FALSE;
  const GOptionEntry entries[] = {
    OPTIONS_CONFIG_ENTRY (&site_file),
    OPTIONS_SET_ENTRY (&overrides),
    OPTIONS_JSON_ENTRY (&json),
    { "once", 0, G_OPTION_FLAG_NONE, G_OPTION_ARG_NONE, &once,
      N_ ("Stop when the source has nothing more; exits 65 or 75 where items stay"), NULL },
    { NULL },
  };
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GPtrArray) runners = g_ptr_array_new_with_free_func ((GDestroyNotify) runner_free);
  Run run = { .loop = loop, .runners = runners };
  int status;

  if (!options_parse (&argc, &argv, _ ("NAME…"),
                      _ ("Runs the pipelines NAME.ini in one process. SIGHUP reloads them, SIGUSR1 logs what "
                         "each stage did."),
                      entries))
    return EX_USAGE;
  if (argc < 2)
    {
      g_printerr (_ ("cis490 run: which pipeline? `cis490 check` lists those that are there\n"));
      return EX_USAGE;
    }
  if (!options_set_overrides (overrides))
    return EX_USAGE;
  run.site_file = site_file;
  run.once = once;
  run.json = json;
  status = add_runners (&run, argv + 1);
  if (status == 0)
    status = start (&run);
  if (status == 0)
    {
      g_main_loop_run (loop);
      status = end (&run);
    }
  /* Nobody finds a socket that nobody listens on. */
  cis_listen_drop_unused ();
  return status;
}
