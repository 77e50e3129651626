/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisFindings: the findings that are raised now, one for each (id, subject), and who raised each last.
 * Thread-safe.
 */
typedef struct _CisFindings CisFindings;

CisFindings *cis_findings_new (void);
void cis_findings_free (CisFindings *self);
/* @change: raised or replaced. Returns %FALSE where the same was known already. */
gboolean cis_findings_raise (CisFindings *self, CisFinding *finding, const char *owner,
                             CisFindingChange *change);
/* The finding that is over, or %NULL; full. */
CisFinding *cis_findings_clear (CisFindings *self, const char *id, const char *subject);
/* Those that are over: full, of full CisFinding. @is_over: called under the lock. */
typedef gboolean (*CisFindingsFunc) (CisFinding *finding, const char *owner, gpointer user_data);
GPtrArray *cis_findings_take (CisFindings *self, CisFindingsFunc is_over, gpointer user_data);
/* Takes over what @from has, instead of its own, while nobody else uses either. */
void cis_findings_inherit (CisFindings *self, CisFindings *from);

G_END_DECLS
