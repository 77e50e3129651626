/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who is at which episode: one writer per (host, episode), from its request's arrival until it is settled.
 * Locked. */

#include "cis490.h"

typedef struct _CisHolds CisEpisodeHolds;

typedef struct
{
  char *id;                  /* host/episode */
  char *sha256;              /* of what is being sent */
  GCancellable *cancellable; /* ends the reading of the body */
  gboolean reading;          /* a body is coming in; under the table's lock */
  gint64 heard;              /* when its last bytes came, monotonic µs; under the table's lock */
  char *part;                /* the .part's name, once there is one; its owner's, as is linked */
  gboolean linked;           /* the archive is in the store */
  gint64 charged;            /* bytes that were counted for it, see quota.h; its owner's */
} CisEpisodeHold;

/* @stalled_after: without a byte for so long, an upload may be ended by a newer one of the same bytes; µs. */
CisEpisodeHolds *cis_holds_new (gint64 stalled_after);
void cis_holds_free (CisEpisodeHolds *self);
/* %NULL while another has it. A stalled one of the same bytes is cancelled and waited for, for a second at
 * most: what it leaves can be gone on with at once. none: until cis_holds_release(). */
CisEpisodeHold *cis_holds_take (CisEpisodeHolds *self, const char *id, const char *sha256);
void cis_holds_release (CisEpisodeHolds *self, CisEpisodeHold *hold);
/* While it reads a body: bytes came. */
void cis_holds_hear (CisEpisodeHolds *self, CisEpisodeHold *hold);
/* The body is complete: from here on nobody may cut in. */
void cis_holds_heard_all (CisEpisodeHolds *self, CisEpisodeHold *hold);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisEpisodeHolds, cis_holds_free)
