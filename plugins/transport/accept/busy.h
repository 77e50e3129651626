/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "queue.h"

G_BEGIN_DECLS

/* What a request is answered whose turn does not come. @part: whose options the @limits are. full. */
CisFinding *cis_busy_to_finding (CisBusy why, CisPart *part, const CisQueueLimits *limits);

G_END_DECLS
