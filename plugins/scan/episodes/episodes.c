/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* scan/episodes: finds the episodes of a host that are ready, and emits the oldest first.
 *
 * An episode is ready when it has a meta.json and stayed the same for `quiet`: two equal fingerprints, the
 * second that long after the first by the monotonic clock, which nobody sets, or after the newest change that
 * the first one found since the look before. Only where nothing in it changed for ten minutes is one look
 * enough.
 *
 * episodes/ is listed when it changed, and at each sweep; inotify(7) makes it faster, and polling makes it
 * certain. A fingerprint is taken on an episode's turn, never for all of them, so an idle tick is one
 * fstat(2) however long the backlog is. */

#include "episodes.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

GType cis_scan_episodes_get_type (void);
G_DEFINE_TYPE (CisScanEpisodes, cis_scan_episodes, CIS_TYPE_SOURCE)

static gboolean
cis_scan_episodes_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisScanEpisodes *self = (CisScanEpisodes *) part;

  self->state = cis_host_state_open (self->state_path, error);
  if (self->state == NULL || (self->lock && !cis_host_state_lock (self->state, error)))
    return FALSE;
  cis_host_state_watch (self->state, part);
  self->n_passed = self->n_rejected = self->n_left = self->n_unfinished = self->n_written = 0;
  self->n_invalid = 0;
  self->swept_receipts = (struct timespec){ 0 };
  self->wake = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (self->wake < 0)
    return cis_error_set_errno (error, errno, "Cannot make an event descriptor");
  self->backlog = backlog_new (self->backoff_initial, self->backoff_max);
  /* From here on it is seen when the clock is set, be there an episode to look at or not. */
  (void) is_clock_trusted (self);
  return TRUE;
}

static void
tell_waiting (CisScanEpisodes *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->count_lock);

  guint n_waiting = backlog_count_waiting (self->backlog);

  /* Who only judges what others ship has nothing to do with what is not finished: it is nobody's yet. */
  if (self->once && !self->lock)
    n_waiting -= MIN (n_waiting, (guint) g_atomic_int_get (&self->n_unfinished));
  /* One whose name nobody takes waits for a person. */
  cis_source_set_waiting (CIS_SOURCE (self), n_waiting + (guint) g_atomic_int_get (&self->n_invalid));
}

/* An episode whose receipt is on disk lacks its retirement only: the item gets what pack and ship found out.
 * The fingerprint is the packed one; retire compares it with the tree. */
static CisEpisode *
resume_shipped (CisScanEpisodes *self, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) receipt = cis_host_state_load_receipt (self->state, name, &error);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, name, NULL);
  const char *fingerprint = receipt != NULL ? cis_json_get_string (receipt, "fingerprint") : NULL;

  if (error != NULL)
    cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_WARNING, NULL, "The receipt is passed over: %s",
                  error->message);
  /* The receipt of a folder that was shipped once and is back does not count, though its bytes are the same:
   * it may be back because the receiver has lost them. */
  if (fingerprint == NULL || !cis_host_state_load_archive (self->state, episode, fingerprint) ||
      !cis_receipt_matches (receipt, episode, NULL, NULL))
    return NULL;
  cis_episode_set_receipt (episode, receipt);
  return g_steal_pointer (&episode);
}

static gboolean
emit (CisScanEpisodes *self, const char *name, const char *fingerprint, GCancellable *cancellable)
{
  g_autofree char *directory = cis_host_state_get_file (self->state, CIS_FOLDER_EPISODES, name, NULL);
  CisEpisode *episode = resume_shipped (self, name);

  if (episode == NULL)
    {
      episode = cis_episode_new (NULL, name, NULL);
      cis_episode_set_fingerprint (episode, fingerprint);
    }
  cis_episode_set_directory (episode, directory);
  /* Nobody waits for its meta.json any more. */
  if (g_hash_table_contains (self->unfinished, name))
    cis_item_set_mark (CIS_ITEM (episode), "unfinished", "true");
  if (cis_source_emit (CIS_SOURCE (self), CIS_ITEM (episode), cancellable))
    return TRUE;
  backlog_wait (self->backlog, name, g_get_monotonic_time ());
  return FALSE;
}

/* Sleeps until something is due, something happened, or the run is over. */
static void
sleep_until_due (CisScanEpisodes *self, GPollFD *cancelled, gboolean can_cancel)
{
  gint64 now = g_get_monotonic_time ();
  gint64 due = MIN (MIN (self->next_tick, self->next_sweep), backlog_next_due (self->backlog, now));
  gint64 left = (MAX (due - now, 0) + 999) / 1000;
  guint64 count;
  GPollFD fds[3] = { { self->wake, G_IO_IN, 0 }, { watch_get_fd (self->watch), G_IO_IN, 0 }, { -1, 0, 0 } };

  if (can_cancel)
    fds[2] = *cancelled;
  /* An error of poll(2) is an interruption at most: the loop looks at everything again. */
  (void) g_poll (fds, G_N_ELEMENTS (fds), (int) MIN (left, 60 * 60 * 1000));
  while (read (self->wake, &count, sizeof count) > 0)
    continue;
}

static gboolean
run_loop (CisScanEpisodes *self, GPollFD *cancelled, gboolean can_cancel, GCancellable *cancellable,
          GError **error)
{
  while (!g_cancellable_is_cancelled (cancellable))
    {
      g_autofree char *name = NULL;
      g_autofree char *fingerprint = NULL;
      BacklogEntry *entry;

      if (!tick (self, cancellable, error))
        return FALSE;
      g_atomic_int_set (&self->n_invalid, (gint) g_hash_table_size (self->invalid));
      entry = backlog_take (self->backlog, g_get_monotonic_time ());
      if (entry != NULL)
        {
          /* Once it is emitted, a worker may settle it and free the entry. */
          name = g_strdup (entry->name);
          fingerprint = look (self, entry, cancellable);
          if (fingerprint != NULL && !emit (self, name, fingerprint, cancellable))
            break;
          continue;
        }
      tell_waiting (self);
      if (cis_source_is_once (CIS_SOURCE (self)) && backlog_next_due (self->backlog, 0) == G_MAXINT64)
        break;
      sleep_until_due (self, cancelled, can_cancel);
    }
  tell_waiting (self);
  return TRUE;
}

static gboolean
cis_scan_episodes_run (CisSource *source, GCancellable *cancellable, GError **error)
{
  CisScanEpisodes *self = (CisScanEpisodes *) source;
  GPollFD cancelled = { -1, 0, 0 };
  gboolean can_cancel = g_cancellable_make_pollfd (cancellable, &cancelled);
  gboolean ran;

  self->once = cis_source_is_once (source);
  self->watch = watch_new (get_episodes_fd (self));
  self->next_sweep = self->next_tick = 0;
  ran = run_loop (self, &cancelled, can_cancel, cancellable, error);
  g_clear_pointer (&self->watch, watch_free);
  if (can_cancel)
    g_cancellable_release_fd (cancellable);
  return ran;
}

static gboolean
is_there (CisScanEpisodes *self, const char *name)
{
  struct stat st;

  return fstatat (get_episodes_fd (self), name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
count (CisScanEpisodes *self, const char *name, CisVerdict verdict)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->count_lock);

  if (verdict == CIS_VERDICT_PASSED || verdict == CIS_VERDICT_DONE)
    self->n_passed++;
  else if (verdict == CIS_VERDICT_REJECTED)
    {
      self->n_rejected++;
      self->n_left += is_there (self, name);
    }
}

static void
settle (CisScanEpisodes *self, const char *name, CisOutcome *outcome)
{
  CisVerdict verdict = cis_outcome_get_verdict (outcome);
  gboolean passed = verdict == CIS_VERDICT_PASSED || verdict == CIS_VERDICT_DONE;
  gboolean once = cis_source_is_once (CIS_SOURCE (self));
  gint64 now = g_get_monotonic_time ();

  if (verdict == CIS_VERDICT_NONE)
    {
      backlog_forget (self->backlog, name);
      g_atomic_int_set (&self->relist, TRUE);
    }
  else if ((passed || verdict == CIS_VERDICT_REJECTED) && !is_there (self, name))
    backlog_forget (self->backlog, name);
  /* A list without retire or quarantine leaves it where it is. It stays known, and in nobody's queue: the
   * next listing must not find it anew. */
  else if (passed && once)
    return;
  else if (once)
    backlog_park (self->backlog, name);
  else if (verdict == CIS_VERDICT_DEFERRED && cis_outcome_get_scope (outcome) == CIS_SCOPE_STAGE)
    backlog_hold (self->backlog, name, now);
  else
    backlog_defer (self->backlog, name, now, cis_outcome_get_retry_after (outcome));
}

static void
cis_scan_episodes_settled (CisSource *source, CisItem *item, CisOutcome *outcome)
{
  CisScanEpisodes *self = (CisScanEpisodes *) source;
  guint64 one = 1;

  if (self->once)
    count (self, cis_episode_get_name (CIS_EPISODE (item)), cis_outcome_get_verdict (outcome));
  settle (self, cis_episode_get_name (CIS_EPISODE (item)), outcome);
  tell_waiting (self);
  /* A full counter means that it is awake already. */
  if (write (self->wake, &one, sizeof one) < 0 && errno != EAGAIN)
    cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_WARNING, NULL, "Cannot wake the scan: %s",
                  g_strerror (errno));
}

/* What became of all of them; those that wait are in no stage's table. */
static void
tell_summary (CisScanEpisodes *self)
{
  guint n_invalid = g_hash_table_size (self->invalid);
  guint n_waiting = backlog_count_waiting (self->backlog) - self->n_left + n_invalid;

  cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_MESSAGE, NULL,
                "Of %u episodes %u passed, %u were rejected and %u wait (%u with no or an empty meta.json, "
                "%u still being written, %u with a bad name or a symlink)",
                self->n_passed + self->n_rejected + n_waiting, self->n_passed, self->n_rejected, n_waiting,
                (guint) g_atomic_int_get (&self->n_unfinished), (guint) self->n_written, n_invalid);
}

static void
cis_scan_episodes_close (CisPart *part)
{
  CisScanEpisodes *self = (CisScanEpisodes *) part;

  if (self->once && self->backlog != NULL)
    tell_summary (self);
  self->once = FALSE;
  g_clear_pointer (&self->backlog, backlog_free);
  g_hash_table_remove_all (self->invalid);
  g_hash_table_remove_all (self->unfinished);
  if (self->wake >= 0)
    g_close (self->wake, NULL);
  self->wake = -1;
  g_clear_object (&self->state);
}

static void
cis_scan_episodes_finalize (GObject *object)
{
  CisScanEpisodes *self = (CisScanEpisodes *) object;

  g_hash_table_unref (self->invalid);
  g_hash_table_unref (self->unfinished);
  g_mutex_clear (&self->count_lock);
  G_OBJECT_CLASS (cis_scan_episodes_parent_class)->finalize (object);
}

static void
add_duration (CisPartClass *klass, gsize offset, const char *name, const char *blurb, gint64 minimum,
              gint64 value)
{
  cis_part_class_add_option (klass, offset,
                             g_param_spec_int64 (name, NULL, blurb, minimum, G_MAXINT64 / 8, value,
                                                 CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}

static void
cis_scan_episodes_class_init (CisScanEpisodesClass *klass)
{
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cis_scan_episodes_finalize;
  part_class->open = cis_scan_episodes_open;
  part_class->close = cis_scan_episodes_close;
  klass->item_types[0] = CIS_TYPE_EPISODE;
  klass->run = cis_scan_episodes_run;
  klass->settled = cis_scan_episodes_settled;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisScanEpisodes, state_path),
                             g_param_spec_string ("state", NULL,
                                                  "The host's state folder, with episodes/ in it.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisScanEpisodes, lock),
      g_param_spec_boolean (
          "lock", NULL,
          "Whether to own the state folder, of which there can be one; without, nothing is swept "
          "and no stage may pack or ship.",
          TRUE, CIS_PARAM_OPTION));
  add_duration (part_class, G_STRUCT_OFFSET (CisScanEpisodes, quiet), "quiet",
                "How long an episode must stay unchanged before it is taken for finished.", 0,
                10 * G_USEC_PER_SEC);
  add_duration (part_class, G_STRUCT_OFFSET (CisScanEpisodes, poll), "poll",
                "How often to look whether episodes/ changed without a hint by the kernel.", 1000,
                30 * G_USEC_PER_SEC);
  add_duration (part_class, G_STRUCT_OFFSET (CisScanEpisodes, backoff_initial), "backoff-initial",
                "How long a deferred episode waits for its second attempt; doubled with each one.", 1000,
                5 * G_USEC_PER_SEC);
  add_duration (part_class, G_STRUCT_OFFSET (CisScanEpisodes, backoff_max), "backoff-max",
                "The longest wait between two attempts, to which up to a quarter is added by chance.", 1000,
                G_GINT64_CONSTANT (60) * 60 * G_USEC_PER_SEC);
  add_duration (part_class, G_STRUCT_OFFSET (CisScanEpisodes, sweep_interval), "sweep-interval",
                "How often outbox/ is swept of what no episode needs and episodes/ is listed in any case.",
                1000, 10 * 60 * G_USEC_PER_SEC);
  add_duration (part_class, G_STRUCT_OFFSET (CisScanEpisodes, unfinished_after), "unfinished-after",
                "After how long without a change an episode without a meta.json is told; 0: never.", 0,
                G_TIME_SPAN_DAY);
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisScanEpisodes, take_unfinished),
      g_param_spec_boolean ("take-unfinished", NULL,
                            "Whether these are emitted, too, as for a drain that puts them into quarantine.",
                            FALSE, CIS_PARAM_OPTION));
}

static void
cis_scan_episodes_init (CisScanEpisodes *self)
{
  self->wake = -1;
  self->invalid = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  self->unfinished = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
  g_mutex_init (&self->count_lock);
}

CIS_PLUGIN ("scan/episodes", "Finds the episodes of a host that are ready, and emits the oldest first.",
            CisScanEpisodes, cis_scan_episodes, CisSource)
