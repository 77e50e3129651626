/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gate/verify: looks into an archive before it is stored: it must be well formed, hold what it says, and its
 * meta.json must name the episode and the commit that the request names. The window judges the commit that
 * is claimed; this is what makes the claim true of the bytes.
 *
 * The bytes come after the head, so there is nothing to look at yet when the item passes here. The stage asks
 * whoever stores it to be shown the archive when it is whole, on disk, and has the right digest, but before
 * it counts as stored. What is then refused leaves nothing behind. */

#include "../../shared/code-version.h"
#include "../../shared/meta/meta-reader.h"
#include "turns.h"

/* When a limit may have been raised. */
#define RETRY G_TIME_SPAN_HOUR

typedef struct
{
  CisStage parent;
  CisMetaLimits limits; /* immutable */
  CisTurns *turns;
} CisVerify;
typedef CisStageClass CisVerifyClass;

GType cis_verify_get_type (void);
G_DEFINE_TYPE (CisVerify, cis_verify, CIS_TYPE_STAGE)

static void
report (guint64 done, guint64 total, gpointer user_data)
{
  CisTurn *turn = user_data;

  cis_stage_progress (turn->stage, turn->item, done, total);
  cis_turn_share (turn);
}

/* Nothing is said against the archive, which an honest host may well have made. It is asked for again each
 * hour, from its end on. */
static CisOutcome *
defer_beyond_limits (CisStage *stage, CisEpisode *episode, const GError *error)
{
  const char *id = cis_item_get_id (CIS_ITEM (episode));
  const char *part = cis_part_get_name (CIS_PART (stage));
  CisFinding *finding =
      cis_finding_new ("archive-beyond-limits", CIS_SEVERITY_ERROR, id,
                       "The archive of %s may not be looked through: %s.", id, error->message);

  cis_finding_set_fix (finding,
                       "# on the receiver, where it is meant to be, raise that option in [%s] of a drop-in,\n"
                       "# pipelines/receiver.ini.d/limits.ini; the host sends it again by itself:\n"
                       "systemctl reload cis490-receiver",
                       part);
  return cis_outcome_deferred (CIS_SCOPE_ITEM, RETRY, finding);
}

static CisOutcome *
reject_malformed (CisEpisode *episode, const GError *error)
{
  const char *name = cis_episode_get_name (episode);
  CisFinding *finding =
      cis_finding_new ("archive-malformed", CIS_SEVERITY_ERROR, cis_item_get_id (CIS_ITEM (episode)),
                       "The archive of %s arrived as it was sent, but is not an episode's: %s.", name,
                       error->message);

  cis_finding_set_fix (finding,
                       "# it must be a tar, compressed with zstd, of plain files and folders below %s/, "
                       "which grant no more than\n"
                       "# their permission bits say; pack it anew:\n"
                       "cis490 quarantine release %s",
                       name, name);
  return cis_outcome_rejected (finding);
}

/* @theirs and @requested: nullable. */
static CisOutcome *
reject_mismatch (CisEpisode *episode, const char *key, const char *theirs, const char *requested)
{
  const char *name = cis_episode_get_name (episode);
  CisFinding *finding = cis_finding_new (
      "archive-mismatch", CIS_SEVERITY_ERROR, cis_item_get_id (CIS_ITEM (episode)),
      "The archive of %s is another's: the request says that its %s is %s, its meta.json says %s.", name, key,
      requested != NULL ? requested : "nothing", theirs != NULL ? theirs : "nothing about it");

  cis_finding_set_fix (
      finding,
      "# make meta.json and the request agree: the folder has the episode's name, and\n"
      "# X-Cis490-Code-Commit is the code_version.commit in it; and where its stamp was replaced,\n"
      "# X-Cis490-Code-Restamped is the first code_version.restamped.old; then pack it anew:\n"
      "cis490 quarantine release %s",
      name);
  cis_finding_set_detail (finding, "member", key);
  if (requested != NULL)
    cis_finding_set_detail (finding, "requested", requested);
  if (theirs != NULL)
    cis_finding_set_detail (finding, "archived", theirs);
  return cis_outcome_rejected (finding);
}

static CisOutcome *
judge (CisEpisode *episode, JsonObject *meta)
{
  const char *name = cis_json_get_string (meta, "episode");
  CisCodeVersion version = cis_code_version_read (meta);
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));
  const char *restamped = request != NULL ? cis_request_get_header (request, CIS_RESTAMPED_HEADER) : NULL;

  if (name == NULL)
    name = cis_json_get_string (meta, "id");
  if (name != NULL && g_strcmp0 (name, cis_episode_get_name (episode)) != 0)
    return reject_mismatch (episode, "episode", name, cis_episode_get_name (episode));
  if (g_strcmp0 (version.commit, cis_episode_get_commit (episode)) != 0)
    return reject_mismatch (episode, "commit", version.commit, cis_episode_get_commit (episode));
  /* Else its row would not be marked, and the version gate was told less than it is to know. */
  if (g_strcmp0 (version.restamped, restamped) != 0)
    return reject_mismatch (episode, "first stamp", version.restamped, restamped);
  return cis_outcome_passed ();
}

static CisOutcome *
inspect (CisEpisode *episode, int fd, GCancellable *cancellable, gpointer user_data)
{
  CisVerify *self = user_data;
  CisTurn turn = { .turns = self->turns,
                   .stage = user_data,
                   .item = CIS_ITEM (episode),
                   .cancellable = cancellable,
                   .host = cis_episode_get_host (episode) };
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) meta = NULL;

  if (!cis_turn_begin (&turn, &error))
    return cis_outcome_failed (g_steal_pointer (&error));
  meta = cis_meta_read (fd, cis_episode_get_name (episode), &self->limits, CIS_META_WHOLE, report, &turn,
                        cancellable, &error);
  cis_turn_end (&turn);
  if (meta != NULL)
    return judge (episode, meta);
  if (g_error_matches (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT))
    return defer_beyond_limits (CIS_STAGE (self), episode, error);
  if (error->domain == CIS_META_ERROR)
    return reject_malformed (episode, error);
  return cis_outcome_failed (g_steal_pointer (&error));
}

static CisOutcome *
cis_verify_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisEpisode *episode = CIS_EPISODE (item);

  if (cis_episode_get_receipt (episode) != NULL)
    return cis_outcome_failed (
        g_error_new (CIS_ERROR, CIS_ERROR_CONFIG,
                     "%s is stored already: [%s] must stand before store/archive in stages=",
                     cis_item_get_id (item), cis_part_get_name (CIS_PART (stage))));
  cis_episode_add_inspection (episode, inspect, stage);
  return cis_outcome_passed ();
}

static void
cis_verify_finalize (GObject *object)
{
  CisVerify *self = (CisVerify *) object;

  cis_turns_free (self->turns);
  G_OBJECT_CLASS (cis_verify_parent_class)->finalize (object);
}

static void
cis_verify_class_init (CisVerifyClass *klass)
{
  static const char *const needs[] = { "identity", "archive", NULL };
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cis_verify_finalize;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->needs = needs;
  stage_class->process = cis_verify_process;

  cis_meta_limits_add_options (CIS_PART_CLASS (klass), G_STRUCT_OFFSET (CisVerify, limits));
}

static void
cis_verify_init (CisVerify *self)
{
  self->turns = cis_turns_new (MAX (2, g_get_num_processors ()));
}

CIS_PLUGIN ("gate/verify", "Rejects an archive that is malformed or not the one that the request names.",
            CisVerify, cis_verify, CisStage)
