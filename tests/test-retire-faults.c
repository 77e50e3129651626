/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What retiring promises wherever a call fails: a shipped episode is in one place, it goes to shipped/ only
 * beside its receipt, and what did not go stays and goes the next time. */

#include "faults.h"
#include "once.h"

#include <errno.h>
#include <unistd.h>

/* An episode that has just been shipped. */
static CisEpisode *
ship (CisHostState *state, const char *tree)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *sha256 = g_strnfill (64, 'a');
  g_autofree char *fingerprint = NULL;
  g_autoptr (JsonObject) receipt = NULL;
  CisEpisode *episode = cis_episode_new (NULL, "run", NULL);

  test_make_episode (tree, "episodes/run", 'c');
  test_write (tree, "outbox/run.tar.zst", "packed");
  test_write (tree, "outbox/run.json", "{}");
  fingerprint =
      cis_fingerprint (cis_host_state_get_fd (state, CIS_FOLDER_EPISODES), "run", NULL, NULL, &error);
  g_assert_no_error (error);
  cis_episode_set_fingerprint (episode, fingerprint);
  cis_episode_set_archive (episode, NULL, sha256, 6);
  receipt = cis_receipt_new (episode, "lab", "stored", NULL);
  g_assert_true (cis_host_state_store_receipt (state, episode, receipt, &error));
  cis_episode_set_receipt (episode, receipt);
  return episode;
}

static void
try_retire (gpointer taken)
{
  const char *target = taken != NULL ? "shipped/run-2/meta.json" : "shipped/run/meta.json";
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (tree, &error);
  g_autoptr (CisEpisode) episode = ship (state, tree);
  g_autoptr (CisOutcome) outcome = NULL;
  gpointer retire = test_part_new ("store/retire", "state", tree, NULL);
  const char *failed;
  CisVerdict verdict;

  g_assert_true (cis_part_open (retire, NULL, &error));
  if (taken != NULL)
    test_write (tree, "shipped/run/earlier", "");
  faults_begin ();
  verdict = test_process (retire, episode, &outcome);
  failed = faults_end ();

  if (failed == NULL)
    g_assert_cmpint (verdict, ==, CIS_VERDICT_PASSED);
  if (verdict == CIS_VERDICT_PASSED)
    g_assert_false (test_exists (tree, "episodes/run"));
  /* What is told as undone is undone. */
  else if (!g_error_matches (cis_outcome_get_error (outcome), CIS_ERROR, CIS_ERROR_FATAL))
    g_assert_true (test_exists (tree, "episodes/run/meta.json"));
  g_assert_true (test_exists (tree, "receipts/run.json"));
  /* Another may be there under a name that seemed to be free, but never in its place. */
  if (faults_get_error () != EEXIST)
    g_assert_cmpint (test_exists (tree, target), !=, test_exists (tree, "episodes/run/meta.json"));
  if (taken != NULL)
    g_assert_true (test_exists (tree, "shipped/run/earlier"));

  if (test_exists (tree, "episodes/run"))
    {
      g_assert_true (test_exists (tree, "outbox/run.tar.zst"));
      g_assert_cmpint (test_process (retire, episode, NULL), ==, CIS_VERDICT_PASSED);
      g_assert_true (test_exists (tree, target));
    }
  cis_part_close (retire);
  g_object_unref (retire);
}

static void
try_open (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  gpointer retire = test_part_new ("store/retire", "state", tree, NULL);
  gboolean opened;

  faults_begin ();
  opened = cis_part_open (retire, NULL, &error);
  faults_end ();
  g_assert_cmpint (opened, ==, error == NULL);
  cis_part_close (retire);
  g_object_unref (retire);
}

static void
assert_whole (const char *tree, const char *folder)
{
  g_autofree char *log = g_build_filename (folder, "log.txt", NULL);
  g_autofree char *meta = g_build_filename (folder, "meta.json", NULL);
  g_autofree char *telemetry = g_build_filename (folder, "data/telemetry.jsonl", NULL);

  if (!test_exists (tree, folder))
    return;
  g_assert_true (test_exists (tree, log));
  g_assert_true (test_exists (tree, meta));
  g_assert_true (test_exists (tree, telemetry));
}

#define INI                                                                                                  \
  "[pipeline]\nstages=scan;pack;ship;retire\n[scan]\nplugin=scan/episodes\nstate=@STATE@\n"                  \
  "[pack]\nplugin=pack/tar-zstd\nstate=@STATE@\n"                                                            \
  "[ship]\nplugin=transport/mock\nstate=@STATE@\nhost=lab\nasked=%s\n"                                       \
  "[retire]\nplugin=store/retire\nstate=@STATE@\nconfirm-after=0\n"

/* @asked: what the receiver answers. @older: there is another copy of the name, of which no receipt is left.
 */
typedef struct
{
  const char *asked;
  gboolean older;
} Case;

static gboolean
is_anywhere (const char *tree)
{
  return test_exists (tree, "state/shipped/run/meta.json") ||
         test_exists (tree, "state/shipped/run-2/meta.json") ||
         test_exists (tree, "state/episodes/run/meta.json");
}

/* What was shipped long ago goes once the receiver vouches for it, its receipt last: as long as something of
 * it is there, a pass finds it again. What the receiver has lost, and the older copy of a name, is shipped
 * anew. */
static void
try_maintain (gpointer data)
{
  const Case *this = data;
  gboolean lost = g_str_equal (this->asked, "welcome");
  gboolean goes = !lost && !this->older;
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *ini = g_strdup_printf (INI, this->asked);
  g_autoptr (CisPipeline) pipeline = once_load (tree, ini);
  g_autofree char *sha256 = g_strnfill (64, 'a');
  g_autofree char *receipt =
      g_strdup_printf ("{\"episode\":\"run\",\"sha256\":\"%s\",\"received_at\":\"2020-01-02T03:04:05Z\""
                       ",\"copy\":\"run-2\"}",
                       sha256);
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);
  CisPart *retire = CIS_PART (g_array_index (steps, CisStep, steps->len - 1).stage);
  CisPartClass *klass = CIS_PART_GET_CLASS (retire);
  const char *failed;
  gboolean done;

  test_write (tree, "state/receipts/run.json", receipt);
  test_write (tree, "state/receipts/odd.json", "{\"episode\":\"odd\"}");
  test_write (tree, "state/receipts/notes.txt", "");
  if (this->older)
    test_make_episode (tree, "state/shipped/run", 'c');
  test_make_episode (tree, "state/shipped/run-2", 'c');
  test_make_episode (tree, "state/shipped/odd", 'c');
  g_assert_true (cis_pipeline_open (pipeline, &error));
  faults_begin ();
  /* The first pass gives notice. */
  done = klass->maintain (retire, NULL, &error) >= 0 && klass->maintain (retire, NULL, &error) >= 0;
  failed = faults_end ();
  g_assert_cmpint (done, ==, error == NULL);
  if (g_strcmp0 (failed, "fsync") == 0 && faults_get_error () != EINTR)
    g_assert_error (error, CIS_ERROR, CIS_ERROR_FATAL);
  if (failed == NULL)
    {
      g_assert_false (test_exists (tree, "state/shipped/run-2"));
      g_assert_cmpint (test_exists (tree, "state/episodes/run/meta.json"), ==, !goes);
    }
  /* Whole, or under another name: somebody may move it back to episodes/. */
  assert_whole (tree, "state/shipped/run");
  assert_whole (tree, "state/shipped/run-2");
  assert_whole (tree, "state/episodes/run");
  /* A disk that says of what is there that it is not may cost the receipt, and nothing else. */
  if (!goes)
    g_assert_true (is_anywhere (tree));
  if (!goes && faults_get_error () != ENOENT)
    g_assert_true (test_exists (tree, "state/receipts/run.json"));
  if (goes && !test_exists (tree, "state/receipts/run.json") && faults_get_error () != ENOENT)
    g_assert_false (is_anywhere (tree));
  g_assert_true (test_exists (tree, "state/shipped/odd/meta.json"));
  g_assert_true (test_exists (tree, "state/receipts/odd.json"));

  /* What could not be looked at is, by a later pass. */
  g_clear_error (&error);
  for (guint i = 0; i < 3; i++)
    klass->maintain (retire, NULL, &error);
  g_assert_no_error (error);
  if (faults_get_error () != ENOENT)
    {
      g_autofree char *left = test_list (tree, "state/shipped");

      g_assert_cmpstr (left, ==, lost && this->older ? "odd run" : "odd");
      g_assert_cmpint (test_exists (tree, "state/episodes/run/meta.json"), ==, !goes);
      g_assert_cmpint (test_exists (tree, "state/receipts/run.json"), ==, !goes);
    }
  cis_pipeline_close (pipeline);
}

int
main (int argc, char **argv)
{
  static Case whole = { "200", FALSE }, older = { "200", TRUE }, lost = { "welcome", TRUE };

  g_test_init (&argc, &argv, NULL);
  faults_add_test ("/retire-faults/open", try_open, NULL);
  faults_add_test ("/retire-faults/maintain", try_maintain, &whole);
  faults_add_test ("/retire-faults/maintain/older", try_maintain, &older);
  faults_add_test ("/retire-faults/maintain/lost", try_maintain, &lost);
  faults_add_test ("/retire-faults/retire", try_retire, NULL);
  faults_add_test ("/retire-faults/retire/taken", try_retire, "taken");
  return g_test_run ();
}
