/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The four steps of an item's way, holds, recovery and the end of a run, with the parts of plugins/test/. */

#include "harness.h"

#include "cis-pipeline-private.h"

typedef struct
{
  char *tree;
  char *record;
  GMainLoop *loop;
  CisPipeline *pipeline;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->tree = test_tree_new ();
  fixture->record = g_build_filename (fixture->tree, "record", NULL);
  fixture->loop = g_main_loop_new (NULL, FALSE);
  test_write (fixture->tree, "cis490.ini", "[site]\n");
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_clear_object (&fixture->pipeline);
  g_main_loop_unref (fixture->loop);
  g_free (fixture->record);
  test_tree_remove (fixture->tree);
}

static void
load (Fixture *fixture, const char *text)
{
  g_autofree char *site = g_build_filename (fixture->tree, "cis490.ini", NULL);
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GString) ini = g_string_new (text);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisConfig) config = NULL;

  g_string_replace (ini, "RECORD", fixture->record, 0);
  test_write (fixture->tree, "pipelines/p.ini", ini->str);
  config = cis_config_load ("p", site, &error);
  g_assert_no_error (error);
  fixture->pipeline = cis_pipeline_new (config, findings);
  for (guint i = 0; i < findings->len; i++)
    g_test_message ("%s", cis_finding_get_summary (findings->pdata[i]));
  g_assert_nonnull (fixture->pipeline);
}

static void
on_finished (CisPipeline *pipeline, gpointer data)
{
  g_main_loop_quit (data);
}

static void
start (Fixture *fixture, gboolean once)
{
  g_autoptr (GError) error = NULL;

  cis_pipeline_open (fixture->pipeline, &error);
  g_assert_no_error (error);
  cis_pipeline_start (fixture->pipeline, once, on_finished, fixture->loop);
}

/* Runs --once; the exit status. */
static int
run_once (Fixture *fixture)
{
  start (fixture, TRUE);
  g_main_loop_run (fixture->loop);
  cis_pipeline_close (fixture->pipeline);
  return cis_pipeline_get_exit_status (fixture->pipeline);
}

static void
stop (Fixture *fixture)
{
  cis_pipeline_cancel (fixture->pipeline);
  g_main_loop_run (fixture->loop);
  cis_pipeline_close (fixture->pipeline);
}

/* How many lines of the record are just @line. */
static guint
count (Fixture *fixture, const char *line)
{
  g_autofree char *text = test_read (fixture->tree, "record");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  guint n = 0;

  for (char **l = lines; *l != NULL; l++)
    n += g_str_equal (*l, line);
  return n;
}

static guint
count_parked (Fixture *fixture)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&fixture->pipeline->lock);

  return g_hash_table_size (fixture->pipeline->parked);
}

#define QUICK       "[pipeline]\nbackoff-initial=100ms\nafterwards-timeout=100ms\n"
#define HEAD        QUICK "workers=1\nstages="
#define SOURCE      "\n[count]\nplugin=test/count\nrecord=RECORD\n"
#define STAGE(name) "\n[" name "]\nplugin=test/script\nrecord=RECORD\n"
#define NOTICE      "\n[notice]\nplugin=test/notice\nrecord=RECORD\n"

static void
test_way (Fixture *fixture, gconstpointer data)
{
  g_autofree char *text = NULL;

  load (fixture, HEAD "count;a;b" SOURCE "items=1\n" STAGE ("a") STAGE ("b"));
  g_assert_cmpint (run_once (fixture), ==, 0);
  text = test_read (fixture->tree, "record");
  g_assert_cmpstr (text, ==,
                   "a open\nb open\na process item-0\nb process item-0\nb settled item-0 passed\n"
                   "a settled item-0 passed\nhome item-0 passed\nb close\na close\n");
}

static void
test_done (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;b" SOURCE "items=1\n" STAGE ("a") "script=item-0=done\n" STAGE ("b"));
  g_assert_cmpint (run_once (fixture), ==, 0);
  g_assert_cmpuint (count (fixture, "b process item-0"), ==, 0);
  g_assert_cmpuint (count (fixture, "b settled item-0 done"), ==, 0);
  g_assert_cmpuint (count (fixture, "home item-0 done"), ==, 1);
}

static void
test_outcomes (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;b;rejected;deferred" SOURCE "items=5\n" STAGE (
                     "a") "script=item-0=rejected;item-1=deferred;item-2=failed;item-3=gone\n" STAGE ("b")
                     STAGE ("rejected") "when=rejected\n" STAGE ("deferred") "when=deferred\n");
  g_assert_cmpint (run_once (fixture), ==, 65);
  g_assert_cmpuint (count (fixture, "rejected process item-0"), ==, 1);
  g_assert_cmpuint (count (fixture, "deferred process item-0"), ==, 0);
  g_assert_cmpuint (count (fixture, "deferred process item-1"), ==, 1);
  g_assert_cmpuint (count (fixture, "deferred process item-2"), ==, 1);
  g_assert_cmpuint (count (fixture, "rejected process item-3") + count (fixture, "deferred process item-3"),
                    ==, 0);
  g_assert_cmpuint (count (fixture, "a settled item-3 none"), ==, 1);
  g_assert_cmpuint (count (fixture, "b process item-4"), ==, 1);
  g_assert_cmpuint (count (fixture, "home item-4 passed"), ==, 1);
}

static void
test_waiting (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a" SOURCE STAGE ("a") "script=item-1=deferred\n");
  g_assert_cmpint (run_once (fixture), ==, 75);
}

/* A quarantine that fails: the verdict stays, only that stage is tried again, others go on, and it is told.
 */
static void
test_second_try (Fixture *fixture, gconstpointer data)
{
  load (fixture,
        HEAD "count;a;q;notice\nattempts=2" SOURCE "items=2\n" STAGE ("a") "script=item-0=rejected\n" STAGE (
            "q") "when=rejected\nscript=item-0=failed,failed,passed\n" NOTICE);
  start (fixture, FALSE);
  test_wait_for (count (fixture, "home item-1 passed") == 1);
  test_wait_for (count (fixture, "tell keeps-failing item-0 raised") == 1);
  test_wait_for (count (fixture, "home item-0 rejected") == 1);
  test_wait_for (count (fixture, "tell keeps-failing item-0 cleared") == 1);
  stop (fixture);
  g_assert_cmpuint (count (fixture, "a process item-0"), ==, 1);
  g_assert_cmpuint (count (fixture, "q process item-0"), ==, 3);
}

/* It is not over because there is no later: a reload ends with it. */
static void
test_second_try_told (Fixture *fixture, gconstpointer data)
{
  load (fixture,
        HEAD "count;a;q;notice\nattempts=1" SOURCE "items=1\n" STAGE ("a") "script=item-0=rejected\n" STAGE (
            "q") "when=rejected\nscript=item-0=failed\n" NOTICE);
  start (fixture, FALSE);
  test_wait_for (count (fixture, "tell keeps-failing item-0 raised") == 1);
  cis_pipeline_drain (fixture->pipeline);
  test_wait_for (count (fixture, "home item-0 deferred") == 1);
  stop (fixture);
  g_assert_cmpuint (count (fixture, "tell keeps-failing item-0 cleared"), ==, 0);
}

static void
test_second_try_once (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;q" SOURCE "items=1\n" STAGE ("a") "script=item-0=rejected\n" STAGE (
                     "q") "when=rejected\nscript=item-0=failed\n");
  g_assert_cmpint (run_once (fixture), ==, 75);
  g_assert_cmpuint (count (fixture, "home item-0 deferred"), ==, 1);
}

/* A drain gives what is parked its last try at once; the timer of the next one finds nothing any more, while
 * others are still at work. */
static void
test_second_try_drain (Fixture *fixture, gconstpointer data)
{
  guint n_tries;

  load (fixture,
        QUICK "workers=2\nstages=count;a;q" SOURCE "items=2\n" STAGE (
            "a") "script=item-0=rejected;item-1=hang\n" STAGE ("q") "when=rejected\nscript=item-0=failed\n");
  start (fixture, FALSE);
  test_wait_for (count_parked (fixture) == 1 && count (fixture, "a process item-1") == 1);
  cis_pipeline_drain (fixture->pipeline);
  test_wait_for (count (fixture, "home item-0 deferred") == 1);
  n_tries = count (fixture, "q process item-0");
  g_assert_cmpuint (n_tries, >=, 2);
  g_usleep (300 * G_TIME_SPAN_MILLISECOND); /* the timer's 100 or 200 ms, and a little */
  stop (fixture);
  g_assert_cmpuint (count (fixture, "q process item-0"), ==, n_tries);
  g_assert_cmpuint (count (fixture, "home item-1 none"), ==, 1);
}

/* However many wait for their second try, others go on: those beyond come again as what was deferred. */
static void
test_second_try_many (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GString) rejected = g_string_new (NULL);
  g_autoptr (GString) failed = g_string_new (NULL);
  g_autofree char *text = NULL;
  g_autofree char *last = g_strdup_printf ("home item-%u passed", CIS_PARKED_MAX + 9);

  for (guint i = 0; i < CIS_PARKED_MAX + 9; i++)
    {
      g_string_append_printf (rejected, "item-%u=rejected;", i);
      g_string_append_printf (failed, "item-%u=failed;", i);
    }
  text =
      g_strdup_printf (HEAD "count;a;q" SOURCE
                            "items=%u\n" STAGE ("a") "script=%s\n" STAGE ("q") "when=rejected\nscript=%s\n",
                       CIS_PARKED_MAX + 10, rejected->str, failed->str);
  load (fixture, text);
  start (fixture, FALSE);
  test_wait_for (count (fixture, last) == 1);
  g_assert_cmpuint (count_parked (fixture), <=, CIS_PARKED_MAX);
  stop (fixture);
}

/* A stage that can take nothing: one probe at a time, nothing else reaches any stage, one finding. */
static void
test_hold (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;b;notice" SOURCE "items=3\n" STAGE ("a")
                     STAGE ("b") "script=item-0=stage,stage,passed\n" NOTICE);
  start (fixture, FALSE);
  test_wait_for (count (fixture, "b process item-0") == 1);
  test_wait_for (count (fixture, "home item-0 deferred") == 1);
  test_wait_for (count (fixture, "home item-1 passed") == 1 && count (fixture, "home item-2 passed") == 1 &&
                 count (fixture, "home item-0 passed") == 1);
  test_wait_for (count (fixture, "tell played the stage cleared") >= 1);
  stop (fixture);
  g_assert_cmpuint (count (fixture, "a process item-1"), ==, 1);
  g_assert_cmpuint (count (fixture, "tell played the stage raised"), ==,
                    count (fixture, "tell played the stage cleared"));
}

static void
test_hold_once (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;b" SOURCE "items=3\n" STAGE ("a") STAGE ("b") "script=item-0=stage\n");
  g_assert_cmpint (run_once (fixture), ==, 75);
  g_assert_cmpuint (count (fixture, "b process item-1"), ==, 0);
}

static void
test_failures (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;notice\nattempts=3" SOURCE
                      "items=1\n" STAGE ("a") "script=item-0=failed,failed,failed,failed,passed\n" NOTICE);
  start (fixture, FALSE);
  test_wait_for (count (fixture, "tell keeps-failing item-0 cleared") == 1);
  stop (fixture);
  g_assert_cmpuint (count (fixture, "tell keeps-failing item-0 raised"), ==, 1);
  g_assert_cmpuint (count (fixture, "a process item-0"), ==, 5);
}

static void
test_fatal (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a" SOURCE STAGE ("a") "script=item-1=fatal\n");
  g_assert_cmpint (run_once (fixture), ==, 1);
  g_assert_cmpuint (count (fixture, "a process item-2"), ==, 0);
}

static void
test_cancel (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;d" SOURCE STAGE ("a") "script=item-0=hang\n" STAGE ("d") "when=deferred\n");
  start (fixture, FALSE);
  test_wait_for (count (fixture, "a process item-0") == 1);
  stop (fixture);
  g_assert_cmpuint (count (fixture, "home item-0 none"), ==, 1);
  g_assert_cmpuint (count (fixture, "d process item-0"), ==, 0);
  g_assert_cmpuint (count (fixture, "a process item-1"), ==, 0);
}

static void
test_drain (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;b" SOURCE "items=1000000\n" STAGE ("a") STAGE ("b"));
  start (fixture, FALSE);
  test_wait_for (count (fixture, "a process item-3") == 1);
  cis_pipeline_drain (fixture->pipeline);
  g_main_loop_run (fixture->loop);
  cis_pipeline_close (fixture->pipeline);
  g_assert_cmpuint (count (fixture, "home item-3 passed"), ==, 1);
  /* A minute away from there. */
  g_assert_cmpuint (count (fixture, "home item-999999 passed"), ==, 0);
}

/* An item that an earlier run left goes through the later stages only, and home, before the source runs. */
static void
test_recovery (Fixture *fixture, gconstpointer data)
{
  g_autofree char *text = NULL;

  load (fixture, HEAD "count;a;b;c" SOURCE "items=0\n" STAGE ("a") STAGE ("b") "recover=left\n" STAGE ("c"));
  g_assert_cmpint (run_once (fixture), ==, 0);
  text = test_read (fixture->tree, "record");
  g_assert_cmpstr (text, ==,
                   "a open\nb open\nc open\nc process left\nc settled left passed\nb settled left passed\n"
                   "c close\nb close\na close\n");
}

static void
test_recovery_failed (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  load (fixture, HEAD "count;a;b" SOURCE STAGE ("a") "recover=left\n" STAGE ("b") "script=left=failed\n");
  g_assert_false (cis_pipeline_open (fixture->pipeline, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_FATAL);
}

static void
test_open_refused (Fixture *fixture, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (GError) error = NULL;

      if (i == 0)
        load (fixture,
              HEAD "count;a;b" SOURCE STAGE ("a") "recover=left\n" STAGE ("b") "open-error=no such thing\n");
      g_assert_false (cis_pipeline_open (fixture->pipeline, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_assert_cmpstr (error->message, ==, "[b] no such thing");
    }
  g_assert_cmpuint (count (fixture, "a open"), ==, 2);
  g_assert_cmpuint (count (fixture, "a close"), ==, 2);
}

static void
test_again (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a" SOURCE "items=1\n" STAGE ("a"));
  g_assert_cmpint (run_once (fixture), ==, 0);
  g_assert_cmpint (run_once (fixture), ==, 0);
  g_assert_cmpuint (count (fixture, "home item-0 passed"), ==, 2);
}

static void
test_alerts (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a;notice" SOURCE STAGE ("a") "script=item-1=rejected;item-2=deferred\n" NOTICE);
  run_once (fixture);
  g_assert_cmpuint (count (fixture, "tell played item-1 event"), ==, 1);
  g_assert_cmpuint (count (fixture, "tell played item-2 event"), ==, 1);
}

/* A mail server that never answers delays nothing, and is given up in the end. */
static void
test_alert_hangs (Fixture *fixture, gconstpointer data)
{
  g_autofree char *script = g_strdup (HEAD "count;a;notice\nafterwards-queue=2" SOURCE "items=50\n" STAGE (
      "a") "script=item-0=rejected;item-1=rejected;item-49=rejected\n" NOTICE "hang=true\n");

  load (fixture, script);
  g_assert_cmpint (run_once (fixture), ==, 65);
  g_assert_cmpuint (count (fixture, "home item-49 rejected"), ==, 1);
  g_assert_cmpuint (count (fixture, "tell played item-0 event"), ==, 1);
}

static void
test_counts (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GArray) steps = NULL;
  const CisStep *step;

  load (fixture, HEAD "count;a;b" SOURCE "items=5\n" STAGE (
                     "a") "script=item-0=rejected;item-1=deferred;item-2=failed\n" STAGE ("b"));
  run_once (fixture);
  steps = cis_pipeline_list_steps (fixture->pipeline);
  step = &g_array_index (steps, CisStep, 0);
  g_assert_cmpuint (step->n_seen, ==, 5);
  g_assert_cmpuint (step->n_passed, ==, 2);
  g_assert_cmpuint (step->n_rejected, ==, 1);
  g_assert_cmpuint (step->n_deferred, ==, 1);
  g_assert_cmpuint (step->n_failed, ==, 1);
  g_assert_cmpuint (g_array_index (steps, CisStep, 1).n_seen, ==, 2);
}

/* A run that ends is no end of the clean-up of those parts that have one; a signal is. */
static void
test_once_cleans_up (Fixture *fixture, gconstpointer data)
{
  load (fixture,
        HEAD "count;a;b" SOURCE "items=0\n" STAGE ("a") "maintain=100ms\n" STAGE ("b") "maintain=100ms\n");
  g_assert_cmpint (run_once (fixture), ==, 0);
  g_assert_cmpuint (count (fixture, "a maintain done") + count (fixture, "b maintain done"), ==, 2);
}

static void
test_once_cancelled (Fixture *fixture, gconstpointer data)
{
  load (fixture, HEAD "count;a" SOURCE "items=0\n" STAGE ("a") "maintain=1d\n");
  start (fixture, TRUE);
  stop (fixture);
  g_assert_cmpuint (count (fixture, "a maintain done"), ==, 0);
}

int
main (int argc, char **argv)
{
  g_autofree char *fixtures = NULL;
  g_autofree char *path = NULL;

  g_test_init (&argc, &argv, NULL);
  fixtures = g_test_build_filename (G_TEST_BUILT, "plugins", NULL);
  path = g_strconcat (fixtures, ":", g_getenv ("CIS490_PLUGIN_PATH"), NULL);
  g_setenv ("CIS490_PLUGIN_PATH", path, TRUE);
#define ADD(name, function) g_test_add ("/pipeline/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("way", test_way);
  ADD ("done", test_done);
  ADD ("outcomes", test_outcomes);
  ADD ("waiting", test_waiting);
  ADD ("second-try", test_second_try);
  ADD ("second-try-told", test_second_try_told);
  ADD ("second-try-once", test_second_try_once);
  ADD ("second-try-drain", test_second_try_drain);
  ADD ("second-try-many", test_second_try_many);
  ADD ("hold", test_hold);
  ADD ("hold-once", test_hold_once);
  ADD ("once-cleans-up", test_once_cleans_up);
  ADD ("once-cancelled", test_once_cancelled);
  ADD ("failures", test_failures);
  ADD ("fatal", test_fatal);
  ADD ("cancel", test_cancel);
  ADD ("drain", test_drain);
  ADD ("recovery", test_recovery);
  ADD ("recovery-failed", test_recovery_failed);
  ADD ("open-refused", test_open_refused);
  ADD ("again", test_again);
  ADD ("alerts", test_alerts);
  ADD ("alert-hangs", test_alert_hangs);
  ADD ("counts", test_counts);
  return g_test_run ();
}
