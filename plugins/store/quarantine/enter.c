/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The way in. An episode must never lie in quarantine without a reason, wherever the power goes, so the
 * reason comes first and outside the tree:
 *
 *   1. quarantine/.NAME.reason.json  written and synced
 *   2. episodes/ID                   renamed to quarantine/NAME (ID, or ID-2, ID-3, … where taken); both
 * synced
 *   3. quarantine/.NAME.reason.json  renamed to quarantine/NAME/quarantine_reason.json
 *
 * A reason whose episode arrived is moved in later; one without an episode, of a way in or out that was cut,
 * is removed, for the episode is judged anew. */

#include "folder-private.h"
#include "reason.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What lies where the reason goes: how to call it, and what it says where it is an older reason of ours, as
 * of an episode that somebody moved back by hand. */
static void
look_inside (Quarantine *self, const char *name, ReasonContext *context)
{
  g_autofree char *inside = quarantine_get_inside (name);
  g_autoptr (JsonObject) older = NULL;
  const char *first_seen;
  struct stat st;

  if (!quarantine_is_there (self->episodes, inside))
    return;
  for (guint n = 1; context->displaced == NULL; n++)
    {
      g_autofree char *kept = g_strdup_printf ("quarantine_reason-%u.json", n);
      g_autofree char *path = g_build_filename (name, kept, NULL);

      /* The rename that takes this name replaces nothing. */
      if (fstatat (self->episodes, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        context->displaced = g_steal_pointer (&kept);
    }
  older = reason_load (self->episodes, inside, NULL, NULL);
  if (older == NULL)
    return;
  context->attempts = MAX (context->attempts, (guint) cis_json_get_size (older, "attempts", 0) + 1);
  first_seen = cis_json_get_string (older, "first_seen");
  if (context->first_seen == NULL && first_seen != NULL)
    context->first_seen = g_strdup (first_seen);
}

static gboolean
set_gone (const char *name, GError **error)
{
  g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "%s is not in episodes/ any more", name);
  return FALSE;
}

static gboolean
read_context (Quarantine *self, const char *name, ReasonContext *context, GError **error)
{
  struct stat st;

  if (fstatat (self->episodes, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? set_gone (name, error)
                           : cis_error_set_errno (error, errno, "Cannot look at episodes/%s", name);
  context->folder = st.st_mtim;
  /* A host without a battery for its clock boots in 1970. Once the clock is set, what it rejected then must
   * not be past keep-days at once. */
  context->time = MAX (g_get_real_time (), MAX (self->opened, st.st_ctim.tv_sec * G_USEC_PER_SEC));
  context->attempts = audit_count_releases (self->audit, name, &context->first_seen);
  look_inside (self, name, context);
  return TRUE;
}

/* Something else than the folder that was judged, put in its place just then, such as a symlink: no entry,
 * and nothing that could be given back. */
static gboolean
move_back_odd (Quarantine *self, const char *name, const char *target, const char *outside, GError **error)
{
  return cis_file_publish (self->fd, target, self->episodes, name, error) &&
         cis_file_remove (self->fd, outside, error) && set_gone (name, error);
}

/* Steps 1 and 2 for one name. FALSE without error: the name is taken. */
static gboolean
put_aside (Quarantine *self, CisEpisode *episode, CisFinding *finding, const ReasonContext *context,
           const char *target, GError **error)
{
  const char *name = cis_episode_get_name (episode);
  g_autofree char *fix = reason_get_fix (finding, name, target);
  g_autofree char *reason = reason_make (episode, finding, fix, context);
  g_autofree char *outside = quarantine_get_outside (target);
  g_autoptr (GError) cause = NULL;
  struct stat st;

  if (fstatat (self->fd, target, &st, AT_SYMLINK_NOFOLLOW) == 0)
    return FALSE;
  /* Not taken to be taken: of a disk that answers nothing, all names would be. */
  if (errno != ENOENT)
    return cis_error_set_errno (error, errno, "Cannot look at quarantine/%s", target);
  if (!cis_file_replace (self->fd, outside, reason, strlen (reason), error))
    return FALSE;
  if (cis_file_publish (self->episodes, name, self->fd, target, &cause))
    return fstatat (self->fd, target, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR (st.st_mode) ||
           move_back_odd (self, name, target, outside, error);
  /* After a failed fsync nobody knows which name the disk has: the next start finds out, and needs the
   * reason. */
  if (!g_error_matches (cause, CIS_ERROR, CIS_ERROR_FATAL) && !cis_file_remove (self->fd, outside, error))
    return FALSE;
  if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return set_gone (name, error);
  if (!g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_EXISTS))
    g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

char *
quarantine_put (Quarantine *self, CisEpisode *episode, CisFinding *finding, GCancellable *cancellable,
                GError **error)
{
  g_autoptr (QuarantineLocker) locker = quarantine_locker_new (self, cancellable, error);
  const char *name = cis_episode_get_name (episode);
  g_auto (ReasonContext) context = { 0 };
  g_autofree char *target = g_strdup (name);
  g_autoptr (GError) cause = NULL;

  if (locker == NULL || !read_context (self, name, &context, error))
    return NULL;
  for (guint n = 2; !put_aside (self, episode, finding, &context, target, &cause); n++)
    {
      if (cause != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return NULL;
        }
      g_free (target);
      target = g_strdup_printf ("%s-%u", name, n);
    }
  /* What comes in takes the room for the way out with it. */
  audit_reserve (self->audit);
  if (quarantine_move_reason_in (self, target, &cause))
    return g_steal_pointer (&target);
  if (g_error_matches (cause, CIS_ERROR, CIS_ERROR_FATAL))
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return NULL;
    }
  /* It is quarantined all the same; a folder that forbids writing to it, say, must not undo that. */
  cis_part_log (self->part, CIS_ITEM (episode), G_LOG_LEVEL_WARNING, NULL,
                "The reason stays beside the episode, in quarantine/.%s" REASON_SUFFIX ": %s", target,
                cause->message);
  return g_steal_pointer (&target);
}

/* ---- what was cut */

static void
recover_reason (Quarantine *self, const char *outside)
{
  gsize length = strlen (outside) - strlen (".") - strlen (REASON_SUFFIX);
  g_autofree char *id = g_strndup (outside + 1, length);
  g_autoptr (GError) error = NULL;

  if (quarantine_is_there (self->fd, id))
    {
      if (quarantine_move_reason_in (self, id, &error))
        cis_part_log (self->part, NULL, G_LOG_LEVEL_MESSAGE, NULL, "Finished the quarantine of %s", id);
    }
  else if (cis_file_remove (self->fd, outside, &error))
    cis_part_log (self->part, NULL, G_LOG_LEVEL_MESSAGE, NULL,
                  "Removed the reason of %s, which is not in quarantine: it is judged anew", id);
  /* Not worth a refusal to start: the reason lies beside its episode and is tried again at the next start. */
  if (error != NULL)
    cis_part_log (self->part, NULL, G_LOG_LEVEL_WARNING, NULL, "Cannot finish the quarantine of %s: %s", id,
                  error->message);
}

gboolean
quarantine_recover (Quarantine *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (QuarantineLocker) locker = quarantine_locker_new (self, cancellable, error);
  g_autoptr (GPtrArray) names = locker != NULL ? quarantine_list (self, TRUE, error) : NULL;

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);

      if (g_str_has_suffix (name, REASON_SUFFIX) && strlen (name) > strlen ("." REASON_SUFFIX))
        recover_reason (self, name);
      /* What cis_file_replace() was writing when it was killed. */
      else if (g_str_has_suffix (name, ".tmp") && !cis_file_remove (self->fd, name, error))
        return FALSE;
    }
  return names != NULL;
}
