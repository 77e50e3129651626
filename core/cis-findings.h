/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisFindings: the findings that are raised now, one for each (id, subject). Thread-safe.
 */
typedef struct _CisFindings CisFindings;

CisFindings *cis_findings_new (void);
void cis_findings_free (CisFindings *self);
/* @change: raised or replaced. Returns %FALSE where the same was known already. */
gboolean cis_findings_raise (CisFindings *self, CisFinding *finding, CisFindingChange *change);
/* The finding that is over, or %NULL; full. */
CisFinding *cis_findings_clear (CisFindings *self, const char *id, const char *subject);

G_END_DECLS
