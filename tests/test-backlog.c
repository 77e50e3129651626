/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/scan/episodes/backlog.h"

#define SECOND G_USEC_PER_SEC

static void
test_backlog_oldest_first (void)
{
  g_autoptr (Backlog) backlog = backlog_new (5 * SECOND, 3600 * (gint64) SECOND);

  backlog_add (backlog, "b", 20, 0);
  backlog_add (backlog, "c", 10, 0);
  backlog_add (backlog, "a", 20, 0);
  backlog_add (backlog, "a", 1, 0); /* known */
  g_assert_cmpuint (backlog_count_waiting (backlog), ==, 3);
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "c");
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "a");
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "b");
  g_assert_null (backlog_take (backlog, 0));
  g_assert_true (backlog_is_in_flight (backlog, "a"));
  g_assert_cmpuint (backlog_count_waiting (backlog), ==, 0);
}

/* How long the back-off is after that many attempts. */
static gint64
measure_backoff (guint attempts, gint64 retry_after)
{
  g_autoptr (Backlog) backlog = backlog_new (5 * SECOND, 60 * SECOND);
  gint64 now = 1000;

  backlog_add (backlog, "a", 0, now);
  for (guint i = 0; i < attempts; i++)
    {
      now = backlog_next_due (backlog, now);
      g_assert_nonnull (backlog_take (backlog, now));
      backlog_defer (backlog, "a", now, retry_after);
    }
  return backlog_next_due (backlog, now) - now;
}

static void
test_backlog_backs_off (void)
{
  static const struct
  {
    guint attempts;
    gint64 retry_after, expected;
  } cases[] = { { 1, 0, 5 },   { 2, 0, 10 },  { 4, 0, 40 },     { 5, 0, 60 },
                { 90, 0, 60 }, { 1, 30, 30 }, { 1, 3600, 3600 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      gint64 expected = cases[i].expected * SECOND;
      gint64 least = G_MAXINT64, most = 0;

      for (guint n = 0; n < 200; n++)
        {
          gint64 delay = measure_backoff (cases[i].attempts, cases[i].retry_after * SECOND);

          least = MIN (least, delay);
          most = MAX (most, delay);
        }
      g_assert_cmpint (least, >=, expected);
      g_assert_cmpint (most, <=, expected + expected / 4);
      /* The jitter is there after the cap too. */
      g_assert_cmpint (most - least, >, expected / 8);
    }
}

static void
test_backlog_hold (void)
{
  g_autoptr (Backlog) backlog = backlog_new (5 * SECOND, 60 * SECOND);

  backlog_add (backlog, "old", 1, 0);
  backlog_add (backlog, "young", 2, 0);
  /* Each is the probe in turn, the oldest first. */
  for (guint i = 0; i < 3; i++)
    {
      g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "old");
      backlog_hold (backlog, "old", 0);
      g_assert_cmpint (backlog_next_due (backlog, 0), ==, 0);
      g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "young");
      backlog_hold (backlog, "young", 0);
    }
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "old");
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "young");
}

static void
test_backlog_listing (void)
{
  g_autoptr (Backlog) backlog = backlog_new (5 * SECOND, 60 * SECOND);

  backlog_add (backlog, "flying", 1, 0);
  backlog_add (backlog, "gone", 2, 0);
  backlog_add (backlog, "there", 3, 0);
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "flying");
  backlog_begin_listing (backlog);
  g_assert_true (backlog_mark (backlog, "there"));
  g_assert_false (backlog_mark (backlog, "new"));
  backlog_add (backlog, "new", 4, 0);
  backlog_end_listing (backlog);
  g_assert_true (backlog_is_known (backlog, "flying"));
  g_assert_false (backlog_is_known (backlog, "gone"));
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "there");
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "new");
  backlog_forget (backlog, "flying");
  backlog_defer (backlog, "flying", 0, 0); /* unknown by now: nothing happens */
  g_assert_false (backlog_is_known (backlog, "flying"));
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/backlog/oldest-first", test_backlog_oldest_first);
  g_test_add_func ("/backlog/backs-off", test_backlog_backs_off);
  g_test_add_func ("/backlog/hold", test_backlog_hold);
  g_test_add_func ("/backlog/listing", test_backlog_listing);
  return g_test_run ();
}
