/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "row.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (1024 * 1024)
/* That many are never more than a gint64 holds. */
#define SIZE_DIGITS 18

typedef struct
{
  const char *at, *end;
} Cursor;

static gboolean
skip (Cursor *cursor, char c)
{
  if (cursor->at == cursor->end || *cursor->at != c)
    return FALSE;
  cursor->at++;
  return TRUE;
}

/* Up to the closing quote. Whatever needs a second thought (escapes, what is not ASCII) is for the parser. */
static gboolean
take_string (Cursor *cursor, const char **text, gsize *length)
{
  if (!skip (cursor, '"'))
    return FALSE;
  for (*text = cursor->at; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++)
    if ((guchar) *cursor->at < ' ' || (guchar) *cursor->at >= 0x7f || *cursor->at == '\\')
      return FALSE;
  *length = cursor->at - *text;
  return skip (cursor, '"');
}

/* A number without sign or fraction. */
static gboolean
take_size (Cursor *cursor, gint64 *size)
{
  const char *begin = cursor->at;

  for (*size = 0; cursor->at < cursor->end && g_ascii_isdigit (*cursor->at); cursor->at++)
    {
      if (cursor->at - begin == SIZE_DIGITS)
        return FALSE;
      *size = *size * 10 + (*cursor->at - '0');
    }
  return cursor->at > begin && (*begin != '0' || cursor->at - begin == 1);
}

static gboolean
skip_word (Cursor *cursor, const char *word)
{
  gsize length = strlen (word);

  if ((gsize) (cursor->end - cursor->at) < length || memcmp (cursor->at, word, length) != 0)
    return FALSE;
  cursor->at += length;
  return TRUE;
}

/* The keys that the program writes. */
enum
{
  KEY_HOST,
  KEY_EPISODE,
  KEY_SHA256,
  KEY_SIZE,
};
static const char *const keys[] = { "host",    "episode", "sha256", "size",      "ts",        "commit",
                                    "archive", "gate",    "grant",  "recovered", "backfilled" };

/* Its place above. %FALSE where it is none of them, or is there twice. */
static gboolean
take_key (Cursor *cursor, guint *seen, guint *key)
{
  const char *text;
  gsize length;

  if (!take_string (cursor, &text, &length) || !skip (cursor, ':'))
    return FALSE;
  for (*key = 0; *key < G_N_ELEMENTS (keys); (*key)++)
    if (strncmp (keys[*key], text, length) == 0 && keys[*key][length] == '\0')
      {
        gboolean fresh = (*seen & 1u << *key) == 0;

        *seen |= 1u << *key;
        return fresh;
      }
  return FALSE;
}

/* %FALSE where it does not fit. */
static gboolean
copy (char *field, gsize size, const char *text, gsize length)
{
  if (length >= size)
    return FALSE;
  memcpy (field, text, length);
  field[length] = '\0';
  return TRUE;
}

static gboolean
scan_member (Cursor *cursor, CisRow *row, guint *seen)
{
  const char *text;
  gsize length;
  gint64 size;
  guint key;

  if (!take_key (cursor, seen, &key))
    return FALSE;
  if (cursor->at < cursor->end && *cursor->at == '"')
    {
      if (!take_string (cursor, &text, &length))
        return FALSE;
      if (key == KEY_HOST)
        return copy (row->host, sizeof row->host, text, length);
      if (key == KEY_EPISODE)
        return copy (row->episode, sizeof row->episode, text, length);
      return key != KEY_SHA256 || copy (row->sha256, sizeof row->sha256, text, length);
    }
  if (key != KEY_SIZE)
    return skip_word (cursor, "true") || skip_word (cursor, "false") || take_size (cursor, &size);
  return take_size (cursor, &row->size);
}

/* What the program itself writes: flat, its own keys once each, without blanks and escapes. Twenty times as
 * quick as the parser, and whatever is not just so is left to that one. */
static gboolean
scan (const char *line, gsize length, CisRow *row)
{
  Cursor cursor = { line, line + length };
  guint seen = 0;

  if (!skip (&cursor, '{'))
    return FALSE;
  do
    if (!scan_member (&cursor, row, &seen))
      return FALSE;
  while (skip (&cursor, ','));
  return skip (&cursor, '}') && cursor.at == cursor.end;
}

static void
clear (CisRow *row)
{
  row->host[0] = row->episode[0] = row->sha256[0] = '\0';
  row->size = -1;
}

static gboolean
parse (const char *line, gsize length, CisRow *row)
{
  g_autoptr (JsonObject) object = cis_json_parse (line, length, NULL);
  const char *host = object != NULL ? cis_json_get_string (object, "host") : NULL;
  const char *episode = object != NULL ? cis_json_get_string (object, "episode") : NULL;
  const char *sha256 = object != NULL ? cis_json_get_string (object, "sha256") : NULL;

  clear (row);
  if (host == NULL || episode == NULL || !copy (row->host, sizeof row->host, host, strlen (host)) ||
      !copy (row->episode, sizeof row->episode, episode, strlen (episode)))
    return FALSE;
  if (sha256 != NULL && !copy (row->sha256, sizeof row->sha256, sha256, strlen (sha256)))
    return FALSE;
  row->size = cis_json_get_size (object, "size", -1);
  return TRUE;
}

gsize
cis_row_trim (const char **line, gsize length)
{
  if (length >= 3 && memcmp (*line, "\357\273\277", 3) == 0)
    {
      *line += 3;
      length -= 3;
    }
  for (; length > 0 && g_ascii_isspace (**line); length--)
    ++*line;
  while (length > 0 && g_ascii_isspace ((*line)[length - 1]))
    length--;
  return length;
}

gboolean
cis_row_parse (const char *line, gsize length, CisRow *row)
{
  clear (row);
  length = cis_row_trim (&line, length);
  if (!scan (line, length, row) && !parse (line, length, row))
    return FALSE;
  if (row->sha256[0] != '\0' && !cis_hex_is_valid (row->sha256, 64))
    return FALSE;
  return cis_name_is_valid (row->host, CIS_HOST_NAME_MAX) &&
         cis_name_is_valid (row->episode, CIS_EPISODE_NAME_MAX);
}

typedef struct
{
  CisRowFunc func;
  gpointer user_data;
  char *data;
  gsize held;
  gint64 start;      /* where in the file @data begins */
  gboolean too_long; /* @data is the rest of a row that is not one of ours */
} Rows;

static void
tell_row (Rows *self, const char *line, gsize length, gint64 offset)
{
  CisRow row;
  gboolean known = !self->too_long && cis_row_parse (line, length, &row);

  if (known || self->too_long || cis_row_trim (&line, length) > 0)
    self->func (known ? &row : NULL, offset, self->user_data);
  self->too_long = FALSE;
}

/* Tells the whole rows of what is held and keeps the rest. */
static void
tell_rows (Rows *self)
{
  gsize rest = 0;
  const char *newline;

  while ((newline = memchr (self->data + rest, '\n', self->held - rest)) != NULL)
    {
      tell_row (self, self->data + rest, newline - self->data - rest, self->start + rest);
      rest = newline + 1 - self->data;
    }
  self->held -= rest;
  self->start += rest;
  memmove (self->data, self->data + rest, self->held);
}

gboolean
cis_row_foreach (int fd, gint64 *offset, gint64 end, CisRowFunc func, gpointer user_data,
                 GCancellable *cancellable, GError **error)
{
  g_autofree char *data = g_malloc (CLAMP (end - *offset, 1, BLOCK + CIS_ROW_MAX));
  Rows rows = { func, user_data, data, 0, *offset, FALSE };
  gint64 at = *offset;

  while (at < end)
    {
      ssize_t length = TEMP_FAILURE_RETRY (pread (fd, data + rows.held, MIN (BLOCK, end - at), at));

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      if (length < 0)
        return cis_error_set_errno (error, errno, "Reading the index");
      if (length == 0)
        break;
      at += length;
      rows.held += length;
      tell_rows (&rows);
      if (!rows.too_long)
        *offset = rows.start;
      if (rows.held > CIS_ROW_MAX)
        {
          rows.too_long = TRUE;
          rows.start += rows.held;
          rows.held = 0;
        }
    }
  return TRUE;
}
