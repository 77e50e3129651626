/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "amnesty.h"

#define SETTLE (2 * G_TIME_SPAN_SECOND)

struct _CisAmnesty
{
  CisPart *part; /* none */
  CisGrants *grants;
};

CisAmnesty *
cis_amnesty_new (CisPart *part, const char *path, const char *repository)
{
  CisAmnesty *self = g_new0 (CisAmnesty, 1);

  self->part = part;
  self->grants = cis_grants_new (path, repository, SETTLE);
  return self;
}

void
cis_amnesty_free (CisAmnesty *self)
{
  cis_grants_free (self->grants);
  g_free (self);
}

static CisFinding *
describe_error (const char *path, const GError *error)
{
  CisFinding *finding = cis_finding_new (
      "grants-unreadable", CIS_SEVERITY_WARNING, path,
      "Not all of the grants can be read: %s. What the other lines name is let in; other old "
      "commits wait instead of being refused.",
      error->message);
  g_autofree char *quoted = g_shell_quote (path);

  cis_finding_set_fix (finding,
                       "${EDITOR:-vi} %s\n"
                       "# each line: NAME COMMIT|COMMIT..COMMIT HOST|* UNTIL, such as\n"
                       "# thesis 0123456789abcdef0123456789abcdef01234567 lab-7 2026-12-31",
                       quoted);
  return finding;
}

void
cis_amnesty_check (const char *path, const char *repository, GPtrArray *findings)
{
  g_autoptr (CisGrants) grants = cis_grants_new (path, repository, 0);
  g_autoptr (GError) error = NULL;

  if (!cis_grants_refresh (grants, &error))
    g_ptr_array_add (findings, describe_error (path, error));
}

CisFinding *
cis_amnesty_describe_expired (const char *path, const char *name, const char *until)
{
  CisFinding *finding =
      cis_finding_new ("grant-expired", CIS_SEVERITY_WARNING, name,
                       "The grant “%s” ended %s: its commits are refused again.", name, until);
  g_autoptr (GString) pattern = g_string_new (name);
  g_autofree char *quoted = g_shell_quote (path);

  /* All that a name may have in it and that is not itself to sed. */
  g_string_replace (pattern, ".", "\\.", 0);
  cis_finding_set_fix (finding, "sed -i '/^[[:space:]]*%s[[:space:]]/d' %s\n# or give it a later date there",
                       pattern->str, quoted);
  return finding;
}

static void
collect (const char *name, const char *until, gpointer user_data)
{
  g_hash_table_replace (user_data, g_strdup (name), g_strdup (until));
}

/* Each is told once; and no more once its line is gone or has a later date. */
static void
tell_expired (CisAmnesty *self)
{
  g_autoptr (GHashTable) now = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
  GHashTableIter iter;
  gpointer name, until;

  cis_grants_foreach_expired (self->grants, g_get_real_time (), collect, now);
  cis_part_clear_unless (self->part, "grant-expired", (CisSubjectFunc) g_hash_table_contains, now);
  g_hash_table_iter_init (&iter, now);
  while (g_hash_table_iter_next (&iter, &name, &until))
    cis_part_raise (self->part,
                    cis_amnesty_describe_expired (cis_grants_get_path (self->grants), name, until));
}

void
cis_amnesty_refresh (CisAmnesty *self)
{
  g_autoptr (GError) error = NULL;

  if (cis_grants_refresh (self->grants, &error))
    cis_part_clear_unless (self->part, "grants-unreadable", NULL, NULL);
  else if (!g_error_matches (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE))
    cis_part_raise (self->part, describe_error (cis_grants_get_path (self->grants), error));
  tell_expired (self);
}

char *
cis_amnesty_find (CisAmnesty *self, const char *commit, const char *host, gboolean *whole)
{
  return cis_grants_find (self->grants, commit, host, g_get_real_time (), whole);
}
