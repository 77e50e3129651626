/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../../shared/code-version.h"
#include "answer.h"

/* What a ping says of the code that the waiting episodes come from, while there is still time. */

/* How many episodes are in the folder of the host's state, and the meta.json of the newest that names its
 * commit; full, %NULL where none does, there is no such folder, or (@error) it cannot be listed. */
JsonObject *cis_outlook_find_meta (const char *state, const char *folder, guint *n, GError **error);
/* Whether what a ping was answered says nothing of the code's outlook, or all of it. */
gboolean cis_outlook_is_whole (JsonObject *answer);
/* "commit 41 of 100, leaves in ~5 h, source git"; %NULL where the receiver's answer says nothing of it.
 * full. */
char *cis_outlook_describe (JsonObject *answer);
/* "room for 12.3 GB; its clock is 3 min ahead of ours; …": of what a ping was @told in its @answer; full. */
char *cis_outlook_describe_receiver (const CisAnswer *answer, JsonObject *told);
/* The warning that the commit of @version leaves the window within @warning (µs), or is out already; %NULL
 * where all is well. full. */
CisFinding *cis_outlook_find (JsonObject *answer, const char *url, const CisCodeVersion *version,
                              guint n_waiting, gint64 warning);
