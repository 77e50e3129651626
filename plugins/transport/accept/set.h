/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "connection.h"

G_BEGIN_DECLS

typedef enum
{
  CIS_ARRIVAL_HEAD,      /* a whole one */
  CIS_ARRIVAL_MALFORMED, /* a line that does not end with CRLF */
  CIS_ARRIVAL_TOO_LARGE,
  CIS_ARRIVAL_TOO_SLOW,
} CisArrival;

typedef struct
{
  guint max_connections;
  gsize max_head;      /* bytes */
  gint64 head_timeout; /* µs from a head's first byte to its last, and for an answer to be taken */
  gint64 idle_timeout; /* µs */
  /* On the thread of cis_set_run(): */
  /* @connection is the callee's until it gives it back. @length: of the head, its bytes are not taken yet. */
  void (*arrived) (CisPart *part, CisConnection *connection, CisArrival arrival, gsize length);
  /* After each look at the sockets. Returns when it must be called again at the latest, monotonic. */
  gint64 (*turn) (CisPart *part);
  CisPart *part; /* none */
} CisSetConfig;

/**
 * CisSet: all connections that are nobody's at the moment, in one epoll set: those that are idle, that send a
 * head, that do not take their answer, or that were refused and have not stopped sending. Each costs a
 * descriptor and a small buffer, whatever its peer does.
 */
typedef struct _CisSet CisSet;

CisSet *cis_set_new (const CisSetConfig *config, GError **error);
CisSet *cis_set_ref (CisSet *self);
void cis_set_unref (CisSet *self);
/* Accepts and collects heads until @cancellable is cancelled; then closes what is in the set. */
gboolean cis_set_run (CisSet *self, int listener, GCancellable *cancellable, GError **error);
/* Has turn() called soon. On any thread. */
void cis_set_wake (CisSet *self);

/* Gives @connection (full) back, not to be touched any more; first it sends what is left of its answer. After
 * the end of cis_set_run() it is closed. On any thread. */
void cis_set_give_back (CisSet *self, CisConnection *connection, CisAfter after);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisSet, cis_set_unref)

G_END_DECLS
