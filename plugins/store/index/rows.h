/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file of JSON lines that several processes append to, and that survives what happens to it.
 * Thread-safe. */

#include "cis490.h"

typedef struct _CisRows CisRows;

/* What was no whole row at the end of the file. */
typedef struct
{
  guint64 n_bytes;
  gboolean was_clean; /* what was there was on disk at the last clean end: no crash has made it so */
} CisRowsCut;

/* Opens @name in the folder @directory (made where missing), cuts off what a crash left of a last row, and
 * makes sure that all rows are on disk. */
CisRows *cis_rows_open (const char *directory, const char *name, CisRowsCut *cut, GCancellable *cancellable,
                        GError **error);
/* Notes a clean end. */
void cis_rows_free (CisRows *self);
int cis_rows_get_folder (CisRows *self); /* that it lies in; none */
const char *cis_rows_get_path (CisRows *self);

/* Appends one row; nothing of it stays after an error. Not on disk before cis_rows_flush(). */
gboolean cis_rows_append (CisRows *self, const char *line, GCancellable *cancellable, GError **error);
/* The same, unless there is a row for this episode already, whoever wrote it. Returns 1: appended, 0: there
 * was one, -1 with @error. From the first call on, the names of all rows are kept in memory. */
int cis_rows_append_missing (CisRows *self, const char *host, const char *episode, const char *line,
                             GCancellable *cancellable, GError **error);
gboolean cis_rows_flush (CisRows *self, GError **error);
/* Whether there is a row for this episode: 1, 0, or -1 with @error. Reads the whole file. */
int cis_rows_have (CisRows *self, const char *host, const char *episode, GCancellable *cancellable,
                   GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisRows, cis_rows_free)
