/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-option.h"

static GParamSpec *
sink (GParamSpec *pspec)
{
  return g_param_spec_ref_sink (pspec);
}

static gint64
parse_duration (const char *text)
{
  g_autoptr (GParamSpec) pspec = sink (g_param_spec_int64 ("d", NULL, NULL, 0, G_TIME_SPAN_DAY * 400, 0,
                                                           CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  g_auto (GValue) value = G_VALUE_INIT;

  return cis_option_parse (pspec, text, &value, NULL) ? g_value_get_int64 (&value) : -1;
}

static void
test_durations (void)
{
  static const char *const wrong[] = { "",     "5", "s", "-5s", "5 parsecs", "1.5h", "5S", "99999999999999d",
                                       "5s 3s" };

  g_assert_cmpint (parse_duration ("0"), ==, 0);
  g_assert_cmpint (parse_duration ("250ms"), ==, 250 * G_TIME_SPAN_MILLISECOND);
  g_assert_cmpint (parse_duration ("5s"), ==, 5 * G_TIME_SPAN_SECOND);
  g_assert_cmpint (parse_duration ("2 min"), ==, 2 * G_TIME_SPAN_MINUTE);
  g_assert_cmpint (parse_duration ("1h"), ==, G_TIME_SPAN_HOUR);
  g_assert_cmpint (parse_duration ("30d"), ==, 30 * G_TIME_SPAN_DAY);
  g_assert_cmpint (parse_duration ("401d"), ==, -1);
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    g_assert_cmpint (parse_duration (wrong[i]), ==, -1);
}

static void
test_sizes (void)
{
  static const char *const wrong[] = { "", "64MB", "-1", "1.5GiB", "KiB", "99999999999TiB" };
  g_autoptr (GParamSpec) pspec =
      sink (g_param_spec_uint64 ("s", NULL, NULL, 0, G_MAXUINT64, 0, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  g_auto (GValue) value = G_VALUE_INIT;

  g_assert_true (cis_option_parse (pspec, "64MiB", &value, NULL));
  g_assert_cmpuint (g_value_get_uint64 (&value), ==, 64 << 20);
  g_value_unset (&value);
  g_assert_true (cis_option_parse (pspec, "1000", &value, NULL));
  g_assert_cmpuint (g_value_get_uint64 (&value), ==, 1000);
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_auto (GValue) other = G_VALUE_INIT;
      g_autoptr (GError) error = NULL;

      g_assert_false (cis_option_parse (pspec, wrong[i], &other, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
    }
}

static void
test_numbers (void)
{
  static const char *const wrong[] = { "0", "65", "x", "3x", "-1", "", "99999999999" };
  g_autoptr (GParamSpec) pspec = sink (g_param_spec_uint ("n", NULL, NULL, 1, 64, 2, CIS_PARAM_OPTION));
  g_autofree char *range = cis_option_describe_range (pspec);
  g_autofree char *normal = cis_option_describe_default (pspec);
  g_auto (GValue) value = G_VALUE_INIT;

  g_assert_true (cis_option_parse (pspec, "64", &value, NULL));
  g_assert_cmpuint (g_value_get_uint (&value), ==, 64);
  g_assert_cmpstr (range, ==, "1 to 64");
  g_assert_cmpstr (normal, ==, "2");
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_auto (GValue) other = G_VALUE_INIT;

      g_assert_false (cis_option_parse (pspec, wrong[i], &other, NULL));
    }
}

static void
test_words (void)
{
  g_autoptr (GParamSpec) when =
      sink (g_param_spec_enum ("when", NULL, NULL, CIS_TYPE_WHEN, CIS_WHEN_PASSED, CIS_PARAM_OPTION));
  g_autoptr (GParamSpec) list = sink (g_param_spec_boxed ("list", NULL, NULL, G_TYPE_STRV, CIS_PARAM_OPTION));
  g_autoptr (GParamSpec) truth = sink (g_param_spec_boolean ("truth", NULL, NULL, FALSE, CIS_PARAM_OPTION));
  g_autoptr (GError) error = NULL;
  GValue value = G_VALUE_INIT;

  g_assert_false (cis_option_parse (when, "aftewards", &value, &error));
  g_assert_nonnull (strstr (error->message, "afterwards"));
  g_assert_true (cis_option_parse (when, "deferred", &value, NULL));
  g_assert_cmpint (g_value_get_enum (&value), ==, CIS_WHEN_DEFERRED);
  g_value_unset (&value);
  g_assert_true (cis_option_parse (list, " a ;b;; c;", &value, NULL));
  g_assert_true (g_strv_equal (g_value_get_boxed (&value), (const char *const[]){ "a", "b", "c", NULL }));
  g_value_unset (&value);
  g_assert_true (cis_option_parse (truth, "Yes", &value, NULL));
  g_assert_true (g_value_get_boolean (&value));
  g_value_unset (&value);
  g_assert_false (cis_option_parse (truth, "perhaps", &value, NULL));
}

static void
assert_says (GParamSpec *pspec, const char *text, const char *says)
{
  g_auto (GValue) value = G_VALUE_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_false (cis_option_parse (pspec, text, &value, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  if (strstr (error->message, says) == NULL)
    g_error ("“%s” %s", text, error->message);
}

/* What other programs' configurations say, and what they mean by it here. */
static void
test_habits (void)
{
  static const struct
  {
    const char *text, *says;
  } durations[] = {
    { "5m", "did you mean “5min”?" },       { "30sec", "did you mean “30s”?" }, { "2 hours", "did you mean “2h”?" },
    { "5S", "did you mean “5s”?" },         { "1day", "did you mean “1d”?" },   { "5", "is not a duration" },
    { "m", "is not a duration" },
  }, sizes[] = {
    { "64MB", "did you mean “64MiB”?" },    { "1g", "did you mean “1GiB”?" },   { "1 gib", "did you mean “1GiB”?" },
    { "5k", "did you mean “5KiB”?" },       { "1e9", "is not a size" },         { "0x10", "is not a size" },
  }, texts[] = {
    { "\"main\"", "has quotes, which would belong to it; write main" },
    { "'main'", "has quotes" },
    { "~/token", "only a shell knows" },
    { "$HOME/token", "one is written ${NAME}" },
    { "lab-1\302\240", "cannot be seen (U+00A0) behind “lab-1”" },
    { "lab\342\200\213-1", "cannot be seen (U+200B) behind “lab”" },
    { "a\nb", "cannot be seen (U+000A) behind “a”" },
    { "\357\273\277a", "cannot be seen (U+FEFF) behind “”" },
  };
  static const char *const fine[] = { "a b", "main#1", "$5", "it's", "Z\303\274rich", "a;b", "'", "\"a" };
  g_autoptr (GParamSpec) duration =
      sink (g_param_spec_int64 ("d", NULL, NULL, 0, G_MAXINT64, 0, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  g_autoptr (GParamSpec) size =
      sink (g_param_spec_uint64 ("s", NULL, NULL, 0, G_MAXUINT64, 0, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  g_autoptr (GParamSpec) name = sink (g_param_spec_string ("n", NULL, NULL, NULL, CIS_PARAM_OPTION));
  g_autoptr (GParamSpec) prose =
      sink (g_param_spec_string ("p", NULL, NULL, NULL, CIS_PARAM_OPTION | CIS_PARAM_PROSE));
  g_auto (GValue) command = G_VALUE_INIT;
  g_autoptr (GParamSpec) list = sink (g_param_spec_boxed ("l", NULL, NULL, G_TYPE_STRV, CIS_PARAM_OPTION));

  for (guint i = 0; i < G_N_ELEMENTS (durations); i++)
    assert_says (duration, durations[i].text, durations[i].says);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    assert_says (size, sizes[i].text, sizes[i].says);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_auto (GValue) value = G_VALUE_INIT;

      assert_says (name, texts[i].text, texts[i].says);
      g_assert_true (cis_option_parse (prose, texts[i].text, &value, NULL));
    }
  /* A list may be a command. */
  g_assert_true (cis_option_parse (list, "sh;-c;echo \"$0\", a b", &command, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (fine); i++)
    {
      g_auto (GValue) value = G_VALUE_INIT;

      g_assert_true (cis_option_parse (name, fine[i], &value, NULL));
    }
}

static void
test_nearest (void)
{
  static const char *const names[] = { "quiet", "poll", "state", "backoff-max", NULL };

  g_assert_cmpstr (cis_nearest_name ("quite", names), ==, "quiet");
  g_assert_cmpstr (cis_nearest_name ("backof-maxx", names), ==, "backoff-max");
  g_assert_null (cis_nearest_name ("elephant", names));
  g_assert_null (cis_nearest_name ("", names));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/option/durations", test_durations);
  g_test_add_func ("/option/sizes", test_sizes);
  g_test_add_func ("/option/numbers", test_numbers);
  g_test_add_func ("/option/words", test_words);
  g_test_add_func ("/option/habits", test_habits);
  g_test_add_func ("/option/nearest", test_nearest);
  return g_test_run ();
}
