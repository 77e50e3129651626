/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/gate/window/saved.h"
#include "fuzz.h"

#define OF      "main of /srv/repository"
#define MOST    16
#define MAX_AGE (30 * G_TIME_SPAN_DAY)

/* A window that was saved is taken up to its limit, with what commits are; saved and loaded again it is the
 * same. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree char *path = fuzz_file ("window.json", data, size);
  g_autofree char *other = g_build_filename (fuzz_folder (), "again.json", NULL);
  g_autoptr (CisSavedWindow) saved = cis_saved_window_new (path, OF, MAX_AGE);
  g_autoptr (CisSavedWindow) writer = cis_saved_window_new (other, OF, MAX_AGE);
  g_autoptr (CisSavedWindow) reader = cis_saved_window_new (other, OF, MAX_AGE);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) window = cis_saved_window_load (saved, MOST, &error), again = NULL;

  g_assert_true (window == NULL || error == NULL);
  if (window == NULL)
    return 0;
  g_assert_cmpuint (cis_window_get_length (window), >, 0);
  g_assert_cmpuint (cis_window_get_length (window), <=, MOST);
  for (guint i = 0; i < cis_window_get_length (window); i++)
    g_assert_cmpint (cis_window_get_position (window, cis_window_get_commit (window, i)), ==, i);
  g_assert_true (cis_saved_window_store (writer, window, &error));
  again = cis_saved_window_load (reader, MOST, &error);
  g_assert_no_error (error);
  g_assert_true (cis_window_equal (window, again));
  g_assert_true (cis_window_is_fallback (window) == cis_window_is_fallback (again));
  for (guint i = 0; i < cis_window_get_length (window); i++)
    g_assert_cmpint (cis_window_get_time (window, i), ==, cis_window_get_time (again, i));
  return 0;
}
