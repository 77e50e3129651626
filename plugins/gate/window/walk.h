/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "commits.h"

#include <git2.h>

G_BEGIN_DECLS

/* The last commits of a branch through libgit2: no process is started, and a branch that has the same head as
 * before is not walked again. It takes only what it is sure to see as git does; cis_history_list() asks git.
 */
typedef struct _CisWalker CisWalker;

CisWalker *cis_walker_new (const char *repository, gint64 until);
void cis_walker_free (CisWalker *self);

/* Fills the (empty) @window; %FALSE: git has to be asked, or @cancellable was cancelled. */
gboolean cis_walker_fill (CisWalker *self, CisWindow *window, const char *branch, guint n,
                          GCancellable *cancellable);

/* The commits at which a shallow clone ends, as its file "shallow" has them, one id a line; see
 * gitrepository-layout(5). Empty where there is no such file; %NULL where it cannot be read. full. */
GHashTable *cis_walker_read_shallow (const char *path, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisWalker, cis_walker_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_repository, git_repository_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_config, git_config_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_commit, git_commit_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_reference_iterator, git_reference_iterator_free)

G_END_DECLS
