/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "entry.h"

#include <archive.h>
#include <limits.h>
#include <string.h>

gboolean
cis_entry_refuse (GError **error, const char *path, const char *why)
{
  g_autofree char *shown = g_strescape (path, NULL);

  g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_FOREIGN, "its entry “%.200s” %s", shown, why);
  return FALSE;
}

/* In the words of whoever made it. */
static const char *
get_name (struct archive_entry *entry)
{
  const char *name = archive_entry_pathname (entry);

  return name != NULL ? name : archive_entry_pathname_utf8 (entry);
}

/* %NULL where it leads above a folder. full */
static GString *
walk_path (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", -1);
  GString *path = g_string_sized_new (strlen (name));

  for (guint i = 0; parts[i] != NULL; i++)
    {
      if (g_str_equal (parts[i], ".."))
        {
          g_string_free (path, TRUE);
          return NULL;
        }
      if (parts[i][0] != '\0' && !g_str_equal (parts[i], "."))
        g_string_append_printf (path, "%s%s", path->len > 0 ? "/" : "", parts[i]);
    }
  return path;
}

/* What a reader's open() takes. */
static gboolean
fits (const char *path)
{
  gsize length = strlen (path);

  if (length >= PATH_MAX)
    return FALSE;
  for (const char *part = path; part != NULL; part = strchr (part, '/'))
    {
      part += *part == '/';
      if (strcspn (part, "/") > NAME_MAX)
        return FALSE;
    }
  return TRUE;
}

char *
cis_entry_get_path (struct archive_entry *entry, const char *episode, GError **error)
{
  const char *name = get_name (entry);
  const gsize length = strlen (episode);
  g_autoptr (GString) path = NULL;

  if (name == NULL)
    {
      g_set_error_literal (error, CIS_META_ERROR, CIS_META_ERROR_FOREIGN, "an entry of it has no name");
      return NULL;
    }
  path = walk_path (name);
  if (path == NULL)
    cis_entry_refuse (error, name, "has a path that leads elsewhere");
  else if (name[0] == '/' || strncmp (path->str, episode, length) != 0 ||
           (path->str[length] != '/' && path->str[length] != '\0'))
    cis_entry_refuse (error, name, "is not in the folder that has the episode's name");
  else if (!fits (path->str))
    cis_entry_refuse (error, name, "has a path that is too long to be unpacked");
  else
    return g_strdup (path->str);
  return NULL;
}

/* A capability is what setuid is, and an ACL lets others in whom the nine bits keep out; the attributes of a
 * user are data. */
static gboolean
check_attributes (struct archive_entry *entry, const char *path, GError **error)
{
  const char *name;
  const void *value;
  size_t size;

  archive_entry_xattr_reset (entry);
  while (archive_entry_xattr_next (entry, &name, &value, &size) == ARCHIVE_OK)
    if (g_str_has_prefix (name, "trusted.") || g_str_has_prefix (name, "system.") ||
        g_str_equal (name, "security.capability"))
      return cis_entry_refuse (error, path, "has an attribute that grants rights");
  if (archive_entry_acl_types (entry) != 0)
    return cis_entry_refuse (error, path, "has an access list; an episode has permission bits only");
  return TRUE;
}

gboolean
cis_entry_check (struct archive_entry *entry, const char *path, GError **error)
{
  const guint type = archive_entry_filetype (entry);
  const char *name = get_name (entry);
  unsigned long set, cleared;

  if (archive_entry_hardlink (entry) != NULL || archive_entry_hardlink_utf8 (entry) != NULL ||
      archive_entry_symlink (entry) != NULL || archive_entry_symlink_utf8 (entry) != NULL)
    return cis_entry_refuse (error, path, "is a link; an episode is files and folders only");
  if (type != AE_IFREG && type != AE_IFDIR)
    return cis_entry_refuse (error, path, "is neither a file nor a folder");
  /* Readers differ in what that is. */
  if (type == AE_IFREG && g_str_has_suffix (name, "/"))
    return cis_entry_refuse (error, path, "is a file with the name of a folder");
  if ((archive_entry_perm (entry) & ~0777u) != 0)
    return cis_entry_refuse (error, path, "is setuid, setgid or sticky");
  archive_entry_fflags (entry, &set, &cleared);
  if (set != 0)
    return cis_entry_refuse (error, path, "has file flags, which could make it unremovable");
  return check_attributes (entry, path, error);
}
