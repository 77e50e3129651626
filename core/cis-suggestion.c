/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What to paste where a configuration is wrong. */

#include "cis-suggestion.h"

/* "/path/shipper.ini:12" or "/path/shipper.ini:12:7" to the path, NULL where it is no file's, and the line,
 * 0 where there is none. full */
static char *
split_where (const char *where, guint64 *line)
{
  g_autofree char *path = g_strdup (where);
  char *colon;
  guint64 number;

  *line = 0;
  while ((colon = strrchr (path, ':')) != NULL && !g_file_test (path, G_FILE_TEST_EXISTS) &&
         g_ascii_string_to_unsigned (colon + 1, 10, 1, G_MAXUINT, &number, NULL))
    {
      *line = number;
      *colon = '\0';
    }
  return g_file_test (path, G_FILE_TEST_IS_REGULAR) ? g_shell_quote (path) : NULL;
}

/* All editors of a terminal know +LINE. */
void
cis_finding_suggest_edit (CisFinding *finding, const char *where)
{
  guint64 line;
  g_autofree char *path = split_where (where, &line);

  if (path != NULL && line > 0)
    cis_finding_set_fix (finding, "${EDITOR:-vi} +%" G_GUINT64_FORMAT " %s", line, path);
  else if (path != NULL)
    cis_finding_set_fix (finding, "${EDITOR:-vi} %s", path);
}

/* An editor makes the file where there is none yet. */
void
cis_finding_suggest_site (CisFinding *finding, const char *where, const char *key)
{
  guint64 line;
  g_autofree char *existing = split_where (where, &line);
  g_autofree char *path = existing != NULL ? NULL : g_shell_quote (where);

  if (line > 0)
    cis_finding_set_fix (finding,
                         "# below [site], “%s=” and its value:\n${EDITOR:-vi} +%" G_GUINT64_FORMAT " %s", key,
                         line, existing);
  else
    cis_finding_set_fix (finding, "# a line “[site]”, and below it “%s=” and its value:\n${EDITOR:-vi} %s",
                         key, existing != NULL ? existing : path);
}

/* Of a line that has a value and a comment behind it. */
void
cis_finding_suggest_uncomment (CisFinding *finding, const char *signs)
{
  guint64 line;
  g_autofree char *path = split_where (cis_finding_get_subject (finding), &line);

  if (path != NULL && line > 0)
    cis_finding_set_fix (finding,
                         "sed -i -E '%" G_GUINT64_FORMAT "s/(=|[[:space:]])[[:space:]]*[#%s].*/\\1/' %s",
                         line, signs, path);
}

void
cis_finding_suggest_comment_out (CisFinding *finding)
{
  guint64 line;
  g_autofree char *path = split_where (cis_finding_get_subject (finding), &line);

  if (path != NULL && line > 0)
    cis_finding_set_fix (finding,
                         "# where that is meant; else give it a value:\nsed -i '%" G_GUINT64_FORMAT
                         "s/^/#/' %s",
                         line, path);
}

/* Only where both are plain words to sed. It has to stand alone: what it is a part of is another word. */
void
cis_finding_suggest_word (CisFinding *finding, const char *wrong, const char *right)
{
  guint64 line;
  g_autofree char *path = split_where (cis_finding_get_subject (finding), &line);
  g_autoptr (GString) pattern = g_string_new (wrong);

  g_string_replace (pattern, ".", "\\.", 0);
  if (path != NULL && line > 0 && cis_name_is_valid (wrong, 255) && cis_name_is_valid (right, 255))
    cis_finding_set_fix (finding,
                         "sed -i -E '%" G_GUINT64_FORMAT
                         "s/(^|[{[;=[:space:]])%s($|[]=;}:[:space:]])/\\1%s\\2/' %s",
                         line, pattern->str, right, path);
}

void
cis_finding_suggest_access (CisFinding *finding, const char *path)
{
  g_autofree char *fix = cis_fix_access (path);

  cis_finding_set_fix (finding, "%s", fix);
}
