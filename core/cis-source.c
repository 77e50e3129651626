/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-part.h"

G_DEFINE_ABSTRACT_TYPE (CisSource, cis_source, CIS_TYPE_PART)

static void
cis_source_class_init (CisSourceClass *klass)
{
}

static void
cis_source_init (CisSource *self)
{
}

gboolean
cis_source_emit (CisSource *self, CisItem *item, GCancellable *cancellable)
{
  CisPipeline *pipeline = cis_part_get_pipeline (CIS_PART (self));

  g_return_val_if_fail (pipeline != NULL, FALSE);
  return cis_pipeline_emit (pipeline, item, cancellable);
}

gboolean
cis_source_is_once (CisSource *self)
{
  CisPipeline *pipeline = cis_part_get_pipeline (CIS_PART (self));

  return pipeline != NULL && cis_pipeline_is_once (pipeline);
}

void
cis_source_set_waiting (CisSource *self, guint n_waiting)
{
  CisPipeline *pipeline = cis_part_get_pipeline (CIS_PART (self));

  if (pipeline != NULL)
    cis_pipeline_set_waiting (pipeline, n_waiting);
}

gboolean
cis_source_run (CisSource *self, GCancellable *cancellable, GError **error)
{
  return CIS_SOURCE_GET_CLASS (self)->run (self, cancellable, error);
}

void
cis_source_settled (CisSource *self, CisItem *item, CisOutcome *outcome)
{
  CisSourceClass *klass = CIS_SOURCE_GET_CLASS (self);

  if (klass->settled != NULL)
    klass->settled (self, item, outcome);
}
