/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "backlog.h"
#include "watch.h"

#include <time.h>

G_BEGIN_DECLS

typedef struct
{
  CisSource parent;

  /* Options: immutable. */
  char *state_path;
  gboolean lock;
  gint64 quiet;
  gint64 poll;
  gint64 backoff_initial;
  gint64 backoff_max;
  gint64 sweep_interval;
  gint64 unfinished_after;
  gboolean take_unfinished;

  /* From open() to close(). */
  CisHostState *state;
  Backlog *backlog; /* locks itself */
  int wake;         /* eventfd: something was settled */

  /* Of run()'s thread. */
  Watch *watch;
  GHashTable *invalid;    /* subjects of names that were told of, to the listing that last had them */
  GHashTable *unfinished; /* names of those that were told of, to when they last changed (gint64, owned) */
  guint listing;
  struct timespec listed; /* the mtime of episodes/ as it was listed; zero: list it on the next tick */
  gint64 next_tick;
  gint64 next_sweep;
  gint64 clock_offset; /* of the wall clock to the time since boot, µs */
  gint64 stepped_at;   /* when the wall clock was last seen to be set, monotonic; 0: never */
  gboolean once;
  gint n_written;                 /* atomic, with --once: changed while it was looked at */
  struct timespec swept_receipts; /* the mtime of receipts/ when it was swept; zero: sweep it */

  gint n_unfinished; /* atomic, with --once: without a meta.json, or with an empty one */
  gint n_invalid;    /* atomic: names that no receiver takes, and symlinks */
  gint relist;       /* atomic: something was forgotten that may still be there */
  GMutex count_lock; /* guards what follows, and keeps counts told in their order */
  guint n_passed, n_rejected;
  guint n_left; /* rejected, and still there */
} CisScanEpisodes;
typedef CisSourceClass CisScanEpisodesClass;

static inline int
get_episodes_fd (CisScanEpisodes *self)
{
  return cis_host_state_get_fd (self->state, CIS_FOLDER_EPISODES);
}

/* listing.c. Brings the backlog up to date: all of it where a sweep is due, else what the hints say and, once
 * per `poll`, whether episodes/ changed without a hint. */
gboolean tick (CisScanEpisodes *self, GCancellable *cancellable, GError **error);

/* unfinished.c. Whether the episode without a meta.json, of which @folder was looked at, is past
 * unfinished-after; it is told then. */
gboolean unfinished_consider (CisScanEpisodes *self, const char *name, const struct stat *folder,
                              GCancellable *cancellable);
void unfinished_forget (CisScanEpisodes *self, const char *name);
/* Those that are not in the backlog any more are over. */
void unfinished_prune (CisScanEpisodes *self);

/* look.c. Whether what the files say of their age is to be believed; takes note of what clock there is. */
gboolean is_clock_trusted (CisScanEpisodes *self);
/* The fingerprint of an episode that is ready (full), or %NULL: then it is back in the backlog. */
char *look (CisScanEpisodes *self, BacklogEntry *entry, GCancellable *cancellable);

G_END_DECLS
