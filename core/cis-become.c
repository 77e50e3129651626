/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Root works in a state folder as its owner: whatever lies there, and wherever it leads, no more can be done
 * to the machine than its owner may do. And what is made belongs to whom the next one runs as. */

#include "cis-folder.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

static char *operator_name; /* who asked for it, where that is not who we have become */

/* The folder, or what is there of the way to it, which it is made in. */
static gboolean
look_at (const char *folder, struct stat *info, GError **error)
{
  g_autofree char *path = g_canonicalize_filename (folder, NULL);

  while (stat (path, info) != 0)
    {
      char *parent;

      if (errno != ENOENT || g_str_equal (path, "/"))
        return cis_error_set_errno (error, errno, "Cannot look at %s", path);
      parent = g_path_get_dirname (path);
      g_free (path);
      path = parent;
    }
  return TRUE;
}

/* With the groups that a login gives, by which the owner reads his secrets. */
static gboolean
become (const struct stat *owner, const struct passwd *entry)
{
  gid_t group = entry != NULL ? entry->pw_gid : owner->st_gid;

  return (entry != NULL ? initgroups (entry->pw_name, group) : setgroups (1, &group)) == 0 &&
         setresgid (group, group, group) == 0 && setresuid (owner->st_uid, owner->st_uid, owner->st_uid) == 0;
}

gboolean
cis_become_owner (const char *folder, GError **error)
{
  const char *sudo = g_getenv ("SUDO_USER");
  struct passwd buffer, *entry = NULL;
  char text[16 * 1024];
  struct stat info;

  if (geteuid () != 0)
    return TRUE;
  if (!look_at (folder, &info, error))
    return FALSE;
  if (info.st_uid == 0)
    return TRUE;
  getpwuid_r (info.st_uid, &buffer, text, sizeof text, &entry);
  if (!become (&info, entry))
    {
      g_autofree char *name = cis_user_to_string (info.st_uid);

      return cis_error_set_errno (error, errno,
                                  "%s belongs to %s, and root may not act as %s here; run it as that user",
                                  folder, name, name);
    }
  g_free (operator_name);
  operator_name = g_strdup (sudo != NULL && *sudo != '\0' ? sudo : "root");
  /* Root's configuration of git, say, could not be read any more. */
  if (entry != NULL)
    {
      g_setenv ("HOME", entry->pw_dir, TRUE);
      g_setenv ("USER", entry->pw_name, TRUE);
      g_setenv ("LOGNAME", entry->pw_name, TRUE);
    }
  return TRUE;
}

const char *
cis_get_operator (void)
{
  const char *sudo = g_getenv ("SUDO_USER");

  if (operator_name != NULL)
    return operator_name;
  return geteuid () == 0 && sudo != NULL && *sudo != '\0' ? sudo : g_get_user_name ();
}
