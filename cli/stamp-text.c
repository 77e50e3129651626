/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stamp-text.h"

#include <string.h>

/* The three of them walk over text that cis_json_parse () has found to be JSON. */
static const char *
skip_space (const char *at)
{
  return at + strspn (at, " \t\r\n");
}

static const char *
skip_string (const char *at)
{
  for (at++; *at != '"'; at++)
    if (*at == '\\')
      at++;
  return at + 1;
}

static const char *
skip_value (const char *at)
{
  guint depth = 0;

  do
    {
      if (*at == '{' || *at == '[')
        depth++;
      else if (*at == '}' || *at == ']')
        depth--;
      at = *at == '"' ? skip_string (at) : at + 1;
    }
  while (depth > 0 || strchr (",}] \t\r\n", *at) == NULL);
  return at;
}

char *
stamp_text_set (const char *text, JsonObject *meta, const char *value)
{
  const char *at = skip_space (skip_space (text) + 1);
  const char *end = at;
  JsonObjectIter iter;
  const char *name;

  /* The names are the parser's, as the text may spell them with escapes. */
  json_object_iter_init_ordered (&iter, meta);
  while (json_object_iter_next_ordered (&iter, &name, NULL))
    {
      const char *old = skip_space (skip_space (skip_string (at)) + 1);

      end = skip_value (old);
      if (g_str_equal (name, "code_version"))
        return g_strdup_printf ("%.*s%s%s", (int) (old - text), text, value, end);
      at = skip_space (end);
      if (*at == ',')
        at = skip_space (at + 1);
    }
  return g_strdup_printf ("%.*s%s\n  \"code_version\": %s\n%s", (int) (end - text), text,
                          json_object_get_size (meta) == 0 ? "" : ",", value, at);
}
