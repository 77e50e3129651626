/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* What only the pipeline may say of an item. */
CIS_API void cis_item_set_recovered (CisItem *self);
CIS_API void cis_item_fix_outcome (CisItem *self, CisOutcome *outcome, const char *decided_by);
void cis_item_init_id (CisItem *self, const char *id, CisRequest *request);

G_END_DECLS
