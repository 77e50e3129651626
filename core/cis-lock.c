/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Locks between processes. Who can open a file can lock it, for reading at least, and keep it locked: so what
 * others may read is not locked itself, but a file beside it that nobody else can open. Nobody is waited for
 * without end, and who has been waited for is named. */

#include "cis-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a lock that another has is left alone, at first and later. */
#define PAUSE_MIN  (G_TIME_SPAN_MILLISECOND / 2)
#define PAUSE_MAX  (16 * G_TIME_SPAN_MILLISECOND)
#define FDINFO_MAX (64 * 1024)
/* All that is done under a lock is a few renames and flushes. */
#define PATIENCE (60 * G_TIME_SPAN_SECOND)

/* One of an older version's, or of somebody who was there first, may be open to others. */
static gboolean
make_private (int fd, const char *name, GError **error)
{
  struct stat info;

  if (fstat (fd, &info) != 0)
    return cis_error_set_errno (error, errno, "Cannot look at %s", name);
  if (S_ISREG (info.st_mode) && info.st_uid == geteuid ())
    return (info.st_mode & 077) == 0 || fchmod (fd, 0600) == 0 ||
           cis_error_set_errno (error, errno, "Cannot set the mode of %s", name);
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "%s has to be a regular file of the user that runs this, so that nobody else can lock it: "
               "remove what is there",
               name);
  return FALSE;
}

int
cis_lock_open (int dirfd, const char *name, GError **error)
{
  const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  int fd = TEMP_FAILURE_RETRY (openat (dirfd, name, flags, 0600));

  if (fd < 0)
    cis_error_set_errno (error, errno, "Cannot open %s", name);
  else if (!make_private (fd, name, error))
    {
      close (fd);
      return -1;
    }
  return fd;
}

/* ---- who has it */

/* Whether the descriptor that this is the fdinfo of holds a lock on the file: proc(5) gives such a line for
 * each, "lock: 1: OFDLCK ADVISORY WRITE -1 08:01:1234 0 EOF". */
static gboolean
holds_lock (const char *fdinfo, const char *inode)
{
  g_autofree char *text = NULL;
  const char *lock;

  text = cis_text_read (fdinfo, FDINFO_MAX, NULL);
  if (text == NULL)
    return FALSE;
  for (lock = strstr (text, "lock:"); lock != NULL; lock = strstr (lock + 1, "lock:"))
    {
      g_autofree char *line = g_strndup (lock, strcspn (lock, "\n"));

      if (strstr (line, inode) != NULL)
        return TRUE;
    }
  return FALSE;
}

static gboolean
process_holds (const char *process, const char *inode)
{
  g_autofree char *folder = g_build_filename ("/proc", process, "fdinfo", NULL);
  g_autoptr (GDir) descriptors = g_dir_open (folder, 0, NULL);
  const char *name;

  while (descriptors != NULL && (name = g_dir_read_name (descriptors)) != NULL)
    {
      g_autofree char *fdinfo = g_build_filename (folder, name, NULL);

      if (holds_lock (fdinfo, inode))
        return TRUE;
    }
  return FALSE;
}

/* "process 1234 (cis490)", as far as we may see others; full. */
static char *
describe_holder (int fd)
{
  g_autoptr (GDir) processes = g_dir_open ("/proc", 0, NULL);
  g_autofree char *inode = NULL;
  const char *name;
  struct stat info;

  if (fstat (fd, &info) != 0)
    return g_strdup ("another process");
  inode = g_strdup_printf (":%" G_GUINT64_FORMAT " ", (guint64) info.st_ino);
  while (processes != NULL && (name = g_dir_read_name (processes)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc", name, "comm", NULL);
      g_autofree char *comm = NULL;

      if (!g_ascii_isdigit (*name) || !process_holds (name, inode))
        continue;
      comm = cis_text_read (path, FDINFO_MAX, NULL);
      return g_strdup_printf ("process %s (%s)", name, comm != NULL ? g_strstrip (comm) : "?");
    }
  return g_strdup_printf ("another process, which root finds with: grep -l '%s' /proc/[0-9]*/fdinfo/*",
                          inode);
}

/* ---- locking */

static gboolean
set_locked (int fd, const char *what, gboolean waited, GError **error)
{
  g_autofree char *holder = describe_holder (fd);

  g_set_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE, "%s is%s locked by %s", what, waited ? " still" : "",
               holder);
  return FALSE;
}

/* A lock of the open file description: unlike the lock of a process it holds between threads, and no close()
 * of some other descriptor of the file drops it (fcntl(2), "Open file description locks"). */
gboolean
cis_file_lock (int fd, gboolean wait, const char *what, GCancellable *cancellable, GError **error)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  gint64 deadline = g_get_monotonic_time () + PATIENCE;

  /* Asked again and again: nothing but a signal ends F_OFD_SETLKW. */
  for (gint64 pause = PAUSE_MIN;; pause = MIN (pause * 2, PAUSE_MAX))
    {
      if (TEMP_FAILURE_RETRY (fcntl (fd, F_OFD_SETLK, &lock)) == 0)
        return TRUE;
      if (errno != EAGAIN && errno != EACCES)
        return cis_error_set_errno (error, errno, "Cannot lock %s", what);
      if (!wait || g_get_monotonic_time () >= deadline)
        return set_locked (fd, what, wait, error);
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      g_usleep ((gulong) pause);
    }
}

void
cis_file_unlock (int fd)
{
  struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

  if (fcntl (fd, F_OFD_SETLK, &lock) != 0)
    g_warning ("Cannot unlock descriptor %d: %s", fd, g_strerror (errno));
}
