/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

#include <sys/stat.h>

/**
 * CisTreeError:
 * @CIS_TREE_ERROR_CHANGED: an entry vanished or became another one meanwhile.
 * @CIS_TREE_ERROR_UNSUPPORTED: an entry that is neither a regular file nor a folder.
 */
typedef enum
{
  CIS_TREE_ERROR_CHANGED,
  CIS_TREE_ERROR_UNSUPPORTED,
} CisTreeError;

#define CIS_TREE_ERROR (cis_tree_error_quark ())
GQuark cis_tree_error_quark (void);

/* @parent: the opened folder that holds @name. @path: from the episode's own name on. Any bytes but NUL in
 * both. */
typedef struct
{
  int parent;
  const char *name;
  const char *path;
  const struct stat *stat;
} CisTreeEntry;

typedef gboolean (*CisTreeVisit) (const CisTreeEntry *entry, gpointer user_data, GError **error);

/* Visits the folder @directory (below @dirfd, called @name in the paths) and all that is in it, a folder
 * before its content, names in byte order, whatever the locale and the folder's own order. No symlink is
 * followed. A @directory that is not there is CIS_ERROR_GONE. */
gboolean cis_tree_walk (int dirfd, const char *directory, const char *name, CisTreeVisit visit,
                        gpointer user_data, GCancellable *cancellable, GError **error);
/* Opens the regular file of @entry for reading; one that is another by now is CIS_TREE_ERROR_CHANGED. What is
 * stored into it from here on, through a mapping too, shows in cis_fingerprint(). -1 on error. */
int cis_tree_open_file (const CisTreeEntry *entry, GError **error);
/* @path as a person can read it and paste it into a shell, whatever bytes it has; UTF-8, full. */
char *cis_tree_quote (const char *path);
