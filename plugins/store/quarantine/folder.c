/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "folder-private.h"
#include "reason.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

/* In the state folder: quarantine/ itself is for its entries. */
#define LOCK_NAME ".quarantine.lock"

static gint64
get_changed (int fd)
{
  struct stat st;

  return fd >= 0 && fstat (fd, &st) == 0 ? st.st_ctim.tv_sec * G_USEC_PER_SEC : 0;
}

Quarantine *
quarantine_open (const char *state, CisPart *part, GError **error)
{
  g_autoptr (Quarantine) self = g_new0 (Quarantine, 1);
  g_autoptr (GError) cause = NULL;

  self->state = g_canonicalize_filename (state, NULL);
  self->part = part;
  self->episodes = self->fd = self->lock = -1;
  g_mutex_init (&self->mutex);
  self->root = cis_folder_open (AT_FDCWD, self->state, FALSE, error);
  if (self->root < 0 || (self->episodes = cis_folder_open (self->root, "episodes", FALSE, error)) < 0)
    {
      if (self->root >= 0)
        g_prefix_error (error, "In the state folder %s: ", self->state);
      return NULL;
    }
  self->fd = cis_folder_open (self->root, "quarantine", FALSE, &cause);
  /* Where no pipeline ran yet. */
  if (self->fd < 0 && !g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&cause), "In the state folder %s: ", self->state);
      return NULL;
    }
  self->opened = MAX (get_changed (self->episodes), get_changed (self->fd));
  self->audit = audit_new (self->root, self->state);
  return g_steal_pointer (&self);
}

/* Nothing was written through any of them. */
static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    g_close (*fd, NULL);
  *fd = -1;
}

void
quarantine_free (Quarantine *self)
{
  g_clear_pointer (&self->audit, audit_free);
  clear_fd (&self->lock);
  clear_fd (&self->fd);
  clear_fd (&self->episodes);
  clear_fd (&self->root);
  g_mutex_clear (&self->mutex);
  g_free (self->state);
  g_free (self);
}

const char *
quarantine_get_state (Quarantine *self)
{
  return self->state;
}

/* ---- lock */

/* What others can change is not worked in. */
static gboolean
check_folders (Quarantine *self, GError **error)
{
  g_autofree char *episodes = g_build_filename (self->state, "episodes", NULL);
  g_autofree char *quarantine = g_build_filename (self->state, "quarantine", NULL);

  return cis_folder_guard (self->root, self->state, FALSE, error) &&
         cis_folder_guard (self->episodes, episodes, TRUE, error) &&
         cis_folder_guard (self->fd, quarantine, FALSE, error);
}

static gboolean
lock (Quarantine *self, GCancellable *cancellable, GError **error)
{
  if (self->lock < 0)
    self->lock = cis_lock_open (self->root, LOCK_NAME, error);
  if (self->lock >= 0 && check_folders (self, error) &&
      cis_file_lock (self->lock, TRUE, LOCK_NAME, cancellable, error))
    return TRUE;
  g_prefix_error (error, "In the state folder %s: ", self->state);
  return FALSE;
}

QuarantineLocker *
quarantine_locker_new (Quarantine *self, GCancellable *cancellable, GError **error)
{
  if (self->fd < 0)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "There is no %s/quarantine", self->state);
      return NULL;
    }
  g_mutex_lock (&self->mutex);
  if (lock (self, cancellable, error))
    return self;
  g_mutex_unlock (&self->mutex);
  return NULL;
}

void
quarantine_locker_free (QuarantineLocker *locker)
{
  cis_file_unlock (locker->lock);
  g_mutex_unlock (&locker->mutex);
}

/* ---- names */

gboolean
quarantine_is_there (int dirfd, const char *name)
{
  struct stat st;

  return fstatat (dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

char *
quarantine_get_outside (const char *id)
{
  return g_strconcat (".", id, REASON_SUFFIX, NULL);
}

char *
quarantine_get_inside (const char *id)
{
  return g_build_filename (id, QUARANTINE_REASON, NULL);
}

GPtrArray *
quarantine_list (Quarantine *self, gboolean hidden, GError **error)
{
  g_autofree char *path = g_build_filename (self->state, "quarantine", NULL);
  g_autoptr (GPtrArray) names =
      self->fd >= 0 ? cis_folder_list (self->fd, path, error) : g_ptr_array_new_with_free_func (g_free);

  for (guint i = names != NULL ? names->len : 0; i-- > 0;)
    if ((*(const char *) g_ptr_array_index (names, i) == '.') != hidden)
      g_ptr_array_remove_index (names, i);
  return g_steal_pointer (&names);
}

/* ---- entries */

QuarantineEntry *
quarantine_load (Quarantine *self, const char *id, GError **error)
{
  g_autoptr (QuarantineEntry) entry = g_new0 (QuarantineEntry, 1);
  g_autofree char *outside = quarantine_get_outside (id);
  g_autofree char *inside = quarantine_get_inside (id);
  g_autoptr (GError) cause = NULL;
  struct stat st;

  if (*id == '\0' || *id == '.' || strchr (id, '/') != NULL ||
      fstatat (self->fd, id, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR (st.st_mode))
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_GONE,
                   "There is no %s in %s/quarantine; `cis490 quarantine list --long` names what is there", id,
                   self->state);
      return NULL;
    }
  entry->id = g_strdup (id);
  /* Who reads without the lock may look into either place just when it is moved to the other. */
  for (guint i = 0; i < 2 && entry->reason == NULL && cause == NULL; i++)
    {
      entry->reason = reason_load (self->fd, outside, &entry->time, &cause);
      entry->outside = entry->reason != NULL;
      if (entry->reason == NULL && cause == NULL)
        entry->reason = reason_load (self->fd, inside, &entry->time, &cause);
    }
  /* Not taken for one without a reason: it would be released with that in its tree. */
  if (cause != NULL)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&cause), "In %s/quarantine: ", self->state);
      return NULL;
    }
  return g_steal_pointer (&entry);
}

void
quarantine_entry_free (QuarantineEntry *entry)
{
  g_free (entry->id);
  g_clear_pointer (&entry->reason, json_object_unref);
  g_free (entry);
}

const char *
quarantine_entry_get_episode (QuarantineEntry *entry)
{
  const char *episode = entry->reason != NULL ? cis_json_get_string (entry->reason, "episode") : NULL;

  return episode != NULL && cis_name_is_valid (episode, CIS_EPISODE_NAME_MAX) ? episode : entry->id;
}

const char *
quarantine_entry_get_finding (QuarantineEntry *entry)
{
  return entry->reason != NULL ? cis_json_get_string (entry->reason, "finding") : NULL;
}

/* ---- the reason */

/* What the file that lies where the reason goes is called from then on: as the reason says or, where a person
 * put it there meanwhile, anything that is free. full */
static char *
choose_kept (Quarantine *self, const char *id, const char *outside)
{
  g_autoptr (JsonObject) reason = reason_load (self->fd, outside, NULL, NULL);
  const char *displaced = reason != NULL ? cis_json_get_string (reason, "displaced") : NULL;
  g_autofree char *kept = NULL;
  struct stat st;

  if (displaced != NULL && strchr (displaced, '/') == NULL)
    kept = g_build_filename (id, displaced, NULL);
  /* What cannot be looked at may be taken for free, as the rename replaces nothing; the other way round this
   * would not end. */
  for (guint n = 1; kept == NULL || fstatat (self->fd, kept, &st, AT_SYMLINK_NOFOLLOW) == 0; n++)
    {
      g_free (kept);
      kept = g_strdup_printf ("%s/quarantine_reason-%u.json", id, n);
    }
  return g_steal_pointer (&kept);
}

gboolean
quarantine_move_reason_in (Quarantine *self, const char *id, GError **error)
{
  g_autofree char *outside = quarantine_get_outside (id);
  g_autofree char *inside = quarantine_get_inside (id);
  g_autofree char *kept = NULL;
  g_autoptr (GError) cause = NULL;

  if (cis_file_publish (self->fd, outside, self->fd, inside, &cause))
    return TRUE;
  if (!g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_EXISTS))
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return FALSE;
    }
  /* The experiment's own, or an older one of ours: nothing in an episode is ever replaced. */
  kept = choose_kept (self, id, outside);
  return cis_file_publish (self->fd, inside, self->fd, kept, error) &&
         cis_file_publish (self->fd, outside, self->fd, inside, error);
}
