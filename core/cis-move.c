/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Why a rename cannot work, and whether it could, before anything is done that relies on it. */

#include "cis490.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* No episode's name begins with a dot. */
#define PROBE      ".probe"
#define PROBE_FILE PROBE "/file"

const char *
cis_move_get_reason (int errsv)
{
  switch (errsv)
    {
    case EXDEV:
      return "it lies on another file system, or in a lower layer of an overlay, out of which nothing is "
             "renamed";
    case EBUSY:
      return "something is mounted on it, or uses it as its root";
    case EPERM:
      return "an attribute of it (chattr +i or +a), or its folder's sticky bit, forbids that";
    case EROFS:
      return "the file system is mounted read-only";
    case ENOSPC:
      return "the disk is full";
    case EDQUOT:
      return "the quota is used up";
    default:
      return g_strerror (errsv);
    }
}

/* On an overlay only a rename tells. This one never works: what it would replace is not empty. */
static int
probe_overlay (int old_dirfd, const char *name, int new_dirfd)
{
  int errsv = 0;
  int fd;

  if (mkdirat (new_dirfd, PROBE, 0700) != 0 && errno != EEXIST)
    return 0;
  fd = cis_file_open (new_dirfd, PROBE_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW, NULL, NULL);
  if (fd >= 0)
    {
      close (fd); /* nothing was written */
      errsv = renameat (old_dirfd, name, new_dirfd, PROBE) != 0 ? errno : 0;
    }
  (void) unlinkat (new_dirfd, PROBE_FILE, 0);
  (void) unlinkat (new_dirfd, PROBE, AT_REMOVEDIR);
  return errsv == EXDEV ? EXDEV : 0;
}

int
cis_move_find_obstacle (int old_dirfd, const char *name, int new_dirfd)
{
  struct statx own, folder;
  struct statfs system;

  if (statx (old_dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &own) != 0 ||
      statx (old_dirfd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &folder) != 0)
    return 0;
  if ((own.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
    return EBUSY;
  if ((own.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0)
    return EPERM;
  if ((folder.stx_mode & S_ISVTX) != 0 && geteuid () != 0 && own.stx_uid != geteuid () &&
      folder.stx_uid != geteuid ())
    return EPERM;
  if (fstatfs (new_dirfd, &system) == 0 && system.f_type == OVERLAYFS_SUPER_MAGIC)
    return probe_overlay (old_dirfd, name, new_dirfd);
  return 0;
}
