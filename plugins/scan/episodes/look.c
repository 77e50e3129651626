/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether an episode is ready: its meta.json has been written, nobody writes to it any more, and it can be
 * moved. */

#include "episodes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONG_QUIET (10 * 60 * G_USEC_PER_SEC)
#define CLOCK_STEP (60 * G_USEC_PER_SEC)

/* A host without a battery for its clock boots in 1970 and jumps when it hears of the time: then files that
 * are written right now are fifty years old. What came before this run nobody knows, but that jump comes soon
 * after the boot. */
gboolean
is_clock_trusted (CisScanEpisodes *self)
{
  struct timespec boot;
  gint64 running, offset;

  if (clock_gettime (CLOCK_BOOTTIME, &boot) != 0)
    return FALSE;
  running = boot.tv_sec * G_USEC_PER_SEC + boot.tv_nsec / 1000;
  offset = g_get_real_time () - running;
  if (self->clock_offset == 0)
    self->clock_offset = offset;
  if (ABS (offset - self->clock_offset) > CLOCK_STEP)
    {
      self->clock_offset = offset;
      self->stepped_at = g_get_monotonic_time ();
    }
  return running > LONG_QUIET &&
         (self->stepped_at == 0 || g_get_monotonic_time () - self->stepped_at > LONG_QUIET);
}

/* Puts an entry back that is not ready. With --once, one that was looked at twice has had its chance. */
static void
look_again (CisScanEpisodes *self, BacklogEntry *entry, gint64 due, gboolean last, gint *n_parked)
{
  if (!last || !self->once)
    {
      backlog_wait (self->backlog, entry->name, due);
      return;
    }
  backlog_park (self->backlog, entry->name);
  g_atomic_int_inc (n_parked);
}

/* An experiment may do anything between making meta.json and filling it, and take longer than `quiet`; one
 * that is empty for long is judged. What is ahead of the clock is older than its last setting. */
static gboolean
is_yet_to_be_filled (CisScanEpisodes *self, const struct stat *st)
{
  gint64 changed = st->st_ctim.tv_sec * G_USEC_PER_SEC;

  return S_ISREG (st->st_mode) && st->st_size == 0 &&
         !(is_clock_trusted (self) && ABS (g_get_real_time () - changed) > LONG_QUIET);
}

/* The longer it has no meta.json, the more seldom one looks: the watch tells, and some are never finished. */
static void
look_again_unfinished (CisScanEpisodes *self, BacklogEntry *entry, gint64 now)
{
  watch_add_unfinished (self->watch, entry->name);
  look_again (self, entry,
              now + CLAMP ((now - entry->first_seen) / 8, self->quiet, MAX (self->quiet, LONG_QUIET)), TRUE,
              &self->n_unfinished);
}

/* @what: it cannot be. */
static void
look_again_unreadable (CisScanEpisodes *self, BacklogEntry *entry, const char *what, GError *error)
{
  g_autofree char *path = cis_host_state_get_file (self->state, CIS_FOLDER_EPISODES, entry->name, NULL);
  g_autofree char *quoted = g_shell_quote (path);
  CisFinding *finding;

  if (g_error_matches (error, CIS_ERROR, CIS_ERROR_GONE) ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      backlog_forget (self->backlog, entry->name);
      return;
    }
  /* Something in it vanished meanwhile, so it is being written. */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_BUSY))
    {
      g_clear_pointer (&entry->fingerprint, g_free);
      look_again (self, entry, g_get_monotonic_time () + self->quiet, entry->looks > 1, &self->n_written);
      return;
    }
  finding = cis_finding_new ("episode-unreadable", CIS_SEVERITY_ERROR, entry->name,
                             "The episode %s cannot be %s, so it is not shipped: %s", entry->name, what,
                             error->message);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    cis_finding_set_fix (finding, "chown -R \"$(stat -c %%U:%%G %s/..)\" %s && chmod -R u+rwX %s", quoted,
                         quoted, quoted);
  else
    cis_finding_set_fix (finding, "ls -laR %s\n# it is looked at again by itself", quoted);
  cis_part_raise (CIS_PART (self), finding);
  if (self->once)
    backlog_park (self->backlog, entry->name);
  else
    backlog_defer (self->backlog, entry->name, g_get_monotonic_time (), 0);
}

/* What makes room for the move, for the folder @path. */
static void
set_move_fix (CisFinding *finding, int obstacle, const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *hidden_name = g_strconcat (".", name, NULL);
  g_autofree char *hidden = g_build_filename (folder, hidden_name, NULL);
  g_autofree char *quoted = g_shell_quote (path);
  g_autofree char *quoted_hidden = g_shell_quote (hidden);

  if (obstacle == EBUSY)
    cis_finding_set_fix (finding, "findmnt --target %s\numount %s", quoted, quoted);
  else if (obstacle == EPERM)
    cis_finding_set_fix (finding, "lsattr -d %s\nchattr -R -f -i -a %s", quoted, quoted);
  else
    /* mv(1) copies where it cannot rename; scan passes over ".NAME", and so over half a copy. */
    cis_finding_set_fix (finding, "mv -T -- %s %s && mv -T -- %s %s", quoted, quoted_hidden, quoted_hidden,
                         quoted);
}

/* What could leave episodes/ by no way would be shipped, and stay: it is told before. */
static gboolean
has_way_out (CisScanEpisodes *self, BacklogEntry *entry)
{
  int quarantine = cis_host_state_get_fd (self->state, CIS_FOLDER_QUARANTINE);
  int obstacle = cis_move_find_obstacle (get_episodes_fd (self), entry->name, quarantine);
  g_autofree char *path = NULL;
  CisFinding *finding;

  if (obstacle == 0)
    {
      cis_part_clear (CIS_PART (self), "episode-not-movable", entry->name);
      return TRUE;
    }
  path = cis_host_state_get_file (self->state, CIS_FOLDER_EPISODES, entry->name, NULL);
  finding =
      cis_finding_new ("episode-not-movable", CIS_SEVERITY_ERROR, entry->name,
                       "The episode %s is not shipped, as %s could be renamed neither to %s/shipped nor to "
                       "%s/quarantine: %s",
                       entry->name, path, cis_host_state_get_path (self->state),
                       cis_host_state_get_path (self->state), cis_move_get_reason (obstacle));
  set_move_fix (finding, obstacle, path);
  cis_part_raise (CIS_PART (self), finding);
  if (self->once)
    backlog_park (self->backlog, entry->name);
  else
    backlog_defer (self->backlog, entry->name, g_get_monotonic_time (), 0);
  return FALSE;
}

/* A folder gets another parent only where it can be written itself, as its ".." changes: one that an
 * experiment of root's left would go neither to shipped/ nor to quarantine/. */
static gboolean
can_be_moved (CisScanEpisodes *self, const char *name, GError **error)
{
  return faccessat (get_episodes_fd (self), name, W_OK, AT_EACCESS) == 0 || errno != EACCES ||
         cis_error_set_errno (error, errno, "Its folder cannot be written");
}

/* Since when the tree is as it is now, @now, and was not at the last look: since its newest ctime, where that
 * lies in between and the clock that gave it was not set meanwhile. */
static gint64
find_change (CisScanEpisodes *self, const BacklogEntry *entry, gint64 newest, gint64 offset, gint64 now)
{
  gint64 changed = newest - offset;

  return entry->fingerprint != NULL && ABS (offset - entry->clock_offset) <= self->quiet / 10 &&
                 changed >= entry->looked_at && changed <= now
             ? changed
             : now;
}

/* Whether the fingerprint says that nobody writes any more; otherwise remembers it for the next look. */
static gboolean
is_quiet (CisScanEpisodes *self, BacklogEntry *entry, char **fingerprint, gint64 newest, gint64 started)
{
  gint64 now = g_get_monotonic_time ();
  gint64 offset = g_get_real_time () - now;
  gboolean unchanged = g_strcmp0 (entry->fingerprint, *fingerprint) == 0;
  gboolean seen = entry->fingerprint != NULL;

  if (is_clock_trusted (self) && g_get_real_time () - newest > LONG_QUIET)
    return TRUE;
  if (unchanged && started - entry->unchanged_at >= self->quiet)
    return TRUE;
  if (!unchanged)
    {
      entry->unchanged_at = find_change (self, entry, newest, offset, now);
      g_free (entry->fingerprint);
      entry->fingerprint = g_steal_pointer (fingerprint);
    }
  entry->looked_at = started;
  entry->clock_offset = offset;
  /* A tree so large that looking takes long is looked at more seldom. */
  look_again (self, entry, MAX (entry->unchanged_at + self->quiet, now + 4 * (now - started)),
              seen && !unchanged, &self->n_written);
  return FALSE;
}

char *
look (CisScanEpisodes *self, BacklogEntry *entry, GCancellable *cancellable)
{
  g_autofree char *meta = g_strconcat (entry->name, "/meta.json", NULL);
  g_autofree char *fingerprint = NULL;
  g_autoptr (GError) error = NULL;
  gint64 started = g_get_monotonic_time ();
  gint64 newest;
  struct stat st;

  if (fstatat (get_episodes_fd (self), meta, &st, AT_SYMLINK_NOFOLLOW) != 0
          ? errno == ENOENT || errno == ENOTDIR
          : is_yet_to_be_filled (self, &st))
    {
      gboolean there = fstatat (get_episodes_fd (self), entry->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
      gboolean overdue = there && unfinished_consider (self, entry->name, &st, cancellable);

      if (!there)
        backlog_forget (self->backlog, entry->name);
      else if (!overdue || !self->take_unfinished)
        look_again_unfinished (self, entry, started);
      if (!overdue || !self->take_unfinished)
        return NULL;
    }
  else
    unfinished_forget (self, entry->name);
  watch_remove_unfinished (self->watch, entry->name);
  entry->looks++;
  fingerprint = cis_fingerprint (get_episodes_fd (self), entry->name, &newest, cancellable, &error);
  if (fingerprint == NULL || !can_be_moved (self, entry->name, &error))
    {
      look_again_unreadable (self, entry, fingerprint == NULL ? "read" : "moved", error);
      return NULL;
    }
  cis_part_clear (CIS_PART (self), "episode-unreadable", entry->name);
  if (!has_way_out (self, entry))
    return NULL;
  return is_quiet (self, entry, &fingerprint, newest, started) ? g_steal_pointer (&fingerprint) : NULL;
}
