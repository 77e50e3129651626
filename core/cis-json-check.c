/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-json.h"

#include <math.h>

/* json-glib takes more than JSON: comments, single quotes, duplicate keys (the last wins), U+0000 (which ends
 * a C string), two documents, nothing at all; and it crashes on 100,000 brackets. Two programs that read such
 * bytes differently are a hole, so what comes from elsewhere passes here first. By RFC 8259, with limits of
 * depth and number as its section 9 allows: each value becomes a node of up to 500 bytes, so that 16 MiB of
 * brackets would take gigabytes. The longest that we write is a window of 100,000 commits and their times.
 * json-glib's objects are tables by g_str_hash(), so their members are limited by what they would cost if all
 * of their names collided: 40 ms. What a text is only searched for may have any number of them. */

#define DEPTH_MAX     64
#define VALUES_MAX    250000
#define WORK_MAX      2000000 /* a table of 2000 names: each is compared with those before it … */
#define WORK_BYTES    64      /* … and longer ones count for as many */
#define LONG_NUMBER   300     /* digits that a double holds at least */
#define SHORT_INTEGER 18      /* digits that a gint64 holds at least */

typedef struct
{
  const char *begin;
  const char *at;
  const char *end;
  guint depth;
  guint n_values;
  GString *string;           /* the last string, decoded */
  GArray *large;             /* of gsize: the ends of integers that no gint64 holds; nullable */
  gsize work;                /* see WORK_MAX; not counted where: */
  const char *const *sought; /* members of the whole, NULL-terminated; nullable */
  CisJsonSpan *spans;        /* where their values are, one for each that is @sought */
} Reader;

static gboolean read_value (Reader *self, GError **error);

static gboolean
fail (Reader *self, const char *message, GError **error)
{
  guint line = 1;
  const char *line_begin = self->begin;

  for (const char *c = self->begin; c < self->at; c++)
    if (*c == '\n')
      {
        line++;
        line_begin = c + 1;
      }
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "Not JSON at line %u, byte %u: %s", line,
               (guint) (self->at - line_begin + 1), message);
  return FALSE;
}

static void
skip_space (Reader *self)
{
  while (self->at < self->end &&
         (*self->at == ' ' || *self->at == '\t' || *self->at == '\n' || *self->at == '\r'))
    self->at++;
}

static gboolean
take (Reader *self, char expected)
{
  gboolean there = self->at < self->end && *self->at == expected;

  self->at += there;
  return there;
}

static gboolean
read_hex4 (Reader *self, gunichar *unit, GError **error)
{
  *unit = 0;
  for (guint i = 0; i < 4; i++, self->at++)
    {
      if (self->at == self->end || !g_ascii_isxdigit (*self->at))
        return fail (self, "four hexadecimal digits are missing after \\u", error);
      *unit = *unit << 4 | (guint) g_ascii_xdigit_value (*self->at);
    }
  return TRUE;
}

/* After "\u": one UTF-16 unit, or two where they make a pair (RFC 8259, section 7). */
static gboolean
read_unicode_escape (Reader *self, GError **error)
{
  gunichar unit, low;

  if (!read_hex4 (self, &unit, error))
    return FALSE;
  if (unit == 0)
    return fail (self, "\\u0000 is not allowed in a string", error);
  if (unit >= 0xdc00 && unit <= 0xdfff)
    return fail (self, "the second half of a surrogate pair has no first", error);
  if (unit >= 0xd800 && unit <= 0xdbff)
    {
      if (!take (self, '\\') || !take (self, 'u'))
        return fail (self, "the first half of a surrogate pair has no second", error);
      if (!read_hex4 (self, &low, error))
        return FALSE;
      if (low < 0xdc00 || low > 0xdfff)
        return fail (self, "the first half of a surrogate pair has no second", error);
      unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
  g_string_append_unichar (self->string, unit);
  return TRUE;
}

static gboolean
read_escape (Reader *self, GError **error)
{
  static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  const char *escape;

  if (take (self, 'u'))
    return read_unicode_escape (self, error);
  escape = self->at < self->end ? memchr (escapes, *self->at, sizeof escapes - 1) : NULL;
  if (escape == NULL)
    return fail (self, "an unknown escape in a string", error);
  self->at++;
  g_string_append_c (self->string, meanings[escape - escapes]);
  return TRUE;
}

static gboolean
read_string (Reader *self, GError **error)
{
  g_string_truncate (self->string, 0);
  if (!take (self, '"'))
    return fail (self, "a string in double quotes is missing", error);

  while (!take (self, '"'))
    {
      const char *plain = self->at;

      while (self->at < self->end && *self->at != '"' && *self->at != '\\' && (guchar) *self->at >= 0x20)
        self->at++;
      g_string_append_len (self->string, plain, self->at - plain);
      if (self->at == self->end)
        return fail (self, "a string has no end", error);
      if ((guchar) *self->at < 0x20)
        return fail (self, "a control character in a string must be escaped", error);
      if (take (self, '\\') && !read_escape (self, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
skip_digits (Reader *self)
{
  const char *first = self->at;

  while (self->at < self->end && g_ascii_isdigit (*self->at))
    self->at++;
  return self->at > first;
}

/* What is not, is read as infinity, and could never be written as JSON again. */
static gboolean
is_in_range (const char *first, const char *end)
{
  g_autofree char *number = g_strndup (first, end - first);

  return isfinite (g_ascii_strtod (number, NULL));
}

/* Of all digits. */
static void
note_large (Reader *self, const char *first)
{
  g_autofree char *number = g_strndup (first, self->at - first);
  gsize end = self->at - self->begin;

  if (!g_ascii_string_to_signed (number, 10, G_MININT64, G_MAXINT64, NULL, NULL))
    g_array_append_val (self->large, end);
}

static gboolean
read_number (Reader *self, GError **error)
{
  const char *first = self->at;
  gboolean has_point, has_exponent;

  take (self, '-');
  if (!take (self, '0') && !skip_digits (self))
    return fail (self, "a value is missing", error);
  if (self->at < self->end && g_ascii_isdigit (*self->at))
    return fail (self, "a number must not begin with 0", error);
  has_point = take (self, '.');
  if (has_point && !skip_digits (self))
    return fail (self, "digits are missing after the point", error);
  has_exponent = take (self, 'e') || take (self, 'E');
  if (has_exponent)
    {
      if (!take (self, '+'))
        take (self, '-');
      if (!skip_digits (self))
        return fail (self, "an exponent has no digits", error);
    }
  if ((has_exponent || self->at - first > LONG_NUMBER) && !is_in_range (first, self->at))
    return fail (self, "a number is out of range", error);
  if (self->large != NULL && !has_point && !has_exponent && self->at - first > SHORT_INTEGER)
    note_large (self, first);
  return TRUE;
}

static gboolean
read_word (Reader *self, const char *word, GError **error)
{
  gsize length = strlen (word);

  if ((gsize) (self->end - self->at) < length || memcmp (self->at, word, length) != 0)
    return fail (self, "a value is missing", error);
  self->at += length;
  return TRUE;
}

static CisJsonSpan *
find_sought (Reader *self)
{
  if (self->sought != NULL && self->depth == 1)
    for (guint i = 0; self->sought[i] != NULL; i++)
      if (g_str_equal (self->sought[i], self->string->str))
        return &self->spans[i];
  return NULL;
}

static gboolean
read_member (Reader *self, GHashTable *keys, GError **error)
{
  const char *first = self->at;
  CisJsonSpan *span;

  if (!read_string (self, error))
    return FALSE;
  self->work += g_hash_table_size (keys) * (1 + self->string->len / WORK_BYTES);
  if (self->sought == NULL && self->work > WORK_MAX)
    return fail (self, "too many members in its objects; one may have 2000", error);
  if (!g_hash_table_add (keys, g_strndup (self->string->str, self->string->len)))
    {
      self->at = first;
      return fail (self, "a key is there twice", error);
    }
  span = find_sought (self);
  skip_space (self);
  if (!take (self, ':'))
    return fail (self, "a colon is missing", error);
  skip_space (self);
  first = self->at;
  if (!read_value (self, error))
    return FALSE;
  if (span != NULL)
    *span = (CisJsonSpan){ first - self->begin, self->at - first };
  return TRUE;
}

/* The members of an object or (@keys is NULL) the elements of an array, behind the opening bracket. */
static gboolean
read_list (Reader *self, GHashTable *keys, char closing, GError **error)
{
  gboolean read;

  if (++self->depth > DEPTH_MAX)
    return fail (self, "objects and arrays are nested more than 64 deep", error);
  skip_space (self);
  if (!take (self, closing))
    {
      do
        {
          skip_space (self);
          read = keys != NULL ? read_member (self, keys, error) : read_value (self, error);
          if (!read)
            return FALSE;
          skip_space (self);
        }
      while (take (self, ','));
      if (!take (self, closing))
        return fail (self, keys != NULL ? "a comma or } is missing" : "a comma or ] is missing", error);
    }
  self->depth--;
  return TRUE;
}

static gboolean
read_object (Reader *self, GError **error)
{
  g_autoptr (GHashTable) keys = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);

  return read_list (self, keys, '}', error);
}

static gboolean
read_value (Reader *self, GError **error)
{
  if (++self->n_values > VALUES_MAX)
    return fail (self, "there are more than 250000 values", error);
  if (take (self, '{'))
    return read_object (self, error);
  if (take (self, '['))
    return read_list (self, NULL, ']', error);
  switch (self->at < self->end ? *self->at : '\0')
    {
    case '"':
      return read_string (self, error);
    case 't':
      return read_word (self, "true", error);
    case 'f':
      return read_word (self, "false", error);
    case 'n':
      return read_word (self, "null", error);
    default:
      return read_number (self, error);
    }
}

static gboolean
check (Reader *self, const char *bytes, gsize length, GError **error)
{
  g_autoptr (GString) string = g_string_new (NULL);
  /* g_bytes_get_data() has none of an empty one, and nothing may be added to NULL. */
  const char *data = length > 0 ? bytes : "";

  self->begin = self->at = data;
  self->end = data + length;
  self->string = string;
  if (!g_utf8_validate_len (data, length, &self->at))
    return fail (self, "a byte is NUL or not UTF-8", error);
  self->at = data;
  /* Some readers pass over it and some do not, so that the archive would be fine for half of them. */
  if (length >= 3 && memcmp (data, "\357\273\277", 3) == 0)
    return fail (self, "a byte order mark; save the file as UTF-8 without one", error);
  skip_space (self);
  if (!take (self, '{'))
    return fail (self, "an object must begin with {", error);
  if (!read_object (self, error))
    return FALSE;
  skip_space (self);
  return self->at == self->end || fail (self, "something follows the object", error);
}

gboolean
cis_json_check (const char *bytes, gsize length, GArray *large, GError **error)
{
  Reader reader = { .large = large };

  return check (&reader, bytes, length, error);
}

gboolean
cis_json_find (const char *bytes, gsize length, const char *const *members, CisJsonSpan *spans,
               GError **error)
{
  Reader reader = { .sought = members, .spans = spans };

  return check (&reader, bytes, length, error);
}
