/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-quantity.h"

typedef struct
{
  const char *name;
  guint64 factor;
} Unit;

/* The largest first, so that a value is written with the largest unit that divides it. */
static const Unit durations[] = { { "d", 86400 * G_GUINT64_CONSTANT (1000000) },
                                  { "h", 3600 * G_GUINT64_CONSTANT (1000000) },
                                  { "min", 60 * G_GUINT64_CONSTANT (1000000) },
                                  { "s", 1000000 },
                                  { "ms", 1000 },
                                  { "us", 1 },
                                  { NULL, 0 } };
static const Unit sizes[] = { { "TiB", G_GUINT64_CONSTANT (1) << 40 },
                              { "GiB", 1 << 30 },
                              { "MiB", 1 << 20 },
                              { "KiB", 1 << 10 },
                              { "B", 1 },
                              { NULL, 0 } };

/* What other programs write, and what it is here. */
static const struct
{
  const char *alias, *unit;
} aliases[] = {
  { "m", "min" },   { "mins", "min" },     { "minute", "min" }, { "minutes", "min" }, { "sec", "s" },
  { "secs", "s" },  { "second", "s" },     { "seconds", "s" },  { "hr", "h" },        { "hrs", "h" },
  { "hour", "h" },  { "hours", "h" },      { "day", "d" },      { "days", "d" },      { "msec", "ms" },
  { "usec", "us" }, { "\302\265s", "us" }, { "k", "KiB" },      { "kb", "KiB" },      { "m", "MiB" },
  { "mb", "MiB" },  { "g", "GiB" },        { "gb", "GiB" },     { "t", "TiB" },       { "tb", "TiB" },
  { "bytes", "B" }, { "byte", "B" },
};

/* The one of @units that was meant; %NULL: none. */
static const char *
find_meant (const char *unit, const Unit *units)
{
  for (const Unit *u = units; u->name != NULL; u++)
    if (g_ascii_strcasecmp (u->name, unit) == 0)
      return u->name;
  for (guint i = 0; i < G_N_ELEMENTS (aliases); i++)
    for (const Unit *u = units; u->name != NULL; u++)
      if (g_ascii_strcasecmp (aliases[i].alias, unit) == 0 && g_str_equal (aliases[i].unit, u->name))
        return u->name;
  return NULL;
}

/* Returns FALSE. */
static gboolean
refuse_quantity (const char *number, const char *unit, const Unit *units, GError **error)
{
  const char *meant = number[0] != '\0' ? find_meant (unit, units) : NULL;

  if (meant != NULL && !g_str_equal (meant, unit))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "has no unit of ours; did you mean “%s%s”?", number,
                 meant);
  else
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 units == sizes
                     ? "is not a size; write a whole number and B, KiB, MiB, GiB or TiB, such as 64MiB"
                     : "is not a duration; write a whole number and us, ms, s, min, h or d, such as 30s");
  return FALSE;
}

gboolean
cis_quantity_parse (const char *text, CisQuantity kind, guint64 *quantity, GError **error)
{
  const Unit *units = kind == CIS_QUANTITY_SIZE ? sizes : durations;
  gsize digits = strspn (text, "0123456789");
  g_autofree char *number = g_strndup (text, digits);
  g_autofree char *unit = g_strstrip (g_strdup (text + digits));
  guint64 factor = g_str_equal (number, "0") && unit[0] == '\0' ? 1 : 0;
  guint64 n = 0;

  for (const Unit *u = units; u->name != NULL; u++)
    if (g_str_equal (u->name, unit) || (u->factor == 1 && units == sizes && unit[0] == '\0'))
      factor = u->factor;
  if (factor == 0 || !g_ascii_string_to_unsigned (number, 10, 0, G_MAXINT64, &n, NULL) ||
      !g_uint64_checked_mul (quantity, n, factor) || *quantity > G_MAXINT64)
    return refuse_quantity (number, unit, units, error);
  return TRUE;
}

char *
cis_quantity_format (guint64 quantity, CisQuantity kind)
{
  const Unit *units = kind == CIS_QUANTITY_SIZE ? sizes : durations;

  if (quantity == 0)
    return g_strdup ("0");
  while (quantity % units->factor != 0)
    units++;
  return g_strdup_printf ("%" G_GUINT64_FORMAT "%s", quantity / units->factor, units->name);
}
