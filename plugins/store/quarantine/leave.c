/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ways out: back to episodes/, or removed for good. Each writes to the audit log first.
 *
 * Released:
 *
 *   1. audit.jsonl                            gets a line with the whole reason
 *   2. quarantine/ID/quarantine_reason.json   renamed to quarantine/.ID.reason.json: a valid place, wherever
 * it is cut
 *   3. quarantine/ID                          renamed to episodes/EPISODE; both synced
 *   4. quarantine/.ID.reason.json             removed
 *
 * So the tree goes back as the experiment left it: the archive of an episode that was here and one that never
 * was are the same bytes. */

#include "folder-private.h"
#include "reason.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What had to make way for the reason gets its name back; an older reason of ours is none of the
 * experiment's. */
static gboolean
restore_displaced (Quarantine *self, QuarantineEntry *entry, GError **error)
{
  const char *displaced = cis_json_get_string (entry->reason, "displaced");
  g_autofree char *inside = quarantine_get_inside (entry->id);
  g_autofree char *kept = NULL;
  g_autoptr (JsonObject) older = NULL;
  g_autoptr (GError) cause = NULL;

  if (displaced == NULL || strchr (displaced, '/') != NULL)
    return TRUE;
  kept = g_build_filename (entry->id, displaced, NULL);
  older = reason_load (self->fd, kept, NULL, &cause);
  if (older != NULL)
    return cis_file_remove (self->fd, kept, error);
  /* It may be back already, after a release that was cut. */
  if (cause == NULL && (cis_file_publish (self->fd, kept, self->fd, inside, &cause) ||
                        g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
                        g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_EXISTS)))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

/* Step 2. A reason that lies outside already was never in, or on its way out before. */
static gboolean
take_reason_out (Quarantine *self, QuarantineEntry *entry, GError **error)
{
  g_autofree char *outside = quarantine_get_outside (entry->id);
  g_autofree char *inside = quarantine_get_inside (entry->id);
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

  if (entry->reason == NULL)
    return TRUE;
  if ((!entry->outside && !cis_file_publish (self->fd, inside, self->fd, outside, error)) ||
      !restore_displaced (self, entry, error))
    return FALSE;
  /* Not worth a failure: a folder of somebody else's is packed with another time. */
  if (reason_get_folder_time (entry->reason, &times[1]) &&
      utimensat (self->fd, entry->id, times, AT_SYMLINK_NOFOLLOW) != 0)
    cis_part_log (self->part, NULL, G_LOG_LEVEL_INFO, NULL, "%s has a new mtime: %s", entry->id,
                  g_strerror (errno));
  return TRUE;
}

static gboolean
check_attempts (Quarantine *self, QuarantineEntry *entry, GError **error)
{
  const char *episode = quarantine_entry_get_episode (entry);
  guint attempts = audit_count_releases (self->audit, episode, NULL);

  if (entry->reason != NULL)
    attempts = MAX (attempts, (guint) cis_json_get_size (entry->reason, "attempts", 0));
  if (attempts < QUARANTINE_RELEASES_MAX)
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE,
               "%s was released %u times and came back each time; see “cis490 quarantine show %s”, and add "
               "--force where the cause is gone",
               entry->id, attempts, entry->id);
  return FALSE;
}

static gboolean
check_episode (Quarantine *self, const char *episode, GError **error)
{
  if (!cis_name_is_valid (episode, CIS_EPISODE_NAME_MAX))
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
                   "“%s” is no episode's name: that is a letter or digit, then letters, digits, “.”, “_” and "
                   "“-”, at most %d "
                   "bytes, without “..”; say --as NAME",
                   episode, CIS_EPISODE_NAME_MAX);
      return FALSE;
    }
  if (quarantine_is_there (self->episodes, episode))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                   "%s/episodes/%s is there already, and an episode is never replaced", self->state, episode);
      return FALSE;
    }
  return TRUE;
}

/* What will not be permitted is not noted as done. */
static gboolean
check_folder (Quarantine *self, int dirfd, const char *name, GError **error)
{
  return faccessat (dirfd, ".", W_OK, AT_EACCESS) == 0 || errno != EACCES ||
         cis_error_set_errno (error, errno, "Cannot write to the folder %s/%s", self->state, name);
}

/* A folder that gets another parent is changed itself. */
static gboolean
check_entry (Quarantine *self, const char *id, GError **error)
{
  g_autofree char *folder = g_build_filename (self->state, "quarantine", NULL);
  g_autofree char *path = g_build_filename (folder, id, NULL);
  g_autofree char *quoted_folder = g_shell_quote (folder);
  g_autofree char *quoted = g_shell_quote (path);

  return faccessat (self->fd, id, W_OK, AT_EACCESS) == 0 || errno != EACCES ||
         cis_error_set_errno (error, errno,
                              "Cannot move %s, which is another user's (chown -R --reference=%s %s)", path,
                              quoted_folder, quoted);
}

/* Steps 2 to 4. */
static gboolean
move_back (Quarantine *self, QuarantineEntry *entry, const char *episode, GError **error)
{
  g_autofree char *outside = quarantine_get_outside (entry->id);
  g_autoptr (GError) cause = NULL;

  if (!take_reason_out (self, entry, error))
    return FALSE;
  if (cis_file_publish (self->fd, entry->id, self->episodes, episode, &cause))
    return cis_file_remove (self->fd, outside, error);
  if (entry->reason != NULL && !entry->outside && !g_error_matches (cause, CIS_ERROR, CIS_ERROR_FATAL) &&
      !quarantine_move_reason_in (self, entry->id, error))
    return FALSE;
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

char *
quarantine_release (Quarantine *self, const char *id, const char *as, gboolean force, GError **error)
{
  g_autoptr (QuarantineLocker) locker = quarantine_locker_new (self, NULL, error);
  g_autoptr (QuarantineEntry) entry = locker != NULL ? quarantine_load (self, id, error) : NULL;
  const char *episode = entry != NULL ? quarantine_entry_get_episode (entry) : NULL;
  const char *target = as != NULL ? as : episode;

  if (entry == NULL || !check_episode (self, target, error) ||
      (!force && !check_attempts (self, entry, error)) ||
      !check_folder (self, self->episodes, "episodes", error) ||
      !check_folder (self, self->fd, "quarantine", error) || !check_entry (self, id, error) ||
      !audit_append (self->audit, "release", id, episode, entry->reason, error) ||
      !move_back (self, entry, target, error))
    return NULL;
  return g_strdup (target);
}

/* ---- removed for good */

/* Out of everybody's sight, so that nobody releases the half of it that is left. */
static char *
rename_to_remove (Quarantine *self, const QuarantineEntry *judged, const char *verb,
                  GCancellable *cancellable, GError **error)
{
  const char *id = judged->id;
  g_autoptr (QuarantineLocker) locker = quarantine_locker_new (self, cancellable, error);
  g_autoptr (QuarantineEntry) entry = locker != NULL ? quarantine_load (self, id, error) : NULL;
  g_autofree char *outside = quarantine_get_outside (id);
  g_autofree char *purged = g_strconcat (".", id, PURGED_SUFFIX, NULL);

  /* Another one bears the name by now: nobody has judged that. */
  if (entry != NULL && entry->time != judged->time)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "%s is another entry by now", id);
      return NULL;
    }
  if (entry != NULL && !check_folder (self, self->fd, "quarantine", error))
    return NULL;
  if (entry == NULL ||
      !audit_append (self->audit, verb, id, quarantine_entry_get_episode (entry), entry->reason, error) ||
      !cis_folder_remove (self->fd, purged, cancellable, error) ||
      !cis_file_publish (self->fd, id, self->fd, purged, error) ||
      !cis_file_remove (self->fd, outside, error))
    return NULL;
  return g_steal_pointer (&purged);
}

gboolean
quarantine_remove (Quarantine *self, const QuarantineEntry *entry, const char *verb,
                   GCancellable *cancellable, GError **error)
{
  g_autofree char *purged = rename_to_remove (self, entry, verb, cancellable, error);

  return purged != NULL && cis_folder_remove (self->fd, purged, cancellable, error);
}

gboolean
quarantine_sweep (Quarantine *self, QuarantineKeptFunc kept, gpointer user_data, GCancellable *cancellable,
                  GError **error)
{
  g_autoptr (GPtrArray) names = quarantine_list (self, TRUE, error);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autoptr (GError) cause = NULL;
      gboolean removed =
          !g_str_has_suffix (name, PURGED_SUFFIX) || cis_folder_remove (self->fd, name, cancellable, &cause);

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      /* One that holds files of somebody else's, say, must not keep all others. */
      if (!removed)
        kept (name, cause, user_data);
    }
  return names != NULL;
}
