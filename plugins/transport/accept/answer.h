/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisAnswer: what a request is told.
 */
typedef struct
{
  guint status;
  JsonObject *body;   /* owned, nullable */
  gint64 retry_after; /* seconds; 0: nothing is said */
  char *allow;        /* owned, nullable: the methods that would be answered */
} CisAnswer;

/* Answers with @finding; the status follows from its id. */
void cis_answer_init_problem (CisAnswer *self, CisFinding *finding);
/* Answers the request that came home with @item. Fails closed: no 2xx unless the outcome is good and some
 * stage has said whose request it is. */
void cis_answer_init_outcome (CisAnswer *self, CisItem *item, CisOutcome *outcome);
/* As bytes; full. @closing: no other answer follows on this connection. @without_body: to a HEAD request. */
GString *cis_answer_to_bytes (const CisAnswer *self, gboolean closing, gboolean without_body);
void cis_answer_clear (CisAnswer *self);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CisAnswer, cis_answer_clear)

G_END_DECLS
