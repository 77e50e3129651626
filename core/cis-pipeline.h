/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis-config.h"

G_BEGIN_DECLS

/**
 * CisPipeline: an ini, running. Made from a #CisConfig, opened, started, drained or cancelled, closed; a
 * closed one can be opened again. All on the thread that made it (its main context's), except what parts
 * call.
 */
#define CIS_TYPE_PIPELINE (cis_pipeline_get_type ())
CIS_API
G_DECLARE_FINAL_TYPE (CisPipeline, cis_pipeline, CIS, PIPELINE, GObject)

/* One stage in its place. The counts belong to the pipeline's lock: read them from
   cis_pipeline_list_steps(). */
typedef struct
{
  CisStage *stage;
  CisWhen when;
  guint64 n_seen, n_passed, n_rejected, n_deferred, n_failed;
  gint64 time; /* in process(), µs, all workers together */
} CisStep;

/* What is going on at this moment, for progress bars. */
typedef struct
{
  char *item;
  const char *stage; /* none */
  guint64 done, total;
  gint64 since;    /* when process() began, monotonic µs */
  gint64 progress; /* when it last reported, monotonic µs */
} CisActivity;

/* Loads the plugins and makes the parts; opens and writes nothing. Every mistake adds a full #CisFinding to
 * @findings, whose subject is "file:line"; %NULL where one of them is an error. full. */
CIS_API CisPipeline *cis_pipeline_new (CisConfig *config, GPtrArray *findings);
/* The same for looking at only, without the stages' options: neither values nor the order need be right. */
CIS_API CisPipeline *cis_pipeline_new_draft (CisConfig *config, GPtrArray *findings);

/* Opens the parts, the source first, and takes recovered items home. On error everything is closed again. */
CIS_API gboolean cis_pipeline_open (CisPipeline *self, GError **error);
typedef void (*CisPipelineFinished) (CisPipeline *self, gpointer user_data);
/* Lets the source run. @finished is called once on the main context of the caller's thread when it has ended
 * and every item is home. */
CIS_API void cis_pipeline_start (CisPipeline *self, gboolean once, CisPipelineFinished finished,
                                 gpointer user_data);
/* Stops the source; what is in flight goes its way. */
CIS_API void cis_pipeline_drain (CisPipeline *self);
/* Stops everything at once; what is in flight has no outcome. */
CIS_API void cis_pipeline_cancel (CisPipeline *self);
/* After @finished, or an open() without a start(). One that is closed already stays so. */
CIS_API void cis_pipeline_close (CisPipeline *self);

CIS_API const char *cis_pipeline_get_name (CisPipeline *self);
CIS_API CisSource *cis_pipeline_get_source (CisPipeline *self); /* none */
CIS_API guint cis_pipeline_get_workers (CisPipeline *self);
CIS_API gint64 cis_pipeline_get_reload_timeout (CisPipeline *self);
CIS_API GArray *cis_pipeline_list_steps (CisPipeline *self);         /* of CisStep, a copy; full */
CIS_API GPtrArray *cis_pipeline_list_states (CisPipeline *self);     /* paths of state folders; full */
CIS_API GPtrArray *cis_pipeline_list_activities (CisPipeline *self); /* of CisActivity; full */
/* The exit status of a finished run: of the error that ended it, else 65, 75 or 0. The error is logged
 * already. */
CIS_API int cis_pipeline_get_exit_status (CisPipeline *self);

/* Whether a run ended only because a folder that it held open is another one by now: then it is to be closed,
 * opened and started once more. */
CIS_API gboolean cis_pipeline_is_outdated (CisPipeline *self);

/* Takes over what stands in @from, which is closed, before open(): what no stage of the new one can tell any
 * more is over then. */
CIS_API void cis_pipeline_inherit (CisPipeline *self, CisPipeline *from);

/* For the parts; see cis490.h. */
gboolean cis_pipeline_is_once (CisPipeline *self);
gboolean cis_pipeline_emit (CisPipeline *self, CisItem *item, GCancellable *cancellable);
void cis_pipeline_set_waiting (CisPipeline *self, guint n_waiting);
void cis_pipeline_progress (CisPipeline *self, CisItem *item, guint64 done, guint64 total);
void cis_pipeline_recover (CisPipeline *self, CisStage *stage, CisItem *item);
/* The first stage that gives items what is named so; none, nullable. */
CisStage *cis_pipeline_find_provider (CisPipeline *self, const char *name);
void cis_pipeline_raise (CisPipeline *self, CisPart *part, CisFinding *finding);
void cis_pipeline_clear (CisPipeline *self, CisPart *part, const char *id, const char *subject);
void cis_pipeline_clear_unless (CisPipeline *self, CisPart *part, const char *id, CisSubjectFunc holds,
                                gpointer user_data);
void cis_pipeline_fail (CisPipeline *self, GError *error);
void cis_pipeline_watch_folder (CisPipeline *self, const char *path, int fd);

G_END_DECLS
