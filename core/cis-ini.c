/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-ini.h"

#include "cis-owner.h"

#include <string.h>

#define INI_MAX (1024 * 1024)
/* Of groups and keys. */
#define NAME_LETTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_."

/* GKeyFile keeps the values and knows their escapes; it reads none, as it takes more than we understand, such
 * as "key[de]=". */
struct _CisIni
{
  char *path;
  GKeyFile *keys;
  GPtrArray *groups; /* of char *, in their order: GKeyFile forgets those without keys */
  GHashTable *lines; /* "group" and "group]key" to the line, from 1 */
};

static CisIni *
ini_new (const char *path)
{
  CisIni *self = g_new (CisIni, 1);

  self->path = g_strdup (path);
  self->keys = g_key_file_new ();
  self->groups = g_ptr_array_new_with_free_func (g_free);
  self->lines = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
cis_ini_free (CisIni *self)
{
  g_free (self->path);
  g_key_file_unref (self->keys);
  g_ptr_array_unref (self->groups);
  g_hash_table_unref (self->lines);
  g_free (self);
}

/* From 1; 0 where there is none. */
static guint
get_line (CisIni *self, const char *group, const char *key)
{
  g_autofree char *name = g_strjoin ("]", group, key, NULL);

  return GPOINTER_TO_UINT (g_hash_table_lookup (self->lines, name));
}

G_GNUC_PRINTF (4, 5)
static gboolean
refuse (CisIni *self, guint line, GError **error, const char *format, ...)
{
  g_autofree char *reason = NULL;
  va_list args;

  va_start (args, format);
  reason = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "%s:%u: %s", self->path, line, reason);
  return FALSE;
}

/* Without the blanks round it, those of Unicode too: text that is pasted from elsewhere has them. full */
static char *
strip (const char *text, gsize length)
{
  const char *end = text + length;

  while (text < end && g_unichar_isspace (g_utf8_get_char (text)))
    text = g_utf8_next_char (text);
  while (end > text && g_unichar_isspace (g_utf8_get_char (g_utf8_prev_char (end))))
    end = g_utf8_prev_char (end);
  return g_strndup (text, (gsize) (end - text));
}

static gboolean
is_name (const char *name)
{
  return name[0] != '\0' && name[strspn (name, NAME_LETTERS)] == '\0';
}

/* Of two that are the same the last would be taken, and nobody would know. */
static gboolean
note_line (CisIni *self, const char *group, const char *key, guint line, GError **error)
{
  guint first = get_line (self, group, key);

  if (first > 0 && key == NULL)
    return refuse (self, line, error, "[%s] is there already, in line %u; put all its keys below one of them",
                   group, first);
  if (first > 0)
    return refuse (self, line, error, "“%s” is there already, in line %u; which is meant? Remove the other",
                   key, first);
  g_hash_table_insert (self->lines, g_strjoin ("]", group, key, NULL), GUINT_TO_POINTER (line));
  if (key == NULL)
    g_ptr_array_add (self->groups, g_strdup (group));
  return TRUE;
}

/* @text: from "[" on. */
static gboolean
read_group (CisIni *self, const char *text, char **group, guint line, GError **error)
{
  const char *end = strchr (text, ']');
  g_autofree char *name = NULL, *plain = NULL;

  if (end == NULL)
    return refuse (self, line, error, "“%s” has no closing “]”", text);
  name = g_strndup (text + 1, (gsize) (end - text - 1));
  plain = strip (name, strlen (name));
  if (is_name (plain) && !g_str_equal (plain, name))
    return refuse (self, line, error, "“%s” has blanks in its name; write [%s]", text, plain);
  if (!is_name (name))
    return refuse (self, line, error,
                   "“%s” is no [group]; its name has letters, digits, “-”, “_” and “.” only", text);
  if (end[1] != '\0')
    return refuse (self, line, error,
                   "nothing may stand behind [%s]; keys and comments have lines of their own", name);
  g_free (*group);
  *group = g_steal_pointer (&name);
  return note_line (self, *group, NULL, line, error);
}

static gboolean
refuse_key (CisIni *self, const char *key, guint line, GError **error)
{
  const char *bracket = strchr (key, '[');

  if (key[0] == '\0')
    return refuse (self, line, error, "there is nothing before “=”; write KEY=VALUE");
  if (bracket != NULL && bracket > key && g_str_has_suffix (key, "]"))
    return refuse (self, line, error, "“%s”: a key has no languages; write “%.*s=”", key,
                   (int) (bracket - key), key);
  return refuse (self, line, error, "“%s” is no key; one has letters, digits, “-”, “_” and “.” only", key);
}

/* A key's line, without the blanks round it. */
static gboolean
read_key (CisIni *self, const char *text, const char *group, guint line, GError **error)
{
  const char *equals = strchr (text, '=');
  g_autofree char *key = NULL, *value = NULL;

  if (equals == NULL && strchr (text, ':') != NULL)
    return refuse (self, line, error, "“%s” has no “=”; write KEY=VALUE, without “:”", text);
  if (equals == NULL)
    return refuse (self, line, error, "“%s” is no [group], no KEY=VALUE and no # comment", text);
  key = strip (text, (gsize) (equals - text));
  if (!is_name (key))
    return refuse_key (self, key, line, error);
  if (group == NULL)
    return refuse (self, line, error, "“%s=” stands before the first [group]; put it below one", key);
  value = strip (equals + 1, strlen (equals + 1));
  g_key_file_set_value (self->keys, group, key, value);
  return note_line (self, group, key, line, error);
}

static gboolean
read_text (CisIni *self, const char *text, GError **error)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  g_autofree char *group = NULL;

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *line = strip (lines[i], strlen (lines[i]));

      /* "; comment" is another dialect's, and can mean nothing else. */
      if (line[0] == '\0' || line[0] == '#' || line[0] == ';')
        continue;
      if (line[0] == '[' ? !read_group (self, line, &group, i + 1, error)
                         : !read_key (self, line, group, i + 1, error))
        return FALSE;
    }
  return TRUE;
}

CisIni *
cis_ini_load (const char *path, GError **error)
{
  g_autoptr (CisIni) self = ini_new (path);
  g_autoptr (GError) problem = NULL;
  g_autofree char *text = cis_text_read (path, INI_MAX, &problem);

  if (text == NULL || !cis_owner_check (path, CIS_OWNERS_WRITER, NULL, &problem))
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG, problem->message);
      return NULL;
    }
  return read_text (self, text, error) ? g_steal_pointer (&self) : NULL;
}

CisIni *
cis_ini_new_single (const char *what, const char *group, const char *key, const char *value)
{
  CisIni *self = ini_new (what);
  g_autofree char *plain = strip (value, strlen (value));

  g_ptr_array_add (self->groups, g_strdup (group));
  g_key_file_set_string (self->keys, group, key, plain);
  return self;
}

const char *
cis_ini_get_path (CisIni *self)
{
  return self->path;
}

GStrv
cis_ini_get_groups (CisIni *self)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; i < self->groups->len; i++)
    g_strv_builder_add (builder, self->groups->pdata[i]);
  return g_strv_builder_end (builder);
}

GStrv
cis_ini_get_keys (CisIni *self, const char *group)
{
  return g_key_file_get_keys (self->keys, group, NULL, NULL);
}

gboolean
cis_ini_has (CisIni *self, const char *group, const char *key)
{
  return key != NULL ? g_key_file_has_key (self->keys, group, key, NULL)
                     : g_key_file_has_group (self->keys, group) || get_line (self, group, NULL) > 0;
}

char *
cis_ini_get (CisIni *self, const char *group, const char *key, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autofree char *value = g_key_file_get_string (self->keys, group, key, &problem);

  if (!g_error_matches (problem, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE))
    return g_steal_pointer (&value);
  /* It comes with a text all the same. */
  g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG,
                       "has a “\\” before what needs none; a backslash itself is written “\\\\”");
  return NULL;
}

char *
cis_ini_get_raw (CisIni *self, const char *group, const char *key)
{
  return g_key_file_get_value (self->keys, group, key, NULL);
}

char *
cis_ini_where (CisIni *self, const char *group, const char *key)
{
  guint line = get_line (self, group, key);

  if (line == 0)
    line = get_line (self, group, NULL);
  return line > 0 ? g_strdup_printf ("%s:%u", self->path, line) : g_strdup (self->path);
}

const char *
cis_ini_find_comment (const char *raw, const char *more)
{
  for (const char *at = raw; *at != '\0'; at++)
    if ((*at == '#' || strchr (more, *at) != NULL) && (at == raw || g_ascii_isspace (at[-1])))
      return at;
  return NULL;
}
