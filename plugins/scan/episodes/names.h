/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* The name as a finding's subject: without control characters and invalid UTF-8; full. */
char *name_to_subject (const char *name);
/* What to say of a folder in episodes/ whose name no receiver takes, with the mv(1) that helps; full. */
CisFinding *name_to_finding (CisHostState *state, const char *name);
/* Whether a symlink in episodes/ leads to an episode that lies below none of our folders, or may: it would be
 * shipped, were it the folder itself. */
gboolean link_hides_episode (CisHostState *state, const char *name);
/* What to say of such a one; full. */
CisFinding *link_to_finding (CisHostState *state, const char *name);

G_END_DECLS
