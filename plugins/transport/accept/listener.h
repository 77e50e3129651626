/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisListener: the listening socket in the epoll set. A failed accept() pauses it and never ends it:
 * descriptors run out, and are there again. All on the set's thread.
 */
typedef struct
{
  CisPart *part; /* none */
  int epoll;     /* none */
  int fd;        /* none */
  gint64 again;  /* when the pause ends, monotonic; 0: no pause */
  gboolean complained;
} CisListener;

/* Its events carry @self as data. */
gboolean cis_listener_start (CisListener *self, GError **error);
/* A connection, non-blocking; -1 where none waits, or none can be had for a while. full. */
int cis_listener_accept (CisListener *self);
void cis_listener_pause (CisListener *self);
/* Ends a pause that has lasted until @now. Returns when the present one ends;
 * G_MAXINT64 where there is none. */
gint64 cis_listener_resume (CisListener *self, gint64 now);

G_END_DECLS
