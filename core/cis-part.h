/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis-pipeline.h"

G_BEGIN_DECLS

/* "family/name" of the plugin that the ini names; %NULL where the part was made otherwise. Static. */
void cis_part_set_plugin (CisPart *self, const char *plugin);
CIS_API const char *cis_part_get_plugin (CisPart *self);
/* The pipeline that the part runs in; %NULL while it is tried alone. None: the pipeline owns its parts. */
void cis_part_set_pipeline (CisPart *self, CisPipeline *pipeline);
CisPipeline *cis_part_get_pipeline (CisPart *self);
gboolean cis_part_validate (CisPart *self, GError **error);
/* False on a stage whose class has no such function. */
gboolean cis_part_maintains (CisPart *self);
gint64 cis_part_maintain (CisPart *self, GCancellable *cancellable, GError **error);
CIS_API gboolean cis_part_can_check (CisPart *self);
/* Adds nothing where the class has no such function. */
CIS_API void cis_part_look (CisPart *self, GPtrArray *findings);
CIS_API void cis_part_check (CisPart *self, GPtrArray *findings, GCancellable *cancellable);

CIS_API CisWhen cis_stage_get_when (CisStage *self);
void cis_stage_set_when (CisStage *self, CisWhen when);
gboolean cis_stage_tell (CisStage *self, CisFinding *finding, CisFindingChange change,
                         GCancellable *cancellable, GError **error);

gboolean cis_source_run (CisSource *self, GCancellable *cancellable, GError **error);
void cis_source_settled (CisSource *self, CisItem *item, CisOutcome *outcome);

G_END_DECLS
