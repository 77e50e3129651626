/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
close_file (int *fd)
{
  if (*fd >= 0)
    g_close (*fd, NULL);
  *fd = -1;
}

typedef int File;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (File, close_file)

static char *
get_path (const Lines *self)
{
  return g_build_filename (self->path, self->name, NULL);
}

/* @made: there was none. */
static void
set_open_error (const Lines *self, const GError *problem, gboolean made, GError **error)
{
  g_autofree char *file = get_path (self);
  g_autofree char *quoted = g_shell_quote (file);
  g_autofree char *folder = g_shell_quote (self->path);
  gboolean denied = g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED) && !made;

  if (denied)
    g_set_error (error, problem->domain, problem->code,
                 "Cannot open %s, which is another user's (chown --reference=%s %s): %s", file, folder,
                 quoted, problem->message);
  else
    g_set_error (error, problem->domain, problem->code, "%s: %s", file, problem->message);
}

static int
open_file (const Lines *self, GError **error)
{
  int flags = O_RDWR | O_APPEND | (self->follow ? 0 : O_NOFOLLOW);
  g_autoptr (GError) problem = NULL;
  g_auto (File) fd = cis_file_open (self->folder, self->name, flags, NULL, &problem);
  gboolean made = g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  int opened;

  if (made)
    {
      g_clear_error (&problem);
      fd = cis_file_open (self->folder, self->name, flags | O_CREAT, NULL, &problem);
    }
  if (fd < 0)
    {
      set_open_error (self, problem, made, error);
      return -1;
    }
  opened = fd;
  fd = -1;
  return opened;
}

int
lines_are_named (int fd, int folder, const char *name, gboolean follow, GError **error)
{
  struct stat named, opened;

  if (fstat (fd, &opened) == 0 && fstatat (folder, name, &named, follow ? 0 : AT_SYMLINK_NOFOLLOW) == 0)
    return named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
  if (errno == ENOENT)
    return 0;
  cis_error_set_errno (error, errno, "Cannot look at %s", name);
  return -1;
}

/* A file beside it: whoever may read the lines could lock their file, and keep it locked. */
static int
open_lock (const Lines *self, GError **error)
{
  g_autofree char *name = g_strdup_printf (".%s.lock", self->name);
  int lock = cis_lock_open (self->folder, name, error);

  if (lock < 0)
    g_prefix_error (error, "In the folder %s: ", self->path);
  return lock;
}

/* NAME.1 is the newest of the full ones; full. */
static char *
get_rotated (const Lines *self, guint number)
{
  return number == 0 ? g_strdup (self->name) : g_strdup_printf ("%s.%u", self->name, number);
}

static gboolean
rotate (const Lines *self, GError **error)
{
  if (self->keep == 0)
    return cis_file_remove (self->folder, self->name, error);
  for (guint number = self->keep; number > 0; number--)
    {
      g_autofree char *to = get_rotated (self, number);
      g_autofree char *from = get_rotated (self, number - 1);

      if (renameat (self->folder, from, self->folder, to) < 0 && errno != ENOENT)
        return cis_error_set_errno (error, errno, "Cannot rename %s/%s to %s", self->path, from, to);
    }
  return TRUE;
}

/* Under the lock: the file, with room for @length more bytes; *end: where it ends. */
static int
open_with_room (const Lines *self, gsize length, gint64 *end, GError **error)
{
  while (TRUE)
    {
      g_auto (File) fd = open_file (self, error);
      int opened = fd;

      *end = fd >= 0 ? lseek (fd, 0, SEEK_END) : -1;
      if (fd >= 0 && *end < 0)
        cis_error_set_errno (error, errno, "Cannot look at %s", self->name);
      if (*end < 0)
        return -1;
      if (self->max_size == 0 || *end == 0 || (guint64) *end + length <= self->max_size)
        {
          fd = -1;
          return opened;
        }
      if (!rotate (self, error))
        return -1;
    }
}

static void
reserve (const Lines *self, int fd)
{
  gint64 end = self->ahead > 0 ? lseek (fd, 0, SEEK_END) : -1;

  if (end >= 0)
    (void) fallocate (fd, FALLOC_FL_KEEP_SIZE, end, self->ahead);
}

/* 1: the last line before @end lacks its newline, -1 with @error. */
static int
is_torn (int fd, gint64 end, const char *what, GError **error)
{
  char last = '\n';

  if (end == 0 || TEMP_FAILURE_RETRY (pread (fd, &last, 1, end - 1)) == 1)
    return last != '\n';
  cis_error_set_errno (error, errno, "Cannot read %s", what);
  return -1;
}

gboolean
lines_write (int fd, gint64 end, const char *text, const char *what, gboolean *torn, GError **error)
{
  gsize length = strlen (text);
  ssize_t written = TEMP_FAILURE_RETRY (write (fd, text, length));
  int errsv = written < 0 ? errno : ENOSPC;

  *torn = FALSE;
  if (written == (ssize_t) length)
    return TRUE;
  /* Half a line would swallow the next one. */
  *torn = written > 0 && TEMP_FAILURE_RETRY (ftruncate (fd, end)) < 0;
  return cis_error_set_errno (error, errsv, "Cannot append to %s", what);
}

/* The name of a file that has no line yet may not be on the disk either. */
static gboolean
sync_lines (const Lines *self, int fd, gint64 end, GError **error)
{
  return !self->durable || (cis_file_sync (fd, self->name, error) &&
                            (end > 0 || cis_file_sync (self->folder, self->path, error)));
}

gboolean
lines_append (const Lines *self, const char *line, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = get_path (self);
  g_autofree char *text = NULL;
  g_auto (File) lock = open_lock (self, error);
  gboolean appended, torn;
  gint64 end;
  int fd, mend;

  if (lock < 0 || !cis_file_lock (lock, TRUE, path, cancellable, error))
    return FALSE;
  fd = open_with_room (self, strlen (line) + 1, &end, error);
  mend = fd >= 0 ? is_torn (fd, end, path, error) : -1;
  text = g_strconcat (mend > 0 ? "\n" : "", line, "\n", NULL);
  appended =
      mend >= 0 && lines_write (fd, end, text, path, &torn, error) && sync_lines (self, fd, end, error);
  if (appended)
    reserve (self, fd);
  return cis_file_close (&fd, path, appended ? error : NULL) && appended;
}

gboolean
lines_try (const Lines *self, GError **error)
{
  g_auto (File) fd = open_file (self, error);
  g_auto (File) lock = fd >= 0 ? open_lock (self, error) : -1;

  return lock >= 0;
}

gboolean
lines_append_to (const char *file, const Lines *how, const char *line, GCancellable *cancellable,
                 GError **error)
{
  g_autofree char *path = g_path_get_dirname (file);
  g_autofree char *name = g_path_get_basename (file);
  g_auto (File) folder = TEMP_FAILURE_RETRY (open (path, O_PATH | O_DIRECTORY | O_CLOEXEC));
  Lines lines = *how;

  if (folder < 0)
    return cis_error_set_errno (error, errno, "Cannot open the folder of %s", file);
  lines.folder = folder;
  lines.path = path;
  lines.name = name;
  return line != NULL ? lines_append (&lines, line, cancellable, error) : lines_try (&lines, error);
}

void
lines_reserve (const Lines *self)
{
  g_auto (File) fd = open_file (self, NULL);
  g_auto (File) lock = open_lock (self, NULL);

  if (fd >= 0 && lock >= 0)
    reserve (self, fd);
}
