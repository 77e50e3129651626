/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-part.h"

typedef struct
{
  CisWhen when;
} CisStagePrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (CisStage, cis_stage, CIS_TYPE_PART)

GType
cis_when_get_type (void)
{
  static GType type = 0;
  static const GEnumValue values[] = {
    { CIS_WHEN_PASSED, "CIS_WHEN_PASSED", "passed" },
    { CIS_WHEN_REJECTED, "CIS_WHEN_REJECTED", "rejected" },
    { CIS_WHEN_DEFERRED, "CIS_WHEN_DEFERRED", "deferred" },
    { CIS_WHEN_AFTERWARDS, "CIS_WHEN_AFTERWARDS", "afterwards" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("CisWhen", values));
  return type;
}

static void
cis_stage_class_init (CisStageClass *klass)
{
  klass->item_type = CIS_TYPE_ITEM;
  klass->when = CIS_WHEN_PASSED;
}

static void
cis_stage_init (CisStage *self)
{
  CisStagePrivate *priv = cis_stage_get_instance_private (self);

  /* The instance's class is not yet the final one here: the pipeline asks cis_stage_get_when() later. */
  priv->when = (CisWhen) -1;
}

CisWhen
cis_stage_get_when (CisStage *self)
{
  CisStagePrivate *priv = cis_stage_get_instance_private (self);

  return priv->when != (CisWhen) -1 ? priv->when : CIS_STAGE_GET_CLASS (self)->when;
}

void
cis_stage_set_when (CisStage *self, CisWhen when)
{
  CisStagePrivate *priv = cis_stage_get_instance_private (self);

  priv->when = when;
}

CisOutcome *
cis_stage_process (CisStage *self, CisItem *item, GCancellable *cancellable)
{
  CisStageClass *klass = CIS_STAGE_GET_CLASS (self);

  return klass->process != NULL ? klass->process (self, item, cancellable) : cis_outcome_passed ();
}

void
cis_stage_settled (CisStage *self, CisItem *item, CisOutcome *outcome)
{
  CisStageClass *klass = CIS_STAGE_GET_CLASS (self);

  if (klass->settled != NULL)
    klass->settled (self, item, outcome);
}

gboolean
cis_stage_tell (CisStage *self, CisFinding *finding, CisFindingChange change, GCancellable *cancellable,
                GError **error)
{
  CisStageClass *klass = CIS_STAGE_GET_CLASS (self);

  return klass->tell == NULL || klass->tell (self, finding, change, cancellable, error);
}

void
cis_stage_progress (CisStage *self, CisItem *item, guint64 done, guint64 total)
{
  CisPipeline *pipeline = cis_part_get_pipeline (CIS_PART (self));

  if (pipeline != NULL)
    cis_pipeline_progress (pipeline, item, done, total);
}

CisOutcome *
cis_stage_ask_receipt (CisStage *self, CisItem *item, GCancellable *cancellable)
{
  CisPipeline *pipeline = cis_part_get_pipeline (CIS_PART (self));
  CisStage *giver = pipeline != NULL ? cis_pipeline_find_provider (pipeline, "receipt") : NULL;
  CisStageClass *klass = giver != NULL ? CIS_STAGE_GET_CLASS (giver) : NULL;

  return klass != NULL && klass->ask != NULL ? klass->ask (giver, item, cancellable) : NULL;
}

void
cis_stage_recover (CisStage *self, CisItem *item)
{
  CisPipeline *pipeline = cis_part_get_pipeline (CIS_PART (self));

  if (pipeline != NULL)
    cis_pipeline_recover (pipeline, self, item);
  else
    g_object_unref (item);
}
