/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

static CisPart *
mock_new (const char *tree, const char *answers, gint64 delay)
{
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *record = g_build_filename (tree, "record.jsonl", NULL);

  return test_part_new ("transport/mock", "state", state, "answers", answers, "delay", delay, "record",
                        record, "host", "lab-7", NULL);
}

static CisEpisode *
episode_new (const char *tree)
{
  CisEpisode *episode = cis_episode_new (NULL, "e1", NULL);
  g_autofree char *archive = g_build_filename (tree, "state/outbox/e1.tar.zst", NULL);
  g_autofree char *sha256 = cis_digest_bytes ("archive", 7);

  cis_episode_set_archive (episode, archive, sha256, 7);
  return episode;
}

static void
expect (CisPart *mock, const char *tree, CisVerdict verdict, const char *id)
{
  g_autoptr (CisEpisode) episode = episode_new (tree);
  g_autoptr (CisOutcome) outcome = NULL;
  CisVerdict got = test_process (mock, episode, &outcome);
  CisFinding *finding = cis_outcome_get_finding (outcome);

  g_assert_cmpstr (cis_verdict_to_string (got), ==, cis_verdict_to_string (verdict));
  g_assert_cmpstr (finding != NULL ? cis_finding_get_id (finding) : NULL, ==, id);
}

static void
test_script (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  CisPart *mock = mock_new (tree, "201; 412;503;timeout;200;422;proxy-400;", 0);
  g_autofree char *record = NULL;
  g_auto (GStrv) lines = NULL;

  cis_part_open (mock, NULL, &error);
  g_assert_no_error (error);
  test_write (tree, "state/outbox/e1.json", "{}");
  for (guint round = 0; round < 2; round++)
    {
      expect (mock, tree, CIS_VERDICT_PASSED, NULL);
      g_assert_true (test_exists (tree, "state/receipts/e1.json"));
      expect (mock, tree, CIS_VERDICT_REJECTED, "commit-not-in-window");
      expect (mock, tree, CIS_VERDICT_DEFERRED, "window-unavailable");
      expect (mock, tree, CIS_VERDICT_DEFERRED, "receiver-unreachable");
      expect (mock, tree, CIS_VERDICT_PASSED, NULL);
      g_assert_true (test_exists (tree, "state/outbox/e1.json") == (round == 0));
      expect (mock, tree, CIS_VERDICT_DEFERRED, "digest-mismatch");
      g_assert_false (test_exists (tree, "state/outbox/e1.json"));
      expect (mock, tree, CIS_VERDICT_DEFERRED, "proxy-refused");
    }
  record = test_read (tree, "record.jsonl");
  lines = g_strsplit (record, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 15);
  for (guint i = 0; i < 14; i++)
    {
      g_autoptr (JsonObject) row = cis_json_parse (lines[i], strlen (lines[i]), &error);

      g_assert_no_error (error);
      g_assert_cmpstr (cis_json_get_string (row, "episode"), ==, "e1");
    }
  cis_part_close (mock);
  g_object_unref (mock);
}

static void
test_malformed (void)
{
  static const char *const scripts[] = { "201;teapot", "", "201;;412", "2010" };
  g_autoptr (TestTree) tree = test_tree_new ();

  for (guint i = 0; i < G_N_ELEMENTS (scripts); i++)
    {
      CisPart *mock = mock_new (tree, scripts[i], 0);
      g_autoptr (GError) error = NULL;

      g_assert_false (cis_part_open (mock, NULL, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      if (i == 0)
        g_assert_nonnull (strstr (error->message, "\"teapot\""));
      cis_part_close (mock);
      g_object_unref (mock);
    }
}

static gpointer
cancel (gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
  return NULL;
}

/* An answer that takes a day is waited for no longer than until SIGTERM. */
static void
test_cancel (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisPart *mock = mock_new (tree, "timeout", G_TIME_SPAN_DAY);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (CisEpisode) episode = episode_new (tree);
  g_autoptr (CisOutcome) outcome = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;

  cis_part_open (mock, NULL, &error);
  g_assert_no_error (error);
  thread = g_thread_new ("cancel", cancel, cancellable);
  outcome = cis_stage_process (CIS_STAGE (mock), CIS_ITEM (episode), cancellable);
  g_thread_join (thread);
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_NONE);
  cis_part_close (mock);
  g_object_unref (mock);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mock/script", test_script);
  g_test_add_func ("/mock/malformed", test_malformed);
  g_test_add_func ("/mock/cancel", test_cancel);
  return g_test_run ();
}
