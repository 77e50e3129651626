/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may change what is in a state folder: nobody but its owner, and in the one that is shared the members
 * of its group, each what is his. What data/tmpfiles.conf makes is made the same here, and a folder of ours
 * that an older version left open is mended. */

#include "cis-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Members make entries in it, which get its group; with the sticky bit each may rename and remove his own. */
#define SHARED_MODE (S_ISVTX | S_ISGID | S_IRWXU | S_IRWXG)

/* acl(5), as linux/posix_acl_xattr.h has it on the disk: little-endian. */
#define ACL_XATTR   "system.posix_acl_default"
#define ACL_VERSION 2
#define ACL_NO_ID   0xffffffff

enum
{
  ACL_USER_OBJ = 1,
  ACL_USER = 2,
  ACL_GROUP_OBJ = 4,
  ACL_MASK = 16,
  ACL_OTHER = 32,
};

typedef struct
{
  guint16 tag;
  guint16 permissions;
  guint32 id;
} AclEntry;

typedef struct
{
  guint32 version;
  AclEntry entries[5];
} Acl;

/* Whatever the umask of its maker is, @owner may move what is made in the folder, and no other member may
 * write to it. A file system without ACLs leaves that to the umask. */
static gboolean
set_default_acl (int fd, uid_t owner)
{
  const guint16 all = GUINT16_TO_LE (7), read = GUINT16_TO_LE (5);
  const guint32 none = GUINT32_TO_LE (ACL_NO_ID);
  const Acl acl = {
    GUINT32_TO_LE (ACL_VERSION),
    { { GUINT16_TO_LE (ACL_USER_OBJ), all, none },
      { GUINT16_TO_LE (ACL_USER), all, GUINT32_TO_LE (owner) },
      { GUINT16_TO_LE (ACL_GROUP_OBJ), read, none },
      { GUINT16_TO_LE (ACL_MASK), all, none },
      { GUINT16_TO_LE (ACL_OTHER), 0, none } },
  };

  return fsetxattr (fd, ACL_XATTR, &acl, sizeof acl, 0) == 0 || errno == ENOTSUP;
}

gboolean
cis_folder_share (int fd, const char *path, GError **error)
{
  struct stat info;

  return (fstat (fd, &info) == 0 && fchmod (fd, SHARED_MODE) == 0 && set_default_acl (fd, info.st_uid)) ||
         cis_error_set_errno (error, errno, "Cannot let the group of %s write to it", path);
}

static gboolean
mend (int fd, const char *path, mode_t from, mode_t to, GError **error)
{
  if (fchmod (fd, to) != 0)
    return cis_error_set_errno (error, errno, "Cannot set the mode of %s", path);
  cis_part_log (NULL, NULL, G_LOG_LEVEL_MESSAGE, NULL,
                "%s had mode %04o, by which others could take away what is not theirs; it has %04o now", path,
                from, to);
  return TRUE;
}

gboolean
cis_folder_guard (int fd, const char *path, gboolean shared, GError **error)
{
  g_autofree char *quoted = g_shell_quote (path);
  g_autofree char *user = cis_user_to_string (geteuid ());
  struct stat info;
  mode_t mode, safe;

  if (fstat (fd, &info) != 0)
    return cis_error_set_errno (error, errno, "Cannot look at %s", path);
  mode = info.st_mode & 07777;
  safe = (mode & (S_IWGRP | S_IWOTH)) == 0 ? mode
         : shared                          ? mode | S_ISVTX
                                           : mode & ~(mode_t) (S_ISGID | S_IWGRP | S_IWOTH);
  if (info.st_uid != geteuid () && info.st_uid != 0)
    {
      g_autofree char *owner = cis_user_to_string (info.st_uid);

      g_set_error (
          error, CIS_ERROR, CIS_ERROR_CONFIG,
          "%s belongs to %s, who could change it under %s, who runs this; to go on as %s: chown %s %s", path,
          owner, user, user, user, quoted);
      return FALSE;
    }
  if (mode == safe)
    return TRUE;
  if (info.st_uid == geteuid ())
    return mend (fd, path, mode, safe, error);
  /* Root's, shared: that its entries stay their owners' is root's to decide. */
  if (shared)
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "others than its owner can write to %s and put other folders into it: chown %s %s && "
               "chmod go-w %s",
               path, user, quoted, quoted);
  return FALSE;
}

int
cis_folder_open_own (const char *path, GError **error)
{
  int fd = cis_folder_open (AT_FDCWD, path, TRUE, error);

  if (fd < 0 || cis_folder_guard (fd, path, FALSE, error))
    return fd;
  close (fd);
  return -1;
}
