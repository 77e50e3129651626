/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is there: episodes/, listed as seldom as possible. */

#include "episodes.h"
#include "names.h"
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

typedef DIR Dir;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Dir, closedir)

typedef CisFinding *(*DescribeFunc) (CisHostState *state, const char *name);

/* What is in episodes/ and can be no episode. */
static void
consider_invalid (CisScanEpisodes *self, const char *name, DescribeFunc describe)
{
  g_autofree char *subject = name_to_subject (name);
  gboolean told = g_hash_table_contains (self->invalid, subject);

  g_hash_table_insert (self->invalid, g_steal_pointer (&subject), GUINT_TO_POINTER (self->listing));
  if (!told)
    cis_part_raise (CIS_PART (self), describe (self->state, name));
}

/* Takes note of a name in episodes/, of which there may be ten thousand: one that is known costs no system
 * call. */
static void
consider (CisScanEpisodes *self, const char *name)
{
  g_autofree char *meta = g_strconcat (name, "/meta.json", NULL);
  gboolean valid = cis_name_is_valid (name, CIS_EPISODE_NAME_MAX);
  struct stat st, meta_st;

  if (*name == '.' || (valid && backlog_mark (self->backlog, name)))
    return;
  if (fstatat (get_episodes_fd (self), name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  if (S_ISLNK (st.st_mode) && link_hides_episode (self->state, name))
    consider_invalid (self, name, link_to_finding);
  else if (S_ISDIR (st.st_mode) && !valid)
    consider_invalid (self, name, name_to_finding);
  if (!S_ISDIR (st.st_mode) || !valid)
    return;
  if (fstatat (get_episodes_fd (self), meta, &meta_st, AT_SYMLINK_NOFOLLOW) == 0)
    st = meta_st;
  backlog_add (self->backlog, name, st.st_mtim.tv_sec * G_USEC_PER_SEC + st.st_mtim.tv_nsec / 1000,
               g_get_monotonic_time ());
}

static gboolean
is_of_old_listing (gpointer subject, gpointer listing, gpointer newest)
{
  return listing != newest;
}

/* What is not there any more is not wrong any more, whoever told of it. */
static void
end_listing (CisScanEpisodes *self)
{
  CisPart *part = CIS_PART (self);

  backlog_end_listing (self->backlog);
  watch_prune (self->watch, (gboolean (*) (gpointer, const char *)) backlog_is_known, self->backlog);
  g_hash_table_foreach_remove (self->invalid, is_of_old_listing, GUINT_TO_POINTER (self->listing));
  cis_part_clear_unless (part, "episode-name-invalid", (CisSubjectFunc) g_hash_table_contains, self->invalid);
  cis_part_clear_unless (part, "episode-is-link", (CisSubjectFunc) g_hash_table_contains, self->invalid);
  cis_part_clear_unless (part, "episode-unreadable", (CisSubjectFunc) backlog_is_known, self->backlog);
  cis_part_clear_unless (part, "episode-not-movable", (CisSubjectFunc) backlog_is_known, self->backlog);
  unfinished_prune (self);
  cis_part_clear_unless (part, "keeps-failing", (CisSubjectFunc) backlog_is_known, self->backlog);
}

static gboolean
list_episodes (CisScanEpisodes *self, GError **error)
{
  int fd = openat (get_episodes_fd (self), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_autoptr (Dir) dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  struct stat st;

  if (dir == NULL || fstat (fd, &st) != 0)
    {
      cis_error_set_errno (error, errno, "Cannot list %s/episodes", cis_host_state_get_path (self->state));
      if (dir == NULL && fd >= 0)
        g_close (fd, NULL);
      return FALSE;
    }
  self->listed = st.st_mtim;
  /* A change within the same tick of the file system's clock would not show. */
  if (ABS (g_get_real_time () - st.st_mtim.tv_sec * G_USEC_PER_SEC) < 2 * G_USEC_PER_SEC)
    self->listed = (struct timespec){ 0 };
  self->listing++;
  backlog_begin_listing (self->backlog);
  for (errno = 0; (entry = readdir (dir)) != NULL; errno = 0)
    consider (self, entry->d_name);
  if (errno != 0)
    return cis_error_set_errno (error, errno, "Cannot list %s/episodes",
                                cis_host_state_get_path (self->state));
  end_listing (self);
  return TRUE;
}

static gboolean
is_listed (CisScanEpisodes *self)
{
  struct stat st;

  return !g_atomic_int_compare_and_exchange (&self->relist, TRUE, FALSE) && self->listed.tv_sec != 0 &&
         fstat (get_episodes_fd (self), &st) == 0 && st.st_mtim.tv_sec == self->listed.tv_sec &&
         st.st_mtim.tv_nsec == self->listed.tv_nsec;
}

static void
on_watch_event (const char *name, WatchEvent event, gpointer user_data)
{
  CisScanEpisodes *self = user_data;
  g_autofree char *subject = name != NULL ? name_to_subject (name) : NULL;

  switch (event)
    {
    case WATCH_APPEARED:
      consider (self, name);
      break;
    case WATCH_VANISHED:
      backlog_remove (self->backlog, name);
      if (g_hash_table_remove (self->invalid, subject))
        {
          cis_part_clear (CIS_PART (self), "episode-name-invalid", subject);
          cis_part_clear (CIS_PART (self), "episode-is-link", subject);
        }
      break;
    case WATCH_FINISHED:
      backlog_hasten (self->backlog, name, g_get_monotonic_time ());
      break;
    case WATCH_LOST:
      self->listed = (struct timespec){ 0 };
      self->next_tick = 0;
      break;
    }
}

gboolean
tick (CisScanEpisodes *self, GCancellable *cancellable, GError **error)
{
  gint64 now = g_get_monotonic_time ();

  watch_read (self->watch, on_watch_event, self);
  if (now >= self->next_sweep)
    {
      if (!list_episodes (self, error))
        return FALSE;
      if (self->lock)
        sweep (CIS_PART (self), self->state, self->backlog, &self->swept_receipts, cancellable);
      self->next_sweep = now + self->sweep_interval;
      self->next_tick = now + self->poll;
    }
  else if (now >= self->next_tick)
    {
      self->next_tick = now + self->poll;
      return is_listed (self) || list_episodes (self, error);
    }
  return TRUE;
}
