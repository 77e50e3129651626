/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scan-and-judge.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <time.h>
#include <utime.h>

static guint64
count_passed (CisPipeline *pipeline)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);

  return g_array_index (steps, CisStep, 0).n_passed;
}

static void
test_episodes_quiet (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gint64 start = g_get_monotonic_time ();

  test_make_episode (tree, "state/episodes/run-1", '\0');
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=300ms")), ==, 65);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 300 * 1000);
  assert_list (tree, "quarantine", "run-1");
}

typedef struct
{
  char *file;
  gint64 began;   /* monotonic µs */
  gint64 longest; /* µs for which it may have been unchanged; the thread's, then the test's */
  gint stopped;   /* atomic */
} Writer;

static gpointer
write_on (gpointer data)
{
  Writer *writer = data;
  g_autoptr (GError) error = NULL;
  gint64 last = writer->began;

  for (guint i = 0; !g_atomic_int_get (&writer->stopped); i++)
    {
      g_autofree char *line = g_strdup_printf ("{\"t\": %u}\n", i);
      gint64 began = g_get_monotonic_time ();

      g_file_set_contents_full (writer->file, line, -1, G_FILE_SET_CONTENTS_NONE, 0640, &error);
      g_assert_no_error (error);
      writer->longest = MAX (writer->longest, g_get_monotonic_time () - last);
      last = began;
      g_usleep (10 * 1000);
    }
  writer->longest = MAX (writer->longest, g_get_monotonic_time () - last);
  return NULL;
}

/* %FALSE where the writer was kept waiting for so long that it proves nothing. */
static gboolean
judge_still_written (guint quiet)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *file = g_build_filename (tree, "state/episodes/run-1/telemetry.jsonl", NULL);
  g_autofree char *ini = g_strdup_printf (SCAN_AND_JUDGE ("quiet=%ums"), quiet);
  Writer writer = { .file = file, .began = g_get_monotonic_time () };
  GThread *thread;
  int status;

  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_make_episode (tree, "state/episodes/run-2", '\0');
  thread = g_thread_new ("experiment", write_on, &writer);
  status = run (tree, ini);
  g_atomic_int_set (&writer.stopped, TRUE);
  g_thread_join (thread);
  if (writer.longest >= quiet * 1000)
    return FALSE;
  g_assert_cmpint (status, ==, 65);
  assert_list (tree, "episodes", "run-1");
  assert_list (tree, "quarantine", "run-2");
  /* Once it is finished, it goes. */
  g_assert_cmpint (run (tree, ini), ==, 65);
  assert_list (tree, "episodes", "");
  return TRUE;
}

static void
test_episodes_still_written (void)
{
  guint quiet = 200; /* ms */

  while (!judge_still_written (quiet))
    quiet *= 2;
}

static void
test_episodes_unfinished (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  test_write (tree, "state/episodes/run-1/log.txt", "");
  test_write (tree, "state/episodes/run-2/meta.json", "");
  test_write (tree, "state/episodes/notes.txt", "no episode");
  test_write (tree, "state/episodes/.incoming/meta.json", "{}");
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=1ms")), ==, 75);
  assert_list (tree, "episodes", ".incoming notes.txt run-1 run-2");
}

static void
test_episodes_none (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=1h")), ==, 0);
}

static void
test_episodes_locked (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisPipeline) first = once_load (tree, SCAN_AND_JUDGE ("quiet=1ms"));
  g_autoptr (CisPipeline) second = once_load (tree, SCAN_AND_JUDGE ("quiet=1ms"));

  cis_pipeline_open (first, &error);
  g_assert_no_error (error);
  g_assert_false (cis_pipeline_open (second, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE);
  g_assert_cmpint (cis_error_exit_status (error), ==, 69);
  cis_pipeline_close (first);
  g_clear_error (&error);
  cis_pipeline_open (second, &error);
  g_assert_no_error (error);
  cis_pipeline_close (second);
}

static char *
read_time (const char *tree, const char *name)
{
  g_autofree char *path = g_strdup_printf ("state/quarantine/%s/quarantine_reason.json", name);
  g_autofree char *text = test_read (tree, path);
  g_autoptr (JsonObject) reason = NULL;

  g_assert_nonnull (text);
  reason = cis_json_parse (text, strlen (text), NULL);
  return g_strdup (cis_json_get_string (reason, "quarantined_at"));
}

static void
test_episodes_oldest_first (void)
{
  static const char *const names[] = { "middle", "youngest", "oldest" };
  static const int ages[] = { 200, 100, 300 };
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *oldest = NULL, *middle = NULL, *youngest = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_strconcat ("state/episodes/", names[i], NULL);
      g_autofree char *meta = g_build_filename (tree, path, "meta.json", NULL);
      struct utimbuf times = { time (NULL) - ages[i], time (NULL) - ages[i] };

      test_make_episode (tree, path, '\0');
      g_assert_no_errno (utime (meta, &times));
    }
  /* All are quiet by the time that their turn comes. */
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=50ms")), ==, 65);
  oldest = read_time (tree, "oldest");
  middle = read_time (tree, "middle");
  youngest = read_time (tree, "youngest");
  g_assert_cmpstr (oldest, <, middle);
  g_assert_cmpstr (middle, <, youngest);
}

/* Runs the commands that were logged as remedies, as an operator would; how many there were. */
static guint
follow_fixes (const char *log, const char *prefix)
{
  g_auto (GStrv) lines = g_strsplit (log, "\n", -1);
  guint n = 0;

  for (guint i = 0; lines[i] != NULL; i++)
    {
      const char *command[] = { "bash", "-c", lines[i], NULL };
      g_autoptr (GSubprocess) shell = NULL;
      g_autoptr (GError) error = NULL;

      if (!g_str_has_prefix (lines[i], prefix))
        continue;
      shell = g_subprocess_newv (command, G_SUBPROCESS_FLAGS_NONE, &error);
      g_assert_no_error (error);
      g_subprocess_wait_check (shell, NULL, &error);
      g_assert_no_error (error);
      n++;
    }
  return n;
}

static void
test_episodes_invalid_names (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *log = NULL;
  g_autofree char *length_255 = g_strnfill (255, 'x');
  g_autofree char *length_124 = g_strnfill (124, 'x');
  g_autofree char *expected = NULL;
  const char *names[] = { "-",     "-- money", "a..b",    "a\tb", "it's", "line\\one's\ntwo\xff",
                          "run-1", "run 1",    length_255 };
  int status;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_strconcat ("state/episodes/", names[i], NULL);

      test_make_episode (tree, path, '\0');
    }
  once_begin_log ();
  status = run (tree, SCAN_AND_JUDGE ("quiet=1ms"));
  log = once_end_log ();
  g_assert_cmpint (status, ==, 65);
  assert_list (tree, "quarantine", "run-1");
  test_make_episode (tree, "state/episodes/run-1", '\0');
  g_assert_cmpuint (follow_fixes (log, "mv -T -- "), ==, 8);
  expected = g_strjoin (" ", "a-b", "a.b", "episode", "it-s", "line-one-s-two-", "money", "run-1", "run-1-2",
                        length_124, NULL);
  assert_list (tree, "episodes", expected);
}

/* Nothing went wrong, and yet not all is home. */
static void
test_episodes_invalid_waits (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *log = NULL;

  test_make_episode (tree, "state/episodes/bad name", '\0');
  once_begin_log ();
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=1ms")), ==, 75);
  log = once_end_log ();
  g_assert_nonnull (
      strstr (log, "Of 1 episodes 0 passed, 0 were rejected and 1 wait (0 with no or an empty meta.json, "
                   "0 still being written, 1 with a bad name or a symlink)"));
}

/* Only one that stands for a folder elsewhere keeps something from being shipped. */
static void
test_episodes_links (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *elsewhere = g_build_filename (tree, "elsewhere/run-2", NULL);
  static const char *const names[] = { "latest", "plots", "dangling", "README", "raw" };
  static const char *const targets[] = { "run-1", "run-1/data", "gone", "../notes.txt", "../raw" };
  g_autofree char *hidden = g_build_filename (tree, "state/episodes/run-2", NULL);
  g_autofree char *near = g_build_filename (tree, "state/episodes/run-3", NULL);
  g_autofree char *log = NULL;
  int status;

  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_write (tree, "state/episodes/run-1/data/meta.json", "{}");
  test_make_episode (tree, "elsewhere/run-2", '\0');
  test_make_episode (tree, "state/raw/run-3", '\0');
  test_write (tree, "state/notes.txt", "");
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (tree, "state/episodes", names[i], NULL);

      g_assert_no_errno (symlink (targets[i], path));
    }
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=1ms")), ==, 65);
  assert_list (tree, "quarantine", "run-1");
  assert_list (tree, "episodes", "README dangling latest plots raw");
  g_assert_no_errno (symlink (elsewhere, hidden));
  g_assert_no_errno (symlink ("../raw/run-3", near));
  once_begin_log ();
  status = run (tree, SCAN_AND_JUDGE ("quiet=1ms"));
  log = once_end_log ();
  g_assert_cmpint (status, ==, 75);
  g_assert_cmpuint (follow_fixes (log, "target="), ==, 2);
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=1ms")), ==, 65);
  assert_list (tree, "quarantine", "run-1 run-2 run-3");
}

static void
test_episodes_sweep (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  test_write (tree, "state/episodes/unfinished/log.txt", "");
  test_write (tree, "state/outbox/unfinished.tar.zst", "");
  test_write (tree, "state/outbox/unfinished.json", "{}");
  test_write (tree, "state/outbox/unfinished.tar.zst.partial", "");
  test_write (tree, "state/outbox/.unfinished.json.01234567.tmp", "");
  test_write (tree, "state/outbox/orphan.tar.zst", "");
  test_write (tree, "state/outbox/orphan.json", "{}");
  test_write (tree, "state/outbox/notes.txt", "not ours");
  test_write (tree, "state/receipts/shipped.json", "{}");
  test_write (tree, "state/receipts/.shipped.json.01234567.tmp", "{");
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=1ms")), ==, 75);
  assert_list (tree, "outbox", "notes.txt unfinished.json unfinished.tar.zst");
  assert_list (tree, "receipts", "shipped.json");
}

static void
test_episodes_hints (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisPipeline) pipeline =
      once_load (tree, SCAN_AND_JUDGE ("quiet=50ms\npoll=1h\nsweep-interval=1d"));
  gboolean finished = FALSE;

  test_write (tree, "state/episodes/slow/log.txt", "");
  test_write (tree, "state/episodes/empty/meta.json", "");
  once_start (pipeline, &finished);
  test_make_episode (tree, "state/episodes/new", '\0');
  test_wait_for (test_exists (tree, "state/quarantine/new/quarantine_reason.json"));
  assert_list (tree, "episodes", "empty slow");
  test_write (tree, "state/episodes/slow/meta.json", "{}");
  test_write (tree, "state/episodes/empty/meta.json", "{}");
  test_wait_for (test_exists (tree, "state/quarantine/slow/quarantine_reason.json"));
  test_wait_for (test_exists (tree, "state/quarantine/empty/quarantine_reason.json"));
  once_stop (pipeline, &finished);
}

static void
make_many (const char *tree, guint n, gboolean with_meta)
{
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *path =
          g_strdup_printf ("state/episodes/run-%05u/%s", i, with_meta ? "meta.json" : "log.txt");

      test_write (tree, path,
                  "{\"code_version\": {\"commit\": \"cccccccccccccccccccccccccccccccccccccccc\"}}\n");
    }
}

static void
test_episodes_ten_thousand (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisPipeline) pipeline = once_load (tree, SCAN_AND_JUDGE ("quiet=10ms"));

  make_many (tree, 10000, TRUE);
  g_assert_cmpint (once_run (pipeline), ==, 0);
  g_assert_cmpuint (count_passed (pipeline), ==, 10000);
}

/* Though episodes/ is listed over and over meanwhile, and what passed stays there. */
static void
test_episodes_once_is_once (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisPipeline) pipeline = once_load (tree, SCAN_AND_JUDGE ("quiet=1ms\npoll=1ms"));

  make_many (tree, 1000, TRUE);
  g_assert_cmpint (once_run (pipeline), ==, 0);
  g_assert_cmpuint (count_passed (pipeline), ==, 1000);
}

static gint64
get_cpu_time (void)
{
  struct timespec used;

  g_assert_no_errno (clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used));
  return used.tv_sec * SECOND + used.tv_nsec / 1000;
}

/* CPU time of the least quarter of a second of some, in each of which nothing happens but up to 250 ticks;
 * one of @enough is the last. */
static gint64
measure_idling (guint n_episodes, gint64 enough)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisPipeline) pipeline =
      once_load (tree, SCAN_AND_JUDGE ("quiet=1h\npoll=1ms\nsweep-interval=1d"));
  gboolean finished = FALSE;
  gint64 least = G_MAXINT64;

  make_many (tree, n_episodes, TRUE);
  once_start (pipeline, &finished);
  /* The first ones look at all, as the change of episodes/ must be older than what its mtime can tell. */
  for (guint i = 0; i < 120 && least > enough; i++)
    {
      gint64 before = get_cpu_time ();

      g_usleep (SECOND / 4);
      least = MIN (least, get_cpu_time () - before);
    }
  once_stop (pipeline, &finished);
  return least;
}

static void
test_episodes_idle (void)
{
  gint64 few = measure_idling (1, 50 * 1000);
  gint64 many = measure_idling (5000, few + 50 * 1000);

  /* One listing of 5,000 takes a millisecond or more, so that looking at them all is all that it does. */
  g_assert_cmpint (many, <, few + 100 * 1000);
}

int
main (int argc, char *argv[])
{
  /* Thousands of folders, of which no disk needs to hear. */
  g_setenv ("TMPDIR", "/dev/shm", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/episodes/quiet", test_episodes_quiet);
  g_test_add_func ("/episodes/still-written", test_episodes_still_written);
  g_test_add_func ("/episodes/unfinished", test_episodes_unfinished);
  g_test_add_func ("/episodes/none", test_episodes_none);
  g_test_add_func ("/episodes/locked", test_episodes_locked);
  g_test_add_func ("/episodes/oldest-first", test_episodes_oldest_first);
  g_test_add_func ("/episodes/invalid-names", test_episodes_invalid_names);
  g_test_add_func ("/episodes/invalid-waits", test_episodes_invalid_waits);
  g_test_add_func ("/episodes/links", test_episodes_links);
  g_test_add_func ("/episodes/sweep", test_episodes_sweep);
  g_test_add_func ("/episodes/hints", test_episodes_hints);
  g_test_add_func ("/episodes/ten-thousand", test_episodes_ten_thousand);
  g_test_add_func ("/episodes/once-is-once", test_episodes_once_is_once);
  g_test_add_func ("/episodes/idle", test_episodes_idle);
  return g_test_run ();
}
