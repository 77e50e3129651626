/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "commits.h"

G_BEGIN_DECLS

/**
 * CisWindowSource: where a window comes from; the first member of each kind's own struct.
 *
 * Used by one thread at a time; every call may block. No GObject: the program has these files and so has the
 * plugin, and two types of one name cannot be in one process.
 */
typedef struct _CisWindowSource CisWindowSource;

/**
 * CisWindowSourceClass:
 * @name: as the option "sources" says it.
 * @fetch: appends the last @n commits of @branch to @window, newest first.
 * @suggest: what a person does about @error of a @fetch, or (%NULL) about a window that is cut: commands to
 * paste; full.
 */
typedef struct
{
  const char *name;
  gboolean (*fetch) (CisWindowSource *self, CisWindow *window, const char *branch, guint n,
                     GCancellable *cancellable, GError **error);
  char *(*suggest) (CisWindowSource *self, const char *branch, const GError *error);
  void (*free) (CisWindowSource *self);
} CisWindowSourceClass;

struct _CisWindowSource
{
  const CisWindowSourceClass *klass;
};

void cis_window_source_free (CisWindowSource *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisWindowSource, cis_window_source_free)
const char *cis_window_source_get_name (CisWindowSource *self);
/* full. An empty window is an error, so that a broken source never refuses everything. */
CisWindow *cis_window_source_fetch (CisWindowSource *self, const char *branch, guint n,
                                    GCancellable *cancellable, GError **error);
char *cis_window_source_suggest (CisWindowSource *self, const char *branch, const GError *error);

/* The local repository at @repository (bare, shallow or a worktree too), read through libgit2. */
CisWindowSource *cis_window_source_git_new (const char *repository);
/* The same as it was then: without the commits made after @until, seconds since 1970. */
CisWindowSource *cis_window_source_git_new_at (const char *repository, gint64 until);

/* Whether there can be a repository at that path. */
gboolean cis_window_source_git_check (const char *repository, GError **error);
/* Whether it could be made. */
gboolean cis_window_source_forgejo_check (const char *url, const char *repository, GError **error);

/**
 * CisWindowSetup: the options that say which sources there are.
 * @names: "forgejo", "git" in the order to be asked; %NULL: forgejo where @forgejo_url is set, then git.
 */
typedef struct
{
  const char *const *names;
  const char *repository;
  const char *forgejo_url; /* nullable, as the next three */
  const char *forgejo_repository;
  const char *forgejo_token_file;
  const char *forgejo_ca_file;
  gint64 timeout; /* for each of its answers, µs */
} CisWindowSetup;

/* Forgejo's (and Gitea's) API; the token is read for each fetch. CIS_ERROR_CONFIG. */
CisWindowSource *cis_window_source_forgejo_new (const CisWindowSetup *setup, GError **error);

/* Whether the options make sense. CIS_ERROR_CONFIG. */
gboolean cis_window_sources_check (const CisWindowSetup *setup, GError **error);
/* Of CisWindowSource, at least one; full. CIS_ERROR_CONFIG. */
GPtrArray *cis_window_sources_new (const CisWindowSetup *setup, GError **error);

/* Whether an option has a value. Outside a pipeline nobody has expanded the default, "${…}". */
gboolean cis_window_option_is_set (const char *option);

G_END_DECLS
