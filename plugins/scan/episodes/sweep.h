/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "backlog.h"

#include <time.h>

G_BEGIN_DECLS

/* Removes from outbox/ and receipts/ what a killed run was writing, and from outbox/ what no episode belongs
 * to any more, except for the episodes in flight. Receipts stay: they are the proof, and one for each of
 * 100,000 shipped episodes; so receipts/ is read only where it changed since @receipts_swept, the mtime that
 * it had the last time (zero: none). Only between two emissions: an episode that is emitted meanwhile would
 * lose its tarball. */
void sweep (CisPart *part, CisHostState *state, Backlog *backlog, struct timespec *receipts_swept,
            GCancellable *cancellable);

G_END_DECLS
