/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 128 /* a descriptor each */

/* Every entry is one record, "path NUL type NUL size NUL mtime NUL ctime newline". No path holds a NUL and
 * nothing behind it a newline, so no two trees give the same bytes. The ctime shows what leaves size and
 * mtime alone, and no program can set it. */
typedef struct
{
  CisDigest *digest;
  GString *path;   /* of the entry, below the tree */
  GString *record; /* of the entry */
  gint64 newest;   /* ctime, µs since 1970 */
  guint depth;
  const char *name; /* of the tree, for messages */
  GCancellable *cancellable;
} Walk;

static gboolean walk_folder (Walk *self, int fd, GError **error);

static gboolean
set_entry_error (Walk *self, int errsv, GError **error)
{
  g_autofree char *shown = g_filename_display_name (self->path->str);

  if (errsv != ENOENT && errsv != ENOTDIR && errsv != ELOOP)
    return cis_error_set_errno (error, errsv, "Cannot look at %s in %s", shown, self->name);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "%s changed while it was read: %s vanished", self->name,
               shown);
  return FALSE;
}

static char
type_letter (mode_t mode)
{
  switch (mode & S_IFMT)
    {
    case S_IFREG:
      return 'f';
    case S_IFDIR:
      return 'd';
    case S_IFLNK:
      return 'l';
    case S_IFSOCK:
      return 's';
    case S_IFIFO:
      return 'p';
    case S_IFCHR:
      return 'c';
    case S_IFBLK:
      return 'b';
    default:
      return '?';
    }
}

static void
add_record (Walk *self, const struct stat *st)
{
  /* A folder's size is the file system's own affair: it need not shrink with its contents. */
  gint64 size = S_ISDIR (st->st_mode) ? 0 : st->st_size;
  gint64 changed = (gint64) st->st_ctim.tv_sec * G_USEC_PER_SEC + st->st_ctim.tv_nsec / 1000;

  g_string_truncate (self->record, 0);
  g_string_append_len (self->record, self->path->str, self->path->len + 1);
  g_string_append_printf (self->record,
                          "%c%c%" G_GINT64_FORMAT "%c%" G_GINT64_FORMAT ".%09ld%c%" G_GINT64_FORMAT
                          ".%09ld\n",
                          type_letter (st->st_mode), 0, size, 0, (gint64) st->st_mtim.tv_sec,
                          st->st_mtim.tv_nsec, 0, (gint64) st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
  cis_digest_update (self->digest, self->record->str, self->record->len);
  self->newest = MAX (self->newest, changed);
}

static gboolean
walk_entry (Walk *self, int parent, const char *name, GError **error)
{
  struct stat st;
  gboolean walked;
  int fd;

  if (fstatat (parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return set_entry_error (self, errno, error);
  add_record (self, &st);
  /* What cannot be read is said now, rather than by each attempt to pack it. */
  if (S_ISREG (st.st_mode) && (st.st_mode & 0444) != 0444 && faccessat (parent, name, R_OK, 0) != 0)
    return set_entry_error (self, errno, error);
  if (!S_ISDIR (st.st_mode))
    return TRUE;

  if (self->depth == DEPTH_MAX)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s has folders more than %d deep", self->name,
                   DEPTH_MAX);
      return FALSE;
    }
  fd = TEMP_FAILURE_RETRY (openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd < 0)
    return set_entry_error (self, errno, error);
  self->depth++;
  walked = walk_folder (self, fd, error);
  self->depth--;
  close (fd);
  return walked;
}

static GPtrArray *
list_names (Walk *self, int fd, GError **error)
{
  g_autofree char *shown = g_filename_display_name (self->path->str);
  g_autofree char *what = g_strdup_printf ("%s/%s", self->name, shown);

  return cis_folder_list (fd, what, error);
}

static gboolean
walk_folder (Walk *self, int fd, GError **error)
{
  g_autoptr (GPtrArray) names = list_names (self, fd, error);
  gsize length = self->path->len;

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);

      if (g_cancellable_set_error_if_cancelled (self->cancellable, error))
        return FALSE;
      if (length > 0)
        g_string_append_c (self->path, '/');
      g_string_append (self->path, name);
      if (!walk_entry (self, fd, name, error))
        return FALSE;
      g_string_truncate (self->path, length);
    }
  return names != NULL;
}

static int
open_tree (int dirfd, const char *name, struct stat *st, GError **error)
{
  int fd = TEMP_FAILURE_RETRY (openat (dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));

  if (fd >= 0 && fstat (fd, st) == 0)
    return fd;
  if (errno == ENOENT)
    g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "%s is not there any more", name);
  else if (errno == ENOTDIR || errno == ELOOP)
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s is not a folder", name);
  else
    cis_error_set_errno (error, errno, "Cannot open %s", name);
  if (fd >= 0)
    close (fd);
  return -1;
}

char *
cis_fingerprint (int dirfd, const char *name, gint64 *newest, GCancellable *cancellable, GError **error)
{
  g_autoptr (CisDigest) digest = cis_digest_new ();
  g_autoptr (GString) path = g_string_new (NULL);
  g_autoptr (GString) record = g_string_new (NULL);
  Walk walk = { .digest = digest,
                .path = path,
                .record = record,
                .newest = G_MININT64,
                .depth = 1,
                .name = name,
                .cancellable = cancellable };
  struct stat st;
  int fd = open_tree (dirfd, name, &st, error);
  gboolean walked;

  if (fd < 0)
    return NULL;
  add_record (&walk, &st);
  walked = walk_folder (&walk, fd, error);
  close (fd);
  if (walked && newest != NULL)
    *newest = walk.newest;
  return walked ? cis_digest_finish (digest) : NULL;
}
