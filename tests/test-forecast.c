/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "../plugins/gate/window/forecast.h"

static void
test_leaves_in (void)
{
  g_autoptr (CisWindow) window = cis_window_new ("test", 1);
  g_autoptr (CisWindow) timeless = cis_window_new ("test", 1);
  const gint64 now = 1700000000;

  /* An hour apart, the head an hour old. */
  for (guint i = 0; i < 30; i++)
    {
      g_autofree char *commit = g_strdup_printf ("%040u", i);

      cis_window_append (window, commit, now - 3600 * (gint64) (i + 1));
      cis_window_append (timeless, commit, 0);
    }
  g_assert_cmpint (cis_forecast_leaves_in (window, 0, 100, now), ==, 100 * 3600);
  g_assert_cmpint (cis_forecast_leaves_in (window, 29, 30, now), ==, 3600);
  g_assert_cmpint (cis_forecast_leaves_in (window, 29, 100, now), ==, 71 * 3600);
  /* A quiet branch lets it stay longer, and one in the future (a wrong clock) is no reason to divide by
   * nothing. */
  g_assert_cmpint (cis_forecast_leaves_in (window, 29, 30, now + 20 * 3600), ==, 2 * 3600);
  g_assert_cmpint (cis_forecast_leaves_in (window, 0, 100, now - 1000000), >=, 0);
  g_assert_cmpint (cis_forecast_leaves_in (timeless, 0, 100, now), ==, -1);
  g_assert_cmpint (cis_forecast_leaves_in (window, -1, 100, now), ==, -1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/forecast/leaves-in", test_leaves_in);
  return g_test_run ();
}
