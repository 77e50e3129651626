/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisAfterwards: the bounded queue of the when=afterwards stages, and its thread. A slow or dead mail server
 * delays and changes nothing else: what does not fit is dropped and counted.
 */
typedef struct _CisAfterwards CisAfterwards;

/* @stages: of CisStage, none of them owned for longer than the queue lives. @length: of the queue, items. */
CisAfterwards *cis_afterwards_new (GPtrArray *stages, guint length);
/* An item that is home, outcome fixed. On any thread; never blocks. */
void cis_afterwards_push_item (CisAfterwards *self, CisItem *item);
void cis_afterwards_push_finding (CisAfterwards *self, CisFinding *finding, CisFindingChange change);
/* Ends the thread: gives it @patience µs for what is queued, then cancels, then gives it up. Returns FALSE
 * where it was given up and the stages must not be closed. */
gboolean cis_afterwards_end (CisAfterwards *self, gint64 patience);

G_END_DECLS
