/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "leftovers.h"

#include "set-aside.h"
#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <time.h>

typedef gboolean (*PartFunc) (const char *host, const char *name, const CisPartName *parsed,
                              const struct stat *st, gpointer user_data, GError **error);

static gboolean
walk_host (CisLayout *layout, const char *host, PartFunc func, gpointer user_data, GError **error)
{
  g_autoptr (GPtrArray) names = cis_layout_list (layout->incoming, host, error);
  struct stat st;

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autoptr (CisPartName) parsed = cis_part_name_parse (name);
      g_autofree char *path = g_build_filename (host, name, NULL);
      int there = parsed != NULL ? cis_layout_look (layout->incoming, path, &st, error) : 0;

      if (there < 0 ||
          (there > 0 && S_ISREG (st.st_mode) && !func (host, name, parsed, &st, user_data, error)))
        return FALSE;
    }
  return names != NULL;
}

static gboolean
walk (CisLayout *layout, PartFunc func, gpointer user_data, GError **error)
{
  g_autoptr (GPtrArray) hosts = cis_layout_list (layout->incoming, ".", error);

  for (guint i = 0; hosts != NULL && i < hosts->len; i++)
    {
      const char *host = g_ptr_array_index (hosts, i);

      if (cis_name_is_valid (host, CIS_HOST_NAME_MAX) && !walk_host (layout, host, func, user_data, error))
        return FALSE;
    }
  return hosts != NULL;
}

typedef struct
{
  CisLayout *layout;
  CisShelves *shelves;
  CisLeftoverFunc found;
  gpointer user_data;
  GPtrArray *odd;
} Recovery;

/* The archive, if it is the same inode as its .part; -1 otherwise, with @error where nobody knows. */
static int
open_twin (CisShelf *shelf, const char *episode, const struct stat *part, GError **error)
{
  g_autofree char *name = cis_layout_archive_name (episode);
  g_autoptr (GError) problem = NULL;
  struct stat st;
  int fd = cis_file_open (shelf->store, name, O_RDONLY | O_NOFOLLOW, &st, &problem);

  if (problem != NULL && !g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) &&
      !g_error_matches (problem, CIS_ERROR, CIS_ERROR_INVALID))
    g_propagate_prefixed_error (error, g_steal_pointer (&problem), "store/%s: ", shelf->host);
  else if (fd >= 0 && st.st_ino == part->st_ino && st.st_dev == part->st_dev)
    return fd;
  cis_file_close (&fd, name, NULL);
  return -1;
}

/* Whether the file is not in the state any more that was noted when it was sealed, as a disk may have lost
 * bytes in a power cut. Where nothing can be noted, only an empty one tells. -1: nobody knows. */
static int
has_changed (CisEpisode *episode, int fd, const struct stat *st, GError **error)
{
  g_autoptr (JsonObject) receipt = cis_layout_read_receipt (fd, episode, NULL);
  g_autofree char *sha256 = NULL, *commit = NULL;

  if (receipt != NULL)
    return 0;
  if (!cis_layout_read_promise (fd, episode, &sha256, &commit, error))
    return -1;
  return sha256 != NULL || st->st_size == 0;
}

/* 1: the bytes are those that the .part is named after. 0: they are not, and are set aside: nobody was told
 * that they are stored, so that the host has them still, and sends them again. -1: nobody knows. */
static int
check_bytes (Recovery *recovery, CisShelf *shelf, CisEpisode *episode, int fd, const struct stat *st,
             const char *part, const CisPartName *parsed, GError **error)
{
  g_autofree char *found = NULL, *aside = NULL;
  CisDamage damage = { .st = *st };
  int changed = has_changed (episode, fd, st, error);

  if (changed <= 0)
    return changed < 0 ? -1 : 1;
  damage.found = found = cis_digest_file (fd, NULL, NULL, NULL, error);
  if (g_strcmp0 (found, parsed->sha256) == 0)
    return 1;
  if (found == NULL || !cis_set_aside_alone (recovery->layout, shelf, episode, &damage, &aside, error) ||
      !cis_group_commit_flush (shelf->store_commit, error) || !cis_file_remove (shelf->incoming, part, error))
    return -1;
  g_ptr_array_add (
      recovery->odd,
      g_strdup_printf ("store/%s/%s.tar.zst, which was not brought home, has lost bytes: its sha256 is "
                       "%s, not %s. It is set aside as %s, and its host sends it again",
                       shelf->host, parsed->episode, found, parsed->sha256, aside));
  return 0;
}

static gboolean
recover_part (const char *host, const char *name, const CisPartName *parsed, const struct stat *st,
              gpointer user_data, GError **error)
{
  Recovery *recovery = user_data;
  g_autoptr (GError) cause = NULL;
  g_autoptr (CisShelf) shelf = NULL;
  g_autoptr (CisEpisode) episode = NULL;
  int fd, sound;

  if (st->st_nlink < 2)
    return TRUE;
  shelf = cis_shelves_get (recovery->shelves, host, error);
  if (shelf == NULL)
    return FALSE;
  fd = open_twin (shelf, parsed->episode, st, &cause);
  if (cause != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return FALSE;
    }
  if (fd < 0)
    {
      g_ptr_array_add (recovery->odd, g_strdup_printf ("incoming/%s/%s has a second name that is not its "
                                                       "archive's in the store; it is kept",
                                                       host, name));
      return TRUE;
    }
  episode = cis_episode_new (host, parsed->episode, NULL);
  sound = check_bytes (recovery, shelf, episode, fd, st, name, parsed, error);
  if (sound > 0)
    cis_upload_adopt (episode, fd, st, parsed);
  g_close (fd, NULL);
  if (sound <= 0)
    return sound == 0;
  recovery->found (g_steal_pointer (&episode), name, recovery->user_data);
  /* The link may be known to the kernel only: nothing tells at which step the other run ended. */
  return cis_group_commit_flush (shelf->store_commit, error);
}

gboolean
cis_leftovers_recover (CisLayout *layout, CisShelves *shelves, CisLeftoverFunc found, gpointer user_data,
                       GPtrArray *odd, GError **error)
{
  Recovery recovery = { layout, shelves, found, user_data, odd };

  return cis_set_aside_clean (layout, error) && walk (layout, recover_part, &recovery, error);
}

/* A .part, as it has been since some pass. */
typedef struct
{
  gint64 since; /* µs since boot */
  gint64 size;
  struct timespec
      changed; /* its ctime, which says that it was written to, not when: that clock may be wrong */
} Look;

/* A reload closes everything. Where reloads come more often than @keep, nothing would ever be due, were what
 * was seen not kept here meanwhile. */
static GMutex mutex;       /* guards what follows */
static GHashTable *closed; /* directory to the seen of the one that was closed there */

struct _CisLeftovers
{
  char *directory;
  CisLayout *layout;
  CisEpisodeHolds *holds;
  CisQuota *quota;
  gint64 keep;
  GHashTable *seen; /* "host/part" to its Look */
  GHashTable *next; /* the same, of the pass that runs */
  gint64 now;
  int n_expired;
};

static GHashTable *
take_seen (const char *directory)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);
  g_autofree char *key = NULL;
  GHashTable *seen = NULL;

  if (closed != NULL)
    g_hash_table_steal_extended (closed, directory, (gpointer *) &key, (gpointer *) &seen);
  return seen != NULL ? seen : g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
}

/* Takes both. */
static void
keep_seen (char *directory, GHashTable *seen)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);

  if (closed == NULL)
    closed = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, (GDestroyNotify) g_hash_table_unref);
  g_hash_table_replace (closed, directory, seen);
}

CisLeftovers *
cis_leftovers_new (const char *directory, CisLayout *layout, CisEpisodeHolds *holds, CisQuota *quota,
                   gint64 keep)
{
  CisLeftovers *self = g_new0 (CisLeftovers, 1);

  self->directory = g_strdup (directory);
  self->layout = layout;
  self->holds = holds;
  self->quota = quota;
  self->keep = keep;
  self->seen = take_seen (directory);
  return self;
}

void
cis_leftovers_free (CisLeftovers *self)
{
  keep_seen (self->directory, self->seen);
  g_free (self);
}

gint64
cis_leftovers_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_BOOTTIME, &now);
  return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* Counted from the first pass of this run that saw it as it is: no clock on the wall has a say, and each
 * start begins anew. */
static gboolean
is_due (CisLeftovers *self, const char *path, const struct stat *st)
{
  Look *before = g_hash_table_lookup (self->seen, path);
  Look look = { self->now, st->st_size, st->st_ctim };

  if (before != NULL && before->size == look.size && before->changed.tv_sec == look.changed.tv_sec &&
      before->changed.tv_nsec == look.changed.tv_nsec)
    look.since = before->since;
  g_hash_table_insert (self->next, g_strdup (path), g_memdup2 (&look, sizeof look));
  return self->now - look.since >= self->keep;
}

static gboolean
expire_part (const char *host, const char *name, const CisPartName *parsed, const struct stat *st,
             gpointer user_data, GError **error)
{
  CisLeftovers *self = user_data;
  g_autofree char *path = g_build_filename (host, name, NULL);
  g_autofree char *id = g_build_filename (host, parsed->episode, NULL);
  gboolean ok = TRUE;
  struct stat again;
  CisEpisodeHold *hold;

  if (st->st_nlink > 1 || !is_due (self, path, st))
    return TRUE;
  /* Held, so that no upload begins this very .part meanwhile; and looked at again, because one may have done
   * so before. */
  hold = cis_holds_take (self->holds, id, NULL);
  if (hold == NULL)
    return TRUE;
  if (fstatat (self->layout->incoming, path, &again, AT_SYMLINK_NOFOLLOW) == 0 &&
      again.st_ino == st->st_ino && again.st_nlink == 1)
    {
      ok = cis_file_remove (self->layout->incoming, path, error);
      self->n_expired += ok;
      if (ok)
        cis_quota_add (self->quota, host, -again.st_size);
    }
  cis_holds_release (self->holds, hold);
  return ok;
}

int
cis_leftovers_expire (CisLeftovers *self, gint64 now, GError **error)
{
  gboolean walked;

  self->next = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
  self->now = now;
  self->n_expired = 0;
  walked = walk (self->layout, expire_part, self, error);
  g_hash_table_unref (self->seen);
  self->seen = g_steal_pointer (&self->next);
  return walked ? self->n_expired : -1;
}
