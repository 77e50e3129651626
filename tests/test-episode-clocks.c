/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When the scan believes the age of a file. */

#include "scan-and-judge.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The clocks as the parts see them: these definitions come before the C library's and GLib's. */
static gint clock_step;  /* of the wall clock, s; atomic */
static gint clock_shift; /* and by so much more, ms; atomic */
static gint boot_offset; /* how much longer ago the machine booted, s; atomic */

__attribute__ ((visibility ("default"))) int
clock_gettime (clockid_t clock, struct timespec *now)
{
  int result = (int) syscall (SYS_clock_gettime, clock, now);

  if (clock == CLOCK_BOOTTIME)
    now->tv_sec += g_atomic_int_get (&boot_offset);
  return result;
}

__attribute__ ((visibility ("default"))) gint64
g_get_real_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  return ((gint64) now.tv_sec + g_atomic_int_get (&clock_step)) * SECOND + now.tv_nsec / 1000 +
         g_atomic_int_get (&clock_shift) * 1000;
}

static void
set_uptime (gint seconds)
{
  struct timespec now;

  g_assert_no_errno (syscall (SYS_clock_gettime, CLOCK_BOOTTIME, &now));
  g_atomic_int_set (&boot_offset, seconds - (gint) now.tv_sec);
}

static void
test_long_quiet (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  set_uptime (24 * 3600);
  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_write (tree, "state/episodes/run-2/meta.json", "");
  g_atomic_int_set (&clock_step, 11 * 60);
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=1h")), ==, 65);
  g_atomic_int_set (&clock_step, 0);
  assert_list (tree, "quarantine", "run-1 run-2");
}

static void
test_steps (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisPipeline) pipeline = once_load (tree, SCAN_AND_JUDGE ("quiet=500ms"));
  gboolean finished = FALSE;
  gint64 began;

  set_uptime (24 * 3600);
  test_make_episode (tree, "state/episodes/before", '\0');
  once_start (pipeline, &finished);
  test_wait_for (test_exists (tree, "state/quarantine/before/quarantine_reason.json"));
  /* What is written from now on looks a year old, and is not. */
  g_atomic_int_set (&clock_step, 365 * 24 * 3600);
  began = g_get_monotonic_time ();
  test_make_episode (tree, "state/episodes/after", '\0');
  test_wait_for (test_exists (tree, "state/quarantine/after/quarantine_reason.json"));
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 500 * 1000);
  once_stop (pipeline, &finished);
  g_atomic_int_set (&clock_step, 0);
}

/* Right after the boot the clock may not have been set yet, and what is written now be years old. */
static void
test_just_booted (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gint64 began = g_get_monotonic_time ();

  set_uptime (60);
  test_make_episode (tree, "state/episodes/run-1", '\0');
  g_atomic_int_set (&clock_step, 365 * 24 * 3600);
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=500ms")), ==, 65);
  g_atomic_int_set (&clock_step, 0);
  g_assert_cmpint (g_get_monotonic_time () - began, >=, 500 * 1000);
}

/* Until the folder, of which something was opened for looking, is closed again. */
static void
wait_for_look (int fd)
{
  for (gboolean looked = FALSE; !looked;)
    {
      char buffer[4096] __attribute__ ((aligned (8)));
      gssize length = read (fd, buffer, sizeof buffer);

      g_assert_cmpint (length, >, 0);
      for (gssize at = 0; at < length;)
        {
          const struct inotify_event *event = (const struct inotify_event *) (buffer + at);

          looked |= event->len == 0;
          at += (gssize) (sizeof *event + event->len);
        }
    }
}

/* Changes an episode @pause ms after its first look, and sets the clock by @shift ms. %FALSE where that took
 * so long that it proves nothing. @taken: µs from its beginning, and @waited from the change, until it went.
 */
static gboolean
change_between (guint quiet, guint pause, guint shift, gint64 *taken, gint64 *waited)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *ini = g_strdup_printf (SCAN_AND_JUDGE ("quiet=%ums"), quiet);
  g_autofree char *folder = g_build_filename (tree, "state/episodes/run-1", NULL);
  g_autofree char *meta = g_build_filename (folder, "meta.json", NULL);
  g_autoptr (CisPipeline) pipeline = once_load (tree, ini);
  gint64 began = g_get_monotonic_time (), changed, done;
  int looks = inotify_init1 (IN_CLOEXEC), file;
  gboolean finished = FALSE;

  test_write (tree, "state/episodes/run-1/meta.json", "{}");
  file = open (meta, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (inotify_add_watch (looks, folder, IN_CLOSE_NOWRITE), >=, 0);
  once_start (pipeline, &finished);
  wait_for_look (looks);
  g_usleep (pause * 1000);
  changed = g_get_monotonic_time ();
  g_assert_cmpint (pwrite (file, "{ }", 3, 0), ==, 3);
  g_atomic_int_set (&clock_shift, (gint) shift);
  done = g_get_monotonic_time ();
  test_wait_for (test_exists (tree, "state/quarantine/run-1/quarantine_reason.json"));
  *taken = g_get_monotonic_time () - began;
  *waited = g_get_monotonic_time () - changed;
  once_stop (pipeline, &finished);
  g_atomic_int_set (&clock_shift, 0);
  close (file);
  close (looks);
  return done - began < quiet * 1000;
}

/* What changed after it was looked at waits for `quiet` from the change on, and not from when it showed. */
static void
test_changed_between (void)
{
  guint quiet = 250; /* ms */
  gint64 taken, waited;

  /* A machine under load may be slow. */
  while (!change_between (quiet, 0, 0, &taken, &waited) || taken >= 2 * quiet * 1000)
    {
      quiet *= 2;
      g_assert_cmpuint (quiet, <, 20 * 1000);
    }
  /* The kernel's clock for files ticks a few ms apart. */
  g_assert_cmpint (waited, >=, (quiet - 50) * 1000);
}

/* Where the clock was set meanwhile, a file's time says nothing. */
static void
test_set_between (void)
{
  guint quiet = 400; /* ms */
  gint64 taken, waited;

  while (!change_between (quiet, quiet * 3 / 8, quiet / 4, &taken, &waited))
    quiet *= 2;
  g_assert_cmpint (waited, >=, quiet * 1000);
}

/* Without a meta.json it is told once nothing has changed for a day, and taken where that is asked for. */
static void
test_unfinished (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *early = NULL, *late = NULL;

  test_write (tree, "state/episodes/run-1/data", "");
  test_write (tree, "state/episodes/run-2/data", "");
  g_atomic_int_set (&clock_step, 23 * 3600);
  once_begin_log ();
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("take-unfinished=true\nquiet=1ms")), ==, 75);
  early = once_end_log ();
  g_assert_null (strstr (early, "episode-unfinished"));
  g_atomic_int_set (&clock_step, 25 * 3600);
  once_begin_log ();
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("quiet=1ms")), ==, 75);
  late = once_end_log ();
  g_assert_nonnull (strstr (late, "episode-unfinished: 2 episodes have no meta.json"));
  assert_list (tree, "quarantine", "");
  g_assert_cmpint (run (tree, SCAN_AND_JUDGE ("take-unfinished=true\nquiet=1ms")), ==, 65);
  g_atomic_int_set (&clock_step, 0);
  assert_list (tree, "quarantine", "run-1 run-2");
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/episode-clocks/changed-between", test_changed_between);
  g_test_add_func ("/episode-clocks/set-between", test_set_between);
  g_test_add_func ("/episode-clocks/long-quiet", test_long_quiet);
  g_test_add_func ("/episode-clocks/steps", test_steps);
  g_test_add_func ("/episode-clocks/just-booted", test_just_booted);
  g_test_add_func ("/episode-clocks/unfinished", test_unfinished);
  return g_test_run ();
}
