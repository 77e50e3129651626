/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tail.h"

#include "../../shared/rows/row.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK       (256 * 1024)
#define CLEAN_XATTR "user.cis490.clean"

/* @length bytes at @offset, all of them. */
static gboolean
read_at (int fd, char *data, gsize length, gint64 offset, GError **error)
{
  while (length > 0)
    {
      ssize_t n = TEMP_FAILURE_RETRY (pread (fd, data, length, offset));

      if (n < 0)
        return cis_error_set_errno (error, errno, "Reading the index");
      if (n == 0)
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                       "The index became shorter while it was read");
          return FALSE;
        }
      data += n;
      offset += n;
      length -= n;
    }
  return TRUE;
}

static gboolean
write_at (int fd, const char *data, gsize length, gint64 offset, GError **error)
{
  while (length > 0)
    {
      ssize_t n = TEMP_FAILURE_RETRY (pwrite (fd, data, length, offset));

      if (n < 0)
        return cis_error_set_errno (error, errno, "Writing the index");
      data += n;
      offset += n;
      length -= n;
    }
  return TRUE;
}

/* Where the row begins whose last byte is before @end; -1 with @error. */
static gint64
find_row_start (int fd, gint64 end, GError **error)
{
  g_autofree char *block = g_malloc (CLAMP (end, 1, BLOCK));

  /* The byte before @end may be the row's own newline. */
  for (gint64 limit = end - 1; limit > 0;)
    {
      gsize length = MIN (limit, BLOCK);
      const char *newline;

      if (!read_at (fd, block, length, limit - length, error))
        return -1;
      newline = memrchr (block, '\n', length);
      if (newline != NULL)
        return limit - length + (newline - block) + 1;
      limit -= length;
    }
  return 0;
}

static gboolean
cut_to (int fd, gint64 *size, gint64 start, GError **error)
{
  if (TEMP_FAILURE_RETRY (ftruncate (fd, start)) < 0)
    return cis_error_set_errno (error, errno, "Cutting a torn row off the index");
  *size = start;
  return TRUE;
}

/* 1: what is from @start on is a row; -1 with @error. */
static int
rest_is_row (int fd, gint64 start, gint64 size, GError **error)
{
  g_autofree char *line = NULL;
  CisRow row;

  if (size - start > CIS_ROW_MAX)
    return 0;
  line = g_malloc (size - start);
  if (!read_at (fd, line, size - start, start, error))
    return -1;
  return cis_row_parse (line, size - start, &row);
}

gboolean
cis_tail_mend_torn (int fd, gint64 *size, GError **error)
{
  gint64 start;
  char last;
  int whole;

  if (*size == 0)
    return TRUE;
  if (!read_at (fd, &last, 1, *size - 1, error))
    return FALSE;
  if (last == '\n')
    return TRUE;
  start = find_row_start (fd, *size, error);
  whole = start < 0 ? -1 : rest_is_row (fd, start, *size, error);
  if (whole <= 0)
    return whole == 0 && cut_to (fd, size, start, error);
  if (!write_at (fd, "\n", 1, *size, error))
    return FALSE;
  *size += 1;
  return TRUE;
}

/* 1: the last row is JSON, or there is none; -1 with @error. Blank lines, as an editor leaves them, are no
 * rows.
 */
static int
last_row_is_whole (int fd, gint64 size, gint64 *start, GError **error)
{
  for (*start = 0; size > 0; size = *start)
    {
      g_autoptr (JsonObject) row = NULL;
      g_autofree char *line = NULL;
      const char *text;
      gsize length;

      *start = find_row_start (fd, size, error);
      if (*start < 0)
        return -1;
      if (size - *start > CIS_ROW_MAX)
        return 0;
      text = line = g_malloc (size - *start);
      if (!read_at (fd, line, size - *start, *start, error))
        return -1;
      length = cis_row_trim (&text, size - *start);
      if (length == 0)
        continue;
      row = cis_json_parse (text, length, NULL);
      return row != NULL;
    }
  return 1;
}

gboolean
cis_tail_cut_damaged (int fd, gint64 *size, GError **error)
{
  gint64 start, before;
  int whole = last_row_is_whole (fd, *size, &start, error);

  if (whole != 0)
    return whole > 0;
  /* One bad row is what a crash leaves. More of them are another kind of damage, or another kind of file. */
  whole = last_row_is_whole (fd, start, &before, error);
  if (whole == 0)
    g_set_error (
        error, CIS_ERROR, CIS_ERROR_CONFIG,
        "Its last two rows are not JSON, which no crash explains: look at it, and put the rows right "
        "(or move the file away and fill a new one with \"cis490 index backfill\")");
  return whole > 0 && cut_to (fd, size, start, error);
}

gint64
cis_tail_get_clean (int fd)
{
  char text[32];
  ssize_t length = fgetxattr (fd, CLEAN_XATTR, text, sizeof text - 1);

  if (length <= 0)
    return 0;
  text[length] = '\0';
  return g_ascii_strtoll (text, NULL, 10);
}

gboolean
cis_tail_rewrite (int fd, const char *what, GError **error)
{
  g_autofree char *block = NULL;
  struct stat st;
  gint64 offset;

  if (fstat (fd, &st) < 0)
    return cis_error_set_errno (error, errno, "Looking at %s", what);
  block = g_malloc (CLAMP (st.st_size, 1, BLOCK));
  offset = cis_tail_get_clean (fd);
  if (offset > st.st_size)
    offset = 0;
  while (offset < st.st_size)
    {
      gsize length = MIN (st.st_size - offset, BLOCK);

      if (!read_at (fd, block, length, offset, error) || !write_at (fd, block, length, offset, error))
        return FALSE;
      offset += length;
    }
  return cis_file_sync (fd, what, error);
}

void
cis_tail_note_clean (int fd, gint64 size)
{
  g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, size);

  /* Without it the next start merely writes more of the file again. */
  (void) !fsetxattr (fd, CLEAN_XATTR, text, strlen (text), 0);
}
