/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/gate/window/refresher.h"
#include "harness.h"

#include <string.h>

/* Where no source answers, each is named with its own error, and it is said who is let in all the same. */
static void
test_all_errors (void)
{
  g_autoptr (GPtrArray) sources = g_ptr_array_new_with_free_func ((GDestroyNotify) cis_window_source_free);
  g_autoptr (GPtrArray) errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  g_autoptr (CisWindow) cached = cis_window_new ("test", 1);

  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *path = g_strdup_printf ("/nonexistent/%u", i);
      GError *error = NULL;

      g_ptr_array_add (sources, cis_window_source_git_new (path));
      g_assert_null (cis_window_source_fetch (sources->pdata[i], "main", 3, NULL, &error));
      g_ptr_array_add (errors, error);
    }
  cis_window_append (cached, "0123456789abcdef0123456789abcdef01234567", 0);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CisFinding) finding =
          cis_refresher_describe_errors (sources, errors, "main", "gate", i == 1 ? cached : NULL);
      const char *summary = cis_finding_get_summary (finding);

      g_test_message ("%s", summary);
      for (guint k = 0; k < 2; k++)
        {
          g_autofree char *path = g_strdup_printf ("/nonexistent/%u", k);

          g_assert_nonnull (strstr (summary, path));
          g_assert_nonnull (strstr (cis_finding_get_fix (finding), path));
        }
      g_assert_true ((strstr (summary, "all episodes wait") != NULL) == (i == 0));
      g_assert_true ((strstr (summary, "head 0123456789ab has is let in") != NULL) == (i == 1));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/window-errors/all", test_all_errors);
  return g_test_run ();
}
