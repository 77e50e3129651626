/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* What the receiver says of episodes that it acknowledged long ago. A receipt is a promise of then; whether
 * it is kept is asked before a host lets go of its own copy. */

typedef enum
{
  RECEIVER_HAS,     /* it gave a receipt for these very bytes just now */
  RECEIVER_LACKS,   /* and would take them */
  RECEIVER_UNKNOWN, /* whatever else: the copy stays */
} ReceiverAnswer;

/* One pass of questions. */
typedef struct
{
  CisStage *stage;     /* who asks */
  gboolean silent;     /* nobody answers just now, so nobody is asked again in this pass */
  GPtrArray *lost;     /* names of those that it lacks and would take, */
  GPtrArray *refused;  /* that it lacks and would not take: */
  CisFinding *refusal; /* for what reason the first of them; owned, nullable */
  GPtrArray *unknown;  /* and of which it says nothing: */
  char *reason;        /* why the first of them */
} Receiver;

void receiver_init (Receiver *self, CisStage *stage);
void receiver_clear (Receiver *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Receiver, receiver_clear)
/* Asks for the episode @name, of which the host has @receipt. */
ReceiverAnswer receiver_ask (Receiver *self, const char *name, JsonObject *receipt,
                             GCancellable *cancellable);
/* Tells what the pass has found out, and what is over. */
void receiver_tell (Receiver *self);
/* Where nothing is due, so that there is nothing to ask. */
void receiver_tell_nothing_due (CisPart *part);
