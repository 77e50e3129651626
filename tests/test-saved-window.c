/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The window that is kept over a restart: when it is written, and how old it is taken to be. */

#include "harness.h"

#include "../plugins/gate/window/saved.h"

#define COMMIT "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static CisSavedWindow *
saved_new (const char *tree, gint64 max_age)
{
  g_autofree char *path = g_build_filename (tree, "state", "window.json", NULL);

  return cis_saved_window_new (path, "main", max_age);
}

/* Whether a second fetch of the same window writes the file again. */
static gboolean
is_rewritten (const char *tree, gint64 max_age)
{
  g_autoptr (CisSavedWindow) saved = saved_new (tree, max_age);
  g_autoptr (CisWindow) window = cis_window_new ("test", 1);
  g_autofree char *text = NULL;

  cis_window_append (window, COMMIT, 1);
  g_assert_true (cis_saved_window_store (saved, window, NULL));
  g_assert_true (test_exists (tree, "state/window.json"));
  test_write (tree, "state/window.json", "mine");
  g_assert_true (cis_saved_window_store (saved, window, NULL));
  text = test_read (tree, "state/window.json");
  return !g_str_equal (text, "mine");
}

/* Not with each fetch, but so often that one which is renewed is not too old at the next start. */
static void
test_seldom (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  g_assert_false (is_rewritten (tree, 30 * G_TIME_SPAN_DAY));
  g_assert_true (is_rewritten (tree, 1));
}

/* How old one is that was saved @ago (µs), in whole days; -1: it is of no use. */
static gint64
load (const char *tree, gint64 ago)
{
  g_autoptr (CisSavedWindow) saved = saved_new (tree, 30 * G_TIME_SPAN_DAY);
  g_autoptr (CisWindow) window = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf ("{\"of\":\"main\",\"saved_at\":%" G_GINT64_FORMAT
                                           ",\"commits\":[\"" COMMIT "\"],\"times\":[1]}",
                                           (g_get_real_time () - ago) / G_USEC_PER_SEC);

  test_write (tree, "state/window.json", text);
  window = cis_saved_window_load (saved, 3, &error);
  g_assert_no_error (error);
  return window != NULL ? (g_get_monotonic_time () - cis_window_get_fetched_at (window)) / G_TIME_SPAN_DAY
                        : -1;
}

/* Where it is from ahead, a clock was wrong: it is not taken for a new one. */
static void
test_age (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  const gint64 hour = G_TIME_SPAN_HOUR, day = G_TIME_SPAN_DAY;

  g_assert_cmpint (load (tree, hour), ==, 0);
  g_assert_cmpint (load (tree, 20 * day + hour), ==, 20);
  g_assert_cmpint (load (tree, 31 * day), ==, -1);
  g_assert_cmpint (load (tree, -20 * day - hour), ==, 20);
  g_assert_cmpint (load (tree, -31 * day), ==, -1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/saved-window/seldom", test_seldom);
  g_test_add_func ("/saved-window/age", test_age);
  return g_test_run ();
}
