/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* What to say of <state>/<subject>, such as "shipped/run-1", which is to be removed and cannot be, because of
 * @error; full. */
CisFinding *cis_removal_finding (const char *state, const char *subject, const GError *error);
