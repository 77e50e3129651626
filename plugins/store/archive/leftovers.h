/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an earlier run of the program left in incoming/: archives that are in the store but not yet home, and
 * uploads that were never completed. */

#include "holds.h"
#include "layout.h"
#include "quota.h"
#include "shelf.h"

/* An archive that is to be finished: the episode (full) with receipt and marks, and its .part's name. */
typedef void (*CisLeftoverFunc) (CisEpisode *episode, const char *part, gpointer user_data);

/* Calls @found for each archive whose .part is still there, its link synced anew. @odd (none) gets a line for
 * each .part that has two links, neither in the store: somebody's doing, so it is kept. */
gboolean cis_leftovers_recover (CisLayout *layout, CisShelves *shelves, CisLeftoverFunc found,
                                gpointer user_data, GPtrArray *odd, GError **error);

typedef struct _CisLeftovers CisLeftovers;

/* @keep: how long an upload that was never completed stays, µs. Of the same @directory, it goes on with what
 * the last one had seen. Only one thread at a time. */
CisLeftovers *cis_leftovers_new (const char *directory, CisLayout *layout, CisEpisodeHolds *holds,
                                 CisQuota *quota, gint64 keep);
void cis_leftovers_free (CisLeftovers *self);
/* Removes those that are due at @now (µs since boot, sleep included). Returns how many; -1 with @error. */
int cis_leftovers_expire (CisLeftovers *self, gint64 now, GError **error);
gint64 cis_leftovers_now (void);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisLeftovers, cis_leftovers_free)
