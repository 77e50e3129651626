/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-option.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>

/* A whole number and a unit, by long double, which holds more than 64 bits: -1 where it is none. */
static long double
read_quantity (const char *text, const char *const *units, const long double *factors)
{
  gsize digits = strspn (text, G_CSET_DIGITS);
  g_autofree char *unit = g_strstrip (g_strdup (text + digits));
  long double number = 0;

  for (gsize i = 0; i < digits; i++)
    number = number * 10 + (text[i] - '0');
  for (guint i = 0; digits > 0 && units[i] != NULL; i++)
    if (g_str_equal (units[i], unit))
      return number * factors[i];
  return digits == 1 && number == 0 && unit[0] == '\0' ? 0 : -1;
}

static long double
read_duration (const char *text)
{
  static const char *const units[] = { "us", "ms", "s", "min", "h", "d", NULL };
  static const long double factors[] = { 1, 1e3L, 1e6L, 60e6L, 3600e6L, 86400e6L };

  return read_quantity (text, units, factors);
}

static long double
read_size (const char *text)
{
  static const char *const units[] = { "", "B", "KiB", "MiB", "GiB", "TiB", NULL };
  static const long double factors[] = { 1, 1, 0x1p10L, 0x1p20L, 0x1p30L, 0x1p40L };

  return read_quantity (text, units, factors);
}

/* The same option with this default, so that it writes it as an operator would. full */
static GParamSpec *
with_default (GParamSpec *pspec, const GValue *value)
{
  GParamSpec *copy;

  if (G_VALUE_HOLDS_INT64 (value))
    copy =
        g_param_spec_int64 ("x", NULL, NULL, G_MININT64, G_MAXINT64, g_value_get_int64 (value), pspec->flags);
  else if (G_VALUE_HOLDS_UINT64 (value))
    copy = g_param_spec_uint64 ("x", NULL, NULL, 0, G_MAXUINT64, g_value_get_uint64 (value), pspec->flags);
  else if (G_VALUE_HOLDS_UINT (value))
    copy = g_param_spec_uint ("x", NULL, NULL, 0, G_MAXUINT, g_value_get_uint (value), pspec->flags);
  else if (G_VALUE_HOLDS_BOOLEAN (value))
    copy = g_param_spec_boolean ("x", NULL, NULL, g_value_get_boolean (value), pspec->flags);
  else if (G_VALUE_HOLDS_ENUM (value))
    copy = g_param_spec_enum ("x", NULL, NULL, CIS_TYPE_WHEN, g_value_get_enum (value), pspec->flags);
  else
    return NULL;
  return g_param_spec_ref_sink (copy);
}

/* Takes what is in range, says why where it does not, and what it writes it reads as the same. */
static gboolean
try (GParamSpec *pspec, const char *text, GValue *value)
{
  g_autoptr (GError) error = NULL;
  gboolean taken = cis_option_parse (pspec, text, value, &error);
  g_autoptr (GParamSpec) same = NULL;
  g_autofree char *written = NULL;
  g_auto (GValue) again = G_VALUE_INIT;

  g_assert_true (taken == (error == NULL));
  if (!taken)
    {
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_assert_false (G_IS_VALUE (value));
      return FALSE;
    }
  g_assert_true (g_param_value_is_valid (pspec, value));
  same = with_default (pspec, value);
  if (same == NULL)
    return TRUE;
  written = cis_option_describe_default (same);
  g_assert_true (cis_option_parse (same, written, &again, NULL));
  g_assert_cmpint (g_param_values_cmp (same, value, &again), ==, 0);
  return TRUE;
}

static void
try_quantities (GParamSpec *duration, GParamSpec *size, const char *text)
{
  g_auto (GValue) time = G_VALUE_INIT;
  g_auto (GValue) bytes = G_VALUE_INIT;

  if (try (duration, text, &time))
    g_assert_true ((long double) g_value_get_int64 (&time) == read_duration (text));
  else
    g_assert_true (read_duration (text) < 0 || read_duration (text) > G_MAXINT64);
  if (try (size, text, &bytes))
    g_assert_true ((long double) g_value_get_uint64 (&bytes) == read_size (text));
  else
    g_assert_true (read_size (text) < 0 || read_size (text) > G_MAXINT64);
}

static void
try_others (GParamSpec *const *pspecs, guint n, const char *text)
{
  for (guint i = 0; i < n; i++)
    {
      g_auto (GValue) value = G_VALUE_INIT;

      if (try (pspecs[i], text, &value) && G_VALUE_HOLDS_DOUBLE (&value))
        g_assert_true (isfinite (g_value_get_double (&value)));
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  static const char *const names[] = { "stages", "workers", "reload-timeout", "x", NULL };
  static GParamSpec *quantities[2], *others[7];
  g_autofree char *text = g_strndup ((const char *) data, size);
  const char *nearest;

  if (quantities[0] == NULL)
    {
      quantities[0] =
          g_param_spec_int64 ("x", NULL, NULL, 0, G_MAXINT64, 0, CIS_PARAM_OPTION | CIS_PARAM_DURATION);
      quantities[1] =
          g_param_spec_uint64 ("x", NULL, NULL, 0, G_MAXUINT64, 0, CIS_PARAM_OPTION | CIS_PARAM_SIZE);
      others[0] = g_param_spec_int64 ("x", NULL, NULL, -7, G_MAXINT64, 0, CIS_PARAM_OPTION);
      others[1] = g_param_spec_uint64 ("x", NULL, NULL, 7, G_MAXUINT64, 7, CIS_PARAM_OPTION);
      others[2] = g_param_spec_uint ("x", NULL, NULL, 1, 512, 1, CIS_PARAM_OPTION);
      others[3] = g_param_spec_double ("x", NULL, NULL, 0, G_MAXDOUBLE, 0, CIS_PARAM_OPTION);
      others[4] = g_param_spec_boolean ("x", NULL, NULL, FALSE, CIS_PARAM_OPTION);
      others[5] = g_param_spec_enum ("x", NULL, NULL, CIS_TYPE_WHEN, CIS_WHEN_PASSED, CIS_PARAM_OPTION);
      others[6] = g_param_spec_boxed ("x", NULL, NULL, G_TYPE_STRV, CIS_PARAM_OPTION);
    }
  try_quantities (quantities[0], quantities[1], text);
  try_others (others, G_N_ELEMENTS (others), text);
  nearest = cis_nearest_name (text, names);
  g_assert_true (nearest == NULL || g_strv_contains (names, nearest));
  return 0;
}
