/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-config.h"

#include "cis-option.h"
#include "cis-variables.h"

#define INI_MAX (1024 * 1024)

/* One ini file, and the lines that GKeyFile forgets. */
typedef struct
{
  char *path;
  GKeyFile *keys;
  GHashTable *lines; /* "group" and "group]key" to the line, from 1; empty: of the command line */
} Ini;

struct _CisConfig
{
  char *name;
  GPtrArray *inis; /* of Ini: the pipeline's, then its drop-ins, a later one wins */
  Ini *site;       /* nullable */
};

static void
ini_free (Ini *ini)
{
  g_free (ini->path);
  g_key_file_unref (ini->keys);
  g_hash_table_unref (ini->lines);
  g_free (ini);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Ini, ini_free)

/* GKeyFile says of a line only what it is not: the first that it refuses, from 1. */
static guint
find_bad_line (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autoptr (GKeyFile) keys = g_key_file_new ();
  gboolean has_group = FALSE;

  for (guint i = 0; lines[i] != NULL; i++)
    {
      gboolean is_group = g_strchug (lines[i])[0] == '[';
      g_autofree char *alone = g_strconcat (has_group && !is_group ? "[group]\n" : "", lines[i], NULL);

      if (alone[0] != '\0' && alone[0] != '#' &&
          !g_key_file_load_from_data (keys, alone, -1, G_KEY_FILE_NONE, NULL))
        return i + 1;
      has_group = has_group || is_group;
    }
  return 1;
}

/* What ini_get_line() finds. Of two that are the same GKeyFile would take the last, and nobody would know. */
static gboolean
ini_read_lines (Ini *ini, const char *text, GError **error)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autofree char *group = g_strdup ("");

  for (guint i = 0; lines[i] != NULL; i++)
    {
      char *line = g_strstrip (lines[i]);
      gboolean is_group = line[0] == '[';
      g_autofree char *name = NULL;
      guint first;

      if (line[0] == '\0' || line[0] == '#')
        continue;
      line[strcspn (line, is_group ? "]" : "=")] = '\0';
      /* GKeyFile takes the name of a group with all that is between the brackets. */
      if (is_group)
        {
          g_free (group);
          group = g_strdup (line + 1);
        }
      else
        g_strchomp (line);
      name = is_group ? g_strdup (group) : g_strconcat (group, "]", line, NULL);
      first = GPOINTER_TO_UINT (g_hash_table_lookup (ini->lines, name));
      if (first > 0)
        {
          g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                       is_group
                           ? "%s:%u: [%s] is there already, in line %u; put all its keys below one of them"
                           : "%s:%u: “%s” is there already, in line %u; which is meant? Remove the other",
                       ini->path, i + 1, is_group ? group : line, first);
          return FALSE;
        }
      g_hash_table_insert (ini->lines, g_steal_pointer (&name), GUINT_TO_POINTER (i + 1));
    }
  return TRUE;
}

/* From 1, of "[group]" or of "key=" below it; 0 where there is none. */
static guint
ini_get_line (Ini *ini, const char *group, const char *key)
{
  g_autofree char *name = g_strjoin ("]", group, key, NULL);

  return GPOINTER_TO_UINT (g_hash_table_lookup (ini->lines, name));
}

/* "file:line", of the group where it has no such key; full. */
static char *
ini_where (Ini *ini, const char *group, const char *key)
{
  guint line = ini_get_line (ini, group, key);

  if (line == 0)
    line = ini_get_line (ini, group, NULL);
  return line > 0 ? g_strdup_printf ("%s:%u", ini->path, line) : g_strdup (ini->path);
}

static Ini *
ini_new (char *path)
{
  Ini *ini = g_new (Ini, 1);

  ini->path = path;
  ini->keys = g_key_file_new ();
  ini->lines = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  return ini;
}

static Ini *
ini_load (const char *path, GError **error)
{
  g_autoptr (Ini) ini = ini_new (g_strdup (path));
  g_autoptr (GError) problem = NULL;
  g_autofree char *all = cis_file_read_text (path, INI_MAX, &problem);
  const char *text;

  if (all == NULL)
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG, problem->message);
      return NULL;
    }
  /* What editors of other systems put before UTF-8. */
  text = g_str_has_prefix (all, "\357\273\277") ? all + 3 : all;
  if (text[0] != '\0' && !g_key_file_load_from_data (ini->keys, text, -1, G_KEY_FILE_NONE, &problem))
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "%s:%u: %s", path, find_bad_line (text),
                   problem->message);
      return NULL;
    }
  return ini_read_lines (ini, text, error) ? g_steal_pointer (&ini) : NULL;
}

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
check_site_groups (Ini *site, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (site->keys, NULL);

  for (char **group = groups; *group != NULL; group++)
    if (!g_str_equal (*group, "site"))
      {
        g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                     "%s:%u: there is no group [%s]; this file has [site] only", site->path,
                     ini_get_line (site, *group, NULL), *group);
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

  self->inis = g_ptr_array_new_with_free_func ((GDestroyNotify) ini_free);
  if (site_file != NULL || g_file_test (site_path, G_FILE_TEST_EXISTS))
    if ((self->site = ini_load (site_path, error)) == NULL || !check_site_groups (self->site, error))
      return NULL;

  path = find_pipeline (name, site_file, error);
  if (path == NULL)
    return NULL;
  paths = list_drop_ins (name, path, site_file);
  g_ptr_array_insert (paths, 0, g_strdup (path));
  for (guint i = 0; i < paths->len; i++)
    {
      Ini *ini = ini_load (paths->pdata[i], error);

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

  if (dot != NULL && dot > assignment && dot + 1 < equals &&
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
  Ini *ini = ini_new (g_strdup_printf ("--set %s", assignment));

  g_key_file_set_string (ini->keys, group, key, equals + 1);
  g_ptr_array_add (self->inis, ini);
}

void
cis_config_free (CisConfig *self)
{
  g_free (self->name);
  g_clear_pointer (&self->inis, g_ptr_array_unref);
  g_clear_pointer (&self->site, ini_free);
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
      Ini *ini = self->inis->pdata[i];
      g_auto (GStrv) names = group == NULL ? g_key_file_get_groups (ini->keys, NULL)
                                           : g_key_file_get_keys (ini->keys, group, NULL, NULL);

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
static Ini *
find_ini (CisConfig *self, const char *group, const char *key)
{
  for (guint i = self->inis->len; i-- > 0;)
    {
      Ini *ini = self->inis->pdata[i];

      if (key != NULL ? g_key_file_has_key (ini->keys, group, key, NULL)
                      : g_key_file_has_group (ini->keys, group))
        return ini;
    }
  return NULL;
}

char *
cis_config_get_raw (CisConfig *self, const char *group, const char *key)
{
  Ini *ini = find_ini (self, group, key);

  return ini != NULL ? g_key_file_get_string (ini->keys, group, key, NULL) : NULL;
}

char *
cis_config_get (CisConfig *self, const char *group, const char *key, GError **error)
{
  Ini *ini = find_ini (self, group, key);
  g_autoptr (GError) problem = NULL;
  g_autofree char *text = NULL;

  if (ini == NULL)
    return NULL;
  text = g_key_file_get_string (ini->keys, group, key, &problem);
  if (problem != NULL) /* a bad escape comes with a text all the same */
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG, CIS_BAD_ESCAPE);
      return NULL;
    }
  return cis_config_expand (self, g_strchomp (text), error);
}

char *
cis_config_where (CisConfig *self, const char *group, const char *key)
{
  Ini *ini = find_ini (self, group, key);

  if (ini == NULL)
    ini = find_ini (self, group, NULL);
  return ini_where (ini != NULL ? ini : self->inis->pdata[0], group, key);
}

GStrv
cis_config_get_site_keys (CisConfig *self)
{
  return self->site != NULL ? g_key_file_get_keys (self->site->keys, "site", NULL, NULL) : NULL;
}

char *
cis_config_where_site (CisConfig *self, const char *key)
{
  return self->site != NULL ? ini_where (self->site, "site", key) : g_strdup (CIS_SYSCONF_DIR "/cis490.ini");
}

char *
cis_config_find_variable (CisConfig *self, const char *text, gboolean is_set)
{
  return cis_variables_find (self->site != NULL ? self->site->keys : NULL, text, is_set);
}

char *
cis_config_expand (CisConfig *self, const char *text, GError **error)
{
  const Ini *site = self != NULL ? self->site : NULL;

  return cis_variables_expand (site != NULL ? site->keys : NULL, site != NULL ? site->path : NULL, text,
                               error);
}
