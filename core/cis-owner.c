/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-owner.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as in the kernel */

typedef struct
{
  uid_t writer; /* is trusted, beside root and us */
  guint n_links;
  char **fix; /* nullable */
} Way;

/* Returns FALSE. @edit: the command that mends it. */
static gboolean
refuse (Way *way, const char *path, const char *problem, const char *edit, GError **error)
{
  g_autofree char *quoted = g_shell_quote (path);
  g_autofree char *fix = g_strdup_printf ("%s %s", edit, quoted);

  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "%s: %s; %s", path, problem, fix);
  if (way->fix != NULL)
    *way->fix = g_steal_pointer (&fix);
  return FALSE;
}

static gboolean
is_trusted (Way *way, uid_t user)
{
  return user == 0 || user == geteuid () || user == way->writer;
}

static gboolean
is_trusted_name (Way *way, const char *name)
{
  struct passwd *entry = getpwnam (name);

  return entry != NULL && is_trusted (way, entry->pw_uid);
}

/* Whether nobody else is in it, as in a user's own group, or in Debian's "staff" until somebody is added. */
static gboolean
is_trusted_group (Way *way, gid_t gid)
{
  struct group *group = getgrgid (gid);
  struct passwd *entry;
  gboolean trusted = group != NULL;

  if (gid == 0)
    return TRUE;
  for (guint i = 0; trusted && group->gr_mem[i] != NULL; i++)
    trusted = is_trusted_name (way, group->gr_mem[i]);
  setpwent ();
  while (trusted && (entry = getpwent ()) != NULL)
    trusted = entry->pw_gid != gid || is_trusted (way, entry->pw_uid);
  endpwent ();
  return trusted;
}

/* What is in a sticky folder is renamed by its owner only, who comes next. A link's mode means nothing. */
static gboolean
check_one (Way *way, const char *path, const struct stat *info, GError **error)
{
  gboolean is_link = S_ISLNK (info->st_mode);
  g_autofree char *problem = NULL;

  if (!is_trusted (way, info->st_uid))
    {
      problem = g_strdup_printf ("is owned by user %u, neither by root nor by the user that runs this",
                                 info->st_uid);
      return refuse (way, path, problem, is_link ? "chown -h root" : "chown root", error);
    }
  if (is_link || (S_ISDIR (info->st_mode) && (info->st_mode & S_ISVTX) != 0))
    return TRUE;
  if ((info->st_mode & S_IWOTH) != 0)
    return refuse (way, path, "is writable by everybody", "chmod o-w", error);
  if ((info->st_mode & S_IWGRP) == 0 || is_trusted_group (way, info->st_gid))
    return TRUE;
  problem = g_strdup_printf ("is writable by group %u", info->st_gid);
  return refuse (way, path, problem, "chmod g-w", error);
}

/* @path: absolute. By hand, as each link may be changed by whom its folder belongs to. */
static gboolean
walk (Way *way, const char *path, GError **error)
{
  g_autofree char *at = g_strdup ("/");
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);

  for (char **part = parts; *part != NULL; part++)
    {
      g_autofree char *folder = g_steal_pointer (&at);
      g_autofree char *target = NULL, *rest = NULL, *next = NULL;
      struct stat info;

      at = g_str_equal (*part, "..")  ? g_path_get_dirname (folder)
           : g_str_equal (*part, ".") ? g_strdup (folder)
                                      : g_build_filename (folder, *part, NULL);
      if (g_lstat (at, &info) != 0)
        return cis_error_set_errno (error, errno, "%s: cannot be looked at", at);
      if (!check_one (way, at, &info, error))
        return FALSE;
      if (!S_ISLNK (info.st_mode))
        continue;
      if (++way->n_links > LINKS_MAX)
        return cis_error_set_errno (error, ELOOP, "%s: cannot be looked at", at);
      target = g_file_read_link (at, error);
      if (target == NULL)
        return FALSE;
      rest = g_strjoinv ("/", part + 1);
      next = g_build_filename (g_path_is_absolute (target) ? "/" : folder, target, rest, NULL);
      return walk (way, next, error);
    }
  return TRUE;
}

gboolean
cis_owner_check (const char *path, CisOwners owners, char **fix, GError **error)
{
  g_autofree char *here = g_path_is_absolute (path) ? NULL : g_get_current_dir ();
  g_autofree char *whole = g_build_filename ("/", here != NULL ? here : "", path, NULL);
  Way way = { .fix = fix };
  struct stat info;

  if (g_stat (path, &info) != 0)
    return cis_error_set_errno (error, errno, "%s: cannot be looked at", path);
  if (owners == CIS_OWNERS_WRITER)
    way.writer = info.st_uid;
  return walk (&way, whole, error);
}
