/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

#include <git2.h>

G_BEGIN_DECLS

/* The local repository, read through libgit2: what more than one part of the gate asks of it. On any thread;
 * nothing is kept open. */

typedef enum
{
  CIS_HISTORY_ERROR_REPOSITORY, /* there is none that we can open */
  CIS_HISTORY_ERROR_OWNER,      /* git refuses another user's repository */
  CIS_HISTORY_ERROR_BRANCH,     /* no such branch */
  CIS_HISTORY_ERROR_COMMIT,     /* a commit cannot be read */
  CIS_HISTORY_ERROR_EARLY,      /* the branch began later */
} CisHistoryError;

#define CIS_HISTORY_ERROR (cis_history_error_quark ())
GQuark cis_history_error_quark (void);

/* "<what>: <libgit2's reason>". Returns %FALSE. */
gboolean cis_history_set_error (GError **error, CisHistoryError code, const char *what);
/* full */
git_repository *cis_history_open (const char *path, GError **error);

/* How far behind it is counted. */
#define CIS_HISTORY_BEHIND_MAX 10000

/* How many commits of @head's history @commit does not have; -1 where it is not among the last ones of it, or
 * not known. */
gint64 cis_history_count_behind (const char *path, const char *commit, const char *head);
/* What `git rev-list FROM..TO` prints; without @from just @to. Both 40 lower-case hex. full, of char *. */
GPtrArray *cis_history_list_range (const char *path, const char *from, const char *to, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_repository, git_repository_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_commit, git_commit_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_object, git_object_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_reference, git_reference_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_revwalk, git_revwalk_free)

G_END_DECLS
