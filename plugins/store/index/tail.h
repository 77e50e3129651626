/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The end of a file of rows, which is what a crash may have left half-written. The caller has the file's
 * lock. */

#include "cis490.h"

/* Cuts off a last row without its newline; where it is whole but for that, as an editor leaves it, it gets
 * one. */
gboolean cis_tail_mend_torn (int fd, gint64 *size, GError **error);
/* Cuts off one whole row that is no JSON. CIS_ERROR_CONFIG if the row before it is none either. */
gboolean cis_tail_cut_damaged (int fd, gint64 *size, GError **error);
/* Writes the bytes from where the last clean end was once more, and syncs: after a failed fsync they may look
 * well in memory and not be on disk. */
gboolean cis_tail_rewrite (int fd, const char *what, GError **error);
/* How many bytes were noted to be on disk; 0 where none were. */
gint64 cis_tail_get_clean (int fd);
/* Notes that all @size bytes are on disk. */
void cis_tail_note_clean (int fd, gint64 size);
