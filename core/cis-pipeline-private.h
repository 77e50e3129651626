/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis-afterwards.h"
#include "cis-findings.h"
#include "cis-hold.h"
#include "cis-housekeeping.h"
#include "cis-item.h"
#include "cis-option.h"
#include "cis-part.h"

G_BEGIN_DECLS

struct _CisPipeline
{
  GObject parent;

  /* Fixed by cis_pipeline_new(). */
  char *name;
  CisSource *source; /* owned */
  GArray *steps;     /* of CisStep, stages owned; the counts under the lock */
  guint workers;
  gint64 reload_timeout; /* µs */
  guint attempts;
  CisBackoff backoff;        /* of probes, and of an item's own stages */
  gboolean dry_run;          /* what is rejected stays where it is */
  guint afterwards_queue;    /* items */
  gint64 afterwards_timeout; /* µs */

  /* From open() to close(). */
  CisFindings *findings;     /* owned; lives as long as the pipeline */
  CisAfterwards *afterwards; /* owned */
  GCancellable *work;        /* owned: what is in flight */
  GCancellable *sourcing;    /* owned: the source; cancelled with work */
  GThreadPool *pool;
  GPtrArray *recovered;          /* of CisJourney, owned, only while opening */
  CisHousekeeping *housekeeping; /* owned */
  GArray *folders;               /* owned, nullable: see cis-pipeline-folders.c */
  GThread *source_thread;
  gboolean once;
  CisPipelineFinished finished;
  gpointer finished_data;
  GMainContext *finished_context; /* owned */

  GMutex lock;
  GCond changed;
  /* Under the lock. */
  guint n_working;          /* items on a worker or about to be */
  GHashTable *parked;       /* of CisJourney, owned: items that wait for the second try of one stage */
  GHashTable *unmaintained; /* of CisPart, none: those whose maintain() has not run yet */
  CisHold hold;
  guint n_waiting; /* as the source says */
  guint64 n_rejected, n_deferred;
  GHashTable *active;   /* of CisJourney, none */
  GHashTable *failures; /* item id to how often it failed in a row */
  GHashTable *remedies; /* what tells one remedy from another: those that were logged whole, at most
                           CIS_REMEDIES_MAX */
  GError *error;        /* what ended it */
  gboolean outdated;    /* what it holds open is not what its names mean any more */
};

/* How many items may wait for a second try of one stage; those beyond go home as deferred. */
#define CIS_PARKED_MAX 64
/* How many remedies are remembered, so that they are not logged again for each item;
 * then all are forgotten. */
#define CIS_REMEDIES_MAX 64

/* What journalctl(1) can be asked for with MESSAGE_ID=. */
#define CIS_MESSAGE_ITEM    "5b9d5bf1d9e14a0c9f4a6c5a5d1f0e11" /* an item's outcome */
#define CIS_MESSAGE_FINDING "0c1f6a7e5e8b4f0f8d2b9a3c7e6d5f12" /* a finding raised, replaced or cleared */

CisStep *cis_pipeline_get_step (CisPipeline *self, guint i);
/* Lets each part clean up, on the housekeeping thread. */
void cis_pipeline_start_maintaining (CisPipeline *self);
/* Under the lock: whether the end has to wait for that. */
gboolean cis_pipeline_must_clean_up (CisPipeline *self);
/* Between open() and close(): looks every other second whether the folders that parts hold are still those of
 * their names, and ends the run where one is not. */
void cis_pipeline_watch_begin (CisPipeline *self);
void cis_pipeline_watch_end (CisPipeline *self);
/* Ends the run, to be opened anew. @error: full. */
void cis_pipeline_reopen (CisPipeline *self, GError *error);
/* Tells those as over that come from a stage that the pipeline does not have. */
void cis_pipeline_clear_orphans (CisPipeline *self);

G_END_DECLS
