/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* How long to wait for the next try, in µs: doubled with each, up to the last. */
typedef struct
{
  gint64 first, last;
} CisBackoff;

/* After @n_tries before this one. */
gint64 cis_backoff_get (const CisBackoff *self, guint n_tries);

/**
 * CisHold: a pipeline whose stage cannot take anything at present. Nothing is emitted but one probe at a
 * time; when a probe gets through that stage, it is over. Not locked; times are monotonic µs.
 */
typedef struct
{
  gboolean held;
  guint step;          /* the stage that deferred */
  gint64 until;        /* when the next probe may go */
  guint n_probes;      /* that were in vain */
  CisFinding *finding; /* owned, nullable: what was raised */
} CisHold;

/* A stage-scope deferral at @step; returns FALSE where it only confirms what is known.
 * @retry_after: µs or 0. */
gboolean cis_hold_begin (CisHold *self, const CisBackoff *backoff, guint step, gint64 now, gint64 retry_after,
                         CisFinding *finding);
/* A probe got through: returns the finding to clear (full, nullable). */
CisFinding *cis_hold_end (CisHold *self);

G_END_DECLS
