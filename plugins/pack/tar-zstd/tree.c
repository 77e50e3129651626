/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Each level keeps a descriptor open. */
#define DEPTH_MAX 128

G_DEFINE_QUARK (cis_tree_error_quark, cis_tree_error)

typedef struct
{
  CisTreeVisit visit;
  gpointer user_data;
  GCancellable *cancellable;
} Walk;

char *
cis_tree_quote (const char *path)
{
  g_autoptr (GString) quoted = NULL;
  gboolean plain = g_utf8_validate (path, -1, NULL);

  for (const char *c = path; plain && *c != '\0'; c++)
    plain = !g_ascii_iscntrl (*c);
  if (plain)
    return g_shell_quote (path);

  quoted = g_string_new ("$'");
  for (const guchar *c = (const guchar *) path; *c != '\0'; c++)
    {
      if (!g_ascii_isprint (*c))
        g_string_append_printf (quoted, "\\x%02x", *c);
      else if (*c == '\'' || *c == '\\')
        g_string_append_printf (quoted, "\\%c", *c);
      else
        g_string_append_c (quoted, (char) *c);
    }
  g_string_append_c (quoted, '\'');
  return g_string_free (g_steal_pointer (&quoted), FALSE);
}

/* What went wrong with an entry that was there a moment ago. Returns FALSE. */
static gboolean
set_entry_error (GError **error, int errsv, const char *path)
{
  g_autofree char *quoted = cis_tree_quote (path);

  if (errsv != ENOENT && errsv != ENOTDIR && errsv != ELOOP && errsv != ENXIO && errsv != ESTALE)
    return cis_error_set_errno (error, errsv, "Cannot read %s", quoted);
  g_set_error (error, CIS_TREE_ERROR, CIS_TREE_ERROR_CHANGED, "%s is gone", quoted);
  return FALSE;
}

static gboolean
set_unsupported (GError **error, const char *path, const char *what)
{
  g_autofree char *quoted = cis_tree_quote (path);

  g_set_error (error, CIS_TREE_ERROR, CIS_TREE_ERROR_UNSUPPORTED, "%s is %s", quoted, what);
  return FALSE;
}

static const char *
describe_type (mode_t mode)
{
  switch (mode & S_IFMT)
    {
    case S_IFLNK:
      return "a symbolic link";
    case S_IFSOCK:
      return "a socket";
    case S_IFIFO:
      return "a named pipe";
    case S_IFBLK:
    case S_IFCHR:
      return "a device";
    default:
      return "neither a file nor a folder";
    }
}

static gboolean walk_folder (const Walk *walk, const CisTreeEntry *folder, int fd, guint depth,
                             GError **error);

static gboolean
walk_entry (const Walk *walk, int parent, const char *name, const char *path, guint depth, GError **error)
{
  struct stat info;
  CisTreeEntry entry = { parent, name, path, &info };
  gboolean ok;
  int fd;

  if (g_cancellable_set_error_if_cancelled (walk->cancellable, error))
    return FALSE;
  /* tar opens the whole path at once. */
  if (strlen (path) >= PATH_MAX)
    return set_unsupported (error, path, "too long a path for whoever unpacks it");
  if (fstatat (parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
    return set_entry_error (error, errno, path);
  if (S_ISREG (info.st_mode))
    return walk->visit (&entry, walk->user_data, error);
  if (!S_ISDIR (info.st_mode))
    return set_unsupported (error, path, describe_type (info.st_mode));
  if (depth == DEPTH_MAX)
    return set_unsupported (error, path, "nested too deep (at most " G_STRINGIFY (DEPTH_MAX) " folders)");

  fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return set_entry_error (error, errno, path);
  ok = walk_folder (walk, &entry, fd, depth, error);
  close (fd);
  return ok;
}

static gboolean
walk_folder (const Walk *walk, const CisTreeEntry *folder, int fd, guint depth, GError **error)
{
  g_autofree char *quoted = cis_tree_quote (folder->path);
  g_autoptr (GPtrArray) names = cis_folder_list (fd, quoted, error);

  if (names == NULL || !walk->visit (folder, walk->user_data, error))
    return FALSE;
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autofree char *path = g_strconcat (folder->path, "/", name, NULL);

      if (!walk_entry (walk, fd, name, path, depth + 1, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
cis_tree_walk (int dirfd, const char *directory, const char *name, CisTreeVisit visit, gpointer user_data,
               GCancellable *cancellable, GError **error)
{
  Walk walk = { visit, user_data, cancellable };
  struct stat info;

  if (fstatat (dirfd, directory, &info, AT_SYMLINK_NOFOLLOW) != 0)
    {
      if (errno != ENOENT)
        return set_entry_error (error, errno, name);
      g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "The episode %s is gone", name);
      return FALSE;
    }
  if (S_ISREG (info.st_mode))
    return set_unsupported (error, name, "a file, not a folder");
  /* The first path component is the name in the archive, wherever the folder is. */
  return walk_entry (&walk, dirfd, directory, name, 0, error);
}

/* A store through a shared mapping changes the file's times only where it finds its page clean; none behind
 * it does before that page is written out, which may be half a minute on. So it is written out now, as that
 * leaves the page clean and write-protected (sync_file_range(2)): whoever goes on storing shows in the
 * fingerprint. A file system that cannot do so is no failure. */
static gboolean
make_stores_show (int fd)
{
  const unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

  return TEMP_FAILURE_RETRY (sync_file_range (fd, 0, 0, flags)) == 0 || errno == ENOSYS || errno == EINVAL;
}

int
cis_tree_open_file (const CisTreeEntry *entry, GError **error)
{
  /* O_NONBLOCK: a named pipe put in the file's place meanwhile must not block the worker. */
  int fd = openat (entry->parent, entry->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  struct stat info;

  if (fd < 0)
    {
      set_entry_error (error, errno, entry->path);
      return -1;
    }
  if (fstat (fd, &info) != 0 || !S_ISREG (info.st_mode) || info.st_ino != entry->stat->st_ino ||
      info.st_dev != entry->stat->st_dev || info.st_size != entry->stat->st_size)
    {
      g_autofree char *quoted = cis_tree_quote (entry->path);

      g_set_error (error, CIS_TREE_ERROR, CIS_TREE_ERROR_CHANGED, "%s changed", quoted);
      close (fd);
      return -1;
    }
  if (!make_stores_show (fd))
    {
      set_entry_error (error, errno, entry->path);
      close (fd);
      return -1;
    }
  return fd;
}
