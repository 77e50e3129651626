/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-plain.h"

/* As in JSON, so that beyond the first plane it takes two. */
static void
append_escaped (GString *plain, gunichar c)
{
  if (c > 0xffff)
    g_string_append_printf (plain, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                            0xdc00 + ((c - 0x10000) & 0x3ff));
  else
    g_string_append_printf (plain, "\\u%04x", c);
}

/* Bidirectional marks and those of no width are all of the category Cf; so are tags. */
static gboolean
shows (gunichar c)
{
  switch (g_unichar_type (c))
    {
    case G_UNICODE_CONTROL:
      return c == '\n' || c == '\t';
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
    case G_UNICODE_SURROGATE:
      return FALSE;
    default:
      /* Fillers and selectors that are letters and marks by name, and show nothing. */
      return !((c >= 0xfe00 && c <= 0xfe0f) || c == 0x034f || c == 0x115f || c == 0x1160 || c == 0x2800 ||
               c == 0x3164 || c == 0xffa0 || (c >= 0xe0000 && c <= 0xe0fff));
    }
}

char *
cis_plain_new (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *plain = g_string_sized_new (strlen (valid));

  for (const char *c = valid; *c != '\0'; c = g_utf8_next_char (c))
    if (shows (g_utf8_get_char (c)))
      g_string_append_unichar (plain, g_utf8_get_char (c));
    else
      append_escaped (plain, g_utf8_get_char (c));
  return g_string_free (plain, FALSE);
}
