/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis-pipeline.h"

G_BEGIN_DECLS

/* A bar for each large item that a stage is at, drawn below the log. Nothing for items that are quick. */
void progress_draw (GPtrArray *pipelines);

/* What each stage did, as a table on stdout. */
void progress_print_summary (CisPipeline *pipeline);
/* The same as a JSON object on one line, with the pipeline's exit status. */
void progress_print_json (CisPipeline *pipeline, int status);
/* The same, a log line for each stage. */
void progress_log (CisPipeline *pipeline);

G_END_DECLS
