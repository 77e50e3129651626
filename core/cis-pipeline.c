/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-journey.h"

G_DEFINE_FINAL_TYPE (CisPipeline, cis_pipeline, G_TYPE_OBJECT)

static void
clear_step (gpointer data)
{
  CisStep *step = data;

  cis_part_set_pipeline (CIS_PART (step->stage), NULL);
  g_object_unref (step->stage);
}

static void
cis_pipeline_finalize (GObject *object)
{
  CisPipeline *self = CIS_PIPELINE (object);

  g_array_unref (self->steps);
  g_clear_object (&self->source);
  g_hash_table_unref (self->active);
  g_hash_table_unref (self->parked);
  g_hash_table_unref (self->unmaintained);
  g_hash_table_unref (self->failures);
  g_hash_table_unref (self->remedies);
  cis_findings_free (self->findings);
  g_clear_object (&self->hold.finding);
  g_clear_error (&self->error);
  g_free (self->name);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  G_OBJECT_CLASS (cis_pipeline_parent_class)->finalize (object);
}

static void
install_duration (GObjectClass *klass, gsize offset, const char *name, const char *blurb, gint64 minimum,
                  gint64 value)
{
  cis_option_install (klass, offset,
                      g_param_spec_int64 (name, NULL, blurb, minimum, G_TIME_SPAN_DAY, value,
                                          CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}

static void
cis_pipeline_class_init (CisPipelineClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = cis_pipeline_finalize;
  cis_option_class_init (object_class);
  cis_option_install (object_class, G_STRUCT_OFFSET (CisPipeline, workers),
                      g_param_spec_uint ("workers", NULL, "How many items are worked on at a time.", 1, 512,
                                         2, CIS_PARAM_OPTION));
  install_duration (object_class, G_STRUCT_OFFSET (CisPipeline, reload_timeout), "reload-timeout",
                    "How long a reload lets items in flight finish before it cancels them.", 0,
                    30 * G_USEC_PER_SEC);
  cis_option_install (object_class, G_STRUCT_OFFSET (CisPipeline, attempts),
                      g_param_spec_uint ("attempts", NULL,
                                         "After how many failures in a row an item becomes a finding.", 1,
                                         G_MAXINT, 5, CIS_PARAM_OPTION));
  install_duration (object_class, G_STRUCT_OFFSET (CisPipeline, backoff.first), "backoff-initial",
                    "How long a stage that takes nothing at present is left alone before one item tries it "
                    "again; doubled with each try.",
                    1000, 2 * G_USEC_PER_SEC);
  install_duration (object_class, G_STRUCT_OFFSET (CisPipeline, backoff.last), "backoff-max",
                    "The longest wait between two such tries, to which up to a quarter is added by chance.",
                    1000, 5 * G_TIME_SPAN_MINUTE);
  cis_option_install (object_class, G_STRUCT_OFFSET (CisPipeline, afterwards_queue),
                      g_param_spec_uint ("afterwards-queue", NULL,
                                         "How many items and findings may wait for the alerts.", 1, G_MAXINT,
                                         1000, CIS_PARAM_OPTION));
  install_duration (object_class, G_STRUCT_OFFSET (CisPipeline, afterwards_timeout), "afterwards-timeout",
                    "How long the end waits for the alerts to tell what is queued before they are cancelled.",
                    0, 5 * G_USEC_PER_SEC);
}

static void
cis_pipeline_init (CisPipeline *self)
{
  self->steps = g_array_new (FALSE, TRUE, sizeof (CisStep));
  g_array_set_clear_func (self->steps, clear_step);
  self->active = g_hash_table_new (NULL, NULL);
  self->parked = g_hash_table_new (NULL, NULL);
  self->unmaintained = g_hash_table_new (NULL, NULL);
  self->failures = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  self->remedies = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  self->findings = cis_findings_new ();
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
}

CisStep *
cis_pipeline_get_step (CisPipeline *self, guint i)
{
  return &g_array_index (self->steps, CisStep, i);
}

/* ---- open and close ---- */

static void
run_on_worker (gpointer data, gpointer user_data)
{
  cis_journey_run (data);
}

static void
wake (GCancellable *cancellable, gpointer data)
{
  CisPipeline *self = data;

  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static void
start_threads (CisPipeline *self)
{
  g_autoptr (GPtrArray) alerts = g_ptr_array_new ();

  self->work = g_cancellable_new ();
  self->sourcing = g_cancellable_new ();
  g_signal_connect (self->sourcing, "cancelled", G_CALLBACK (wake), self);
  self->pool = g_thread_pool_new (run_on_worker, self, (int) self->workers, FALSE, NULL);
  self->housekeeping = cis_housekeeping_new ();
  for (guint i = 0; i < self->steps->len; i++)
    if (cis_pipeline_get_step (self, i)->when == CIS_WHEN_AFTERWARDS)
      g_ptr_array_add (alerts, cis_pipeline_get_step (self, i)->stage);
  self->afterwards = cis_afterwards_new (alerts, self->afterwards_queue);
  self->recovered = g_ptr_array_new ();
  g_hash_table_remove_all (self->unmaintained);
  self->n_working = self->n_waiting = 0;
  self->n_rejected = self->n_deferred = 0;
  self->outdated = FALSE;
  g_clear_error (&self->error);
}

static gboolean
open_parts (CisPipeline *self, GError **error)
{
  if (!cis_part_open (CIS_PART (self->source), self->work, error))
    {
      g_prefix_error (error, "[%s] ", cis_part_get_name (CIS_PART (self->source)));
      return FALSE;
    }
  for (guint i = 0; i < self->steps->len; i++)
    {
      CisPart *part = CIS_PART (cis_pipeline_get_step (self, i)->stage);

      if (!cis_part_open (part, self->work, error))
        {
          g_prefix_error (error, "[%s] ", cis_part_get_name (part));
          return FALSE;
        }
    }
  return TRUE;
}

static void
add_active (CisPipeline *self, CisJourney *journey)
{
  g_mutex_lock (&self->lock);
  g_hash_table_add (self->active, journey);
  self->n_working++;
  g_mutex_unlock (&self->lock);
}

/* What an earlier run left half-done goes home before anything new comes in. */
static gboolean
take_home_recovered (CisPipeline *self, GError **error)
{
  g_autoptr (GPtrArray) recovered = g_steal_pointer (&self->recovered);

  for (guint i = 0; i < recovered->len; i++)
    {
      g_autoptr (CisOutcome) outcome = NULL;

      add_active (self, recovered->pdata[i]);
      outcome = cis_journey_recover (recovered->pdata[i]);
      /* Deferred, as on a full disk: it stays owed, and is finished when it is asked for. */
      if (cis_outcome_get_verdict (outcome) > CIS_VERDICT_DONE &&
          cis_outcome_get_verdict (outcome) != CIS_VERDICT_DEFERRED && error != NULL && *error == NULL)
        {
          const GError *reason = cis_outcome_get_error (outcome);

          g_set_error (error, CIS_ERROR, CIS_ERROR_FATAL,
                       "what the last run left half-done cannot be finished: %s",
                       reason != NULL ? reason->message
                                      : cis_verdict_to_string (cis_outcome_get_verdict (outcome)));
        }
    }
  return error == NULL || *error == NULL;
}

gboolean
cis_pipeline_open (CisPipeline *self, GError **error)
{
  g_autoptr (GError) problem = NULL;

  start_threads (self);
  if (open_parts (self, &problem))
    take_home_recovered (self, &problem);
  if (problem == NULL)
    {
      cis_pipeline_clear_orphans (self);
      return TRUE;
    }
  cis_pipeline_close (self);
  g_clear_error (&self->error);
  self->error = g_error_copy (problem);
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

static void
close_steps (CisPipeline *self, gboolean afterwards)
{
  for (guint i = self->steps->len; i-- > 0;)
    {
      CisStep *step = cis_pipeline_get_step (self, i);

      if ((step->when == CIS_WHEN_AFTERWARDS) == afterwards)
        cis_part_close (CIS_PART (step->stage));
    }
}

void
cis_pipeline_close (CisPipeline *self)
{
  if (self->work == NULL)
    return;
  cis_pipeline_cancel (self);
  g_clear_pointer (&self->source_thread, g_thread_join);
  /* Recovered items of an open() that failed go home without an outcome: the work is cancelled. */
  if (self->recovered != NULL)
    take_home_recovered (self, NULL);
  /* Not g_clear_pointer(): the thread uses it until it is joined. */
  cis_housekeeping_free (self->housekeeping);
  self->housekeeping = NULL;
  g_thread_pool_free (g_steal_pointer (&self->pool), FALSE, TRUE);
  /* Parts with threads of their own may raise findings until they are closed: the queue goes after them,
   * before the alerts. */
  close_steps (self, FALSE);
  cis_part_close (CIS_PART (self->source));
  /* A stage whose thread had to be given up is still in use. */
  if (cis_afterwards_end (g_steal_pointer (&self->afterwards), self->afterwards_timeout))
    close_steps (self, TRUE);

  cis_pipeline_watch_end (self);
  g_clear_pointer (&self->finished_context, g_main_context_unref);
  g_signal_handlers_disconnect_by_data (self->sourcing, self);
  g_clear_object (&self->sourcing);
  g_clear_object (&self->work);
}

/* ---- run ---- */

static gboolean
tell_finished (gpointer data)
{
  CisPipeline *self = data;

  self->finished (self, self->finished_data);
  return G_SOURCE_REMOVE;
}

static gpointer
run_source (gpointer data)
{
  CisPipeline *self = data;
  GError *error = NULL;
  g_autoptr (GSource) idle = g_idle_source_new ();

  if (!cis_source_run (self->source, self->sourcing, &error))
    cis_pipeline_fail (self, error);

  g_mutex_lock (&self->lock);
  while (self->n_working > 0 || g_hash_table_size (self->parked) > 0 || cis_pipeline_must_clean_up (self))
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);

  g_source_set_priority (idle, G_PRIORITY_DEFAULT);
  g_source_set_callback (idle, tell_finished, g_object_ref (self), g_object_unref);
  g_source_attach (idle, self->finished_context);
  return NULL;
}

void
cis_pipeline_start (CisPipeline *self, gboolean once, CisPipelineFinished finished, gpointer user_data)
{
  self->once = once;
  self->finished = finished;
  self->finished_data = user_data;
  self->finished_context = g_main_context_ref_thread_default ();
  cis_pipeline_start_maintaining (self);
  cis_pipeline_watch_begin (self);
  self->source_thread = g_thread_new ("source", run_source, self);
}

/* Those that wait for a second try get it now: it is their last. */
static void
unpark (CisPipeline *self)
{
  g_autoptr (GList) journeys = NULL;

  g_mutex_lock (&self->lock);
  journeys = g_hash_table_get_keys (self->parked);
  g_hash_table_steal_all (self->parked);
  self->n_working += g_list_length (journeys);
  g_mutex_unlock (&self->lock);
  for (GList *l = journeys; l != NULL; l = l->next)
    g_thread_pool_push (self->pool, l->data, NULL);
}

void
cis_pipeline_drain (CisPipeline *self)
{
  g_cancellable_cancel (self->sourcing);
  unpark (self);
}

void
cis_pipeline_cancel (CisPipeline *self)
{
  g_cancellable_cancel (self->work);
  cis_pipeline_drain (self);
}

static void
end_with (CisPipeline *self, GError *error, gboolean outdated)
{
  g_mutex_lock (&self->lock);
  if (self->error == NULL)
    {
      self->error = g_error_copy (error);
      self->outdated = outdated;
    }
  g_mutex_unlock (&self->lock);
  cis_part_log (NULL, NULL, outdated ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_CRITICAL, NULL, "%s %s: %s",
                self->name, outdated ? "has to be opened anew" : "stops", error->message);
  g_error_free (error);
  cis_pipeline_cancel (self);
}

void
cis_pipeline_fail (CisPipeline *self, GError *error)
{
  end_with (self, error, FALSE);
}

void
cis_pipeline_reopen (CisPipeline *self, GError *error)
{
  end_with (self, error, TRUE);
}

/* Under the lock. */
static gboolean
must_wait (CisPipeline *self)
{
  if (self->n_working >= self->workers)
    return TRUE;
  return self->hold.held && (self->n_working > 0 || g_get_monotonic_time () < self->hold.until);
}

static gboolean
wait_for_turn (CisPipeline *self, GCancellable *cancellable)
{
  while (!g_cancellable_is_cancelled (cancellable) && !(self->hold.held && self->once))
    {
      if (!must_wait (self))
        return TRUE;
      if (self->hold.held && self->n_working == 0)
        g_cond_wait_until (&self->changed, &self->lock, self->hold.until);
      else
        g_cond_wait (&self->changed, &self->lock);
    }
  return FALSE;
}

gboolean
cis_pipeline_emit (CisPipeline *self, CisItem *item, GCancellable *cancellable)
{
  CisJourney *journey = NULL;
  gboolean has_request = cis_item_get_request (item) != NULL;

  g_mutex_lock (&self->lock);
  if (has_request || wait_for_turn (self, cancellable))
    {
      journey = cis_journey_new (self, item, 0, self->hold.held);
      g_hash_table_add (self->active, journey);
      self->n_working++;
    }
  g_mutex_unlock (&self->lock);

  if (journey != NULL)
    g_thread_pool_push (self->pool, journey, NULL);
  else
    g_object_unref (item);
  return journey != NULL;
}

/* ---- what others ask ---- */

void
cis_pipeline_recover (CisPipeline *self, CisStage *stage, CisItem *item)
{
  guint i = 0;

  g_return_if_fail (self->recovered != NULL);
  while (cis_pipeline_get_step (self, i)->stage != stage)
    i++;
  cis_item_set_recovered (item);
  g_ptr_array_add (self->recovered, cis_journey_new (self, item, i + 1, TRUE));
}

void
cis_pipeline_progress (CisPipeline *self, CisItem *item, guint64 done, guint64 total)
{
  g_mutex_lock (&self->lock);
  cis_journey_progress (item, done, total);
  g_mutex_unlock (&self->lock);
}

void
cis_pipeline_set_waiting (CisPipeline *self, guint n_waiting)
{
  g_mutex_lock (&self->lock);
  self->n_waiting = n_waiting;
  g_mutex_unlock (&self->lock);
}

gboolean
cis_pipeline_is_once (CisPipeline *self)
{
  return self->once;
}

const char *
cis_pipeline_get_name (CisPipeline *self)
{
  return self->name;
}

CisSource *
cis_pipeline_get_source (CisPipeline *self)
{
  return self->source;
}

guint
cis_pipeline_get_workers (CisPipeline *self)
{
  return self->workers;
}

gint64
cis_pipeline_get_reload_timeout (CisPipeline *self)
{
  return self->reload_timeout;
}
