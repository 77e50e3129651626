/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-config.h"

#include "cis-ini.h"
#include "cis-option.h"
#include "cis-variables.h"

struct _CisConfig
{
  char *name;
  GPtrArray *inis; /* of CisIni: the pipeline's, then its drop-ins, a later one wins */
  CisIni *site;    /* nullable */
};

/* Where pipelines are looked for, the first found wins. */
static GStrv
get_search_path (const char *site_file)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  const char *path = g_getenv ("CIS490_PIPELINE_PATH");
  g_auto (GStrv) folders = NULL;

  if (site_file != NULL)
    {
      g_autofree char *folder = g_path_get_dirname (site_file);
      g_autofree char *beside = g_build_filename (folder, "pipelines", NULL);

      g_strv_builder_add (builder, beside);
    }
  if (path == NULL)
    path = CIS_SYSCONF_DIR "/pipelines" G_SEARCHPATH_SEPARATOR_S CIS_PIPELINE_DIR;
  folders = g_strsplit (path, G_SEARCHPATH_SEPARATOR_S, -1);
  g_strv_builder_addv (builder, (const char **) folders);
  return g_strv_builder_end (builder);
}

static char *
find_pipeline (const char *name, const char *site_file, GError **error)
{
  g_auto (GStrv) folders = get_search_path (site_file);
  gboolean is_file = g_str_has_suffix (name, ".ini");
  g_autofree char *stem = g_strndup (name, strlen (name) - (is_file ? strlen (".ini") : 0));
  g_autofree char *base = g_strconcat (stem, ".ini", NULL);
  g_autofree char *searched = g_strjoinv (", ", folders);
  g_auto (GStrv) known = NULL;
  const char *nearest;

  if (strchr (name, '/') != NULL || (is_file && g_file_test (name, G_FILE_TEST_EXISTS)))
    return g_strdup (name);
  for (char **folder = folders; *folder != NULL && !is_file; folder++)
    {
      g_autofree char *path = g_build_filename (*folder, base, NULL);

      if (g_file_test (path, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&path);
    }
  known = cis_config_list (site_file);
  nearest = cis_nearest_name (stem, (const char *const *) known);
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "no pipeline “%s”: there is no %s in %s%s%s%s", name, base,
               is_file ? "this folder" : searched, nearest != NULL ? "; did you mean “" : "",
               nearest != NULL ? nearest : "", nearest != NULL ? "”?" : "");
  return NULL;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The paths of what ends with @suffix in a folder, sorted; empty where there is no such folder. */
static GPtrArray *
list_folder (const char *folder, const char *suffix)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, suffix) && name[0] != '.')
      g_ptr_array_add (paths, g_build_filename (folder, name, NULL));
  g_ptr_array_sort (paths, compare_names);
  return paths;
}

/* The drop-ins, those that win last: of a pipeline that is found by name, from all folders that are searched,
 * the first folder's last; else those beside the file. */
static GPtrArray *
list_drop_ins (const char *name, const char *path, const char *site_file)
{
  g_auto (GStrv) folders = get_search_path (site_file);
  g_autofree char *beside = g_strconcat (path, ".d", NULL);
  GPtrArray *drop_ins;

  if (strchr (name, '/') != NULL || g_str_has_suffix (name, ".ini"))
    return list_folder (beside, ".ini");
  drop_ins = g_ptr_array_new_with_free_func (g_free);
  for (guint i = g_strv_length (folders); i-- > 0;)
    {
      g_autofree char *folder = g_strdup_printf ("%s/%s.ini.d", folders[i], name);
      g_autoptr (GPtrArray) paths = list_folder (folder, ".ini");

      g_ptr_array_extend (drop_ins, paths, (GCopyFunc) (void *) g_strdup, NULL);
    }
  return drop_ins;
}

GStrv
cis_config_list (const char *site_file)
{
  g_auto (GStrv) folders = get_search_path (site_file);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (char **folder = folders; *folder != NULL; folder++)
    {
      g_autoptr (GPtrArray) paths = list_folder (*folder, ".ini");

      for (guint i = 0; i < paths->len; i++)
        {
          char *name = g_path_get_basename (paths->pdata[i]);

          name[strlen (name) - strlen (".ini")] = '\0';
          g_ptr_array_add (names, name);
        }
    }
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    if (i == 0 || !g_str_equal (names->pdata[i], names->pdata[i - 1]))
      g_strv_builder_add (builder, names->pdata[i]);
  return g_strv_builder_end (builder);
}

GStrv
cis_config_list_unused (const char *site_file)
{
  g_auto (GStrv) folders = get_search_path (site_file);
  g_auto (GStrv) names = cis_config_list (site_file);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (char **folder = folders; *folder != NULL; folder++)
    {
      g_autoptr (GPtrArray) paths = list_folder (*folder, ".ini.d");

      for (guint i = 0; i < paths->len; i++)
        {
          g_autofree char *name = g_path_get_basename (paths->pdata[i]);

          name[strlen (name) - strlen (".ini.d")] = '\0';
          if (!g_strv_contains ((const char *const *) names, name))
            g_strv_builder_add (builder, paths->pdata[i]);
        }
    }
  return g_strv_builder_end (builder);
}

/* A misspelt [site] would take all its keys with it, unseen. */
static gboolean
check_site_groups (CisIni *site, GError **error)
{
  g_auto (GStrv) groups = cis_ini_get_groups (site);

  for (char **group = groups; *group != NULL; group++)
    if (!g_str_equal (*group, "site"))
      {
        g_autofree char *where = cis_ini_where (site, *group, NULL);

        g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                     "%s: there is no group [%s]; this file has [site] only", where, *group);
        return FALSE;
      }
  return TRUE;
}

CisConfig *
cis_config_load (const char *name, const char *site_file, GError **error)
{
  g_autoptr (CisConfig) self = g_new0 (CisConfig, 1);
  g_autofree char *path = NULL;
  g_autoptr (GPtrArray) paths = NULL;
  const char *site_path = site_file != NULL ? site_file : CIS_SYSCONF_DIR "/cis490.ini";

  self->inis = g_ptr_array_new_with_free_func ((GDestroyNotify) cis_ini_free);
  if (site_file != NULL || g_file_test (site_path, G_FILE_TEST_EXISTS))
    if ((self->site = cis_ini_load (site_path, error)) == NULL || !check_site_groups (self->site, error))
      return NULL;

  path = find_pipeline (name, site_file, error);
  if (path == NULL)
    return NULL;
  paths = list_drop_ins (name, path, site_file);
  g_ptr_array_insert (paths, 0, g_strdup (path));
  for (guint i = 0; i < paths->len; i++)
    {
      CisIni *ini = cis_ini_load (paths->pdata[i], error);

      if (ini == NULL)
        return NULL;
      g_ptr_array_add (self->inis, ini);
    }

  self->name = g_path_get_basename (path);
  if (g_str_has_suffix (self->name, ".ini"))
    self->name[strlen (self->name) - strlen (".ini")] = '\0';
  return g_steal_pointer (&self);
}

gboolean
cis_config_check_override (const char *assignment, GError **error)
{
  const char *equals = strchr (assignment, '=');
  const char *dot = equals != NULL ? g_strrstr_len (assignment, equals - assignment, ".") : NULL;

  if (dot != NULL && dot > assignment && dot + 1 < equals && g_utf8_validate (assignment, -1, NULL) &&
      strspn (assignment, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_.") == (gsize) (equals - assignment))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
               "--set: “%s” is no STAGE.KEY=VALUE, such as pack.level=3", assignment);
  return FALSE;
}

void
cis_config_override (CisConfig *self, const char *assignment)
{
  const char *equals = strchr (assignment, '=');
  const char *dot = g_strrstr_len (assignment, equals - assignment, ".");
  g_autofree char *group = g_strndup (assignment, (gsize) (dot - assignment));
  g_autofree char *key = g_strndup (dot + 1, (gsize) (equals - dot - 1));
  g_autofree char *what = g_strdup_printf ("--set %s", assignment);

  g_ptr_array_add (self->inis, cis_ini_new_single (what, group, key, equals + 1));
}

void
cis_config_free (CisConfig *self)
{
  g_free (self->name);
  g_clear_pointer (&self->inis, g_ptr_array_unref);
  g_clear_pointer (&self->site, cis_ini_free);
  g_free (self);
}

const char *
cis_config_get_name (CisConfig *self)
{
  return self->name;
}

static GStrv
collect (CisConfig *self, const char *group)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; i < self->inis->len; i++)
    {
      CisIni *ini = self->inis->pdata[i];
      g_auto (GStrv) names = group == NULL ? cis_ini_get_groups (ini) : cis_ini_get_keys (ini, group);

      for (char **name = names; name != NULL && *name != NULL; name++)
        if (g_hash_table_add (seen, g_strdup (*name)))
          g_strv_builder_add (builder, *name);
    }
  return g_strv_builder_end (builder);
}

GStrv
cis_config_get_groups (CisConfig *self)
{
  return collect (self, NULL);
}

GStrv
cis_config_get_keys (CisConfig *self, const char *group)
{
  return collect (self, group);
}

/* The file that decides: the last one that has the key (or the group, where @key is NULL). */
static CisIni *
find_ini (CisConfig *self, const char *group, const char *key)
{
  for (guint i = self->inis->len; i-- > 0;)
    if (cis_ini_has (self->inis->pdata[i], group, key))
      return self->inis->pdata[i];
  return NULL;
}

char *
cis_config_get_raw (CisConfig *self, const char *group, const char *key)
{
  CisIni *ini = find_ini (self, group, key);

  return ini != NULL ? cis_ini_get_raw (ini, group, key) : NULL;
}

char *
cis_config_get (CisConfig *self, const char *group, const char *key, GError **error)
{
  CisIni *ini = find_ini (self, group, key);
  g_autofree char *text = ini != NULL ? cis_ini_get (ini, group, key, error) : NULL;

  return text != NULL ? cis_config_expand (self, text, error) : NULL;
}

char *
cis_config_where (CisConfig *self, const char *group, const char *key)
{
  CisIni *ini = find_ini (self, group, key);

  if (ini == NULL)
    ini = find_ini (self, group, NULL);
  return cis_ini_where (ini != NULL ? ini : self->inis->pdata[0], group, key);
}

GStrv
cis_config_get_site_keys (CisConfig *self)
{
  return self->site != NULL ? cis_ini_get_keys (self->site, "site") : NULL;
}

char *
cis_config_get_site_raw (CisConfig *self, const char *key)
{
  return cis_ini_get_raw (self->site, "site", key);
}

char *
cis_config_where_site (CisConfig *self, const char *key)
{
  return self->site != NULL ? cis_ini_where (self->site, "site", key)
                            : g_strdup (CIS_SYSCONF_DIR "/cis490.ini");
}

char *
cis_config_find_variable (CisConfig *self, const char *text, gboolean is_set)
{
  return cis_variables_find (self->site, text, is_set);
}

char *
cis_config_expand (CisConfig *self, const char *text, GError **error)
{
  return cis_variables_expand (self != NULL ? self->site : NULL, text, error);
}
