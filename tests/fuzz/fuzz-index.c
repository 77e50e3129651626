/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/shared/rows/row.h"
#include "../../plugins/store/index/rows.h"
#include "fuzz.h"

#include <string.h>

#define HOST    "lab-1"
#define EPISODE "run-1"
#define ROW     "{\"host\":\"" HOST "\",\"episode\":\"" EPISODE "\",\"size\":5}"

/* What any reader finds in a file of rows. */
typedef struct
{
  gsize end;        /* behind the last row that is JSON */
  gboolean has;     /* a row for HOST and EPISODE */
  gsize n_broken;   /* whole rows behind @end */
  gboolean unended; /* a row that lacks its newline only, and gets it, ends at @end */
} Found;

static Found
look (const char *data, gsize size)
{
  Found found = { 0 };
  const char *newline;
  CisRow row;
  gsize at;

  for (at = 0; (newline = size > at ? memchr (data + at, '\n', size - at) : NULL) != NULL;)
    {
      gsize length = newline - data - at;
      const char *line = data + at;
      gsize row_length = cis_row_trim (&line, length);
      g_autoptr (JsonObject) object = row_length > 0 ? cis_json_parse (line, row_length, NULL) : NULL;
      gboolean kept = object != NULL || (row_length == 0 && found.n_broken == 0);

      found.has |= cis_row_parse (data + at, length, &row) && strcmp (row.host, HOST) == 0 &&
                   strcmp (row.episode, EPISODE) == 0;
      at += length + 1;
      found.n_broken = object != NULL ? 0 : found.n_broken + (row_length > 0);
      found.end = kept ? at : found.end;
    }
  if (at < size && size - at <= CIS_ROW_MAX && cis_row_parse (data + at, size - at, &row))
    {
      found.has |= strcmp (row.host, HOST) == 0 && strcmp (row.episode, EPISODE) == 0;
      found.n_broken = 0;
      found.end = size;
      found.unended = TRUE;
    }
  return found;
}

static void
assert_file (const char *path, const char *data, gsize size, const char *more)
{
  g_autofree char *text = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (path, &text, &length, NULL));
  g_assert_cmpuint (length, ==, size + strlen (more));
  g_assert_cmpint (memcmp (text, data, size), ==, 0);
  g_assert_cmpstr (text + size, ==, more);
}

static void
append (CisRows *rows, const char *path, const char *data, const Found *found)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *more = NULL;
  int appended;

  g_assert_cmpint (cis_rows_have (rows, HOST, EPISODE, NULL, &error), ==, found->has);
  appended = cis_rows_append_missing (rows, HOST, EPISODE, ROW, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (appended, ==, !found->has);
  more = g_strconcat (found->unended ? "\n" : "", appended ? ROW "\n" : "", NULL);
  assert_file (path, data, found->end, more);
  g_assert_cmpint (cis_rows_have (rows, HOST, EPISODE, NULL, &error), ==, 1);
  g_assert_cmpint (cis_rows_append_missing (rows, HOST, EPISODE, ROW, NULL, &error), ==, 0);
  g_assert_true (cis_rows_flush (rows, &error));
}

/* However an index is damaged: what it held up to its last good row is still there after it was opened and
 * appended to, a row is appended once, and the damage is cut away or told. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree char *path = fuzz_file ("index.jsonl", data, size);
  const char *text = (const char *) data;
  const Found found = look (text, size);
  CisRowsCut cut = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (CisRows) rows = cis_rows_open (fuzz_folder (), "index.jsonl", &cut, NULL, &error);

  g_assert_true ((rows == NULL) == (error != NULL));
  /* One bad row is a crash's doing, and so is one before which there is none. */
  g_assert_true ((rows == NULL) == (found.n_broken > 1));
  if (rows == NULL)
    {
      g_autofree char *kept = NULL;
      gsize length;

      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_assert_true (g_str_has_prefix (error->message, path));
      g_assert_true (g_file_get_contents (path, &kept, &length, NULL));
      g_assert_true (length <= size && length >= found.end && memcmp (kept, text, length) == 0);
      return 0;
    }
  g_assert_cmpuint (cut.n_bytes, ==, size - found.end);
  assert_file (path, text, found.end, found.unended ? "\n" : "");
  append (rows, path, text, &found);
  return 0;
}
