/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-journey.h"

struct _CisJourney
{
  CisPipeline *pipeline; /* none: it outlives its journeys */
  CisItem *item;         /* owned */
  guint first;
  gboolean probe;
  gboolean untried; /* turned away by the hold: nothing to count or tell */
  gboolean last_try;
  gboolean given_up;       /* a stage of the outcome's own failed, and there is no later */
  CisOutcome *outcome;     /* owned; NULL while at work */
  guint decided;           /* the step that gave it */
  guint next;              /* the step of the outcome's own stages to go on with */
  guint n_tries;           /* of that step */
  gint64 retry_at;         /* monotonic µs, while parked */
  gboolean settled_before; /* it came with its receipt: the stages that get one let it pass unasked */
  gboolean *saw;           /* by step: process() was called, so settled() is owed */

  /* Under the pipeline's lock. */
  const char *stage; /* none, nullable */
  guint64 done, total;
  gint64 since, progress; /* monotonic µs */
};

static G_DEFINE_QUARK (cis_journey, cis_journey)

CisJourney *
cis_journey_new (CisPipeline *pipeline, CisItem *item, guint first, gboolean probe)
{
  CisJourney *self = g_new0 (CisJourney, 1);

  self->pipeline = pipeline;
  self->item = item;
  self->first = first;
  self->probe = probe;
  self->saw = g_new0 (gboolean, pipeline->steps->len);
  self->settled_before = CIS_IS_EPISODE (item) && cis_episode_get_receipt (CIS_EPISODE (item)) != NULL;
  if (cis_item_is_recovered (item) && first > 0)
    self->saw[first - 1] = TRUE;
  g_object_set_qdata (G_OBJECT (item), cis_journey_quark (), self);
  return self;
}

static void
cis_journey_free (CisJourney *self)
{
  g_object_set_qdata (G_OBJECT (self->item), cis_journey_quark (), NULL);
  g_object_unref (self->item);
  g_clear_pointer (&self->outcome, cis_outcome_unref);
  g_free (self->saw);
  g_free (self);
}

void
cis_journey_progress (CisItem *item, guint64 done, guint64 total)
{
  CisJourney *self = g_object_get_qdata (G_OBJECT (item), cis_journey_quark ());

  if (self == NULL)
    return;
  self->done = done;
  self->total = total;
  self->progress = g_get_monotonic_time ();
}

CisActivity *
cis_journey_get_activity (CisJourney *self)
{
  CisActivity *activity = g_new0 (CisActivity, 1);

  activity->item = g_strdup (cis_item_get_id (self->item));
  activity->stage = self->stage;
  activity->done = self->done;
  activity->total = self->total;
  activity->since = self->since;
  activity->progress = self->progress;
  return activity;
}

static gboolean
is_cancelled (CisJourney *self)
{
  return g_cancellable_is_cancelled (self->pipeline->work);
}

static void
count (CisStep *step, CisVerdict verdict, gint64 time)
{
  step->n_seen++;
  step->time += time;
  if (verdict == CIS_VERDICT_PASSED || verdict == CIS_VERDICT_DONE)
    step->n_passed++;
  else if (verdict == CIS_VERDICT_REJECTED)
    step->n_rejected++;
  else if (verdict == CIS_VERDICT_DEFERRED)
    step->n_deferred++;
  else if (verdict == CIS_VERDICT_FAILED)
    step->n_failed++;
}

static CisOutcome *
process_step (CisJourney *self, guint i)
{
  CisPipeline *pipeline = self->pipeline;
  CisStep *step = cis_pipeline_get_step (pipeline, i);
  gint64 start = g_get_monotonic_time ();
  CisOutcome *outcome;

  g_mutex_lock (&pipeline->lock);
  self->stage = cis_part_get_name (CIS_PART (step->stage));
  self->done = self->total = 0;
  self->since = self->progress = start;
  g_mutex_unlock (&pipeline->lock);

  self->saw[i] = TRUE;
  outcome = cis_stage_process (step->stage, self->item, pipeline->work);
  if (g_error_matches (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL))
    cis_pipeline_fail (pipeline, g_error_copy (cis_outcome_get_error (outcome)));

  g_mutex_lock (&pipeline->lock);
  count (step, cis_outcome_get_verdict (outcome), g_get_monotonic_time () - start);
  self->stage = NULL;
  g_mutex_unlock (&pipeline->lock);
  return outcome;
}

/* Whether the step is for this item and this state of it. */
static gboolean
concerns (CisJourney *self, guint i, CisWhen when)
{
  CisStep *step = cis_pipeline_get_step (self->pipeline, i);

  return step->when == when &&
         g_type_is_a (G_OBJECT_TYPE (self->item), CIS_STAGE_GET_CLASS (step->stage)->item_type);
}

/* While the pipeline is held nothing goes on but the probe: the rest would be packed for nothing. Who asked
 * for an answer gets one. */
static gboolean
is_turned_away (CisJourney *self)
{
  CisPipeline *pipeline = self->pipeline;
  gboolean held;

  if (self->probe || cis_item_get_request (self->item) != NULL)
    return FALSE;
  g_mutex_lock (&pipeline->lock);
  held = pipeline->hold.held;
  g_mutex_unlock (&pipeline->lock);
  return held;
}

static CisOutcome *
work (CisJourney *self)
{
  for (guint i = self->first; i < self->pipeline->steps->len; i++)
    {
      CisOutcome *outcome;

      if (!concerns (self, i, CIS_WHEN_PASSED))
        continue;
      if (is_cancelled (self))
        return cis_outcome_none ();
      if (is_turned_away (self))
        {
          self->untried = TRUE;
          return cis_outcome_deferred (CIS_SCOPE_STAGE, 0, NULL);
        }
      self->decided = i;
      outcome = process_step (self, i);
      if (cis_outcome_get_verdict (outcome) != CIS_VERDICT_PASSED)
        return outcome;
      cis_outcome_unref (outcome);
    }
  return cis_outcome_passed ();
}

static gboolean
is_of_stage_scope (CisOutcome *outcome)
{
  return cis_outcome_get_verdict (outcome) == CIS_VERDICT_DEFERRED &&
         cis_outcome_get_scope (outcome) == CIS_SCOPE_STAGE;
}

/* What the outcome says of the stage rather than of the item. */
static void
judge_hold (CisJourney *self)
{
  CisPipeline *pipeline = self->pipeline;
  CisHold *hold = &pipeline->hold;
  g_autoptr (CisFinding) raised = NULL;
  g_autoptr (CisFinding) cleared = NULL;
  CisPart *part = NULL;

  if (self->untried || cis_item_get_request (self->item) != NULL ||
      cis_outcome_get_verdict (self->outcome) == CIS_VERDICT_NONE)
    return;

  g_mutex_lock (&pipeline->lock);
  if (is_of_stage_scope (self->outcome))
    {
      CisFinding *finding = cis_outcome_get_finding (self->outcome);
      g_autoptr (CisFinding) before = hold->finding != NULL ? g_object_ref (hold->finding) : NULL;

      if (cis_hold_begin (hold, &pipeline->backoff, self->decided, g_get_monotonic_time (),
                          cis_outcome_get_retry_after (self->outcome), finding))
        {
          cleared = g_steal_pointer (&before);
          g_set_object (&raised, finding);
        }
    }
  else if (hold->held && self->saw[hold->step] && !self->settled_before &&
           cis_outcome_get_verdict (self->outcome) != CIS_VERDICT_FAILED)
    cleared = cis_hold_end (hold);
  part = CIS_PART (cis_pipeline_get_step (pipeline, hold->step)->stage);
  g_cond_broadcast (&pipeline->changed);
  g_mutex_unlock (&pipeline->lock);

  if (cleared != NULL)
    cis_pipeline_clear (pipeline, part, cis_finding_get_id (cleared), cis_finding_get_subject (cleared));
  if (raised != NULL)
    cis_pipeline_raise (pipeline, part, raised);
}

/* Whether nobody was told yet what to do about this. Of outdated code it is one thing to do, however many
 * episodes and even where the remedy names each. */
static gboolean
is_new_remedy (CisPipeline *pipeline, CisFinding *finding)
{
  const char *commit = cis_finding_get_detail (finding, "your_commit");
  g_autofree char *key = g_strdup_printf ("%s %s", cis_finding_get_id (finding),
                                          commit != NULL ? commit : cis_finding_get_fix (finding));
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&pipeline->lock);

  if (g_hash_table_contains (pipeline->remedies, key))
    return FALSE;
  if (g_hash_table_size (pipeline->remedies) >= CIS_REMEDIES_MAX)
    g_hash_table_remove_all (pipeline->remedies);
  g_hash_table_add (pipeline->remedies, g_steal_pointer (&key));
  return TRUE;
}

/* One line for each item that did not just pass. A host's people need the remedy whole, once; at the
 * receiver it goes out with the answer. */
static void
log_outcome (CisJourney *self)
{
  CisVerdict verdict = cis_outcome_get_verdict (self->outcome);
  CisFinding *finding = cis_outcome_get_finding (self->outcome);
  const GError *error = cis_outcome_get_error (self->outcome);
  gboolean has_request = cis_item_get_request (self->item) != NULL;
  gboolean dry_run = self->pipeline->dry_run;
  const char *fix = finding != NULL && !has_request && !dry_run && verdict == CIS_VERDICT_REJECTED
                        ? cis_finding_get_fix (finding)
                        : NULL;
  CisPart *part = CIS_PART (cis_pipeline_get_step (self->pipeline, self->decided)->stage);
  GLogLevelFlags level = G_LOG_LEVEL_INFO;

  if (self->untried || verdict <= CIS_VERDICT_DONE || verdict == CIS_VERDICT_NONE ||
      is_of_stage_scope (self->outcome))
    return;
  if (verdict == CIS_VERDICT_REJECTED)
    level = has_request || dry_run ? G_LOG_LEVEL_MESSAGE : G_LOG_LEVEL_CRITICAL;
  else if (verdict == CIS_VERDICT_FAILED)
    level = G_LOG_LEVEL_WARNING;
  if (fix != NULL && !is_new_remedy (self->pipeline, finding))
    fix = "(remedy as above)";
  cis_part_log (part, self->item, level, CIS_MESSAGE_ITEM, "%s: %s by %s: %s%s%s",
                cis_item_get_id (self->item), cis_verdict_to_string (verdict), cis_part_get_name (part),
                finding != NULL ? cis_finding_get_summary (finding)
                : error != NULL ? error->message
                                : "no reason given",
                fix != NULL ? "\n" : "", fix != NULL ? fix : "");
}

static void
fix_outcome (CisJourney *self, CisOutcome *outcome)
{
  CisStep *step = cis_pipeline_get_step (self->pipeline, self->decided);

  g_clear_pointer (&self->outcome, cis_outcome_unref);
  self->outcome = outcome;
  cis_item_fix_outcome (self->item, outcome, cis_part_get_name (CIS_PART (step->stage)));
}

/* Goes by the pipeline, as a journey may have had its last try, and be gone, before its timer fires. */
static gboolean
unpark_due (gpointer data)
{
  CisPipeline *pipeline = data;
  g_autoptr (GPtrArray) due = g_ptr_array_new ();
  gint64 now = g_get_monotonic_time ();
  GHashTableIter iter;
  gpointer journey;

  g_mutex_lock (&pipeline->lock);
  g_hash_table_iter_init (&iter, pipeline->parked);
  while (g_hash_table_iter_next (&iter, &journey, NULL))
    if (((CisJourney *) journey)->retry_at <= now + G_TIME_SPAN_MILLISECOND)
      {
        g_hash_table_iter_steal (&iter);
        g_ptr_array_add (due, journey);
      }
  pipeline->n_working += due->len;
  g_mutex_unlock (&pipeline->lock);
  for (guint i = 0; i < due->len; i++)
    g_thread_pool_push (pipeline->pool, due->pdata[i], NULL);
  return G_SOURCE_REMOVE;
}

static void
park (CisJourney *self)
{
  CisPipeline *pipeline = self->pipeline;
  gint64 delay = cis_backoff_get (&pipeline->backoff, self->n_tries++);

  self->retry_at = g_get_monotonic_time () + delay;
  g_mutex_lock (&pipeline->lock);
  /* A drain that began meanwhile has looked at those that were parked, and waits for the others. */
  if (g_cancellable_is_cancelled (pipeline->sourcing))
    g_thread_pool_push (pipeline->pool, self, NULL);
  else
    {
      g_hash_table_add (pipeline->parked, self);
      pipeline->n_working--;
      cis_housekeeping_add (pipeline->housekeeping, delay, unpark_due, pipeline);
      g_cond_broadcast (&pipeline->changed);
    }
  g_mutex_unlock (&pipeline->lock);
}

static void
tell_failing (CisJourney *self, CisPart *part, const char *message)
{
  const char *id = cis_item_get_id (self->item);
  g_autoptr (CisFinding) finding =
      cis_finding_new ("keeps-failing", CIS_SEVERITY_ERROR, id, "%s failed in %s again and again: %s", id,
                       cis_part_get_name (part), message);

  cis_finding_set_fix (finding, "journalctl CIS490_EPISODE=%s", id);
  /* The source is the one that notices when the item is taken away. */
  cis_pipeline_raise (self->pipeline, CIS_PART (self->pipeline->source), finding);
}

/* A stage of the outcome's own failed: the verdict stays, and only that stage is tried again. Where there is
 * no later, or as many wait for it as may, the item counts as waiting. */
static gboolean
may_park (CisJourney *self, CisOutcome *outcome)
{
  CisPart *part = CIS_PART (cis_pipeline_get_step (self->pipeline, self->next)->stage);
  const GError *error = cis_outcome_get_error (outcome);
  CisFinding *finding = cis_outcome_get_finding (outcome);
  const char *message = error != NULL     ? error->message
                        : finding != NULL ? cis_finding_get_summary (finding)
                                          : "no reason given";
  gboolean full;

  cis_part_log (part, self->item, G_LOG_LEVEL_WARNING, CIS_MESSAGE_ITEM,
                "%s: %s by %s, but %s did not work: %s", cis_item_get_id (self->item),
                cis_verdict_to_string (cis_outcome_get_verdict (self->outcome)),
                cis_item_get_decided_by (self->item), cis_part_get_name (part), message);
  if (cis_item_get_request (self->item) != NULL)
    return FALSE;
  if (self->n_tries + 1 >= self->pipeline->attempts)
    tell_failing (self, part, message);
  g_mutex_lock (&self->pipeline->lock);
  full = g_hash_table_size (self->pipeline->parked) >= CIS_PARKED_MAX;
  g_mutex_unlock (&self->pipeline->lock);
  if (!full && !self->pipeline->once && !self->last_try &&
      !g_cancellable_is_cancelled (self->pipeline->sourcing))
    return TRUE;
  self->given_up = TRUE;
  fix_outcome (self,
               cis_outcome_deferred (CIS_SCOPE_ITEM, 0, finding != NULL ? g_object_ref (finding) : NULL));
  return FALSE;
}

/* %FALSE: parked, and somebody else's from now on. */
static gboolean
run_outcome_stages (CisJourney *self)
{
  CisVerdict verdict = cis_outcome_get_verdict (self->outcome);
  CisWhen when = verdict == CIS_VERDICT_REJECTED ? CIS_WHEN_REJECTED : CIS_WHEN_DEFERRED;

  if (verdict < CIS_VERDICT_REJECTED || verdict == CIS_VERDICT_NONE || self->untried)
    return TRUE;
  for (; self->next < self->pipeline->steps->len; self->next++)
    {
      g_autoptr (CisOutcome) outcome = NULL;

      if (!concerns (self, self->next, when))
        continue;
      if (is_cancelled (self))
        {
          fix_outcome (self, cis_outcome_none ());
          return TRUE;
        }
      outcome = process_step (self, self->next);
      if (cis_outcome_get_verdict (outcome) == CIS_VERDICT_NONE)
        return TRUE;
      if (cis_outcome_get_verdict (outcome) > CIS_VERDICT_DONE && may_park (self, outcome))
        {
          park (self);
          return FALSE;
        }
    }
  return TRUE;
}

/* An item that fails again and again deserves a person; one that does not any more, not. */
static void
judge_failure (CisJourney *self)
{
  CisPipeline *pipeline = self->pipeline;
  CisPart *part = CIS_PART (cis_pipeline_get_step (pipeline, self->decided)->stage);
  gboolean failed = cis_outcome_get_verdict (self->outcome) == CIS_VERDICT_FAILED;
  const char *id = cis_item_get_id (self->item);
  guint n;

  g_mutex_lock (&pipeline->lock);
  n = failed ? GPOINTER_TO_UINT (g_hash_table_lookup (pipeline->failures, id)) + 1 : 0;
  if (failed)
    g_hash_table_replace (pipeline->failures, g_strdup (id), GUINT_TO_POINTER (n));
  else
    g_hash_table_remove (pipeline->failures, id);
  g_mutex_unlock (&pipeline->lock);

  if (!failed)
    cis_pipeline_clear (pipeline, part, "keeps-failing", id);
  else if (n >= pipeline->attempts)
    tell_failing (self, part, cis_outcome_get_error (self->outcome)->message);
}

static void
go_home (CisJourney *self)
{
  CisPipeline *pipeline = self->pipeline;
  CisVerdict verdict = cis_outcome_get_verdict (self->outcome);

  for (guint i = pipeline->steps->len; i-- > 0;)
    if (self->saw[i])
      cis_stage_settled (cis_pipeline_get_step (pipeline, i)->stage, self->item, self->outcome);
  if (!cis_item_is_recovered (self->item))
    cis_source_settled (pipeline->source, self->item, self->outcome);
  /* One that somebody took away fails no more, either. */
  if (cis_item_get_request (self->item) == NULL && !self->untried && !self->given_up &&
      (verdict != CIS_VERDICT_NONE ||
       g_error_matches (cis_outcome_get_error (self->outcome), CIS_ERROR, CIS_ERROR_GONE)))
    judge_failure (self);
  if (verdict != CIS_VERDICT_NONE && !is_of_stage_scope (self->outcome))
    cis_afterwards_push_item (pipeline->afterwards, self->item);

  g_mutex_lock (&pipeline->lock);
  pipeline->n_rejected += verdict == CIS_VERDICT_REJECTED;
  pipeline->n_deferred += verdict == CIS_VERDICT_DEFERRED || verdict == CIS_VERDICT_FAILED;
  g_hash_table_remove (pipeline->active, self);
  pipeline->n_working--;
  g_cond_broadcast (&pipeline->changed);
  g_mutex_unlock (&pipeline->lock);
}

void
cis_journey_run (CisJourney *self)
{
  if (self->outcome == NULL)
    {
      fix_outcome (self, work (self));
      judge_hold (self);
      log_outcome (self);
    }
  if (!run_outcome_stages (self))
    return;
  go_home (self);
  cis_journey_free (self);
}

CisOutcome *
cis_journey_recover (CisJourney *self)
{
  CisOutcome *outcome;

  self->last_try = TRUE;
  fix_outcome (self, work (self));
  log_outcome (self);
  run_outcome_stages (self);
  outcome = cis_outcome_ref (self->outcome);
  go_home (self);
  cis_journey_free (self);
  return outcome;
}
