/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "forecast.h"

/* What counts as the present: long enough that a series of commits pushed at once is not taken for the
 * pace. */
#define SAMPLE 20

gint64
cis_forecast_leaves_in (CisWindow *window, gint64 position, guint n, gint64 now)
{
  guint sample = MIN (cis_window_get_length (window), SAMPLE);
  gint64 oldest = G_MAXINT64;

  if (position < 0 || position >= n)
    return -1;
  /* A branch that has just begun has no pace. */
  if (cis_window_get_length (window) < MIN (n, SAMPLE))
    return -1;
  for (guint i = 0; i < sample; i++)
    {
      gint64 time = cis_window_get_time (window, i);

      if (time <= 0)
        return -1;
      oldest = MIN (oldest, time);
    }
  /* Up to now, so that a branch on which nothing happens is slow. */
  return MAX (now - oldest, 1) * (n - position) / sample;
}
