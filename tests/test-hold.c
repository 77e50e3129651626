/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-hold.h"

static const CisBackoff backoff = { 2 * G_TIME_SPAN_SECOND, 5 * G_TIME_SPAN_MINUTE };

static CisFinding *
finding (const char *id)
{
  return cis_finding_new (id, CIS_SEVERITY_ERROR, "s", "Something");
}

static void
test_news (void)
{
  CisHold hold = { 0 };
  g_autoptr (CisFinding) a = finding ("a");
  g_autoptr (CisFinding) again = finding ("a");
  g_autoptr (CisFinding) b = finding ("b");
  g_autoptr (CisFinding) cleared = NULL;

  g_assert_true (cis_hold_begin (&hold, &backoff, 2, 0, 0, a));
  g_assert_false (cis_hold_begin (&hold, &backoff, 2, 0, 0, again));
  g_assert_true (cis_hold_begin (&hold, &backoff, 2, 0, 0, b));
  g_assert_true (cis_hold_begin (&hold, &backoff, 2, 0, 0, NULL));
  g_assert_true (cis_hold_begin (&hold, &backoff, 3, 0, 0, a));
  g_assert_true (hold.held);
  cleared = cis_hold_end (&hold);
  g_assert_true (cleared == a);
  g_assert_false (hold.held);
}

static void
test_delay (void)
{
  CisHold hold = { 0 };

  for (guint i = 0; i < 12; i++)
    {
      gint64 now = hold.until, delay = cis_backoff_get (&backoff, i);

      cis_hold_begin (&hold, &backoff, 0, now, 0, NULL);
      g_assert_cmpint (delay, ==, MIN (backoff.first << i, backoff.last));
      g_assert_cmpint (hold.until, >=, now + delay);
      g_assert_cmpint (hold.until, <=, now + delay + delay / 4);
    }
  cis_hold_begin (&hold, &backoff, 0, 0, G_TIME_SPAN_HOUR, NULL);
  g_assert_cmpint (hold.until, >=, G_TIME_SPAN_HOUR);
  g_assert_null (cis_hold_end (&hold));
  cis_hold_begin (&hold, &backoff, 0, 0, 0, NULL);
  g_assert_cmpint (hold.until, <, G_TIME_SPAN_MINUTE);
}

/* One option may be set without the other. */
static void
test_order (void)
{
  CisBackoff reversed = { G_TIME_SPAN_MINUTE, G_TIME_SPAN_SECOND };

  g_assert_cmpint (cis_backoff_get (&reversed, 0), ==, G_TIME_SPAN_SECOND);
  g_assert_cmpint (cis_backoff_get (&reversed, G_MAXUINT), ==, G_TIME_SPAN_SECOND);
}

/* Eight workers that meet one outage make one pause of it, not a pause doubled eight times. */
static void
test_all_at_once (void)
{
  CisHold hold = { 0 };

  cis_hold_begin (&hold, &backoff, 0, 1000, 0, NULL);
  for (guint i = 0; i < 7; i++)
    cis_hold_begin (&hold, &backoff, 0, 1001 + i, 0, NULL);
  g_assert_cmpuint (hold.n_probes, ==, 0);
  cis_hold_begin (&hold, &backoff, 0, hold.until, 0, NULL);
  g_assert_cmpuint (hold.n_probes, ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/hold/news", test_news);
  g_test_add_func ("/hold/delay", test_delay);
  g_test_add_func ("/hold/order", test_order);
  g_test_add_func ("/hold/all-at-once", test_all_at_once);
  return g_test_run ();
}
