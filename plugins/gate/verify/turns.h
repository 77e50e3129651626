/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who may look into an archive now. More looks at once than processors would be no faster; and as a small
 * archive can inflate for minutes, a look gives up its turn after a while, to whoever waits for longest, and
 * comes again. So however many hosts send such archives, another's waits for moments only. */

#include "cis490.h"

typedef struct _CisTurns CisTurns;

/* One look's; on its thread. */
typedef struct
{
  CisTurns *turns;
  CisStage *stage; /* whose progress with @item it is */
  CisItem *item;
  GCancellable *cancellable; /* nullable */
  const char *host;          /* of the item */
  gint64 since;              /* since when it has its turn, monotonic µs; 0: it has none */
} CisTurn;

/* @most: at once, at least 2; half of them for one host. */
CisTurns *cis_turns_new (guint most);
void cis_turns_free (CisTurns *self);
/* Waits for the first turn. Without it, when cancelled, there is nothing to end. */
gboolean cis_turn_begin (CisTurn *self, GError **error);
/* To be called often: lets others have theirs, and waits until it comes again. */
void cis_turn_share (CisTurn *self);
void cis_turn_end (CisTurn *self);
