/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is said of a mistake in an ini, and where: at the line that an operator has to change. */

#include "cis-pipeline-build.h"

#include "cis-ini.h"
#include "cis-suggestion.h"
#include "cis-variables.h"

/* @finding: full. none */
static CisFinding *
add (CisBuild *self, CisFinding *finding)
{
  cis_finding_suggest_edit (finding, cis_finding_get_subject (finding));
  g_ptr_array_add (self->findings, finding);
  if (cis_finding_get_severity (finding) == CIS_SEVERITY_ERROR)
    self->n_errors++;
  return finding;
}

CisFinding *
cis_build_complain (CisBuild *self, const char *id, const char *group, const char *key, const char *format,
                    ...)
{
  g_autofree char *where = cis_config_where (self->config, group, key);
  g_autofree char *summary = NULL;
  va_list args;

  va_start (args, format);
  summary = g_strdup_vprintf (format, args);
  va_end (args);
  return add (self, cis_finding_new (id, CIS_SEVERITY_ERROR, where, "%s", summary));
}

CisFinding *
cis_build_warn (CisBuild *self, const char *id, const char *where, const char *format, ...)
{
  g_autofree char *summary = NULL;
  va_list args;

  va_start (args, format);
  summary = g_strdup_vprintf (format, args);
  va_end (args);
  return add (self, cis_finding_new (id, CIS_SEVERITY_WARNING, where, "%s", summary));
}

/* The key of [site] that is all of @text, as in "${forgejo-url:-}"; full, nullable. */
static char *
find_site_key (const char *text)
{
  g_autofree char *name =
      g_str_has_prefix (text, "${") ? g_strndup (text + 2, strcspn (text + 2, ":}")) : NULL;

  return name != NULL && g_strv_contains (cis_site_keys, name) ? g_steal_pointer (&name) : NULL;
}

/* A pipeline that was shipped says ${receiver-url}: nobody is to edit that. full */
static char *
find_value (CisBuild *self, const char *group, const char *key, const char *text)
{
  g_autofree char *name = text != NULL ? cis_config_find_variable (self->config, text, TRUE) : NULL;

  return name != NULL ? cis_config_where_site (self->config, name)
                      : cis_config_where (self->config, group, key);
}

CisFinding *
cis_build_complain_of_value (CisBuild *self, const char *id, const char *group, GParamSpec *pspec,
                             const char *format, ...)
{
  g_autofree char *written = cis_config_get_raw (self->config, group, pspec->name);
  g_autofree char *text = written != NULL && written[0] != '\0' ? g_steal_pointer (&written)
                                                                : cis_option_describe_default (pspec);
  g_autofree char *where = find_value (self, group, pspec->name, text);
  g_autofree char *key = text != NULL ? find_site_key (text) : NULL;
  g_autofree char *site = key != NULL ? cis_config_where_site (self->config, key) : NULL;
  g_autofree char *summary = NULL;
  CisFinding *finding;
  va_list args;

  va_start (args, format);
  summary = g_strdup_vprintf (format, args);
  va_end (args);
  finding = add (self, cis_finding_new (id, CIS_SEVERITY_ERROR, where, "%s", summary));
  /* It has not got a value there, and needs one. */
  if (site != NULL && !g_str_equal (where, site))
    cis_finding_suggest_site (finding, site, key);
  return finding;
}

void
cis_build_complain_of_variable (CisBuild *self, const char *group, const char *key, const char *text,
                                const char *summary)
{
  g_autofree char *name = cis_config_find_variable (self->config, text, FALSE);
  const char *nearest = name != NULL ? cis_nearest_name (name, cis_site_keys) : NULL;
  CisFinding *finding = cis_build_complain (self, key != NULL ? "config-bad-value" : "config-missing-key",
                                            group, key, "%s", summary);

  if (name == NULL)
    {
      g_autofree char *where = find_value (self, group, key, text);

      cis_finding_suggest_edit (finding, where);
    }
  else if (nearest != NULL && !g_str_equal (nearest, name))
    cis_finding_suggest_word (finding, name, nearest);
  else if (!g_str_has_suffix (name, "_DIRECTORY"))
    {
      g_autofree char *where = cis_config_where_site (self->config, name);

      cis_finding_suggest_site (finding, where, name);
    }
}

gboolean
cis_build_find_comment (CisBuild *self, const char *where, const char *group, const char *key,
                        const char *raw, const char *signs)
{
  const char *comment = cis_ini_find_comment (raw, signs);
  g_autofree char *value = comment != NULL ? g_strchomp (g_strndup (raw, (gsize) (comment - raw))) : NULL;

  if (comment == NULL)
    return FALSE;
  cis_finding_suggest_uncomment (
      add (self, cis_finding_new ("config-bad-value", CIS_SEVERITY_ERROR, where,
                                  "[%s] %s=%s has a comment behind it, and a comment has a line of its own; "
                                  "is “%s=%s” meant? Where it belongs to the value, write “\\s%c”",
                                  group, key, raw, key, value, *comment)),
      signs);
  return TRUE;
}

void
cis_build_warn_of_empty (CisBuild *self, const char *where, const char *group, const char *key,
                         const char *value)
{
  CisFinding *finding =
      cis_build_warn (self, "config-empty-value", where,
                      "[%s] %s= has no value, so the default is in force: %s", group, key, value);

  cis_finding_suggest_comment_out (finding);
}

void
cis_build_check_site (CisBuild *self)
{
  g_auto (GStrv) keys = cis_config_get_site_keys (self->config);

  for (char **key = keys; key != NULL && *key != NULL; key++)
    {
      gboolean known = g_strv_contains (cis_site_keys, *key);
      const char *nearest = known ? NULL : cis_nearest_name (*key, cis_site_keys);
      g_autofree char *where = cis_config_where_site (self->config, *key);
      g_autofree char *raw = cis_config_get_site_raw (self->config, *key);
      CisFinding *finding;

      /* A key that is like none of ours is the operator's own, and may stand for a line of a shell. */
      if (nearest == NULL)
        cis_build_find_comment (self, where, "site", *key, raw, known ? ";" : "");
      if (nearest == NULL)
        continue;
      finding = add (self, cis_finding_new ("config-unknown-key", CIS_SEVERITY_ERROR, where,
                                            "[site] has no key “%s”; did you mean “%s”?", *key, nearest));
      cis_finding_suggest_word (finding, *key, nearest);
    }
}
