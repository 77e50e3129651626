/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "body.h"

G_BEGIN_DECLS

typedef struct
{
  guint workers;
  guint max_connections;    /* of which half may wait and not be known */
  guint64 max_outstanding;  /* bytes of bodies that may be on their way */
  guint host_requests;      /* of one asker, those that wait included */
  guint64 host_outstanding; /* bytes of bodies of one asker whose turn it may be */
  gint64 timeout;           /* how long a request waits for its turn, µs */
} CisQueueLimits;

/* What a request waits for. */
typedef enum
{
  CIS_BUSY_NOT,         /* for nothing */
  CIS_BUSY_HOST,        /* its asker's share */
  CIS_BUSY_WORKERS,     /* a worker */
  CIS_BUSY_BYTES,       /* what is on its way */
  CIS_BUSY_CONNECTIONS, /* that fewer wait whom nobody knows */
  CIS_BUSY_ENDING,      /* the next receiver: this one stops */
} CisBusy;

/**
 * CisQueue: whose turn it is. At most as many requests are at work as there are workers; of one asker at most
 * a quarter of them; and one worker never gets an upload, so that the short questions are answered while long
 * archives come in.
 *
 * Who asks is who has these credentials, the token and the name in the certificate, good or not: anybody can
 * name a host in a path, and would take up what is that host's. All without a token are one. Who comes with
 * ever other tokens is refused by the first stage that looks, within microseconds: for long a turn is held by
 * whose it is. Pings have a share of their own, so that a host that is busy can be pinged for.
 */
typedef struct _CisQueue CisQueue;

CisQueue *cis_queue_new (const CisQueueLimits *limits);
void cis_queue_free (CisQueue *self);
CisOutstanding *cis_queue_get_outstanding (CisQueue *self);
/* Another limit for the bytes of one asker, for those that do not have their turn yet. */
void cis_queue_limit_host (CisQueue *self, guint64 bytes);

/* On the set's thread. @item: full, unless who asks has too many there: %FALSE then. @known: good credentials
 * came over its connection before. */
gboolean cis_queue_push (CisQueue *self, CisItem *item, gboolean known);
/* The next one that may begin, counted as at work from now on; %NULL where none may. On the set's thread.
 * full. */
CisItem *cis_queue_pop (CisQueue *self);
/* One that has waited for too long, and @why it does; CIS_BUSY_NOT where that is over just now. Or of those
 * that are not known, where they are too many, the one that waits for longest: else they would use up all
 * connections by waiting, and nobody new could even ask. %NULL where there is none. On the set's thread,
 * after cis_queue_pop() had none. full. */
CisItem *cis_queue_expire (CisQueue *self, gint64 now, CisBusy *why);
/* When the next one will have waited for too long; G_MAXINT64 where none waits. */
gint64 cis_queue_get_deadline (CisQueue *self);
/* The item is at work no more; @remaining bytes of its body will not be read. Returns whether another waits.
 * On any thread. */
gboolean cis_queue_release (CisQueue *self, CisItem *item, guint64 remaining);

G_END_DECLS
