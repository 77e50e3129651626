/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

/* Writers of a .part are its owner only; the store is for its group to read. */
#define ARCHIVE_MODE 0640

/* With a second name it is an archive already, or somebody's doing: never opened for writing. */
static gboolean
may_be_written_to (const struct stat *st)
{
  return S_ISREG (st->st_mode) && st->st_nlink == 1;
}

guint64
cis_partial_get_size (int dirfd, const char *name)
{
  struct stat st;

  if (fstatat (dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !may_be_written_to (&st))
    return 0;
  return st.st_size;
}

int
cis_partial_create (int dirfd, const char *host, const char *name, GError **error)
{
  const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat (dirfd, name, flags, ARCHIVE_MODE);

  if (fd < 0 && errno == EEXIST)
    {
      if (!cis_file_remove (dirfd, name, error))
        return -1;
      fd = openat (dirfd, name, flags, ARCHIVE_MODE);
    }
  if (fd < 0)
    cis_error_set_errno (error, errno, "Creating incoming/%s/%s", host, name);
  return fd;
}

int
cis_partial_resume (int dirfd, const char *host, const char *name, guint64 offset, GError **error)
{
  struct stat st;
  int fd;

  if (fstatat (dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !may_be_written_to (&st))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "incoming/%s/%s is not there any more", host, name);
      return -1;
    }
  fd = openat (dirfd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0)
    {
      cis_error_set_errno (error, errno, "Opening incoming/%s/%s", host, name);
      return -1;
    }
  if (fstat (fd, &st) == 0 && may_be_written_to (&st) && (guint64) st.st_size == offset &&
      lseek (fd, 0, SEEK_END) == st.st_size)
    return fd;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "incoming/%s/%s was changed by somebody else", host,
               name);
  g_close (fd, NULL);
  return -1;
}
