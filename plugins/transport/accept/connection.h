/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

typedef enum
{
  CIS_CONNECTION_IDLE,     /* in the set, nothing has come since the last answer */
  CIS_CONNECTION_HEAD,     /* in the set, a head is coming */
  CIS_CONNECTION_DRAINING, /* in the set, answered and half-closed: what still comes is thrown away */
  CIS_CONNECTION_N_LISTS,
  CIS_CONNECTION_AWAY =
      CIS_CONNECTION_N_LISTS, /* not the set's: its request is waiting for a worker, or with one */
} CisConnectionState;

/**
 * CisConnection: one connection, owned by the set or by the request that came over it, never by both.
 */
typedef struct
{
  int fd;            /* owned, non-blocking */
  GByteArray *bytes; /* owned, nullable; received and not yet used: a head, the beginning of a body, the next
                        requests */
  gsize scanned;     /* of bytes: known to hold no end of a head */
  guint64 drained;   /* bytes thrown away */
  gboolean heard;    /* it has had an answer */
  /* The set's: */
  CisConnectionState state;
  gint64 deadline; /* monotonic, µs */
  GList link;      /* in the list of the state */
} CisConnection;

CisConnection *cis_connection_new (int fd);
/* Closes. */
void cis_connection_free (CisConnection *self);
void cis_connection_append (CisConnection *self, const void *data, gsize length);
gsize cis_connection_get_pending (const CisConnection *self);
/* Moves up to @count of the bytes at hand to @buffer (nullable: they are dropped); returns how many. */
gsize cis_connection_take (CisConnection *self, void *buffer, gsize count);
/* Sends all of it, waiting for the peer for at most @timeout µs; 0: what does not fit into the socket's
 * buffer is an error. */
gboolean cis_connection_send (CisConnection *self, const void *data, gsize length, gint64 timeout);
/* Throws away what has come, through @scratch. %FALSE at the end, or where it is too much. */
gboolean cis_connection_drain (CisConnection *self, void *scratch, gsize size);

G_END_DECLS
