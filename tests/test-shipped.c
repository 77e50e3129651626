/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/store/retire/shipped.h"
#include "harness.h"

#include <glib/gstdio.h>

/* What somebody puts in the place of the folder that was compared was never sent. */
static void
test_shipped_swapped (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *folder = g_build_filename (tree, "episodes/run-1", NULL);
  g_autofree char *elsewhere = g_build_filename (tree, "elsewhere", NULL);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run-1", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (tree, &error);
  GStatBuf compared;

  g_assert_no_error (error);
  test_make_episode (tree, "episodes/run-1", 'c');
  g_assert_no_errno (g_stat (folder, &compared));
  g_assert_no_errno (g_rename (folder, elsewhere));
  test_make_episode (tree, "episodes/run-1", 'd');
  g_assert_null (shipped_put (state, episode, NULL, &compared, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_GONE);
  g_assert_true (test_exists (tree, "episodes/run-1/meta.json"));
  g_assert_false (test_exists (tree, "shipped/run-1"));
}

/* Which of several copies a receipt is of, and which are another episode's. @expected: NULL where none is
 * left. */
static void
assert_found (CisHostState *state, const char *receipt, const char *expected, gboolean vouched)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) json = cis_json_parse (receipt, strlen (receipt), &error);
  gboolean found_vouched;
  g_autofree char *found = shipped_find (state, "run", json, &found_vouched, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (found, ==, expected);
  g_assert_cmpint (found_vouched, ==, vouched);
}

static void
test_shipped_find (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (tree, &error);

  assert_found (state, "{}", NULL, FALSE);
  test_write (tree, "shipped/run-3/data", "");
  assert_found (state, "{}", NULL, FALSE);
  assert_found (state, "{\"copy\":\"run-3\"}", "run-3", TRUE);
  test_write (tree, "shipped/run-2", "no folder");
  assert_found (state, "{}", "run-3", FALSE);
  test_write (tree, "receipts/run-3.json", "{}");
  assert_found (state, "{}", NULL, FALSE);
  test_write (tree, "shipped/run/data", "");
  assert_found (state, "{}", "run", TRUE);
  assert_found (state, "{\"copy\":\"run-2\"}", "run", FALSE);
  /* A receipt comes from elsewhere. */
  test_write (tree, "elsewhere/data", "");
  assert_found (state, "{\"copy\":\"../elsewhere\"}", "run", TRUE);
  assert_found (state, "{\"copy\":\"run/../../elsewhere\"}", "run", TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/shipped/swapped", test_shipped_swapped);
  g_test_add_func ("/shipped/find", test_shipped_find);
  return g_test_run ();
}
