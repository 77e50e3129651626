/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files that are there already: looked at, opened, read. */

#include "cis-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* What lies there in place of a regular file; %NULL where it is one. */
static const char *
describe_type (mode_t mode)
{
  switch (mode & S_IFMT)
    {
    case S_IFREG:
      return NULL;
    case S_IFDIR:
      return "a folder, not a regular file";
    case S_IFIFO:
      return "a FIFO, not a regular file";
    case S_IFSOCK:
      return "a socket, not a regular file";
    case S_IFLNK:
      return "a symbolic link, which is not followed";
    default:
      return "a device, not a regular file";
    }
}

/* full, %NULL where it is no symbolic link */
static char *
read_link (int dirfd, const char *name)
{
  char target[4096];
  ssize_t length = readlinkat (dirfd, name, target, sizeof target);

  return length > 0 ? g_strndup (target, (gsize) length) : NULL;
}

/* Returns -1. */
static int
set_open_error (int dirfd, const char *name, int errsv, GError **error)
{
  g_autofree char *target = errsv == ENOENT ? read_link (dirfd, name) : NULL;

  if (target == NULL)
    cis_error_set_errno (error, errsv, "Cannot open %s", name);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                 "Cannot open %s: it is a symbolic link to %s, which is not there", name, target);
  return -1;
}

static gboolean
is_regular (const struct stat *status, const char *name, GError **error)
{
  const char *type = describe_type (status->st_mode);

  if (type == NULL)
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s is %s", name, type);
  return FALSE;
}

/* Looked at twice: before, as opening alone wakes a device, and behind, as another may have been put there.
 */
int
cis_file_open (int dirfd, const char *name, int flags, struct stat *status, GError **error)
{
  struct stat st;
  int fd;

  if (fstatat (dirfd, name, &st, (flags & O_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0) == 0)
    {
      if (!is_regular (&st, name, error))
        return -1;
    }
  else if (errno != ENOENT || (flags & O_CREAT) == 0)
    return set_open_error (dirfd, name, errno, error);
  fd = TEMP_FAILURE_RETRY (openat (dirfd, name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640));
  if (fd < 0)
    return set_open_error (dirfd, name, errno, error);
  if (fstat (fd, &st) != 0)
    cis_error_set_errno (error, errno, "Cannot look at %s", name);
  else if (is_regular (&st, name, error))
    {
      if (status != NULL)
        *status = st;
      return fd;
    }
  close (fd); /* nothing was written */
  return -1;
}

/* Reads to the end, @expected bytes or not: a file may grow meanwhile, and /proc says that its files are
 * empty. */
static GBytes *
read_all (int fd, gsize expected, gsize max, const char *name, GError **error)
{
  gsize capacity = expected + 2; /* one byte more shows the end, another is the NUL */
  gsize length = 0;
  g_autofree char *data = g_try_malloc (capacity);

  if (data == NULL)
    {
      cis_error_set_errno (error, ENOMEM, "Cannot read %s", name);
      return NULL;
    }
  for (;;)
    {
      ssize_t n = TEMP_FAILURE_RETRY (read (fd, data + length, capacity - 1 - length));

      if (n < 0)
        {
          cis_error_set_errno (error, errno, "Cannot read %s", name);
          return NULL;
        }
      if (n == 0)
        break;
      length += n;
      if (length > max)
        {
          g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s is larger than %" G_GSIZE_FORMAT " bytes",
                       name, max);
          return NULL;
        }
      if (length == capacity - 1)
        data = g_realloc (data, capacity *= 2);
    }
  data[length] = '\0';
  return g_bytes_new_take (g_steal_pointer (&data), length);
}

static GBytes *
read_file (int dirfd, const char *name, int flags, gsize max, GError **error)
{
  struct stat st;
  int fd = cis_file_open (dirfd, name, O_RDONLY | flags, &st, error);
  GBytes *bytes = fd < 0 ? NULL : read_all (fd, MIN ((guint64) st.st_size, max), max, name, error);

  cis_file_close (&fd, name, NULL); /* which was only read */
  return bytes;
}

GBytes *
cis_file_read (int dirfd, const char *name, gsize max, GError **error)
{
  g_autofree char *base = NULL;
  GBytes *bytes;
  int parent;

  if (dirfd == AT_FDCWD || strchr (name, '/') == NULL)
    return read_file (dirfd, name, O_NOFOLLOW, max, error);
  /* No symlink on the way either. */
  parent = cis_folder_open_parent (dirfd, name, &base, error);
  if (parent < 0)
    return NULL;
  bytes = read_file (parent, base, O_NOFOLLOW, max, error);
  if (bytes == NULL)
    g_prefix_error (error, "%s: ", name);
  cis_file_close (&parent, "a folder", NULL); /* which was only read */
  return bytes;
}

GBytes *
cis_file_read_given (const char *path, gsize max, GError **error)
{
  return read_file (AT_FDCWD, path, 0, max, error);
}
