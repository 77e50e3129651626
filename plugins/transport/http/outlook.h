/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* What a ping says of the code that the waiting episodes come from, while there is still time. */

/* How many episodes wait in the folder, and the commit of the newest that has one; @commit: full, %NULL where
 * none has, or the folder cannot be listed. */
gboolean cis_outlook_look (int episodes_fd, guint *n, char **commit, GError **error);
/* "commit 41 of 100, leaves in ~5 h, source git"; %NULL where the receiver's answer says nothing of it.
 * full. */
char *cis_outlook_describe (JsonObject *answer);
/* The warning that the commit leaves the window within @warning (µs), or is out already; %NULL where all is
 * well. full. */
CisFinding *cis_outlook_find (JsonObject *answer, const char *url, const char *commit, guint n_waiting,
                              gint64 warning);
