/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/gate/window/grants.h"
#include "fuzz.h"

#include <string.h>

#define HOST   "lab-1"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* Whether a line says just this, for another reader of the file. */
static gboolean
says (const char *text, gsize size, const char *name)
{
  g_autofree char *copy = g_strndup (text, size);
  g_autofree char *quoted = g_regex_escape_string (name, -1);
  g_autofree char *pattern =
      g_strdup_printf ("(*UCP)^(?:\\x{feff})?\\s*%s\\s+" COMMIT "\\s+(?:" HOST "|\\*)\\s", quoted);
  g_auto (GStrv) lines = g_strsplit (copy, "\n", -1);

  for (char **line = lines; *line != NULL; line++)
    if (g_regex_match_simple (pattern, *line, 0, 0))
      return TRUE;
  return FALSE;
}

static void
count (const char *name, const char *until, gpointer user_data)
{
  g_assert_true (cis_name_is_valid (name, 63));
  g_assert_nonnull (strpbrk (until, G_CSET_DIGITS));
  *(guint *) user_data += 1;
}

/* A file of grants admits just what a line says, and each mistake in it is told with a line. There is no
 * repository: a range is a mistake, unless it is over. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree char *path = fuzz_file ("grants", data, size);
  g_autofree char *repository = g_build_filename (fuzz_folder (), "no-repository", NULL);
  g_autoptr (CisGrants) grants = cis_grants_new (path, repository, 0);
  g_autoptr (GError) error = NULL;
  g_autofree char *name = NULL, *never = NULL;
  gboolean in_order = cis_grants_refresh (grants, &error);
  gboolean whole;
  guint n_expired = 0;

  g_assert_true (in_order == (error == NULL));
  if (!in_order)
    fuzz_assert_position (error->message, path, (const char *) data, size);
  name = cis_grants_find (grants, COMMIT, HOST, G_MININT64, &whole);
  g_assert_true (whole == in_order);
  g_assert_true (!whole || size == 0 || memchr (data, '\0', size) == NULL);
  if (name != NULL)
    g_assert_true (says ((const char *) data, size, name));
  never = cis_grants_find (grants, COMMIT, HOST, G_MAXINT64, &whole);
  g_assert_null (never);
  cis_grants_foreach_expired (grants, G_MAXINT64, count, &n_expired);
  g_assert_true (name == NULL || n_expired > 0);
  return 0;
}
