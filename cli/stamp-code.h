/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* Which code is checked out, as git says it. All owned. */
typedef struct
{
  char *commit;     /* 40 lower-case hex */
  char *branch;     /* "HEAD" where none is checked out */
  char *repository; /* the checkout's path */
  char *remote;     /* where it fetches from, without passwords; nullable */
  gboolean dirty;   /* files that git knows differ from the commit */
} StampCode;

/* Of the repository at @path, or (%NULL) the one that the current folder is in. */
gboolean stamp_code_read (StampCode *self, const char *path, GError **error);
void stamp_code_clear (StampCode *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (StampCode, stamp_code_clear)

/* The address without what only its owner may know; full. %NULL where it is none. */
char *stamp_code_clean_remote (const char *remote);

G_END_DECLS
