/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* store/known: answers for an episode that is in the store already, before the version gate is asked: an
 * acknowledgement that was lost on its way must never come back as a refusal, however old the code has become
 * meanwhile. */

#include "archive/layout.h"
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

static CisOutcome *
cis_known_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisKnown *self = (CisKnown *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  const char *host = cis_episode_get_host (episode);
  g_autofree char *intent = NULL;

  if (host == NULL || !cis_name_is_valid (host, CIS_HOST_NAME_MAX) ||
      !cis_name_is_valid (cis_episode_get_name (episode), CIS_EPISODE_NAME_MAX))
    return cis_outcome_failed (
        g_error_new (CIS_ERROR, CIS_ERROR_INVALID, "%s is not host/episode", cis_item_get_id (item)));
  /* What is in the store but not yet home (@intent) passes: store/archive knows whether somebody is still at
   * it, and finishes it if not. */
  return cis_stored_judge (&self->layout, episode, &intent, cancellable);
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
