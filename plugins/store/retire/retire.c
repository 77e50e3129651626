/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* store/retire: moves an episode to shipped/ once a receipt for exactly these bytes is on disk and the tree
 * is still the one that was packed. This is the only way out of episodes/ but the quarantine.
 *
 * What was shipped `keep-days` ago is removed, after notice (notice.h): the clock may be wrong. The age
 * counts from the receipt's received_at, never from an mtime, and the receipt goes last: what has none is not
 * removed. So receipts/ is what a pass goes through, and it knows when the oldest receipt becomes due: until
 * that and its notice are over a pass reads no receipt at all, be there 100,000 of them.
 *
 * A receipt of thirty days ago says what the receiver had then. So it is asked (receiver.h), and only what it
 * vouches for now is removed. What it has lost goes back to episodes/ and is shipped anew, and so does an
 * older copy of the same name, of which no receipt is left. */

#include "../notice.h"
#include "../removal.h"
#include "receiver.h"
#include "shipped.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#define MESSAGE_RETIRED "0d0b0c7a8fb94c0ea1b2b6a4b6f7c5d2"
#define DAY             (G_GINT64_CONSTANT (24) * 60 * 60 * G_USEC_PER_SEC)

typedef struct
{
  CisStage parent;

  /* Options: immutable. */
  char *state_path;
  int keep_days;
  gint64 cleanup_interval;
  gint64 confirm_after;

  CisHostState *state; /* from open() to close(); thread-safe */

  GMutex lock;     /* guards what follows */
  gint64 next_due; /* when the oldest receipt becomes due, µs since 1970; G_MININT64: not known yet */
} CisStoreRetire;
typedef CisStageClass CisStoreRetireClass;

GType cis_store_retire_get_type (void);
G_DEFINE_TYPE (CisStoreRetire, cis_store_retire, CIS_TYPE_STAGE)

static gboolean
cis_store_retire_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisStoreRetire *self = (CisStoreRetire *) part;

  self->next_due = G_MININT64;
  self->state = cis_host_state_open (self->state_path, error);
  return self->state != NULL;
}

static int
get_receipts_fd (CisStoreRetire *self)
{
  return cis_host_state_get_fd (self->state, CIS_FOLDER_RECEIPTS);
}

/* Whose receipt the file is; NULL where it is none. full */
static char *
get_episode (const char *file)
{
  return g_str_has_suffix (file, ".json") ? g_strndup (file, strlen (file) - strlen (".json")) : NULL;
}

/* When the receipt's episode may go, µs since 1970; G_MAXINT64 where it says no time. */
static gint64
get_due (CisStoreRetire *self, JsonObject *receipt)
{
  const char *text = cis_json_get_string (receipt, "received_at");
  g_autoptr (GDateTime) received = text != NULL ? g_date_time_new_from_iso8601 (text, NULL) : NULL;

  if (received == NULL)
    return G_MAXINT64;
  return g_date_time_to_unix (received) * G_USEC_PER_SEC + g_date_time_get_microsecond (received) +
         self->keep_days * DAY;
}

static gint64
get_next_due (CisStoreRetire *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->next_due;
}

static void
set_next_due (CisStoreRetire *self, gint64 next_due)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->next_due = next_due;
}

static void
lower_next_due (CisStoreRetire *self, gint64 next_due)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->next_due = MIN (self->next_due, next_due);
}

static CisOutcome *
reject_changed (CisStoreRetire *self, CisEpisode *episode)
{
  const char *name = cis_episode_get_name (episode);
  g_autofree char *folder = cis_host_state_get_file (self->state, CIS_FOLDER_QUARANTINE, name, NULL);
  g_autofree char *quoted = g_shell_quote (folder);
  g_autofree char *state = g_shell_quote (cis_host_state_get_path (self->state));
  g_autofree char *packed = cis_host_state_get_packed_at (self->state, episode);
  g_autofree char *newer = packed != NULL ? g_strdup_printf (" -newerct '%s'", packed) : g_strdup ("");
  CisFinding *finding = cis_finding_new (
      "changed-after-shipping", CIS_SEVERITY_ERROR, name,
      "The episode %s changed after it was packed and shipped: the receiver has it as it was before", name);

  cis_finding_set_detail (finding, "shipped_sha256", cis_episode_get_sha256 (episode));
  /* The first line shows what changed; the second ships it as an episode of its own. */
  cis_finding_set_fix (finding,
                       "find %s%s -ls\n"
                       "cis490 quarantine release %s --as %.*s-changed --state %s",
                       quoted, newer, name, (int) (CIS_EPISODE_NAME_MAX - strlen ("-changed")), name, state);
  return cis_outcome_rejected (finding);
}

/* Whether the receipt on the disk, the one that outlives us, is for these bytes. */
static JsonObject *
load_receipt (CisStoreRetire *self, CisEpisode *episode, GError **error)
{
  const char *name = cis_episode_get_name (episode);
  g_autoptr (GError) cause = NULL;
  g_autoptr (JsonObject) receipt = cis_host_state_load_receipt (self->state, name, &cause);

  if (receipt == NULL && cause == NULL)
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
                 "There is no receipt for %s on the disk, so it stays in episodes/ and is shipped again",
                 name);
  else if (receipt == NULL || !cis_receipt_matches (receipt, episode, NULL, &cause))
    g_propagate_prefixed_error (error, g_steal_pointer (&cause),
                                "The receipt for %s on the disk is not for it: ", name);
  else
    return g_steal_pointer (&receipt);
  return NULL;
}

static CisOutcome *
cis_store_retire_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisStoreRetire *self = (CisStoreRetire *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  const char *name = cis_episode_get_name (episode);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) receipt = load_receipt (self, episode, &error);
  g_autofree char *fingerprint = NULL;
  g_autofree char *target = NULL;
  int episodes = cis_host_state_get_fd (self->state, CIS_FOLDER_EPISODES);
  struct stat compared;
  gint64 due;

  if (receipt == NULL)
    return cis_outcome_failed (g_steal_pointer (&error));
  if (fstatat (episodes, name, &compared, AT_SYMLINK_NOFOLLOW) == 0)
    fingerprint = cis_fingerprint (episodes, name, NULL, cancellable, &error);
  else if (errno == ENOENT)
    g_set_error (&error, CIS_ERROR, CIS_ERROR_GONE, "%s is not in episodes/ any more", name);
  else
    cis_error_set_errno (&error, errno, "Cannot look at episodes/%s", name);
  if (fingerprint == NULL)
    return cis_outcome_failed (g_steal_pointer (&error));
  if (g_strcmp0 (fingerprint, cis_episode_get_fingerprint (episode)) != 0)
    {
      cis_episode_set_receipt (episode, receipt);
      return reject_changed (self, episode);
    }
  due = get_due (self, receipt);
  /* The receiver's clock may be so far behind that it is due already. */
  if (notice_withdraw (get_receipts_fd (self), due, &error))
    target = shipped_put (self->state, episode, receipt, &compared, &error);
  if (target == NULL)
    return cis_outcome_failed (g_steal_pointer (&error));
  /* It is home already; what is left in outbox/, scan sweeps. */
  if (!cis_host_state_drop_archive (self->state, episode, &error))
    cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_WARNING, NULL, "%s", error->message);
  lower_next_due (self, due);
  cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_INFO, MESSAGE_RETIRED,
                "%s is shipped, and rests in shipped/%s", name, target);
  return cis_outcome_passed ();
}

static gboolean
is_in (CisStoreRetire *self, CisFolder folder, const char *name)
{
  struct stat st;

  /* What cannot be looked at counts as there: then nothing is removed. */
  return fstatat (cis_host_state_get_fd (self->state, folder), name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
         errno != ENOENT;
}

/* One pass over the receipts. */
typedef struct
{
  gint64 by;        /* what was due by then is removed */
  GPtrArray *spent; /* names of which nothing is left but the receipt */
  GHashTable *kept; /* what could not be removed, as findings' subjects */
  Receiver receiver;
} Pass;

static void
pass_clear (Pass *pass)
{
  receiver_clear (&pass->receiver);
  g_ptr_array_unref (pass->spent);
  g_hash_table_unref (pass->kept);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pass, pass_clear)

/* Back to episodes/, where the next look finds it. */
static gboolean
ship_again (CisStoreRetire *self, const char *copy, const char *name, const char *why, GError **error)
{
  if (!shipped_return (self->state, copy, name, error))
    return FALSE;
  cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_WARNING, NULL, "shipped/%s is shipped anew as %s: %s",
                copy, name, why);
  return TRUE;
}

/* Deals with what is due of @name. FALSE without @failed: it is not certain what is there. */
static gboolean
settle (CisStoreRetire *self, const char *name, JsonObject *receipt, Pass *pass, char **failed,
        GCancellable *cancellable, GError **error)
{
  g_autofree char *copy = NULL;
  g_autoptr (GError) cause = NULL;
  gboolean vouched;

  if (!shipped_sweep (self->state, name, failed, cancellable, error))
    return FALSE;
  copy = shipped_find (self->state, name, receipt, &vouched, &cause);
  if (vouched)
    switch (receiver_ask (&pass->receiver, name, receipt, cancellable))
      {
      case RECEIVER_UNKNOWN:
        return TRUE;
      case RECEIVER_LACKS:
        return ship_again (self, copy, name, "the receiver no longer has it", error);
      case RECEIVER_HAS:
        if (!shipped_remove (CIS_PART (self), self->state, copy, receipt, failed, cancellable, error))
          return FALSE;
        g_free (copy);
        copy = shipped_find (self->state, name, receipt, &vouched, &cause);
      }
  if (cause != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return FALSE;
    }
  if (copy != NULL)
    return ship_again (self, copy, name, "no receipt is left that is of this copy", error);
  g_ptr_array_add (pass->spent, g_strdup (name));
  return TRUE;
}

/* Looks at one receipt. *due: when its episode becomes due; G_MAXINT64 where there is nothing to wait for.
 * One that cannot be read may be due, so that it is looked at again. FALSE: nothing may go on. */
static gboolean
consider (CisStoreRetire *self, const char *name, Pass *pass, gint64 *due, GCancellable *cancellable,
          GError **error)
{
  g_autofree char *failed = NULL;
  g_autoptr (GError) cause = NULL;
  g_autoptr (JsonObject) receipt = cis_host_state_load_receipt (self->state, name, &cause);
  guint spent = pass->spent->len;

  if (receipt == NULL || g_strcmp0 (cis_json_get_string (receipt, "episode"), name) != 0 ||
      !cis_hex_is_valid (cis_json_get_string (receipt, "sha256"), 64))
    {
      if (cause != NULL)
        cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_WARNING, NULL, "Nothing is removed for it: %s",
                      cause->message);
      *due = cause != NULL ? 0 : G_MAXINT64;
      return TRUE;
    }
  *due = get_due (self, receipt);
  /* In episodes/ it still has to be retired, and this is its proof. Once it is in shipped/, a notice that
   * stands is its own: what comes meanwhile withdraws it first. */
  if (*due > pass->by || is_in (self, CIS_FOLDER_EPISODES, name) || !notice_stands (get_receipts_fd (self)))
    return TRUE;
  if (!settle (self, name, receipt, pass, &failed, cancellable, &cause))
    {
      if (g_error_matches (cause, CIS_ERROR, CIS_ERROR_FATAL))
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return FALSE;
        }
      if (!g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        cis_removal_fail (CIS_PART (self), cis_host_state_get_path (self->state), "shipped",
                          failed != NULL ? failed : name, cause, pass->kept);
    }
  else if (pass->spent->len > spent)
    *due = G_MAXINT64;
  return TRUE;
}

/* Whether the receipt may be that of another run of the name, which has come since. */
static gboolean
is_of_newer (CisStoreRetire *self, const char *name, gint64 by)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) receipt = NULL;

  if (is_in (self, CIS_FOLDER_EPISODES, name))
    return TRUE;
  receipt = cis_host_state_load_receipt (self->state, name, &error);
  return receipt != NULL ? get_due (self, receipt) > by : error != NULL;
}

/* The receipts go once it is certain that their episodes are gone. */
static gboolean
remove_receipts (CisStoreRetire *self, const Pass *pass, GError **error)
{
  if (pass->spent->len > 0 &&
      !cis_file_sync (cis_host_state_get_fd (self->state, CIS_FOLDER_SHIPPED), "the folder shipped/", error))
    return FALSE;
  for (guint i = 0; i < pass->spent->len; i++)
    {
      const char *name = g_ptr_array_index (pass->spent, i);
      g_autofree char *file = g_strconcat (name, ".json", NULL);

      if (is_of_newer (self, name, pass->by))
        lower_next_due (self, 0); /* it is looked at again */
      else if (!cis_file_remove (get_receipts_fd (self), file, error))
        return FALSE;
    }
  return TRUE;
}

/* @silent: whether the receiver had nothing to say. */
static gboolean
go_through_receipts (CisStoreRetire *self, gint64 by, gint64 *next_due, gboolean *silent,
                     GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_build_filename (cis_host_state_get_path (self->state), "receipts", NULL);
  g_autoptr (GPtrArray) names = cis_folder_list (get_receipts_fd (self), path, error);
  g_auto (Pass) pass = { by,
                         g_ptr_array_new_with_free_func (g_free),
                         g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL),
                         { NULL } };

  if (names == NULL)
    return FALSE;
  receiver_init (&pass.receiver, CIS_STAGE (self));
  for (guint i = 0; i < names->len && !g_cancellable_is_cancelled (cancellable); i++)
    {
      const char *file = g_ptr_array_index (names, i);
      g_autofree char *name = get_episode (file);
      gint64 due;

      if (*file == '.' || name == NULL)
        continue;
      if (!consider (self, name, &pass, &due, cancellable, error))
        return FALSE;
      *next_due = MIN (*next_due, due);
    }
  if (by != NOTICE_NONE && !g_cancellable_is_cancelled (cancellable))
    {
      cis_removal_end (CIS_PART (self), pass.kept);
      receiver_tell (&pass.receiver);
    }
  *silent = pass.receiver.silent;
  return remove_receipts (self, &pass, error) && !g_cancellable_set_error_if_cancelled (cancellable, error);
}

/* Removes what was due by @by, and learns when the oldest that is left becomes due. */
static gboolean
clean_up (CisStoreRetire *self, gint64 by, gboolean *silent, GCancellable *cancellable, GError **error)
{
  gint64 next_due = G_MAXINT64;
  gboolean done;

  /* What is retired while this runs counts for the next pass. */
  set_next_due (self, G_MAXINT64);
  done = go_through_receipts (self, by, &next_due, silent, cancellable, error);
  if (done)
    lower_next_due (self, next_due);
  else
    set_next_due (self, G_MININT64);
  return done;
}

static void
tell_nothing_due (CisPart *part)
{
  cis_removal_end (part, NULL);
  receiver_tell_nothing_due (part);
}

static gint64
cis_store_retire_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisStoreRetire *self = (CisStoreRetire *) part;
  gint64 now = g_get_real_time (), by;
  gboolean silent = FALSE;

  if (self->keep_days == 0)
    {
      tell_nothing_due (part);
      return 0;
    }
  if (get_next_due (self) == G_MININT64 && !clean_up (self, NOTICE_NONE, &silent, cancellable, error))
    return -1;
  if (get_next_due (self) > now)
    tell_nothing_due (part);
  if (!notice_pass (get_receipts_fd (self), get_next_due (self), now, self->confirm_after, &by, error))
    return -1;
  /* A notice that nobody could act upon stands until the receiver answers. */
  if (by != NOTICE_NONE && (!clean_up (self, by, &silent, cancellable, error) ||
                            (!silent && !notice_end (get_receipts_fd (self), error))))
    return -1;
  return self->cleanup_interval;
}

static void
cis_store_retire_close (CisPart *part)
{
  g_clear_object (&((CisStoreRetire *) part)->state);
}

static void
cis_store_retire_finalize (GObject *object)
{
  g_mutex_clear (&((CisStoreRetire *) object)->lock);
  G_OBJECT_CLASS (cis_store_retire_parent_class)->finalize (object);
}

static void
cis_store_retire_class_init (CisStoreRetireClass *klass)
{
  static const char *const needs[] = { "receipt", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cis_store_retire_finalize;
  part_class->open = cis_store_retire_open;
  part_class->close = cis_store_retire_close;
  part_class->maintain = cis_store_retire_maintain;
  klass->item_type = CIS_TYPE_EPISODE;
  klass->needs = needs;
  klass->process = cis_store_retire_process;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisStoreRetire, state_path),
                             g_param_spec_string ("state", NULL,
                                                  "The host's state folder, with episodes/ in it.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisStoreRetire, keep_days),
      g_param_spec_int (
          "keep-days", NULL,
          "How many days after its receipt a shipped episode is removed, where the receiver still "
          "has it; 0 for never.",
          0, 36500, 30, CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisStoreRetire, cleanup_interval),
      g_param_spec_int64 ("cleanup-interval", NULL,
                          "How often to look for shipped episodes that are past keep-days.", 1000,
                          G_MAXINT64 / 8, G_GINT64_CONSTANT (60) * 60 * G_USEC_PER_SEC,
                          CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisStoreRetire, confirm_after),
      g_param_spec_int64 ("confirm-after", NULL,
                          "How long the machine has to run, after a shipped episode was "
                          "found past keep-days, before it is removed: a clock may be wrong.",
                          0, 365 * DAY, DAY, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}

static void
cis_store_retire_init (CisStoreRetire *self)
{
  g_mutex_init (&self->lock);
}

CIS_PLUGIN ("store/retire", "Moves an episode to shipped/ once its receipt is on disk.", CisStoreRetire,
            cis_store_retire, CisStage)
