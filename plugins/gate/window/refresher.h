/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "saved.h"
#include "source.h"

G_BEGIN_DECLS

/**
 * CisRefresher: keeps a window recent, on a thread of its own and off the requests' path.
 *
 * Every "ttl", and at once when somebody asks for a commit that it does not know, it fetches from the
 * first-listed source, and where that fails from the next ones. Only a window that the first one gave after
 * the question came may refuse; what a fallback gave, and what an earlier fetch or an earlier run of the
 * program left, may only admit.
 */
typedef struct _CisRefresher CisRefresher;

typedef enum
{
  CIS_REFRESHER_INSIDE,  /* the commit is in a window */
  CIS_REFRESHER_OUTSIDE, /* it certainly is not */
  CIS_REFRESHER_UNKNOWN, /* nobody could say in time */
} CisRefresherAnswer;

/* @part: logs and raises; outlives it. @sources: CisWindowSource, in the order to be asked; none empty. @n:
 * commits. @max_age: µs; an older window counts no more, but for the one that is just about to be renewed.
 * @saved: what is left of an earlier run, and where to leave this one's; full, nullable. */
CisRefresher *cis_refresher_new (CisPart *part, GPtrArray *sources, const char *branch, guint n, gint64 ttl,
                                 gint64 max_age, CisSavedWindow *saved);
/* Ends the thread, a fetch under way included. */
void cis_refresher_free (CisRefresher *self);

/* Waits at most @wait µs for a refresh that begins after the call, shared with all who wait. On any thread.
 * @window: the most recent one that has the commit, or the one that refuses it, or the most recent of all;
 * full, may be %NULL. */
CisRefresherAnswer cis_refresher_ask (CisRefresher *self, const char *commit, gint64 wait, CisWindow **window,
                                      GCancellable *cancellable);

/* Whether a window at hand has the commit: a look-up. On any thread. */
gboolean cis_refresher_knows (CisRefresher *self, const char *commit);

/* The findings about a source: it gave nothing, or a window that ends too early. full. */
CisFinding *cis_refresher_describe_error (CisWindowSource *source, const char *branch, const char *subject,
                                          const GError *error);
/* Of all of them, each with its error, and what is let in all the same. @cached: nullable. */
CisFinding *cis_refresher_describe_errors (GPtrArray *sources, GPtrArray *errors, const char *branch,
                                           const char *subject, CisWindow *cached);
CisFinding *cis_refresher_describe_cut (CisWindowSource *source, const char *branch, const char *subject,
                                        guint length, guint n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisRefresher, cis_refresher_free)

G_END_DECLS
