/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blocks.h"

#include <string.h>

#define BLOCK 512

struct _CisTarBlocks
{
  guint64 max_header;
  guint8 block[BLOCK];
  gsize held;          /* of the block */
  guint64 skip;        /* bytes of an entry's data that follow, padding included */
  GByteArray *records; /* of a pax header, as far as they have come */
  guint64 n_records;   /* bytes that they have in all; 0: none are coming */
  gboolean global;     /* they are of all entries */
  gboolean in_map;     /* more of an old sparse map follows, before … */
  guint64 behind_map;  /* … so many bytes of data */
  gboolean sparse; /* by its records, the entry's data begins with a map: a number of pairs, and these, a line
                      each */
  guint64 n_lines; /* of that map that are still to come */
  guint64 line;    /* what stands in the one that is coming … */
  guint n_digits;  /* … in so many digits */
  gint64 size;     /* that the records before an entry gave it; -1: none did */
  gboolean ended;
};

/* A field of a header, and what readers take for its value. */
typedef struct
{
  guint offset, length;
  const char *name;
  gint64 min, max;
} Field;

static const Field mode_field = { 100, 8, "mode", 0, G_MAXUINT32 };
static const Field owner_field = { 108, 8, "owner", 0, G_MAXUINT32 };
static const Field group_field = { 116, 8, "group", 0, G_MAXUINT32 };
static const Field size_field = { 124, 12, "size", 0, G_MAXINT64 };
static const Field mtime_field = { 136, 12, "time", G_MININT64, G_MAXINT64 };
#define TYPE 156
/* The last byte of a sparse map in a header, and in a block of its own: another one follows. */
#define MAP_GOES_ON_HEADER 482
#define MAP_GOES_ON        504

CisTarBlocks *
cis_tar_blocks_new (guint64 max_header)
{
  CisTarBlocks *self = g_new0 (CisTarBlocks, 1);

  self->max_header = max_header;
  self->records = g_byte_array_new ();
  self->size = -1;
  return self;
}

void
cis_tar_blocks_free (CisTarBlocks *self)
{
  g_byte_array_unref (self->records);
  g_free (self);
}

G_GNUC_PRINTF (2, 3)
static gboolean
refuse (GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_FOREIGN, "readers differ in it: %s", what);
  return FALSE;
}

/* Two's complement behind the mark of its first byte. */
static gboolean
read_binary (const guint8 *field, guint length, gint64 *value)
{
  gboolean negative = (field[0] & 0x40) != 0;
  gint64 result = negative ? -1 : 0;

  for (guint i = 0; i < length; i++)
    {
      guint8 byte = i > 0 ? field[i] : (field[0] & 0x3f) | (negative ? 0xc0 : 0);

      /* What is shifted out has to be the sign. */
      if (result >> 55 != (negative ? -1 : 0))
        return FALSE;
      result = (gint64) ((guint64) result << 8 | byte);
    }
  *value = result;
  return TRUE;
}

/* Behind blanks; nothing but a zero is nought. */
static gboolean
read_octal (const guint8 *field, guint length, gint64 *value)
{
  guint i = 0;
  guint begin;

  while (i < length && field[i] == ' ')
    i++;
  *value = 0;
  for (begin = i; i < length && field[i] >= '0' && field[i] <= '7'; i++)
    *value = *value * 8 + field[i] - '0';
  return (i < length && field[i] == '\0') || (i > begin && (i == length || field[i] == ' '));
}

static gboolean
read_field (const guint8 *header, const Field *field, gint64 *value, GError **error)
{
  const guint8 *at = header + field->offset;
  gboolean ok =
      (at[0] & 0x80) != 0 ? read_binary (at, field->length, value) : read_octal (at, field->length, value);

  return (ok && *value >= field->min && *value <= field->max) ||
         refuse (error, "the %s of an entry is no number, or out of range", field->name);
}

/* ---- the records of a pax header ---- */

static gboolean
is_number (const char *value, gsize length, gboolean whole)
{
  gsize i = !whole && length > 0 && value[0] == '-';
  const gsize begin = i;

  while (i < length && g_ascii_isdigit (value[i]))
    i++;
  if (i == begin || i - begin > 18)
    return FALSE;
  if (!whole && i < length && value[i] == '.')
    for (i++; i < length && g_ascii_isdigit (value[i]); i++)
      ;
  return i == length;
}

static gboolean
is_key (const char *key, gsize length, const char *const *keys)
{
  for (; *keys != NULL; keys++)
    if (strlen (*keys) == length && memcmp (*keys, key, length) == 0)
      return TRUE;
  return FALSE;
}

/* What GNU tar makes something of in a header that is of all entries, where libarchive passes over all of it.
 */
static gboolean
is_heeded (const char *key, gsize length)
{
  static const char *const keys[] = { "path",  "linkpath", "size",  "uid",   "gid", "uname",
                                      "gname", "mtime",    "atime", "ctime", NULL };
  static const char *const prefixes[] = { "GNU.", "RHT.", "SCHILY.acl.", "SCHILY.xattr.", NULL };

  for (guint i = 0; prefixes[i] != NULL; i++)
    if (length >= strlen (prefixes[i]) && memcmp (key, prefixes[i], strlen (prefixes[i])) == 0)
      return TRUE;
  return is_key (key, length, keys);
}

static gboolean
take_record (CisTarBlocks *self, const char *key, gsize key_length, const char *value, gsize length,
             GError **error)
{
  static const char *const whole[] = { "size", "uid", "gid", NULL };
  static const char *const owners[] = { "uid", "gid", NULL };
  static const char *const times[] = { "mtime", "atime", "ctime", NULL };
  static const char *const names[] = { "path", "linkpath", NULL };
  static const char *const size[] = { "size", NULL };
  static const char *const sparse[] = { "GNU.sparse.major", NULL };

  if (self->global)
    return !is_heeded (key, key_length) ||
           refuse (error, "a header that is of all entries says “%.*s”", (int) MIN (key_length, 100), key);
  if (is_key (key, key_length, sparse) && length == 1 && value[0] == '1')
    self->sparse = TRUE;
  if ((is_key (key, key_length, whole) && !is_number (value, length, TRUE)) ||
      (is_key (key, key_length, times) && !is_number (value, length, FALSE)))
    return refuse (error, "the %.*s of an entry is no number", (int) key_length, key);
  if (is_key (key, key_length, owners) && g_ascii_strtoull (value, NULL, 10) > G_MAXUINT32)
    return refuse (error, "the owner of an entry is out of range");
  if (is_key (key, key_length, names) && (length == 0 || memchr (value, '\0', length) != NULL))
    return refuse (error, "the path of an entry is empty, or has a zero in it");
  if (is_key (key, key_length, size))
    self->size = g_ascii_strtoll (value, NULL, 10);
  return TRUE;
}

/* Each is "LENGTH KEY=VALUE\n", and the length is that of all of it. */
static gboolean
take_records (CisTarBlocks *self, GError **error)
{
  const char *at = (const char *) self->records->data, *end = at + self->n_records;

  while (at < end)
    {
      char *key;
      guint64 length = g_ascii_isdigit (*at) ? g_ascii_strtoull (at, &key, 10) : 0;
      const char *value;

      if (length == 0 || length > (guint64) (end - at) || key >= at + length || *key != ' ' ||
          at[length - 1] != '\n')
        return refuse (error, "the records before an entry are malformed");
      key++;
      value = memchr (key, '=', at + length - key);
      if (value == NULL)
        return refuse (error, "the records before an entry are malformed");
      if (!take_record (self, key, value - key, value + 1, at + length - 1 - (value + 1), error))
        return FALSE;
      at += length;
    }
  return TRUE;
}

static gboolean
add_records (CisTarBlocks *self, GError **error)
{
  g_byte_array_append (self->records, self->block, BLOCK);
  if (self->records->len < self->n_records)
    return TRUE;
  /* A number that goes on into what is behind ends here. */
  g_byte_array_append (self->records, (const guint8 *) "", 1);
  if (!take_records (self, error))
    return FALSE;
  self->n_records = 0;
  return TRUE;
}

/* ---- headers ---- */

static guint64
pad (guint64 size)
{
  return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static gboolean
begin_records (CisTarBlocks *self, guint8 type, guint64 size, GError **error)
{
  if (size > self->max_header)
    {
      g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT,
                   "the header of an entry is over the %" G_GUINT64_FORMAT " bytes that max-header allows it",
                   self->max_header);
      return FALSE;
    }
  g_byte_array_set_size (self->records, 0);
  self->global = type == 'g';
  self->n_records = size;
  return TRUE;
}

static gboolean
begin_entry (CisTarBlocks *self, guint8 type, guint64 size, GError **error)
{
  const guint8 *header = self->block;
  gint64 ignored;

  if (!read_field (header, &mode_field, &ignored, error) ||
      !read_field (header, &owner_field, &ignored, error) ||
      !read_field (header, &group_field, &ignored, error) ||
      !read_field (header, &mtime_field, &ignored, error))
    return FALSE;
  if (self->size >= 0)
    size = (guint64) self->size;
  self->size = -1;
  self->n_lines = self->sparse;
  if (size > (guint64) G_MAXINT64 - BLOCK)
    return refuse (error, "an entry claims to be larger than anything is");
  if (type == '5' && size > 0)
    return refuse (error, "a folder has data");
  /* What GNU tar keeps for itself: of folders as they were, and of other volumes. */
  if (strchr ("DMN", type) != NULL && type != '\0')
    return refuse (error, "an entry is of a type that only some know");
  self->in_map = type == 'S' && header[MAP_GOES_ON_HEADER] != 0;
  if (self->in_map)
    self->behind_map = pad (size);
  else
    self->skip = pad (size);
  return TRUE;
}

/* The first line of a map says how many pairs follow; libarchive takes comments for some of it. */
static gboolean
check_map (CisTarBlocks *self, const guint8 *data, gsize length, GError **error)
{
  for (gsize i = 0; i < length && self->n_lines > 0; i++)
    {
      if (g_ascii_isdigit (data[i]) && self->n_digits++ < 18)
        {
          self->line = self->line * 10 + data[i] - '0';
          continue;
        }
      if (data[i] != '\n' || self->n_digits == 0 || (self->sparse && self->line > self->max_header))
        return refuse (error, "the map of a file with holes is malformed, or too large");
      self->n_lines = self->sparse ? 2 * self->line : self->n_lines - 1;
      self->sparse = FALSE;
      self->line = self->n_digits = 0;
    }
  return TRUE;
}

static gboolean
take_header (CisTarBlocks *self, GError **error)
{
  const guint8 type = self->block[TYPE];
  gint64 size;

  if (!read_field (self->block, &size_field, &size, error))
    return FALSE;
  if (type == 'x' || type == 'X' || type == 'g')
    return begin_records (self, type, (guint64) size, error);
  if (type == 'L' || type == 'K')
    self->skip = pad ((guint64) MIN (size, G_MAXINT64 - BLOCK));
  else
    return begin_entry (self, type, (guint64) size, error);
  return TRUE;
}

static gboolean
take_block (CisTarBlocks *self, GError **error)
{
  static const guint8 zeros[BLOCK];

  if (self->n_records > 0)
    return add_records (self, error);
  if (self->n_lines > 0)
    return refuse (error, "the map of a file with holes is cut");
  if (self->in_map)
    {
      self->in_map = self->block[MAP_GOES_ON] != 0;
      self->skip = self->in_map ? 0 : self->behind_map;
      return TRUE;
    }
  self->ended = memcmp (self->block, zeros, BLOCK) == 0;
  return self->ended || take_header (self, error);
}

gboolean
cis_tar_blocks_feed (CisTarBlocks *self, const void *data, gsize length, GError **error)
{
  const guint8 *at = data;

  while (length > 0 && !self->ended)
    {
      gsize n = self->skip > 0 ? MIN (self->skip, length) : MIN (BLOCK - self->held, length);

      if (self->skip > 0)
        {
          if (!check_map (self, at, n, error))
            return FALSE;
          self->skip -= n;
        }
      else
        {
          memcpy (self->block + self->held, at, n);
          self->held = (self->held + n) % BLOCK;
          if (self->held == 0 && !take_block (self, error))
            return FALSE;
        }
      at += n;
      length -= n;
    }
  return TRUE;
}
