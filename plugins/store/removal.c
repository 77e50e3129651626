/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "removal.h"

#define ID "not-removable"

static CisFinding *
describe (const char *state, const char *subject, const GError *error)
{
  g_autofree char *path = g_build_filename (state, subject, NULL);
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *quoted = g_shell_quote (path);
  g_autofree char *quoted_folder = g_shell_quote (folder);
  CisFinding *finding = cis_finding_new (ID, CIS_SEVERITY_WARNING, subject,
                                         "%s is to be removed, and cannot be: %s", subject, error->message);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    cis_finding_set_fix (finding,
                         "chown -R --reference=%s %s && chmod -R u+rwX %s\n"
                         "# it is removed by itself then",
                         quoted_folder, quoted, quoted);
  else
    cis_finding_set_fix (finding, "ls -laR %s\n# it is tried again by itself", quoted);
  return finding;
}

void
cis_removal_fail (CisPart *part, const char *state, const char *folder, const char *name, const GError *error,
                  GHashTable *kept)
{
  char *subject = g_build_filename (folder, name, NULL);

  cis_part_raise (part, describe (state, subject, error));
  g_hash_table_add (kept, subject);
}

void
cis_removal_end (CisPart *part, GHashTable *kept)
{
  cis_part_clear_unless (part, ID, kept != NULL ? (CisSubjectFunc) g_hash_table_contains : NULL, kept);
}
