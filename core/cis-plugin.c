/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-plugin.h"

#include "cis-elf.h"
#include "cis-option.h"
#include "cis-owner.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

static GMutex lock;
static GHashTable
    *loaded; /* name to CisPlugin; never freed, as plugins are never unloaded. Under the lock. */

static GStrv
get_search_path (void)
{
  const char *path = g_getenv ("CIS490_PLUGIN_PATH");

  return g_strsplit (path != NULL ? path : CIS_PLUGIN_DIR, G_SEARCHPATH_SEPARATOR_S, -1);
}

G_GNUC_PRINTF (3, 4)
static gboolean
refuse (GError **error, const char *path, const char *format, ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CIS_ERROR, CIS_ERROR_PLUGIN, "%s: %s", path, reason);
  return FALSE;
}

GStrv
cis_plugin_list (void)
{
  static const char *const families[] = { "alert", "gate", "pack", "scan", "store", "transport" };
  g_auto (GStrv) folders = get_search_path ();
  g_autoptr (GHashTable) seen = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  g_autofree const char **names = NULL;

  for (char **folder = folders; *folder != NULL; folder++)
    for (guint i = 0; i < G_N_ELEMENTS (families); i++)
      {
        g_autofree char *path = g_build_filename (*folder, families[i], NULL);
        g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
        const char *file;

        while (dir != NULL && (file = g_dir_read_name (dir)) != NULL)
          if (g_str_has_suffix (file, ".so"))
            g_hash_table_add (seen, g_strdup_printf ("%s/%.*s", families[i], (int) strlen (file) - 3, file));
      }
  names = cis_str_keys (seen);
  return g_strdupv ((char **) names);
}

/* "family/name", of names that cannot leave the folder. */
static gboolean
is_plugin_name (const char *name)
{
  g_auto (GStrv) words = g_strsplit (name, "/", -1);

  return g_strv_length (words) == 2 && cis_name_is_valid (words[0], 64) && cis_name_is_valid (words[1], 64);
}

static char *
find_file (const char *name, GError **error)
{
  g_auto (GStrv) folders = get_search_path ();
  g_autofree char *searched = g_strjoinv (", ", folders);
  g_auto (GStrv) known = NULL;
  const char *nearest;

  for (char **folder = folders; *folder != NULL && is_plugin_name (name); folder++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%s.so", *folder, name);
      struct stat info;

      /* Whatever it is: open_library() says so. */
      if (g_lstat (path, &info) == 0)
        return g_steal_pointer (&path);
    }
  known = cis_plugin_list ();
  nearest = cis_nearest_name (name, (const char *const *) known);
  for (char **other = known; *other != NULL; other++)
    if (g_str_equal (strchr (*other, '/') + 1, name))
      nearest = *other;
  if (nearest != NULL)
    g_set_error (error, CIS_ERROR, CIS_ERROR_PLUGIN, "there is no plugin “%s”; did you mean “%s”?", name,
                 nearest);
  else
    g_set_error (error, CIS_ERROR, CIS_ERROR_PLUGIN,
                 "there is no plugin “%s”: no such .so in %s (`cis490 inspect` lists those that are there)",
                 name, searched);
  return NULL;
}

/* Whoever can write a plugin, or swap it or a folder on the way to it, runs code as us. */
static gboolean
check_owner (const char *path, const struct stat *info, GError **error)
{
  g_autoptr (GError) problem = NULL;
  struct stat named;

  if (!cis_owner_check (path, CIS_OWNERS_US, NULL, &problem))
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_PLUGIN, problem->message);
      return FALSE;
    }
  /* Where all of them are ours, only we could have put another there meanwhile. */
  return (g_stat (path, &named) == 0 && named.st_dev == info->st_dev && named.st_ino == info->st_ino) ||
         refuse (error, path, "was replaced just now; start again");
}

/* Opens what was checked and loads just that, through /proc/self/fd: the name may mean another file by then.
 * The descriptor is never closed: glibc knows libraries by name too, and would give the old one for a number
 * that is used again. */
static gpointer
open_library (const char *path, struct stat *info, GError **error)
{
  g_autoptr (GError) problem = NULL;
  int fd = cis_file_open (AT_FDCWD, path, O_RDONLY, info, &problem);
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  gpointer library;
  const char *reason;

  if (fd < 0)
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_PLUGIN, problem->message);
      return NULL;
    }
  if (!check_owner (path, info, error) ||
      (!cis_elf_check (fd, info->st_size, &problem) && !refuse (error, path, "%s", problem->message)))
    {
      close (fd);
      return NULL;
    }
  library = dlopen (link, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library != NULL)
    return library;
  reason = dlerror ();
  if (g_str_has_prefix (reason, link))
    reason += strlen (link) + strspn (reason + strlen (link), ": ");
  refuse (error, path, "does not load: %s", reason);
  close (fd);
  return NULL;
}

static gsize
get_class_size (const char *type_name)
{
  const GType bases[] = { CIS_TYPE_STAGE, CIS_TYPE_ALERT, CIS_TYPE_SOURCE };
  GTypeQuery query;

  for (guint i = 0; i < G_N_ELEMENTS (bases); i++)
    if (g_strcmp0 (g_type_name (bases[i]), type_name) == 0)
      {
        g_type_query (bases[i], &query);
        return query.class_size;
      }
  return 0;
}

static gboolean
check_descriptor (const CisPluginDescriptor *descriptor, const char *name, const char *path, GError **error)
{
  if (descriptor->magic != CIS_PLUGIN_MAGIC)
    return refuse (error, path,
                   "its symbol “" CIS_PLUGIN_SYMBOL "” is not a plugin's descriptor (wrong magic number)");
  if (descriptor->abi != CIS_PLUGIN_ABI)
    return refuse (
        error, path,
        "was built for plugin ABI %u, this program has %u; build it against this version's headers",
        descriptor->abi, CIS_PLUGIN_ABI);
  if (get_class_size (descriptor->parent_name) == 0)
    return refuse (error, path, "derives from %s, which is none of CisStage, CisAlert and CisSource",
                   descriptor->parent_name);
  if (descriptor->class_size != get_class_size (descriptor->parent_name))
    return refuse (
        error, path,
        "was built with another %sClass (%zu bytes, here %zu); build it against this version's headers",
        descriptor->parent_name, descriptor->class_size, get_class_size (descriptor->parent_name));
  if (!g_str_equal (descriptor->name, name))
    return refuse (error, path, "says that it is “%s”, not “%s”; rename the file or correct its CIS_PLUGIN()",
                   descriptor->name, name);
  if (g_type_from_name (descriptor->type_name) != 0)
    return refuse (error, path, "its type %s is registered already, by another plugin",
                   descriptor->type_name);
  return TRUE;
}

static CisPlugin *
load (const char *name, GError **error)
{
  g_autofree char *path = find_file (name, error);
  struct stat info;
  gpointer library = path != NULL ? open_library (path, &info, error) : NULL;
  const CisPluginDescriptor *descriptor;
  CisPlugin *self;
  GType type;

  if (library == NULL)
    return NULL;
  descriptor = dlsym (library, CIS_PLUGIN_SYMBOL);
  if (descriptor == NULL)
    {
      refuse (error, path,
              "has no symbol “" CIS_PLUGIN_SYMBOL "”: it is no plugin of ours, or lacks its CIS_PLUGIN()");
      return NULL;
    }
  if (!check_descriptor (descriptor, name, path, error))
    return NULL;
  type = descriptor->get_type ();
  if (!g_type_is_a (type, g_type_from_name (descriptor->parent_name)) || G_TYPE_IS_ABSTRACT (type))
    {
      refuse (error, path, "its type %s is not a %s that can be made", descriptor->type_name,
              descriptor->parent_name);
      return NULL;
    }

  self = g_new0 (CisPlugin, 1);
  self->descriptor = descriptor;
  self->type = type;
  self->path = g_steal_pointer (&path);
  self->device = info.st_dev;
  self->inode = info.st_ino;
  return self;
}

const CisPlugin *
cis_plugin_load (const char *name, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);
  CisPlugin *plugin;

  if (loaded == NULL)
    loaded = g_hash_table_new (cis_str_hash, g_str_equal);
  plugin = g_hash_table_lookup (loaded, name);
  if (plugin == NULL && (plugin = load (name, error)) != NULL)
    g_hash_table_insert (loaded, (gpointer) plugin->descriptor->name, plugin);
  return plugin;
}

GStrv
cis_plugin_list_replaced (void)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  GHashTableIter iter;
  gpointer value;

  if (loaded == NULL)
    return g_strv_builder_end (builder);
  g_hash_table_iter_init (&iter, loaded);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const CisPlugin *plugin = value;
      struct stat info;

      if (g_stat (plugin->path, &info) != 0 || info.st_dev != plugin->device || info.st_ino != plugin->inode)
        g_strv_builder_add (builder, plugin->descriptor->name);
    }
  return g_strv_builder_end (builder);
}
