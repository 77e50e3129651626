/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "colliding.h"
#include "harness.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <time.h>
#include <unistd.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static CisEpisode *
make_item (const char *tree)
{
  g_autofree char *directory = g_build_filename (tree, "state/episodes/run-1", NULL);
  CisEpisode *episode = cis_episode_new (NULL, "run-1", NULL);

  cis_episode_set_directory (episode, directory);
  return episode;
}

/* What becomes of an episode with that meta.json; @fix: what its remedy must hold. */
static CisVerdict
judge (const char *meta, const char *id, const char *fix)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisStage) stamp = test_part_new ("gate/stamp", NULL, NULL);
  g_autoptr (CisEpisode) episode = make_item (tree);
  g_autoptr (CisOutcome) outcome = NULL;
  CisVerdict verdict;

  test_write (tree, "state/episodes/run-1/meta.json", meta);
  verdict = test_process (stamp, episode, &outcome);
  if (verdict == CIS_VERDICT_PASSED)
    g_assert_cmpstr (cis_episode_get_commit (episode), ==, COMMIT);
  else
    {
      CisFinding *finding = cis_outcome_get_finding (outcome);

      g_assert_null (cis_episode_get_commit (episode));
      g_assert_cmpstr (cis_finding_get_id (finding), ==, id);
      g_assert_cmpstr (cis_finding_get_subject (finding), ==, "run-1");
      g_assert_nonnull (strstr (cis_finding_get_fix (finding), fix));
      g_assert_nonnull (strstr (cis_finding_get_fix (finding), "&& cis490 quarantine release run-1"));
    }
  return verdict;
}

static void
test_stamp_stamped (void)
{
  g_assert_cmpint (judge ("{\"code_version\": {\"commit\": \"" COMMIT "\", \"dirty\": false}}", NULL, NULL),
                   ==, CIS_VERDICT_PASSED);
}

/* An experiment may write what it likes, beside; also if the names were made to collide. */
static void
test_stamp_many_members (void)
{
  g_autofree char *members = colliding_members (100000, "");
  g_autofree char *meta = g_strdup_printf ("{%s,\"code_version\":{\"commit\":\"" COMMIT "\"}}", members);
  g_autofree char *within = g_strdup_printf ("{\"code_version\":{\"commit\":\"" COMMIT "\",%s}}", members);
  clock_t begin = clock ();

  g_assert_cmpint (judge (meta, NULL, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpint (judge (within, "meta-malformed", "state/quarantine/run-1"), ==, CIS_VERDICT_REJECTED);
  g_assert_cmpint ((clock () - begin) / CLOCKS_PER_SEC, <, 10);
}

static void
test_stamp_unstamped (void)
{
  static const char *const metas[] = {
    "{}",
    "{\"code_version\": null}",
    "{\"code_version\": \"" COMMIT "\"}",
    "{\"code_version\": {}}",
    "{\"code_version\": {\"commit\": 7}}",
    "{\"code_version\": {\"commit\": \"\"}}",
    "{\"code_version\": {\"commit\": \"0123456789ABCDEF0123456789abcdef01234567\"}}",
    "{\"code_version\": {\"commit\": \"" COMMIT "0\"}}",
    "{\"code_version\": {\"commit\": \"HEAD\"}}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (metas); i++)
    g_assert_cmpint (judge (metas[i], "unstamped", "state/quarantine/run-1"), ==, CIS_VERDICT_REJECTED);
}

static void
test_stamp_malformed (void)
{
  static const char *const metas[] = { "", "{", "[]", "{\"code_version\": {\"commit\": \"" COMMIT "\"}} {}",
                                       "\xff\xfe" };

  for (guint i = 0; i < G_N_ELEMENTS (metas); i++)
    g_assert_cmpint (judge (metas[i], "meta-malformed", "quarantine/run-1'/meta.json"), ==,
                     CIS_VERDICT_REJECTED);
}

static void
test_stamp_too_large (void)
{
  g_autofree char *padding = g_strnfill (16 * 1024 * 1024, ' ');
  g_autofree char *meta = g_strconcat ("{\"code_version\": {\"commit\": \"" COMMIT "\"}}", padding, NULL);

  g_assert_cmpint (judge (meta, "meta-malformed", "meta.json"), ==, CIS_VERDICT_REJECTED);
}

static void
test_stamp_symlink (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisStage) stamp = test_part_new ("gate/stamp", NULL, NULL);
  g_autoptr (CisEpisode) episode = make_item (tree);
  g_autofree char *meta = g_build_filename (tree, "state/episodes/run-1/meta.json", NULL);

  test_write (tree, "elsewhere.json", "{\"code_version\": {\"commit\": \"" COMMIT "\"}}");
  test_write (tree, "state/episodes/run-1/log.txt", "");
  g_assert_no_errno (symlink ("../../../elsewhere.json", meta));
  g_assert_cmpint (test_process (stamp, episode, NULL), ==, CIS_VERDICT_REJECTED);
}

static void
test_stamp_not_yet (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisStage) stamp = test_part_new ("gate/stamp", NULL, NULL);
  g_autoptr (CisEpisode) episode = make_item (tree);

  test_write (tree, "state/episodes/run-1/log.txt", "");
  g_assert_cmpint (test_process (stamp, episode, NULL), ==, CIS_VERDICT_DEFERRED);
}

/* It was found quiet, waited for a worker, and is written to again. */
static void
test_stamp_changed (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisStage) stamp = test_part_new ("gate/stamp", NULL, NULL);
  g_autoptr (CisEpisode) episode = make_item (tree);
  g_autofree char *fingerprint = NULL;

  test_write (tree, "state/episodes/run-1/meta.json", "{}");
  fingerprint = cis_fingerprint (AT_FDCWD, cis_episode_get_directory (episode), NULL, NULL, NULL);
  cis_episode_set_fingerprint (episode, fingerprint);
  g_assert_cmpint (test_process (stamp, episode, NULL), ==, CIS_VERDICT_REJECTED);
  test_write (tree, "state/episodes/run-1/meta.json", "{\"code_ver");
  g_assert_cmpint (test_process (stamp, episode, NULL), ==, CIS_VERDICT_DEFERRED);
}

static void
test_stamp_gone (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisStage) stamp = test_part_new ("gate/stamp", NULL, NULL);
  g_autoptr (CisEpisode) episode = make_item (tree);

  g_assert_cmpint (test_process (stamp, episode, NULL), ==, CIS_VERDICT_NONE);
}

static void
test_stamp_shipped_already (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisStage) stamp = test_part_new ("gate/stamp", NULL, NULL);
  g_autoptr (CisEpisode) episode = make_item (tree);
  g_autoptr (JsonObject) receipt = json_object_new ();

  test_write (tree, "state/episodes/run-1/meta.json", "{}");
  cis_episode_set_receipt (episode, receipt);
  g_assert_cmpint (test_process (stamp, episode, NULL), ==, CIS_VERDICT_PASSED);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/stamp/stamped", test_stamp_stamped);
  g_test_add_func ("/stamp/many-members", test_stamp_many_members);
  g_test_add_func ("/stamp/unstamped", test_stamp_unstamped);
  g_test_add_func ("/stamp/malformed", test_stamp_malformed);
  g_test_add_func ("/stamp/too-large", test_stamp_too_large);
  g_test_add_func ("/stamp/symlink", test_stamp_symlink);
  g_test_add_func ("/stamp/not-yet", test_stamp_not_yet);
  g_test_add_func ("/stamp/changed", test_stamp_changed);
  g_test_add_func ("/stamp/gone", test_stamp_gone);
  g_test_add_func ("/stamp/shipped-already", test_stamp_shipped_already);
  return g_test_run ();
}
