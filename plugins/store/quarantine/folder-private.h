/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "folder.h"

G_BEGIN_DECLS

#define REASON_SUFFIX ".reason.json"
#define PURGED_SUFFIX ".purged"

struct _Quarantine
{
  char *state;
  CisPart *part; /* none, nullable */
  int root;
  int episodes;
  int fd;        /* of quarantine/ */
  int lock;      /* of its lock's file; -1 until it is needed. Under the mutex */
  gint64 opened; /* µs since 1970; as late as the folders say, where the clock is behind them */
  Audit *audit;
  GMutex mutex; /* the lock belongs to the descriptor, so it keeps out other processes only */
};

/* The lock, held until it is freed. */
typedef Quarantine QuarantineLocker;
QuarantineLocker *quarantine_locker_new (Quarantine *self, GCancellable *cancellable, GError **error);
void quarantine_locker_free (QuarantineLocker *locker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QuarantineLocker, quarantine_locker_free)

/* Whether it is there, or may be. */
gboolean quarantine_is_there (int dirfd, const char *name);
char *quarantine_get_outside (const char *id); /* ".ID.reason.json"; full */
char *quarantine_get_inside (const char *id);  /* "ID/quarantine_reason.json"; full */
/* Moves the reason from beside the entry into it. Under the lock. */
gboolean quarantine_move_reason_in (Quarantine *self, const char *id, GError **error);

G_END_DECLS
