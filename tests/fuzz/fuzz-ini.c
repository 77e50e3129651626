/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-config.h"
#include "fuzz.h"

#include <string.h>

#define SITE     0
#define PIPELINE 1
#define AGAIN    2

/* The line, from 1, of a text, without what an editor puts before it; full. */
static char *
get_line (const FuzzPart *text, guint number)
{
  const char *at = text->data, *end = at + text->size, *newline;
  g_autofree char *line = NULL;
  const char *plain;

  for (; --number > 0; at = newline + 1)
    g_assert_nonnull (newline = memchr (at, '\n', end - at));
  newline = memchr (at, '\n', end - at);
  plain = line = g_strndup (at, (newline != NULL ? newline : end) - at);
  while (g_unichar_isspace (g_utf8_get_char (plain)) || g_utf8_get_char (plain) == 0xfeff)
    plain = g_utf8_next_char (plain);
  return g_strdup (plain);
}

/* "<path>:<line>" of a key of @text leads to a line that begins with the key; full where it is of another
 * source. */
static void
check_where (CisConfig *config, const FuzzPart *text, const char *path, const char *group, const char *key)
{
  g_autofree char *where = cis_config_where (config, group, key);
  g_autofree char *prefix = g_strconcat (path, ":", NULL);
  g_autofree char *line = NULL;

  if (g_str_has_prefix (where, "--set "))
    return;
  g_assert_true (g_str_has_prefix (where, prefix));
  line = get_line (text, (guint) g_ascii_strtoull (where + strlen (prefix), NULL, 10));
  g_assert_true (g_str_has_prefix (line, key != NULL ? key : "["));
  if (key != NULL)
    g_assert_nonnull (strchr (line + strlen (key), '='));
}

/* The expanded value, or why there is none. */
static void
check_value (CisConfig *config, const char *group, const char *key, GKeyFile *again)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *raw = cis_config_get_raw (config, group, key);
  g_autofree char *value = cis_config_get (config, group, key, &error);

  g_assert_true ((value == NULL) == (error != NULL));
  if (error != NULL)
    g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  if (raw == NULL)
    {
      g_assert_null (value);
      return;
    }
  g_key_file_set_value (again, group, key, raw);
  if (value != NULL && strstr (raw, "${") == NULL && strchr (raw, '\\') == NULL)
    g_assert_cmpstr (value, ==, raw);
}

/* What was read, written and read again, is the same. */
static void
check_again (CisConfig *config, GKeyFile *keys)
{
  g_autoptr (GError) error = NULL;
  gsize length;
  g_autofree char *text = g_key_file_to_data (keys, &length, NULL);
  g_autoptr (CisConfig) again = cis_config_load (fuzz_memory_file (AGAIN, text, length), NULL, &error);
  g_auto (GStrv) groups = g_key_file_get_groups (keys, NULL);

  g_assert_no_error (error);
  for (char **group = groups; *group != NULL; group++)
    {
      g_auto (GStrv) names = g_key_file_get_keys (keys, *group, NULL, NULL);

      for (char **name = names; *name != NULL; name++)
        {
          g_autofree char *before = cis_config_get_raw (config, *group, *name);
          g_autofree char *after = cis_config_get_raw (again, *group, *name);

          g_assert_cmpstr (before, ==, after);
        }
    }
}

/* All that it holds, as it was written; full. */
static GKeyFile *
check (CisConfig *config, const FuzzPart *text, const char *path)
{
  g_autoptr (GKeyFile) again = g_key_file_new ();
  g_auto (GStrv) groups = cis_config_get_groups (config);
  g_auto (GStrv) site = cis_config_get_site_keys (config);

  for (char **group = groups; *group != NULL; group++)
    {
      g_auto (GStrv) keys = cis_config_get_keys (config, *group);

      check_where (config, text, path, *group, NULL);
      for (char **name = keys; *name != NULL; name++)
        {
          check_where (config, text, path, *group, *name);
          check_value (config, *group, *name, again);
        }
    }
  for (char **key = site; key != NULL && *key != NULL; key++)
    {
      g_autofree char *where = cis_config_where_site (config, *key);

      g_assert_nonnull (where);
    }
  return g_steal_pointer (&again);
}

/* Each line of what stands for `--set`. */
static void
override (CisConfig *config, const FuzzPart *text)
{
  g_autofree char *copy = g_strndup (text->data, text->size);
  g_auto (GStrv) lines = g_strsplit (copy, "\n", -1);

  for (char **line = lines; *line != NULL; line++)
    {
      g_autoptr (GError) error = NULL;

      if (cis_config_check_override (*line, &error))
        cis_config_override (config, *line);
      else
        g_assert_nonnull (error);
    }
}

/* cis490.ini, the pipeline's and what --set says: each file is taken whole, or refused with a line of it. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  FuzzPart parts[3];
  const char *site, *pipeline;
  g_autoptr (CisConfig) config = NULL;
  g_autoptr (GKeyFile) keys = NULL, overridden = NULL;

  fuzz_split (data, size, parts, G_N_ELEMENTS (parts));
  site = fuzz_memory_file (SITE, parts[0].data, parts[0].size);
  pipeline = fuzz_memory_file (PIPELINE, parts[1].data, parts[1].size);
  config = cis_config_load (pipeline, site, &error);
  g_assert_true ((config == NULL) == (error != NULL));
  if (config == NULL)
    {
      guint part = g_str_has_prefix (error->message, pipeline) ? 1 : 0;

      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      fuzz_assert_position (error->message, part == 1 ? pipeline : site, parts[part].data, parts[part].size);
      return 0;
    }
  /* Nothing behind a NUL is passed over in silence. */
  g_assert_true (parts[0].size == 0 || memchr (parts[0].data, '\0', parts[0].size) == NULL);
  g_assert_true (parts[1].size == 0 || memchr (parts[1].data, '\0', parts[1].size) == NULL);
  keys = check (config, &parts[1], pipeline);
  /* Not what --set says: that may hold a form feed, which no file can. */
  check_again (config, keys);
  override (config, &parts[2]);
  overridden = check (config, &parts[1], pipeline);
  return 0;
}
