/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What people write into files, as their editors save it. Whatever else reads such a file sees lines and
 * words only. */

#include "cis490.h"

#include <string.h>

#define SECRET_MAX 4096
#define BOM        0xfeff

G_GNUC_PRINTF (5, 6)
static void
complain (GError **error, const char *path, guint line, guint column, const char *format, ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s:%u:%u: %s", path, line, column, reason);
}

/* The place of @at in @text, both from 1. */
static void
find_place (const char *text, const char *at, guint *line, guint *column)
{
  const char *start = text;

  *line = 1;
  for (const char *c = text; c < at; c++)
    if (*c == '\n')
      {
        ++*line;
        start = c + 1;
      }
  *column = (guint) g_utf8_strlen (start, at - start) + 1;
}

/* Who reads on behind a NUL and who does not would see two files in one. */
static gboolean
is_utf8 (const char *data, gsize length, const char *path, GError **error)
{
  const char *stop, *reason = "this is not UTF-8 text; save the file as UTF-8";
  guint line, column;

  if (g_utf8_validate_len (data, length, &stop))
    return TRUE;
  find_place (data, stop, &line, &column);
  if (length >= 2 && (memcmp (data, "\xff\xfe", 2) == 0 || memcmp (data, "\xfe\xff", 2) == 0))
    reason = "this is not UTF-8 text but UTF-16; save the file as UTF-8";
  complain (error, path, line, column, "%s", reason);
  return FALSE;
}

/* A file that was put together of several has a mark where each of them began. */
static gboolean
is_mark (const char *text, const char *at)
{
  return g_utf8_get_char (at) == BOM && (at == text || at[-1] == '\n');
}

/* A carriage return that ends no line, or a character that a terminal obeys. */
static gboolean
is_control (const char *at)
{
  return (guchar) *at < ' ' ? *at != '\t' && *at != '\n' : *at == 0x7f;
}

/* Its lines as they are meant; full. */
static char *
normalise (const char *text, const char *path, GError **error)
{
  g_autoptr (GString) plain = g_string_sized_new (strlen (text));
  guint line, column;

  for (const char *at = text; *at != '\0'; at = g_utf8_next_char (at))
    {
      if (is_mark (text, at) || (*at == '\r' && (at[1] == '\n' || at[1] == '\0')))
        continue;
      if (is_control (at))
        {
          find_place (text, at, &line, &column);
          complain (error, path, line, column,
                    *at == '\r' ? "a carriage return in the middle of a line; end the lines with a newline"
                                : "a control character (U+%04X); take it out",
                    (guint) *at);
          return NULL;
        }
      g_string_append_len (plain, at, g_utf8_next_char (at) - at);
    }
  return g_string_free (g_steal_pointer (&plain), FALSE);
}

char *
cis_text_read (const char *path, gsize max, GError **error)
{
  g_autoptr (GBytes) bytes = cis_file_read_given (path, max, error);
  gsize length;
  const char *data;

  if (bytes == NULL)
    return NULL;
  data = g_bytes_get_data (bytes, &length);
  if (length == 0)
    return g_strdup ("");
  return is_utf8 (data, length, path, error) ? normalise (data, path, error) : NULL;
}

static void
line_free (gpointer data)
{
  CisTextLine *line = data;

  g_strfreev (line->words);
  g_free (line->columns);
  g_free (line);
}

/* The words of one line, which ends at @end; %NULL where it says nothing. full */
static CisTextLine *
split_line (const char *text, const char *end, guint number)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) columns = g_array_new (FALSE, FALSE, sizeof (guint));
  CisTextLine *line;
  guint column = 1;

  while (text < end && *text != '#')
    {
      const char *start = text;
      guint begin = column;

      for (; text < end && !g_unichar_isspace (g_utf8_get_char (text)) && (*text != '#' || text > start);
           column++)
        text = g_utf8_next_char (text);
      if (text > start)
        {
          g_ptr_array_add (words, g_strndup (start, (gsize) (text - start)));
          g_array_append_val (columns, begin);
          continue;
        }
      text = g_utf8_next_char (text);
      column++;
    }
  if (words->len == 0)
    return NULL;
  line = g_new (CisTextLine, 1);
  line->number = number;
  line->n_words = words->len;
  g_ptr_array_add (words, NULL);
  line->words = (char **) g_ptr_array_free (g_steal_pointer (&words), FALSE);
  line->columns = (guint *) (gpointer) g_array_free (g_steal_pointer (&columns), FALSE);
  return line;
}

GPtrArray *
cis_text_split (const char *text)
{
  GPtrArray *lines = g_ptr_array_new_with_free_func (line_free);

  for (guint number = 1; *text != '\0'; number++)
    {
      const char *end = strchrnul (text, '\n');
      CisTextLine *line = split_line (text, end, number);

      if (line != NULL)
        g_ptr_array_add (lines, line);
      text = *end == '\n' ? end + 1 : end;
    }
  return lines;
}

GPtrArray *
cis_text_read_list (const char *path, gsize max, GError **error)
{
  g_autofree char *text = cis_text_read (path, max, error);

  return text != NULL ? cis_text_split (text) : NULL;
}

/* Not by cis_text_split(): a token may have a "#" in it. */
char *
cis_text_read_secret (const char *path, GError **error)
{
  g_autofree char *text = cis_text_read (path, SECRET_MAX, error);
  const char *start, *at;
  guint line, column;

  if (text == NULL)
    return NULL;
  for (start = text; g_unichar_isspace (g_utf8_get_char (start)); start = g_utf8_next_char (start))
    ;
  for (at = start; g_ascii_isgraph (*at); at++)
    ;
  find_place (text, at, &line, &column);
  if (at == start && *at == '\0')
    complain (error, path, 1, 1, "the file is empty; it is to hold a token");
  else if (*at != '\0' && !g_unichar_isspace (g_utf8_get_char (at)))
    complain (error, path, line, column, "a character (U+%04X) that no token has", g_utf8_get_char (at));
  else
    {
      char *secret = g_strndup (start, (gsize) (at - start));

      while (g_unichar_isspace (g_utf8_get_char (at)))
        at = g_utf8_next_char (at);
      if (*at == '\0')
        return secret;
      g_free (secret);
      find_place (text, at, &line, &column);
      complain (error, path, line, column, "something else behind the token; the file is to hold just one");
    }
  return NULL;
}
