/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisWindow: the last commits of a branch, as one source gave them at one time.
 *
 * Filled by the source that fetches it, immutable and shared between threads afterwards.
 */
typedef struct _CisWindow CisWindow;

#define CIS_COMMIT_LENGTH 40

/* @fetched_at: when the fetch began, monotonic µs: what was pushed before that is in it. */
CisWindow *cis_window_new (const char *source, gint64 fetched_at);
CisWindow *cis_window_ref (CisWindow *self);
void cis_window_unref (CisWindow *self);

/* The next older commit, 40 lower-case hex, committed at @time (seconds since 1970; 0: not known). The first
 * one is the head; one that is there already is left alone. */
void cis_window_append (CisWindow *self, const char *commit, gint64 time);
/* All of @other's commits that are not there yet. */
void cis_window_append_all (CisWindow *self, CisWindow *other);
/* The source ran out of commits before the window was full,
 * although the branch has more (a shallow clone). */
void cis_window_set_cut (CisWindow *self);
/* Not from the first-listed source. */
void cis_window_set_fallback (CisWindow *self);

/* 0 is the head; -1 where @commit is not in the window. @commit: 40 lower-case hex. */
gint64 cis_window_get_position (CisWindow *self, const char *commit);
guint cis_window_get_length (CisWindow *self);
const char *cis_window_get_commit (CisWindow *self, guint position); /* none */
gint64 cis_window_get_time (CisWindow *self, guint position);
const char *cis_window_get_head (CisWindow *self);   /* none; %NULL in an empty one */
const char *cis_window_get_source (CisWindow *self); /* none */
/* "forgejo", "git-fallback": what the log says behind "source="; full. */
char *cis_window_describe_source (CisWindow *self);
gint64 cis_window_get_fetched_at (CisWindow *self);
gboolean cis_window_is_cut (CisWindow *self);
gboolean cis_window_is_fallback (CisWindow *self);
/* Whether the first commits are those of @beginning, in the same order. */
gboolean cis_window_begins_with (CisWindow *self, CisWindow *beginning);
/* Whether both hold the same commits in the same order. */
gboolean cis_window_equal (CisWindow *self, CisWindow *other);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisWindow, cis_window_unref)

G_END_DECLS
