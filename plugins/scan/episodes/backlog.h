/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * Backlog: the episodes that scan knows of. Each is ready (its turn comes, oldest first), waiting (until it
 * is due), or in flight. What happens to one of ten thousand costs a few comparisons, so a backlog drains as
 * fast as its items do, and a tick on which nothing is due looks at one entry only. Thread-safe; "now" and
 * "due" are monotonic µs.
 */
typedef struct _Backlog Backlog;

/* An entry in flight belongs to who took it, until it is emitted or put back;
 * all others are the backlog's. */
typedef struct
{
  char *name;
  gint64 time;         /* orders them: µs since 1970 */
  gint64 first_seen;   /* monotonic */
  gint64 due;          /* monotonic; G_MAXINT64 where parked */
  char *fingerprint;   /* nullable: the last one seen */
  gint64 unchanged_at; /* monotonic: since when it is known to be that */
  gint64 looked_at;    /* monotonic: when the last fingerprint was begun; by the clock of then: */
  gint64 clock_offset; /* of the wall clock to the monotonic one, µs */
  guint looks;         /* fingerprints taken */
  guint attempts;      /* deferrals of its own */
  guint holds;         /* deferrals of stage scope */
  guint listing;       /* the last one that had it */
  GSequenceIter *iter; /* %NULL in flight */
} BacklogEntry;

Backlog *backlog_new (gint64 backoff_initial, gint64 backoff_max);
void backlog_free (Backlog *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Backlog, backlog_free)

/* Adds an episode that is due at once; one that is known stays as it is. */
void backlog_add (Backlog *self, const char *name, gint64 time, gint64 now);
/* Forgets one that went away; not if it is in flight: its settling will tell. */
void backlog_remove (Backlog *self, const char *name);
/* Between the two, backlog_mark() says whether an episode is known; the end removes what was not marked. */
void backlog_begin_listing (Backlog *self);
gboolean backlog_mark (Backlog *self, const char *name);
void backlog_end_listing (Backlog *self);

/* The oldest that is due, now in flight; %NULL where there is none. none */
BacklogEntry *backlog_take (Backlog *self, gint64 now);
/* Those in flight come back: to be due then, not at all (it is forgotten), after a back-off that grows with
 * each attempt, at once (the fault is not its own), or never again in this run. */
void backlog_wait (Backlog *self, const char *name, gint64 due);
void backlog_forget (Backlog *self, const char *name);
void backlog_defer (Backlog *self, const char *name, gint64 now, gint64 retry_after);
void backlog_hold (Backlog *self, const char *name, gint64 now);
void backlog_park (Backlog *self, const char *name);

/* Makes one that waits due now, because something happened to it. */
void backlog_hasten (Backlog *self, const char *name, gint64 now);
/* When the next becomes due; now where one is ready, G_MAXINT64 where none will be. */
gint64 backlog_next_due (Backlog *self, gint64 now);
gboolean backlog_is_in_flight (Backlog *self, const char *name);
gboolean backlog_is_known (Backlog *self, const char *name);
guint backlog_count_waiting (Backlog *self); /* all but those in flight */

G_END_DECLS
