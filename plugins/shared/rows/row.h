/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The rows of index.jsonl, read one after the other: millions of them, so that a row costs no allocation. */

#include "cis490.h"

/* A longer one is none of ours. */
#define CIS_ROW_MAX (1024 * 1024)

typedef struct
{
  char host[CIS_HOST_NAME_MAX + 1];
  char episode[CIS_EPISODE_NAME_MAX + 1];
  char sha256[65]; /* "" where it has none */
  gint64 size;     /* -1 where it has none */
} CisRow;

/* The length of a line without what an editor puts round a row: a byte order mark, blanks, a carriage return;
 * 0: it is blank, and no row. @line: moved to where that begins. */
gsize cis_row_trim (const char **line, gsize length);
/* %FALSE where it is no JSON object that names a host and an episode. */
gboolean cis_row_parse (const char *line, gsize length, CisRow *row);

/* @row: %NULL where the row cannot be read. @offset: where in the file it begins. */
typedef void (*CisRowFunc) (const CisRow *row, gint64 offset, gpointer user_data);
/* Calls @func for each whole row of @fd from *@offset up to @end; *@offset is then behind the last one. */
gboolean cis_row_foreach (int fd, gint64 *offset, gint64 end, CisRowFunc func, gpointer user_data,
                          GCancellable *cancellable, GError **error);
