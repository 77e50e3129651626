/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "answer.h"
#include "body.h"
#include "set.h"

G_BEGIN_DECLS

/**
 * CisExchange: one request's hold on its connection. It belongs to the request, and an item that is dropped
 * unanswered closes the connection.
 */
typedef struct
{
  CisSet *set;               /* owned */
  CisConnection *connection; /* owned */
  CisBody *body;             /* owned, nullable */
  gboolean keep_alive;       /* as far as the client is concerned */
} CisExchange;

/* @connection: full. */
CisExchange *cis_exchange_new (CisSet *set, CisConnection *connection);
/* Gives the connection back. */
void cis_exchange_end (CisExchange *self, CisAfter after);
/* Answers, waiting for nobody, and ends. @keep: the connection stands at the end of the request's body, and
 * may be kept if its peer is known. */
void cis_exchange_answer (CisExchange *self, const CisAnswer *answer, gboolean keep, gboolean without_body);
/* @self: full. */
void cis_exchange_attach (CisExchange *self, CisRequest *request);
/* %NULL where the request did not come from here, or is answered; full. */
CisExchange *cis_exchange_detach (CisRequest *request);

G_END_DECLS
