/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

typedef enum
{
  CIS_CONNECTION_IDLE,      /* in the set, nothing has come since the last answer */
  CIS_CONNECTION_STRANGER,  /* in the set, nothing has come at all */
  CIS_CONNECTION_HEAD,      /* in the set, a head is coming */
  CIS_CONNECTION_ANSWERING, /* in the set, its peer has not taken all of its answer */
  CIS_CONNECTION_DRAINING,  /* in the set, answered and half-closed: what still comes is thrown away */
  CIS_CONNECTION_N_LISTS,
  CIS_CONNECTION_AWAY =
      CIS_CONNECTION_N_LISTS, /* not the set's: its request is waiting for a worker, or with one */
} CisConnectionState;

/* What becomes of a connection when it is given back to the set. */
typedef enum
{
  CIS_AFTER_KEEP,  /* wait for the next request */
  CIS_AFTER_DRAIN, /* half-close, throw away what still comes, then close */
  CIS_AFTER_CLOSE,
} CisAfter;

/**
 * CisConnection: one connection, owned by the set or by the request that came over it, never by both.
 */
typedef struct
{
  int fd;             /* owned, non-blocking */
  GByteArray *bytes;  /* owned, nullable; received and not yet used: a head, the beginning of a body, the next
                         requests */
  gsize scanned;      /* of bytes: known to hold no end of a head */
  GByteArray *unsent; /* owned, nullable; of answers, what the socket's buffer had no room for */
  guint64 drained;    /* bytes thrown away */
  gboolean known;     /* a request that came over it had credentials that are good */
  /* The set's: */
  CisConnectionState state;
  gint64 since;   /* when it came into that state, monotonic µs */
  CisAfter after; /* once its answer is taken */
  GList link;     /* in the list of the state */
} CisConnection;

CisConnection *cis_connection_new (int fd);
/* Closes. */
void cis_connection_free (CisConnection *self);
void cis_connection_append (CisConnection *self, const void *data, gsize length);
gsize cis_connection_get_pending (const CisConnection *self);
/* Moves up to @count of the bytes at hand to @buffer (nullable: they are dropped); returns how many. */
gsize cis_connection_take (CisConnection *self, void *buffer, gsize count);
/* Sends without waiting: what the peer makes no room for stays in @unsent, until cis_connection_flush().
 * %FALSE where nothing can be sent any more. */
gboolean cis_connection_send (CisConnection *self, const void *data, gsize length);
gboolean cis_connection_flush (CisConnection *self);
/* Throws away what has come, through @scratch. %FALSE at the end, or where it is too much. */
gboolean cis_connection_drain (CisConnection *self, void *scratch, gsize size);

G_END_DECLS
