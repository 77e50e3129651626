/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* seeds-<name> FOLDER: what a fuzzer asserts, of each seed, of each beginning of it, and of it with each byte
 * left out: the fuzzers do not rot, and what they once found stays mended, also where there is no clang. */

#include "fuzz.h"

#include <string.h>

/* Longer ones are taken whole only. */
#define CUT_MAX 1024

static void
feed (const char *text, gsize length)
{
  /* Of just that size, so that a sanitizer sees who reads behind it. Like libFuzzer's, never NULL. */
  g_autofree guint8 *data = g_malloc (MAX (length, 1));

  memcpy (data, text, length);
  LLVMFuzzerTestOneInput (data, length);
}

static void
test_seed (gconstpointer path)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_autofree char *other = NULL;
  gsize length;

  g_file_get_contents (path, &text, &length, &error);
  g_assert_no_error (error);
  feed (text, length);
  if (length > CUT_MAX)
    return;
  other = g_malloc (length + 1);
  for (gsize i = 0; i < length; i++)
    {
      feed (text, i);
      memcpy (other, text, i);
      memcpy (other + i, text + i + 1, length - i - 1);
      feed (other, length - 1);
    }
}

static void
add_seeds (const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  g_autofree char *target = g_path_get_basename (folder);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *test = g_strdup_printf ("/fuzz/%s/%s", target, name);

      g_test_add_data_func_full (test, g_build_filename (folder, name, NULL), test_seed, g_free);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 2);
  add_seeds (argv[1]);
  return g_test_run ();
}
