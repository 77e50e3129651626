/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* A name that g_str_hash() cannot tell from any other of these: it adds h * 33 + c, so "aR" and "b1" are
 * alike, and so is whatever is put together of as many of them. A good name for a host or an episode. full */
#define COLLIDING_LENGTH 40

static inline char *
colliding_name (guint i)
{
  char *name = g_malloc (COLLIDING_LENGTH + 1);

  for (guint bit = 0; bit < COLLIDING_LENGTH / 2; bit++)
    {
      name[2 * bit] = i >> bit & 1 ? 'a' : 'b';
      name[2 * bit + 1] = i >> bit & 1 ? 'R' : '1';
    }
  name[COLLIDING_LENGTH] = '\0';
  return name;
}

/* The members of a JSON object with @n such names, each behind @prefix; full */
static inline char *
colliding_members (guint n, const char *prefix)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    {
      char *name = colliding_name (i);

      g_string_append_printf (text, "%s\"%s%s\":0", i > 0 ? "," : "", prefix, name);
      g_free (name);
    }
  return g_string_free (text, FALSE);
}
