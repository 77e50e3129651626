/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stamp-text.h"

#include "cis-json.h"

#include <string.h>

/* Behind the last member of the object that ends with @brace. */
static const char *
find_end (const char *brace)
{
  while (strchr (" \t\r\n", brace[-1]) != NULL)
    brace--;
  return brace;
}

char *
stamp_text_set (const char *text, gsize length, const char *value, GError **error)
{
  static const char *const members[] = { "code_version", NULL };
  CisJsonSpan span = { 0, 0 };
  const char *end, *brace;
  GString *stamped;

  if (!cis_json_find (text, length, members, &span, error))
    return NULL;
  if (span.length > 0)
    {
      stamped = g_string_new_len (text, span.begin);
      g_string_append (stamped, value);
      g_string_append_len (stamped, text + span.begin + span.length, length - span.begin - span.length);
      return g_string_free (stamped, FALSE);
    }
  brace = memrchr (text, '}', length);
  end = find_end (brace);
  stamped = g_string_new_len (text, end - text);
  g_string_append_printf (stamped, "%s\n  \"code_version\": %s\n", end[-1] == '{' ? "" : ",", value);
  g_string_append_len (stamped, brace, text + length - brace);
  return g_string_free (stamped, FALSE);
}
