/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* One pass over what is to be removed: tells of <state>/<folder>/<name>, which cannot be because of @error,
 * and notes its subject in @kept, a set. */
void cis_removal_fail (CisPart *part, const char *state, const char *folder, const char *name,
                       const GError *error, GHashTable *kept);
/* At the end of the pass: what was told before and is not in @kept (NULL: nothing is) is over. */
void cis_removal_end (CisPart *part, GHashTable *kept);
