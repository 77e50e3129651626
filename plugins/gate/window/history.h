/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "commits.h"

G_BEGIN_DECLS

/* The local repository, as git sees it: what is asked of it too seldom to be worth more than a process. On
 * any thread; nothing is kept open. */

typedef enum
{
  CIS_HISTORY_ERROR_GIT,        /* libgit2 cannot read it, and there is no git to be asked */
  CIS_HISTORY_ERROR_REPOSITORY, /* there is none that git can open */
  CIS_HISTORY_ERROR_OWNER,      /* git does not trust another user's repository */
  CIS_HISTORY_ERROR_FORMAT,     /* its commits are no SHA-1's */
  CIS_HISTORY_ERROR_BRANCH,     /* no such branch */
  CIS_HISTORY_ERROR_COMMIT,     /* a commit cannot be read */
  CIS_HISTORY_ERROR_EARLY,      /* the branch began later */
} CisHistoryError;

#define CIS_HISTORY_ERROR (cis_history_error_quark ())
GQuark cis_history_error_quark (void);

/* Fills the (empty) @window with the last @n commits of @branch, or else of origin's, that were made until
 * @until, seconds since 1970. */
gboolean cis_history_list (const char *path, const char *branch, guint n, gint64 until, CisWindow *window,
                           GCancellable *cancellable, GError **error);

/* How far behind it is counted. */
#define CIS_HISTORY_BEHIND_MAX 10000

/* How many commits of @head's history @commit does not have; -1 where it is not among the last ones of it, or
 * not known. */
gint64 cis_history_count_behind (const char *path, const char *commit, const char *head);
/* What `git rev-list FROM..TO` prints; without @from just @to. Both 40 lower-case hex. full, of char *. */
GPtrArray *cis_history_list_range (const char *path, const char *from, const char *to, GError **error);
/* The commit that @revision (such as HEAD, or its first digits) names there, 40 hex; full. */
char *cis_history_find (const char *path, const char *revision, GError **error);

G_END_DECLS
