/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis-pipeline-private.h"

G_BEGIN_DECLS

/**
 * CisJourney: one item on its way through a pipeline: work, outcome, home, afterwards.
 */
typedef struct _CisJourney CisJourney;

/* @item: full. @first: the first stage it goes through; it counts as having seen the one before where it is
 * recovered. @probe: it may pass while the pipeline is held. */
CisJourney *cis_journey_new (CisPipeline *pipeline, CisItem *item, guint first, gboolean probe);
/* Takes the item as far as it gets: home (the journey is freed), or parked for a second try (it is not). On a
 * worker. */
void cis_journey_run (CisJourney *self);
/* As above, without a second try; the outcome is full. On the thread that opens the pipeline. */
CisOutcome *cis_journey_recover (CisJourney *self);

/* Under the pipeline's lock. */
void cis_journey_progress (CisItem *item, guint64 done, guint64 total);
CisActivity *cis_journey_get_activity (CisJourney *self); /* full */

G_END_DECLS
