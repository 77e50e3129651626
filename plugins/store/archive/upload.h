/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One archive on its way into the store: from the request's body to the hard link that commits it. */

#include "damage.h"
#include "holds.h"
#include "layout.h"
#include "shelf.h"

typedef struct
{
  CisStage *stage;
  CisEpisode *episode;
  CisLayout *layout;
  CisShelf *shelf; /* none */
  CisEpisodeHolds *holds;
  CisEpisodeHold *hold;
  gboolean resumed;          /* the body is the rest of an archive, from … */
  guint64 offset;            /* … here on */
  GCancellable *cancellable; /* the pipeline's */
  CisDamage *damage;         /* of the archive that this one takes the place of; owned, nullable */
  char *aside;               /* where that is now, below the state folder; owned, nullable */
  gboolean kept;             /* set by cis_upload_receive(): the .part stays for a resume */
} CisUpload;

void cis_upload_clear (CisUpload *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CisUpload, cis_upload_clear)

/* Reads, writes, syncs and links. passed: it is in the store, and the episode has its receipt. Otherwise the
 * .part is left where the body did not come whole, and where hold->linked says that the commit point was
 * passed. */
CisOutcome *cis_upload_receive (CisUpload *self);
/* Goes on with what is in the store, but has not come home; @intent (full) is its .part. rejected
 * (episode-conflict) where these are other bytes. */
CisOutcome *cis_upload_finish (CisUpload *self, char *intent);

/* Gives @episode what its archive @fd (@st) and its intent @part say: digest, size, commit,
 * receipt, marks. */
void cis_upload_adopt (CisEpisode *episode, int fd, const struct stat *st, const CisPartName *part);
