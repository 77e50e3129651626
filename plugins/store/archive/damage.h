/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether what the store has under a name is still what was put there. The digest that was noted beside it
 * then says so, or that of its row in the index. Only where neither is left, the archive itself is asked: its
 * zstd frames and the tar in them are whole, or they are not. What anybody claims does not count. */

#include "layout.h"

typedef struct
{
  struct stat st;   /* of the file that was looked at */
  char *found;      /* the sha256 of what is there */
  char *promised;   /* the sha256 that was noted, or that the row says; %NULL: neither is there */
  char *commit;     /* that was noted; nullable */
  gboolean has_row; /* in the index, with the digest that is promised */
  char *reason;     /* what is wrong, as the rest of "it is damaged: "; %NULL: nothing is */
} CisDamage;

/* Looks at the archive @fd of @episode (host and name), which takes as long as reading all of it, or no time
 * where it was found to be damaged before. @stage: whose progress with @episode it is; nullable. %NULL with
 * @error where nobody knows. full. */
CisDamage *cis_damage_look (CisLayout *layout, CisEpisode *episode, int fd, CisStage *stage,
                            GCancellable *cancellable, GError **error);
void cis_damage_free (CisDamage *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisDamage, cis_damage_free)
