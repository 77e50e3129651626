/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * Lines: a file of lines that several processes append to, and that others may move away, remove or truncate
 * at any time: what comes then is in the file of that name. So it is opened for each line.
 *
 * Each line is one write under a lock, which is a file beside it, ".NAME.lock". What a writer that was killed
 * left torn at the end gets its newline first, and what a full disk left of our own line is cut off.
 */
typedef struct
{
  int folder;       /* opened, for reading where @durable */
  const char *path; /* the folder's, for messages */
  const char *name;
  gboolean follow;  /* the name may be a symlink: only where none but its owner can make one */
  gboolean durable; /* the line is synced, and with a new file its folder */
  gint64 ahead;     /* how many bytes of room are reserved behind the end, where the file system can */
  guint64
      max_size; /* a file that would grow beyond is moved to NAME.1 first, that to NAME.2, …; 0: no limit */
  guint keep;   /* how many of these stay */
} Lines;

/* @line: without its newline. On any thread. */
gboolean lines_append (const Lines *self, const char *line, GCancellable *cancellable, GError **error);
/* Whether lines_append() could; an empty file is made for that. */
gboolean lines_try (const Lines *self, GError **error);
/* The same for the file of that path, whose folder may be another each time; of @how, folder, path and name
 * do not matter. @line: NULL to try only. */
gboolean lines_append_to (const char *file, const Lines *how, const char *line, GCancellable *cancellable,
                          GError **error);
/* Reserves @ahead now; where that is not possible nothing is said. */
void lines_reserve (const Lines *self);

/* For who keeps the file @fd open and has a lock. */

/* 1: @name in @folder is the file @fd, 0: it is another or none, -1 with @error. */
int lines_are_named (int fd, int folder, const char *name, gboolean follow, GError **error);
/* One write of @text (with its newlines) at the end of the file, which is @end. After an error nothing of it
 * is there, but where *torn. */
gboolean lines_write (int fd, gint64 end, const char *text, const char *what, gboolean *torn, GError **error);

G_END_DECLS
