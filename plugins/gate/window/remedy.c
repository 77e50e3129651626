/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "remedy.h"

#include <string.h>

/* Left to right, once: what is filled in is not looked at again. */
char *
cis_remedy_fill (const char *template, const CisRemedy *remedy)
{
  const struct
  {
    const char *name, *value;
  } placeholders[] = {
    { "{your_commit}", remedy->your_commit }, { "{head_commit}", remedy->head_commit },
    { "{branch}", remedy->branch },           { "{host}", remedy->host },
    { "{episode}", remedy->episode },
  };
  GString *text = g_string_new (NULL);

  while (*template != '\0')
    {
      gsize length = 0;

      for (guint i = 0; i < G_N_ELEMENTS (placeholders) && length == 0; i++)
        if (placeholders[i].value != NULL && g_str_has_prefix (template, placeholders[i].name))
          {
            g_string_append (text, placeholders[i].value);
            length = strlen (placeholders[i].name);
          }
      if (length == 0)
        g_string_append_c (text, template[length++]);
      template += length;
    }
  while (text->len > 0 && g_ascii_isspace (text->str[text->len - 1]))
    g_string_truncate (text, text->len - 1);
  return g_string_free (text, FALSE);
}
