/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-variables.h"

#include "cis-option.h"

/* Of one text: how many bytes all its variables may become, and as how many each of them counts at least. */
#define EXPANDED_MAX  (64 * 1024)
#define VARIABLE_COST 64

typedef struct
{
  CisIni *ini; /* none, nullable */
  gsize left;  /* of EXPANDED_MAX */
} Site;

const char *const cis_site_keys[] = {
  "host-id",
  "receiver-url",
  "token-file",
  "certificate-file",
  "key-file",
  "ca-file",
  "listen",
  "tokens-file",
  "repository",
  "branch",
  "window",
  "gate-enabled",
  "forgejo-url",
  "forgejo-repository",
  "forgejo-token-file",
  "forgejo-ca-file",
  "grants-file",
  "proxy-user",
  NULL,
};

/* systemd.exec(5)'s directory variables, from the environment or what they are without it. */
static char *
get_directory (const char *name)
{
  static const struct
  {
    const char *name, *usual;
  } directories[] = {
    { "STATE_DIRECTORY", "/var/lib/cis490" },       { "RUNTIME_DIRECTORY", "/run/cis490" },
    { "CACHE_DIRECTORY", "/var/cache/cis490" },     { "LOGS_DIRECTORY", "/var/log/cis490" },
    { "CONFIGURATION_DIRECTORY", CIS_SYSCONF_DIR }, { "CREDENTIALS_DIRECTORY", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (directories); i++)
    if (g_str_equal (name, directories[i].name))
      {
        const char *value = g_getenv (name);

        if (value == NULL || value[0] == '\0')
          return g_strdup (directories[i].usual);
        return g_strndup (value, strcspn (value, ":"));
      }
  return NULL;
}

/* %NULL without error where it is not set. */
static char *
look_up (const Site *site, const char *name, GError **error)
{
  g_autofree char *value = get_directory (name);
  g_autoptr (GError) problem = NULL;

  if (value == NULL && site->ini != NULL)
    {
      value = cis_ini_get (site->ini, "site", name, &problem);
      if (problem != NULL)
        {
          g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "%s: [site] %s= %s", cis_ini_get_path (site->ini),
                       name, problem->message);
          return NULL;
        }
      if (value != NULL && value[0] == '\0')
        g_clear_pointer (&value, g_free);
    }
  if (value == NULL && g_str_equal (name, "host-id"))
    value = g_strdup (g_get_host_name ());
  return g_steal_pointer (&value);
}

/* The end of the ${…} that begins at @text, nested ones skipped; NULL where it is not closed. */
static const char *
find_end (const char *text)
{
  guint depth = 0;

  for (; *text != '\0'; text++)
    if (g_str_has_prefix (text, "${"))
      depth++;
    else if (*text == '}' && --depth == 0)
      return text;
  return NULL;
}

static char *expand (Site *site, const char *text, guint depth, GError **error);

static char *
expand_variable (Site *site, const char *body, guint depth, GError **error)
{
  const char *separator = strstr (body, ":-");
  g_autofree char *name = separator != NULL ? g_strndup (body, separator - body) : g_strdup (body);
  g_autoptr (GError) problem = NULL;
  g_autofree char *value = look_up (site, name, &problem);
  const char *nearest;

  if (value != NULL)
    return expand (site, value, depth + 1, error);
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return NULL;
    }
  if (separator != NULL)
    return expand (site, separator + 2, depth + 1, error);

  nearest = cis_nearest_name (name, cis_site_keys);
  if (g_str_equal (name, "CREDENTIALS_DIRECTORY"))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "${%s} is not set in the environment; systemd sets it for a unit with "
                 "LoadCredential=, to /run/credentials/UNIT",
                 name);
  else if (g_str_has_suffix (name, "_DIRECTORY"))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "${%s} is not set in the environment", name);
  else if (nearest != NULL && !g_str_equal (nearest, name))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "${%s} is not set; did you mean ${%s}?", name, nearest);
  else
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "${%s} is not set; add “%s=…” to [site] in %s", name,
                 name, site->ini != NULL ? cis_ini_get_path (site->ini) : CIS_SYSCONF_DIR "/cis490.ini");
  return NULL;
}

static char *
expand (Site *site, const char *text, guint depth, GError **error)
{
  g_autoptr (GString) result = g_string_new (NULL);
  const char *start;

  if (depth > 8)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "“%s” leads back to itself", text);
      return NULL;
    }
  while ((start = strstr (text, "${")) != NULL)
    {
      const char *end = find_end (start);
      g_autofree char *body = NULL;
      g_autofree char *value = NULL;
      gsize cost;

      if (end == NULL)
        {
          g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "“%s” has no closing “}”", start);
          return NULL;
        }
      body = g_strndup (start + 2, end - start - 2);
      value = expand_variable (site, body, depth, error);
      if (value == NULL)
        return NULL;
      /* A handful of lines that name each other several times would take for ever else. */
      cost = VARIABLE_COST + strlen (value);
      if (cost > site->left)
        {
          g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "“${%s}” makes too much of its variables", body);
          return NULL;
        }
      site->left -= cost;
      g_string_append_len (result, text, start - text);
      g_string_append (result, value);
      text = end + 1;
    }
  g_string_append (result, text);
  return g_string_free (g_steal_pointer (&result), FALSE);
}

char *
cis_variables_expand (CisIni *ini, const char *text, GError **error)
{
  Site site = { ini, EXPANDED_MAX };

  return expand (&site, text, 0, error);
}

char *
cis_variables_find (CisIni *ini, const char *text, gboolean is_set)
{
  const Site site = { ini };

  for (const char *start = strstr (text, "${"); start != NULL; start = strstr (start + 2, "${"))
    {
      gsize length = strcspn (start + 2, ":}");
      g_autofree char *name = g_strndup (start + 2, length);
      g_autofree char *value = look_up (&site, name, NULL);
      gboolean has_default = start[2 + length] == ':';

      if (is_set ? ini != NULL && cis_ini_has (ini, "site", name) : value == NULL && !has_default)
        return g_steal_pointer (&name);
    }
  return NULL;
}
