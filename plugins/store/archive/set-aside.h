/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A damaged archive makes room for a good one. At every moment the name in the store is that of the one or of
 * the other, and the damaged one has a name: no byte goes. */

#include "damage.h"
#include "shelf.h"

/* Gives the archive of @episode in the store another name, in damaged/, and its own to the .part @part, which
 * keeps its name as the intent. The store's folder is the caller's to sync. Only the file that @damage is of;
 * G_IO_ERROR_BUSY where another is there by now. @name: below the state folder, full. @linked: whether the
 * .part is the archive now, also where something failed. */
gboolean cis_set_aside (CisLayout *layout, CisShelf *shelf, CisEpisode *episode, const char *part,
                        const CisDamage *damage, char **name, gboolean *linked, GError **error);
/* Only gives it the other name, as nobody has sent a good one yet. Before anything new comes in. */
gboolean cis_set_aside_alone (CisLayout *layout, CisShelf *shelf, CisEpisode *episode,
                              const CisDamage *damage, char **name, GError **error);
/* Removes what earlier runs left of their attempts: second names of what has another. */
gboolean cis_set_aside_clean (CisLayout *layout, GError **error);
/* archive-damaged: @episode's archive was, and rests at @path now. full. */
CisFinding *cis_set_aside_describe (CisEpisode *episode, const CisDamage *damage, const char *path);
