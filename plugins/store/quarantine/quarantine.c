/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* store/quarantine: puts an episode that was rejected aside, with the reason and its remedy.
 *
 * How that is done so that no crash leaves an episode without its reason, and how `cis490 quarantine` gives
 * it back, is in enter.c and leave.c: stage and command share them. What is left to the stage is what it
 * tells, the tarball that nobody needs any more, and the removal of what is past `keep-days`, after notice.
 */

#include "../notice.h"
#include "../removal.h"
#include "folder.h"

#define MESSAGE_QUARANTINED "5a0e2f7d1c3b4f5e8f9b0c6d7e2a4b18"
#define MESSAGE_REMOVED     "c4d9a1e07b5246f38a6f1e0b9d3c2a57"
#define DAY                 (G_GINT64_CONSTANT (24) * 60 * 60 * G_USEC_PER_SEC)

typedef struct
{
  CisStage parent;

  /* Options: immutable. */
  char *state_path;
  gboolean dry_run;
  int keep_days;
  gint64 cleanup_interval;
  gint64 confirm_after;

  /* From open() to close(); thread-safe. */
  CisHostState *state;
  Quarantine *quarantine;
} CisStoreQuarantine;
typedef CisStageClass CisStoreQuarantineClass;

GType cis_store_quarantine_get_type (void);
G_DEFINE_TYPE (CisStoreQuarantine, cis_store_quarantine, CIS_TYPE_STAGE)

static gboolean
cis_store_quarantine_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisStoreQuarantine *self = (CisStoreQuarantine *) part;

  self->state = cis_host_state_open (self->state_path, error);
  self->quarantine = self->state != NULL ? quarantine_open (self->state_path, part, error) : NULL;
  return self->quarantine != NULL &&
         (self->dry_run || quarantine_recover (self->quarantine, cancellable, error));
}

static int
get_fd (CisStoreQuarantine *self)
{
  return cis_host_state_get_fd (self->state, CIS_FOLDER_QUARANTINE);
}

static CisOutcome *
cis_store_quarantine_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisStoreQuarantine *self = (CisStoreQuarantine *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  CisOutcome *outcome = cis_item_get_outcome (item);
  CisFinding *finding = outcome != NULL ? cis_outcome_get_finding (outcome) : NULL;
  g_autofree char *target = NULL;
  GError *error = NULL;

  if (finding == NULL)
    return cis_outcome_failed (
        g_error_new (CIS_ERROR, CIS_ERROR_INVALID,
                     "%s was not rejected for any reason, so it is not put into quarantine: run "
                     "this stage with when=rejected",
                     cis_episode_get_name (episode)));
  if (self->dry_run)
    {
      cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_MESSAGE, NULL,
                    "%s would go into quarantine, but for dry-run", cis_episode_get_name (episode));
      return cis_outcome_passed ();
    }
  /* The clock may be so far behind what it was that it is due already. */
  if (notice_withdraw (get_fd (self), g_get_real_time () + self->keep_days * DAY, &error))
    target = quarantine_put (self->quarantine, episode, finding, cancellable, &error);
  if (target == NULL)
    return cis_outcome_failed (error);
  cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_MESSAGE, MESSAGE_QUARANTINED, "%s is in quarantine/%s",
                cis_episode_get_name (episode), target);
  /* Garbage now, which scan would sweep too. */
  if (!cis_host_state_drop_archive (self->state, episode, &error))
    {
      cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_WARNING, NULL, "%s", error->message);
      g_clear_error (&error);
    }
  return cis_outcome_passed ();
}

/* ---- keep-days */

/* All entries whose reason says since when they are there; full. */
static GPtrArray *
load_entries (CisStoreQuarantine *self, GError **error)
{
  g_autoptr (GPtrArray) ids = quarantine_list (self->quarantine, FALSE, error);
  g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func ((GDestroyNotify) quarantine_entry_free);

  for (guint i = 0; ids != NULL && i < ids->len; i++)
    {
      g_autoptr (QuarantineEntry) entry = quarantine_load (self->quarantine, ids->pdata[i], NULL);

      if (entry != NULL && entry->time >= 0)
        g_ptr_array_add (entries, g_steal_pointer (&entry));
    }
  return ids != NULL ? g_steal_pointer (&entries) : NULL;
}

static gint64
get_due (CisStoreQuarantine *self, const QuarantineEntry *entry)
{
  return entry->time + self->keep_days * DAY;
}

/* FALSE: nothing may go on. */
static gboolean
expire (CisStoreQuarantine *self, const QuarantineEntry *entry, GCancellable *cancellable, GError **error)
{
  g_autofree char *since = cis_time_to_string (entry->time);
  g_autoptr (GError) cause = NULL;

  if (quarantine_remove (self->quarantine, entry, "expire", cancellable, &cause))
    cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_MESSAGE, MESSAGE_REMOVED,
                  "Removed quarantine/%s: it was there since %s, and keep-days is %d", entry->id, since,
                  self->keep_days);
  else if (g_error_matches (cause, CIS_ERROR, CIS_ERROR_FATAL))
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return FALSE;
    }
  else if (!g_error_matches (cause, CIS_ERROR, CIS_ERROR_GONE))
    cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_WARNING, NULL, "Cannot remove quarantine/%s: %s",
                  entry->id, cause->message);
  return TRUE;
}

static gboolean
expire_all (CisStoreQuarantine *self, GCancellable *cancellable, GError **error)
{
  /* They first: what comes after the notice was looked at is not among them. */
  g_autoptr (GPtrArray) entries = load_entries (self, error);
  gint64 oldest = G_MAXINT64, by;

  if (entries == NULL)
    return FALSE;
  for (guint i = 0; i < entries->len; i++)
    oldest = MIN (oldest, get_due (self, entries->pdata[i]));
  if (!notice_pass (get_fd (self), oldest, g_get_real_time (), self->confirm_after, &by, error))
    return FALSE;
  for (guint i = 0; i < entries->len && !g_cancellable_is_cancelled (cancellable); i++)
    if (get_due (self, entries->pdata[i]) <= by && !expire (self, entries->pdata[i], cancellable, error))
      return FALSE;
  return !g_cancellable_set_error_if_cancelled (cancellable, error) &&
         (by == NOTICE_NONE || notice_end (get_fd (self), error));
}

typedef struct
{
  CisStoreQuarantine *stage;
  GHashTable *subjects; /* of findings that stand */
} Kept;

static void
tell_kept (const char *name, const GError *error, gpointer user_data)
{
  Kept *kept = user_data;

  cis_removal_fail (CIS_PART (kept->stage), cis_host_state_get_path (kept->stage->state), "quarantine", name,
                    error, kept->subjects);
}

static gboolean
sweep (CisStoreQuarantine *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GHashTable) subjects = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  Kept kept = { self, subjects };

  if (!quarantine_sweep (self->quarantine, tell_kept, &kept, cancellable, error))
    return FALSE;
  cis_removal_end (CIS_PART (self), subjects);
  return TRUE;
}

static gint64
cis_store_quarantine_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisStoreQuarantine *self = (CisStoreQuarantine *) part;

  if (self->dry_run)
    {
      cis_removal_end (part, NULL);
      return 0;
    }
  if (!sweep (self, cancellable, error))
    return -1;
  return self->keep_days == 0 || expire_all (self, cancellable, error) ? self->cleanup_interval : -1;
}

static void
cis_store_quarantine_close (CisPart *part)
{
  CisStoreQuarantine *self = (CisStoreQuarantine *) part;

  g_clear_pointer (&self->quarantine, quarantine_free);
  g_clear_object (&self->state);
}

static void
cis_store_quarantine_class_init (CisStoreQuarantineClass *klass)
{
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  part_class->open = cis_store_quarantine_open;
  part_class->close = cis_store_quarantine_close;
  part_class->maintain = cis_store_quarantine_maintain;
  klass->item_type = CIS_TYPE_EPISODE;
  klass->when = CIS_WHEN_REJECTED;
  klass->process = cis_store_quarantine_process;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisStoreQuarantine, state_path),
                             g_param_spec_string ("state", NULL,
                                                  "The host's state folder, with episodes/ in it.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisStoreQuarantine, dry_run),
                             g_param_spec_boolean ("dry-run", NULL,
                                                   "Whether to tell only what would be put into quarantine.",
                                                   FALSE, CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisStoreQuarantine, keep_days),
      g_param_spec_int ("keep-days", NULL,
                        "After how many days an episode in quarantine is removed; 0 for never.", 0, 36500, 30,
                        CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisStoreQuarantine, cleanup_interval),
                             g_param_spec_int64 ("cleanup-interval", NULL,
                                                 "How often to look for episodes that are past keep-days.",
                                                 1000, G_MAXINT64 / 8,
                                                 G_GINT64_CONSTANT (60) * 60 * G_USEC_PER_SEC,
                                                 CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisStoreQuarantine, confirm_after),
      g_param_spec_int64 ("confirm-after", NULL,
                          "How long the machine has to run, after an episode was found "
                          "past keep-days, before it is removed: a clock may be wrong.",
                          0, 365 * DAY, DAY, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}

static void
cis_store_quarantine_init (CisStoreQuarantine *self)
{
}

CIS_PLUGIN ("store/quarantine", "Puts an episode that was rejected aside, with the reason and its remedy.",
            CisStoreQuarantine, cis_store_quarantine, CisStage)
