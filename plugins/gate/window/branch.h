/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* Whether git can have a branch of that name, by git-check-ref-format(1). CIS_ERROR_CONFIG says what was
 * probably meant. */
gboolean cis_branch_check (const char *branch, GError **error);

G_END_DECLS
