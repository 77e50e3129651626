/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

static void
test_names (void)
{
  static const char *const good[] = { "a", "ep-1", "2026-11-21T10.00.00_run", "A.b" };
  static const char *const bad[] = { "",     ".",   "..",   ".a",       "-a",    "_a",  "a/b",
                                     "a..b", "a b", "a\nb", "\xc3\xa4", "a%2fb", "a\\b" };
  g_autofree char *longest = g_strnfill (CIS_EPISODE_NAME_MAX, 'a');
  g_autofree char *longer = g_strnfill (CIS_EPISODE_NAME_MAX + 1, 'a');

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (cis_name_is_valid (good[i], CIS_EPISODE_NAME_MAX));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (cis_name_is_valid (bad[i], CIS_EPISODE_NAME_MAX));
  g_assert_true (cis_name_is_valid (longest, CIS_EPISODE_NAME_MAX));
  g_assert_false (cis_name_is_valid (longer, CIS_EPISODE_NAME_MAX));
  g_assert_false (cis_name_is_valid (longest, CIS_HOST_NAME_MAX));
}

static void
test_hex (void)
{
  g_autofree char *forty = g_strnfill (40, 'a');

  g_assert_true (cis_hex_is_valid (forty, 40));
  g_assert_false (cis_hex_is_valid (forty, 41));
  g_assert_false (cis_hex_is_valid (NULL, 40));
  forty[0] = 'A';
  g_assert_false (cis_hex_is_valid (forty, 40));
  forty[0] = 'g';
  g_assert_false (cis_hex_is_valid (forty, 40));
}

static void
test_episode (void)
{
  g_autoptr (CisEpisode) here = cis_episode_new (NULL, "e", NULL);
  g_autoptr (CisEpisode) there = cis_episode_new ("lab-1", "e", NULL);

  g_assert_cmpstr (cis_item_get_id (CIS_ITEM (here)), ==, "e");
  g_assert_cmpstr (cis_item_get_id (CIS_ITEM (there)), ==, "lab-1/e");
  g_assert_cmpstr (cis_episode_get_name (there), ==, "e");
  cis_episode_set_archive (here, "/x", "digest", 7);
  cis_episode_set_archive (here, cis_episode_get_archive (here), cis_episode_get_sha256 (here), 8);
  g_assert_cmpstr (cis_episode_get_archive (here), ==, "/x");
  g_assert_cmpstr (cis_episode_get_sha256 (here), ==, "digest");
  g_assert_cmpuint (cis_episode_get_size (here), ==, 8);
}

static void
test_marks (void)
{
  g_autoptr (CisItem) item = cis_item_new ("i", NULL);

  g_assert_null (cis_item_get_mark (item, "gate"));
  cis_item_set_mark (item, "gate", "disabled");
  cis_item_set_mark (item, "gate", "off");
  g_assert_cmpstr (cis_item_get_mark (item, "gate"), ==, "off");
  g_assert_cmpuint (g_hash_table_size (cis_item_get_marks (item)), ==, 1);
  g_assert_false (cis_item_is_recovered (item));
  g_assert_null (cis_item_get_outcome (item));
}

static void
test_request (void)
{
  g_autoptr (CisRequest) request = cis_request_new ("PUT", "/v1/episodes/h/e");

  cis_request_set_header (request, "X-Cis490-Sha256", "aa");
  g_assert_cmpstr (cis_request_get_header (request, "x-cis490-sha256"), ==, "aa");
  g_assert_null (cis_request_get_identity (request));
  cis_request_identify (request, "lab-1");
  g_assert_cmpstr (cis_request_get_identity (request), ==, "lab-1");
  g_assert_cmpuint (cis_request_get_status (request), ==, 0);
  cis_request_set_reply (request, 200, json_object_new ());
  cis_request_set_reply (request, 201, json_object_new ());
  g_assert_cmpuint (cis_request_get_status (request), ==, 201);
}

static void
test_outcomes (void)
{
  g_autoptr (CisOutcome) cancelled =
      cis_outcome_failed (g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "x"));
  g_autoptr (CisOutcome) gone = cis_outcome_failed (g_error_new_literal (CIS_ERROR, CIS_ERROR_GONE, "x"));
  g_autoptr (CisOutcome) failed = cis_outcome_failed (g_error_new_literal (CIS_ERROR, CIS_ERROR_FATAL, "x"));
  g_autoptr (CisOutcome) deferred = cis_outcome_deferred (CIS_SCOPE_STAGE, -5, NULL);

  g_assert_cmpint (cis_outcome_get_verdict (cancelled), ==, CIS_VERDICT_NONE);
  g_assert_cmpint (cis_outcome_get_verdict (gone), ==, CIS_VERDICT_NONE);
  g_assert_cmpint (cis_outcome_get_verdict (failed), ==, CIS_VERDICT_FAILED);
  g_assert_cmpint (cis_outcome_get_scope (deferred), ==, CIS_SCOPE_STAGE);
  g_assert_cmpint (cis_outcome_get_retry_after (deferred), ==, 0);
}

static void
test_exit_status (void)
{
  g_autoptr (GError) config = g_error_new_literal (CIS_ERROR, CIS_ERROR_CONFIG, "x");
  g_autoptr (GError) taken = g_error_new_literal (CIS_ERROR, CIS_ERROR_UNAVAILABLE, "x");
  g_autoptr (GError) fatal = g_error_new_literal (CIS_ERROR, CIS_ERROR_FATAL, "x");
  g_autoptr (GError) denied = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "x");

  g_assert_cmpint (cis_error_exit_status (config), ==, 78);
  g_assert_cmpint (cis_error_exit_status (taken), ==, 69);
  g_assert_cmpint (cis_error_exit_status (fatal), ==, 1);
  g_assert_cmpint (cis_error_exit_status (denied), ==, 77);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/item/names", test_names);
  g_test_add_func ("/item/hex", test_hex);
  g_test_add_func ("/item/episode", test_episode);
  g_test_add_func ("/item/marks", test_marks);
  g_test_add_func ("/item/request", test_request);
  g_test_add_func ("/item/outcomes", test_outcomes);
  g_test_add_func ("/item/exit-status", test_exit_status);
  return g_test_run ();
}
