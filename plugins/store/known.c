/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* store/known: answers for an episode that is in the store already, before the version gate is asked: an
 * acknowledgement that was lost on its way must never come back as a refusal, however old the code has become
 * meanwhile. */

#include "archive/layout.h"
#include "archive/partial.h"
#include "archive/stored.h"

typedef struct
{
  CisStage parent;
  char *directory;
  CisLayout layout; /* immutable after open() */
} CisKnown;
typedef CisStageClass CisKnownClass;

GType cis_known_get_type (void);
G_DEFINE_TYPE (CisKnown, cis_known, CIS_TYPE_STAGE)

static gboolean
cis_known_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisKnown *self = (CisKnown *) part;

  return cis_layout_open (&self->layout, self->directory, error);
}

static void
cis_known_close (CisPart *part)
{
  cis_layout_close (&((CisKnown *) part)->layout);
}

/* All of them have come, and somebody may just be hashing or syncing them. */
static gboolean
is_complete (CisKnown *self, CisEpisode *episode)
{
  g_autofree char *name = cis_layout_part_name (episode);
  g_autofree char *path = g_build_filename (cis_episode_get_host (episode), name, NULL);
  guint64 size = cis_partial_get_size (self->layout.incoming, path);

  return size > 0 && size == cis_episode_get_size (episode);
}

/* Whether the version gate has let these bytes in already: they are linked into the store (@intent); were in
 * it, before they were damaged there; or were admitted under this commit and are about to be. The latter
 * counts for a question only, which stores nothing: nobody knows here whether somebody is still at them, or
 * whether the gate was on when they came. */
static gboolean
is_admitted (CisKnown *self, CisEpisode *episode, const char *intent, const CisDamage *damage)
{
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));

  /* Without a row there will be one, of the commit that is claimed. */
  if (damage != NULL)
    return damage->promised != NULL &&
           (damage->has_row || g_strcmp0 (damage->commit, cis_episode_get_commit (episode)) == 0);
  if (intent != NULL)
    return cis_part_name_is_of (intent, episode);
  return request != NULL && g_str_equal (cis_request_get_method (request), "POST") &&
         is_complete (self, episode);
}

static CisOutcome *
cis_known_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisKnown *self = (CisKnown *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  const char *host = cis_episode_get_host (episode);
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *intent = NULL;
  g_autoptr (CisDamage) damage = NULL;

  if (host == NULL || !cis_name_is_valid (host, CIS_HOST_NAME_MAX) ||
      !cis_name_is_valid (cis_episode_get_name (episode), CIS_EPISODE_NAME_MAX))
    return cis_outcome_failed (
        g_error_new (CIS_ERROR, CIS_ERROR_INVALID, "%s is not host/episode", cis_item_get_id (item)));
  /* What is in the store but not yet home (@intent) passes: store/archive knows whether somebody is still at
   * it, and finishes it if not. */
  outcome = cis_stored_judge (stage, &self->layout, episode, &intent, &damage, cancellable);
  if (cis_outcome_get_verdict (outcome) == CIS_VERDICT_PASSED && is_admitted (self, episode, intent, damage))
    cis_item_set_mark (item, "recovered", "true");
  return g_steal_pointer (&outcome);
}

static void
cis_known_class_init (CisKnownClass *klass)
{
  static const char *const needs[] = { "identity", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  part_class->open = cis_known_open;
  part_class->close = cis_known_close;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->needs = needs;
  stage_class->process = cis_known_process;

  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisKnown, directory),
      g_param_spec_string ("directory", NULL, "The receiver's state folder, with incoming/ and store/ in it.",
                           "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
}

static void
cis_known_init (CisKnown *self)
{
  self->layout = (CisLayout) CIS_LAYOUT_CLOSED;
}

CIS_PLUGIN ("store/known", "Answers for an episode that is in the store already.", CisKnown, cis_known,
            CisStage)
