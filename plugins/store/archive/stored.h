/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is in the store under an episode's name already, as an answer; for store/known and store/archive. */

#include "damage.h"

/* passed: nothing is there, or (@intent set, full) an archive that is not yet home: whoever holds the episode
 * finishes it with cis_upload_finish(). done, with the reply 200 and the receipt as duplicate: these bytes
 * are there. rejected (episode-conflict): other bytes are. Or passed with @damage (full): there is a damaged
 * archive, which these bytes may take the place of. @stage: which asks. */
CisOutcome *cis_stored_judge (CisStage *stage, CisLayout *layout, CisEpisode *episode, char **intent,
                              CisDamage **damage, GCancellable *cancellable);

/* rejected (episode-conflict): the store has other bytes, those of @stored_sha256. */
CisOutcome *cis_stored_conflict (CisEpisode *episode, const char *stored_sha256);
/* rejected (digest-mismatch): the archive's @key is not what was announced. */
CisOutcome *cis_stored_mismatch (CisEpisode *episode, const char *key, const char *announced,
                                 const char *found);
/* The same of its length. */
CisOutcome *cis_stored_wrong_length (CisEpisode *episode, guint64 length);

/* deferred: somebody is at it. */
CisOutcome *cis_stored_in_flight (CisItem *item, const char *summary);

/* What a failed step means: a full disk defers (storage-full), a failed fsync stops the pipeline. @error:
 * full. */
CisOutcome *cis_stored_failed (CisPart *part, CisItem *item, GError *error);
