/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
/* How often a tree that others change meanwhile is begun anew. */
#define REMOVE_ATTEMPTS 8

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
cis_folder_list (int fd, const char *what, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  /* Other threads may list it, too, so it is read by an offset of our own. */
  int own = TEMP_FAILURE_RETRY (openat (fd, ".", OPEN_FOLDER));
  DIR *dir = own >= 0 ? fdopendir (own) : NULL;
  struct dirent *entry;
  int errsv = errno;

  if (dir == NULL)
    {
      cis_error_set_errno (error, errsv, "Cannot list %s", what);
      if (own >= 0)
        close (own);
      return NULL;
    }
  for (errno = 0; (entry = readdir (dir)) != NULL; errno = 0)
    if (!g_str_equal (entry->d_name, ".") && !g_str_equal (entry->d_name, ".."))
      g_ptr_array_add (names, g_strdup (entry->d_name));
  errsv = errno;
  closedir (dir);
  if (errsv != 0)
    {
      cis_error_set_errno (error, errsv, "Cannot list %s", what);
      return NULL;
    }
  g_ptr_array_sort (names, compare_names);
  return g_steal_pointer (&names);
}

/* Where a removal stands. It holds one descriptor however deep the tree is, and finds its way up by "..". */
typedef struct
{
  DIR *dir;         /* the folder that is being emptied */
  dev_t device;     /* of the whole tree: no other file system is entered */
  GPtrArray *names; /* of the folders below the top that lead here; owned */
  GArray *inodes;   /* ino_t of the folders above this one, the top first */
  ino_t inode;      /* of this one */
  const char *top;  /* for messages */
} Removal;

static void
removal_clear (Removal *self)
{
  g_clear_pointer (&self->dir, closedir);
  g_ptr_array_unref (self->names);
  g_array_unref (self->inodes);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Removal, removal_clear)

static gboolean
set_changed (Removal *self, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "%s was changed while it was removed", self->top);
  return FALSE;
}

/* Makes @fd (full) the folder that is being emptied. */
static gboolean
removal_enter (Removal *self, int fd, GError **error)
{
  struct stat st;
  DIR *dir;

  if (fstat (fd, &st) != 0 || (dir = fdopendir (fd)) == NULL)
    {
      cis_error_set_errno (error, errno, "Cannot read a folder in %s", self->top);
      close (fd);
      return FALSE;
    }
  g_clear_pointer (&self->dir, closedir);
  self->dir = dir;
  self->inode = st.st_ino;
  if (self->device == 0)
    self->device = st.st_dev;
  if (self->device == st.st_dev)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_MOUNTABLE_FILE,
               "Another file system is mounted in %s: unmount it first", self->top);
  return FALSE;
}

static gboolean
removal_descend (Removal *self, const char *name, GError **error)
{
  int fd = TEMP_FAILURE_RETRY (openat (dirfd (self->dir), name, OPEN_FOLDER | O_NOFOLLOW));

  if (fd < 0)
    return errno == ENOENT || cis_error_set_errno (error, errno, "Cannot open %s in %s", name, self->top);
  g_array_append_val (self->inodes, self->inode);
  g_ptr_array_add (self->names, g_strdup (name));
  return removal_enter (self, fd, error);
}

static gboolean
removal_ascend (Removal *self, GError **error)
{
  guint last = self->names->len - 1;
  ino_t expected = g_array_index (self->inodes, ino_t, last);
  g_autofree char *name = g_ptr_array_steal_index (self->names, last);
  int fd = TEMP_FAILURE_RETRY (openat (dirfd (self->dir), "..", OPEN_FOLDER));

  g_array_set_size (self->inodes, last);
  if (fd < 0)
    return set_changed (self, error);
  if (!removal_enter (self, fd, error))
    return FALSE;
  /* A folder that was moved meanwhile would lead us out of the tree. */
  if (self->inode != expected)
    return set_changed (self, error);
  if (unlinkat (dirfd (self->dir), name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return TRUE;
  return errno == ENOTEMPTY ? set_changed (self, error)
                            : cis_error_set_errno (error, errno, "Cannot remove %s in %s", name, self->top);
}

/* Unlinks from the folder that is being emptied. One of our own that is read-only, as data often are, becomes
 * writable for that. */
static int
removal_unlink (Removal *self, const char *name)
{
  int fd = dirfd (self->dir);
  struct stat st;

  if (unlinkat (fd, name, 0) == 0)
    return 0;
  if (errno != EACCES)
    return -1;
  if (fstat (fd, &st) == 0 && fchmod (fd, (st.st_mode & 07777) | S_IRWXU) == 0)
    return unlinkat (fd, name, 0);
  errno = EACCES;
  return -1;
}

/* Removes an entry; a folder that is not empty is entered instead. */
static gboolean
removal_step (Removal *self, const char *name, GError **error)
{
  int fd = dirfd (self->dir);

  if (removal_unlink (self, name) == 0 || errno == ENOENT)
    return TRUE;
  if (errno != EISDIR)
    return cis_error_set_errno (error, errno, "Cannot remove %s in %s", name, self->top);
  if (unlinkat (fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return TRUE;
  if (errno != ENOTEMPTY)
    return cis_error_set_errno (error, errno, "Cannot remove %s in %s", name, self->top);
  return removal_descend (self, name, error);
}

static gboolean
removal_run (Removal *self, GCancellable *cancellable, GError **error)
{
  for (;;)
    {
      struct dirent *entry;

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      errno = 0;
      entry = readdir (self->dir);
      if (entry == NULL && errno != 0)
        return cis_error_set_errno (error, errno, "Cannot read a folder in %s", self->top);
      if (entry == NULL && self->names->len == 0)
        return TRUE;
      if (entry == NULL && !removal_ascend (self, error))
        return FALSE;
      if (entry == NULL || g_str_equal (entry->d_name, ".") || g_str_equal (entry->d_name, ".."))
        continue;
      if (!removal_step (self, entry->d_name, error))
        return FALSE;
    }
}

static gboolean
remove_tree (int dirfd, const char *name, GCancellable *cancellable, GError **error)
{
  g_auto (Removal) removal = { .names = g_ptr_array_new_with_free_func (g_free),
                               .inodes = g_array_new (FALSE, FALSE, sizeof (ino_t)),
                               .top = name };
  int fd = TEMP_FAILURE_RETRY (openat (dirfd, name, OPEN_FOLDER | O_NOFOLLOW));

  if (fd < 0)
    return errno == ENOENT || cis_error_set_errno (error, errno, "Cannot open the folder %s", name);
  if (!removal_enter (&removal, fd, error) || !removal_run (&removal, cancellable, error))
    return FALSE;
  if (unlinkat (dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return TRUE;
  return errno == ENOTEMPTY ? set_changed (&removal, error)
                            : cis_error_set_errno (error, errno, "Cannot remove the folder %s", name);
}

gboolean
cis_folder_remove (int dirfd, const char *name, GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) changed = NULL;

  for (guint i = 0; i < REMOVE_ATTEMPTS; i++)
    {
      g_clear_error (&changed);
      if (remove_tree (dirfd, name, cancellable, &changed))
        return TRUE;
      if (!g_error_matches (changed, G_IO_ERROR, G_IO_ERROR_BUSY))
        break;
    }
  g_propagate_error (error, g_steal_pointer (&changed));
  return FALSE;
}

/* What the operator has to move or mount otherwise is a matter of configuration. A full disk says nothing of
 * what it can, and who frees it has to start: %TRUE. */
static gboolean
judge_probe_error (GError **error, int errsv, const char *what, const char *ability)
{
  if (errsv == ENOSPC || errsv == EDQUOT)
    return TRUE;
  if (errsv == EIO || errsv == EMFILE || errsv == ENFILE || errsv == ENOMEM)
    return cis_error_set_errno (error, errsv, "Cannot try whether %s can %s", what, ability);
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "%s cannot %s: %s. It must be writable and on a local file system such as ext4, xfs or btrfs",
               what, ability, errsv == 0 ? "it replaced the file" : g_strerror (errsv));
  return FALSE;
}

static gboolean
probe_names (int dirfd, const char *a, const char *b, const char *what, GError **error)
{
  int fd = TEMP_FAILURE_RETRY (openat (dirfd, a, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  int errsv;

  if (fd < 0)
    return judge_probe_error (error, errno, what, "make files");
  errsv = TEMP_FAILURE_RETRY (fsync (fd)) == 0 ? 0 : errno;
  if (close (fd) != 0 && errsv == 0)
    errsv = errno;
  if (errsv != 0)
    return judge_probe_error (error, errsv, what, "fsync files");
  if (linkat (dirfd, a, dirfd, b, 0) != 0)
    return judge_probe_error (error, errno, what, "make hard links");
  if (renameat2 (dirfd, a, dirfd, b, RENAME_NOREPLACE) == 0)
    return judge_probe_error (error, 0, what, "rename without replacing");
  if (errno != EEXIST)
    return judge_probe_error (error, errno, what, "rename without replacing");
  if (unlinkat (dirfd, b, 0) != 0)
    return judge_probe_error (error, errno, what, "remove files");
  if (renameat2 (dirfd, a, dirfd, b, RENAME_NOREPLACE) != 0)
    return judge_probe_error (error, errno, what, "rename without replacing");
  if (TEMP_FAILURE_RETRY (fsync (dirfd)) != 0)
    return judge_probe_error (error, errno, what, "fsync folders");
  return TRUE;
}

gboolean
cis_folder_probe (int dirfd, const char *what, GError **error)
{
  guint32 random = g_random_int ();
  g_autofree char *a = g_strdup_printf (".probe.%08x.a.tmp", random);
  g_autofree char *b = g_strdup_printf (".probe.%08x.b.tmp", random);
  gboolean able = probe_names (dirfd, a, b, what, error);

  unlinkat (dirfd, a, 0);
  unlinkat (dirfd, b, 0);
  return able;
}
