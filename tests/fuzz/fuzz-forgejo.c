/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/gate/window/forgejo-page.h"
#include "fuzz.h"

#define MOST 8

/* However many commits a page lists, no more than asked for get into the window, each once and each an id, as
 * each parent is. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr (GBytes) body = g_bytes_new (data, size);
  g_autoptr (GHashTable) parents = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (CisWindow) window = cis_window_new ("forgejo", 0);
  g_autoptr (GError) error = NULL;
  GHashTableIter iter;
  gpointer parent;
  guint n_listed = 0;

  if (!cis_forgejo_page_read (body, window, MOST, parents, &n_listed, &error))
    {
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
      return 0;
    }
  g_assert_no_error (error);
  g_assert_cmpuint (cis_window_get_length (window), <=, MIN (n_listed, MOST));
  for (guint i = 0; i < cis_window_get_length (window); i++)
    {
      g_autofree char *commit = g_strndup (cis_window_get_commit (window, i), CIS_COMMIT_LENGTH);

      g_assert_true (cis_hex_is_valid (commit, CIS_COMMIT_LENGTH));
      g_assert_cmpint (cis_window_get_position (window, commit), ==, i);
    }
  g_hash_table_iter_init (&iter, parents);
  while (g_hash_table_iter_next (&iter, &parent, NULL))
    g_assert_true (cis_hex_is_valid (parent, CIS_COMMIT_LENGTH));
  return 0;
}
