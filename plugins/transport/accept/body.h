/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "connection.h"
#include "storage.h"

#include <stdatomic.h>

G_BEGIN_DECLS

/* Bytes of admitted bodies that are still to come; decreased by every body as it is read. */
typedef _Atomic guint64 CisOutstanding;

typedef enum
{
  CIS_BODY_FINE,
  CIS_BODY_CUT,      /* the connection ended before the body */
  CIS_BODY_TOO_SLOW, /* under the minimum rate */
  CIS_BODY_NO_ROOM,  /* when somebody began to read it */
} CisBodyFailure;

typedef struct
{
  guint64 minimum_rate; /* bytes per second, on average over … */
  gint64 rate_period;   /* … this long, µs */
} CisBodyLimits;

/**
 * CisBody: the body of one request, read by blocking on the thread that wants it. Nothing is read ahead: what
 * nobody asks for stays with the sender. The room for it is promised with the first read: who reads knows
 * whose it is, and who is refused before has announced what he likes.
 */
#define CIS_TYPE_BODY (cis_body_get_type ())
G_DECLARE_FINAL_TYPE (CisBody, cis_body, CIS, BODY, GInputStream)

/* @connection, @outstanding and @storage must outlive cis_body_end(). @expects_continue: the sender waits for
 * "100 Continue", which it gets with the first read, so never when the request is refused. full. */
CisBody *cis_body_new (CisConnection *connection, guint64 length, gboolean expects_continue,
                       const CisBodyLimits *limits, CisOutstanding *outstanding, CisStorage *storage);
CisBodyFailure cis_body_get_failure (CisBody *self);
/* Of CIS_BODY_NO_ROOM: what to answer. none, nullable. */
CisFinding *cis_body_get_problem (CisBody *self);
guint64 cis_body_get_remaining (CisBody *self);
/* Throws away a short rest that has come already. Returns whether the connection stands at the end of the
 * body, so that another request may follow on it. */
gboolean cis_body_skip (CisBody *self);
/* Lets go of the connection, so that later reads fail, and of the room for what will not come. */
void cis_body_end (CisBody *self);

G_END_DECLS
