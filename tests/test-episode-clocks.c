/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When the scan believes the age of a file. */

#include "scan-and-judge.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The clocks as the parts see them: these definitions come before the C library's and GLib's. */
static gint clock_step;  /* of the wall clock, s; atomic */
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
  return ((gint64) now.tv_sec + g_atomic_int_get (&clock_step)) * SECOND + now.tv_nsec / 1000;
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
  g_test_add_func ("/episode-clocks/long-quiet", test_long_quiet);
  g_test_add_func ("/episode-clocks/steps", test_steps);
  g_test_add_func ("/episode-clocks/just-booted", test_just_booted);
  g_test_add_func ("/episode-clocks/unfinished", test_unfinished);
  return g_test_run ();
}
