/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much of a name its temporary one keeps: with a dot, eight digits and a suffix it stays below
 * NAME_MAX. */
#define TEMPORARY_NAME_LENGTH 200

gboolean
cis_file_sync (int fd, const char *what, GError **error)
{
  /* After EINTR nothing was attempted yet; after anything else the kernel has dropped what it could not
   * write. */
  if (TEMP_FAILURE_RETRY (fsync (fd)) == 0)
    return TRUE;

  g_set_error (
      error, CIS_ERROR, CIS_ERROR_FATAL,
      "Cannot bring %s to the disk: %s. The kernel may have lost what was written, so the program must be "
      "restarted; look at the disk first (df, dmesg)",
      what, g_strerror (errno));
  return FALSE;
}

gboolean
cis_file_close (int *fd, const char *what, GError **error)
{
  int closing = *fd;

  *fd = -1;
  /* Linux has let go of the descriptor even where close() was interrupted: see close(2). */
  if (closing < 0 || close (closing) == 0 || errno == EINTR)
    return TRUE;
  return cis_error_set_errno (error, errno, "Cannot close %s", what);
}

gboolean
cis_file_write_all (int fd, const void *data, gsize length, const char *what, GError **error)
{
  const char *rest = data;

  while (length > 0)
    {
      ssize_t n = TEMP_FAILURE_RETRY (write (fd, rest, length));

      if (n <= 0)
        return cis_error_set_errno (error, n < 0 ? errno : EIO, "Cannot write %s", what);
      rest += n;
      length -= n;
    }
  return TRUE;
}

/* Makes a file of a name that nobody uses; the name is full. */
static int
open_temporary (int dirfd, const char *name, char **temporary)
{
  gsize kept = MIN (strlen (name), TEMPORARY_NAME_LENGTH);

  /* Some file systems refuse half a UTF-8 character. */
  while (kept > 0 && ((guchar) name[kept] & 0xc0) == 0x80)
    kept--;
  *temporary = g_strdup_printf (".%.*s.%08x.tmp", (int) kept, name, g_random_int ());
  return TEMP_FAILURE_RETRY (
      openat (dirfd, *temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640));
}

static gboolean
write_and_close (int fd, const void *data, gsize length, const char *what, GError **error)
{
  gboolean written = cis_file_write_all (fd, data, length, what, error) && cis_file_sync (fd, what, error);

  return cis_file_close (&fd, what, written ? error : NULL) && written;
}

/* By descriptor and before it has the name, as somebody may put another file there. */
static gboolean
copy_access (int dirfd, const char *name, int fd, GError **error)
{
  struct stat old, own;

  if (fstatat (dirfd, name, &old, AT_SYMLINK_NOFOLLOW) != 0 || fstat (fd, &own) != 0)
    return cis_error_set_errno (error, errno, "Cannot look at %s", name);
  /* A group that may do nothing with it need not be given. */
  return ((old.st_uid == own.st_uid && (old.st_gid == own.st_gid || (old.st_mode & 070) == 0)) ||
          fchown (fd, old.st_uid, old.st_gid) == 0) &&
                 fchmod (fd, old.st_mode & 0777) == 0
             ? TRUE
             : cis_error_set_errno (
                   error, errno,
                   "Cannot give the new %s owner, group and mode of the old one (%u, %u, %03o), "
                   "so it stays as it is; do this as root, or as its owner in that group",
                   name, old.st_uid, old.st_gid, old.st_mode & 0777);
}

static gboolean
replace_in (int dirfd, const char *name, const void *data, gsize length, const char *what, gboolean rewrite,
            GError **error)
{
  g_autofree char *temporary = NULL;
  int fd = open_temporary (dirfd, name, &temporary);

  if (fd < 0)
    return cis_error_set_errno (error, errno, "Cannot make a temporary file for %s", what);

  if (rewrite && !copy_access (dirfd, name, fd, error))
    {
      cis_file_close (&fd, what, NULL); /* nothing was written */
      unlinkat (dirfd, temporary, 0);
      return FALSE;
    }
  if (!write_and_close (fd, data, length, what, error))
    {
      unlinkat (dirfd, temporary, 0);
      return FALSE;
    }
  if (renameat (dirfd, temporary, dirfd, name) != 0)
    {
      cis_error_set_errno (error, errno, "Cannot put the new %s in its place", what);
      unlinkat (dirfd, temporary, 0);
      return FALSE;
    }
  return cis_file_sync (dirfd, "the folder of a replaced file", error);
}

static gboolean
replace (int dirfd, const char *name, const void *data, gsize length, gboolean rewrite, GError **error)
{
  g_autofree char *base = NULL;
  int parent = cis_folder_open_parent (dirfd, name, &base, error);
  gboolean replaced;

  if (parent < 0)
    return FALSE;
  replaced = replace_in (parent, base, data, length, name, rewrite, error);
  /* It was only read and is synced already: closing it has nothing left to lose. */
  cis_file_close (&parent, "a folder", NULL);
  return replaced;
}

gboolean
cis_file_replace (int dirfd, const char *name, const void *data, gsize length, GError **error)
{
  return replace (dirfd, name, data, length, FALSE, error);
}

gboolean
cis_file_rewrite (int dirfd, const char *name, const void *data, gsize length, GError **error)
{
  return replace (dirfd, name, data, length, TRUE, error);
}

/* The folder that @fd is, as it is called now; full. */
static char *
get_folder (int fd)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  char *path = g_file_read_link (link, NULL);

  return path != NULL ? path : g_strdup ("a folder");
}

static gboolean
set_rename_error (int errsv, int old_parent, const char *old_base, int new_parent, const char *new_base,
                  GError **error)
{
  g_autofree char *from = get_folder (old_parent);
  g_autofree char *to = get_folder (new_parent);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errsv), "Cannot rename %s/%s to %s/%s: %s", from,
               old_base, to, new_base, cis_move_get_reason (errsv));
  return FALSE;
}

/* Once the rename is done only a failed fsync, which is fatal, may say otherwise: a caller that is told of
 * another error takes its name to be where it was, and what it does then could lose a reason or a tarball. */
static gboolean
publish_in (int old_parent, const char *old_base, int new_parent, const char *new_base, GError **error)
{
  struct stat old_st, new_st;

  if (fstat (old_parent, &old_st) != 0 || fstat (new_parent, &new_st) != 0)
    return cis_error_set_errno (error, errno, "Cannot look at the folder of %s", new_base);
  if (renameat2 (old_parent, old_base, new_parent, new_base, RENAME_NOREPLACE) != 0)
    return set_rename_error (errno, old_parent, old_base, new_parent, new_base, error);
  if (!cis_file_sync (new_parent, "the folder of a renamed file", error))
    return FALSE;
  return (old_st.st_dev == new_st.st_dev && old_st.st_ino == new_st.st_ino) ||
         cis_file_sync (old_parent, "the folder that a file was renamed from", error);
}

gboolean
cis_file_publish (int old_dirfd, const char *old_name, int new_dirfd, const char *new_name, GError **error)
{
  g_autofree char *old_base = NULL, *new_base = NULL;
  int old_parent = cis_folder_open_parent (old_dirfd, old_name, &old_base, error);
  int new_parent = old_parent < 0 ? -1 : cis_folder_open_parent (new_dirfd, new_name, &new_base, error);
  gboolean published = new_parent >= 0 && publish_in (old_parent, old_base, new_parent, new_base, error);

  /* Folders that were only read and are synced already: closing them has nothing left to lose. */
  cis_file_close (&new_parent, "a folder", NULL);
  cis_file_close (&old_parent, "a folder", NULL);
  return published;
}

static gboolean
remove_in (int dirfd, const char *base, const char *name, GError **error)
{
  return unlinkat (dirfd, base, 0) == 0 || errno == ENOENT ||
         cis_error_set_errno (error, errno, "Cannot remove %s", name);
}

gboolean
cis_file_remove (int dirfd, const char *name, GError **error)
{
  g_autofree char *base = NULL;
  gboolean removed;
  int parent;

  if (dirfd == AT_FDCWD || strchr (name, '/') == NULL)
    return remove_in (dirfd, name, name, error);
  parent = cis_folder_open_parent (dirfd, name, &base, error);
  removed = parent >= 0 && remove_in (parent, base, name, error);
  cis_file_close (&parent, "a folder", NULL); /* nothing was written through it */
  return removed;
}
