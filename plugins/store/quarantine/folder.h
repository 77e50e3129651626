/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "audit.h"

G_BEGIN_DECLS

/**
 * Quarantine: the folder quarantine/ of a host's state. The stage and `cis490 quarantine` change it by the
 * same few functions, beside each other: whoever changes an entry holds the folder's lock, which
 * ends with the process, for that one entry. Thread-safe.
 *
 * An entry is a folder, and its reason lies in it as quarantine_reason.json or, while it is being moved and
 * where the folder forbids writing to it, beside it as .NAME.reason.json; the one beside it is the one that
 * counts. A folder that is being removed is called .NAME.purged.
 */
typedef struct _Quarantine Quarantine;

#define QUARANTINE_REASON "quarantine_reason.json"
/* An episode that came back so often needs a person, not another release. */
#define QUARANTINE_RELEASES_MAX 3

typedef struct
{
  char *id;           /* the folder's name: the episode's, or that with a suffix */
  JsonObject *reason; /* nullable: nothing valid is there */
  gint64 time;        /* when it was quarantined, µs since 1970; -1 where nothing valid says so */
  gboolean outside;   /* the reason lies beside it */
} QuarantineEntry;

/* @part: for the log; nullable. Nothing is made: a state folder without quarantine/ has nothing in it. */
Quarantine *quarantine_open (const char *state, CisPart *part, GError **error);
void quarantine_free (Quarantine *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Quarantine, quarantine_free)
const char *quarantine_get_state (Quarantine *self);

/* The names of all entries, sorted, or with @hidden of all that is none; full. */
GPtrArray *quarantine_list (Quarantine *self, gboolean hidden, GError **error);
/* CIS_ERROR_GONE where there is no such entry; another error where its reason cannot be read. full */
QuarantineEntry *quarantine_load (Quarantine *self, const char *id, GError **error);
void quarantine_entry_free (QuarantineEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QuarantineEntry, quarantine_entry_free)
/* The episode that the entry is; none. */
const char *quarantine_entry_get_episode (QuarantineEntry *entry);
const char *quarantine_entry_get_finding (QuarantineEntry *entry); /* nullable */

/* enter.c. Moves an episode from episodes/ here, the reason first; its name here, full. CIS_ERROR_GONE where
 * another took it. */
char *quarantine_put (Quarantine *self, CisEpisode *episode, CisFinding *finding, GCancellable *cancellable,
                      GError **error);
/* Finishes what a killed process began. */
gboolean quarantine_recover (Quarantine *self, GCancellable *cancellable, GError **error);

/* leave.c. Moves an entry back to episodes/ without its reason, which the audit log gets; the episode, full.
 * @as: another name for it; nullable. G_IO_ERROR_EXISTS where episodes/ has one of that name;
 * CIS_ERROR_UNAVAILABLE where it came back too often and @force is FALSE. */
char *quarantine_release (Quarantine *self, const char *id, const char *as, gboolean force, GError **error);
/* Removes just this entry for good, as it was when it was loaded: CIS_ERROR_GONE where its name is another's
 * by now. @verb: for the audit log. */
gboolean quarantine_remove (Quarantine *self, const QuarantineEntry *entry, const char *verb,
                            GCancellable *cancellable, GError **error);
/* Removes what an interrupted removal left. @kept is told of what cannot be removed: its name in quarantine/,
 * and why. */
typedef void (*QuarantineKeptFunc) (const char *name, const GError *error, gpointer user_data);
gboolean quarantine_sweep (Quarantine *self, QuarantineKeptFunc kept, gpointer user_data,
                           GCancellable *cancellable, GError **error);

G_END_DECLS
