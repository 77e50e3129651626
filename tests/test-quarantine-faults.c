/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the quarantine promises wherever a call fails: an episode is in one place, it is never in quarantine
 * without its reason, nothing of the experiment's is lost, nothing is done that the audit log does not say,
 * and a second try works. */

#include "../plugins/store/quarantine/folder.h"
#include "cis-item.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
get_state (const char *tree)
{
  return g_build_filename (tree, "state", NULL);
}

static Quarantine *
open_quarantine (const char *tree)
{
  g_autofree char *state = get_state (tree);
  g_autoptr (GError) error = NULL;
  Quarantine *quarantine = quarantine_open (state, NULL, &error);

  g_assert_no_error (error);
  return quarantine;
}

/* Where nothing but quarantine/ is missing of a state, as when no pipeline ran yet. */
static void
make_folders (const char *tree)
{
  g_autofree char *state = get_state (tree);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) made = cis_host_state_open (state, &error);

  g_assert_no_error (error);
}

static char *
put (Quarantine *quarantine, GError **error)
{
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  g_autoptr (CisFinding) finding = cis_finding_new ("unstamped", CIS_SEVERITY_ERROR, "run", "No commit");

  return quarantine_put (quarantine, episode, finding, NULL, error);
}

/* One kind of episode, and what it meets. */
typedef void (*Prepare) (const char *tree);

static void
prepare_plain (const char *tree)
{
  test_make_episode (tree, "state/episodes/run", '\0');
}

static void
prepare_own_reason (const char *tree)
{
  prepare_plain (tree);
  test_write (tree, "state/episodes/run/quarantine_reason.json", "the experiment's own");
}

static void
prepare_older_reason (const char *tree)
{
  prepare_plain (tree);
  test_write (tree, "state/episodes/run/quarantine_reason.json",
              "{\"finding\": \"unstamped\", \"quarantined_at\": \"2026-01-02T03:04:05Z\", \"attempts\": 1,"
              " \"first_seen\": \"2026-01-01T00:00:00Z\"}");
}

/* A power cut tore the last line of the log. */
static void
prepare_torn_log (const char *tree)
{
  prepare_plain (tree);
  test_write (tree, "state/audit.jsonl", "{\"ts\":\"2026");
}

static void
prepare_taken (const char *tree)
{
  prepare_plain (tree);
  test_write (tree, "state/quarantine/run/earlier", "");
}

static void
prepare_released (const char *tree)
{
  g_autoptr (Quarantine) quarantine = NULL;
  g_autofree char *id = NULL, *episode = NULL;

  prepare_own_reason (tree);
  quarantine = open_quarantine (tree);
  id = put (quarantine, NULL);
  episode = quarantine_release (quarantine, id, NULL, FALSE, NULL);
  g_assert_cmpstr (episode, ==, "run");
}

static GStrv
list_entries (const char *tree)
{
  g_autofree char *names = test_list (tree, "state/quarantine");

  return g_strsplit (names, " ", -1);
}

/* The entry with the episode's data; full, nullable. */
static char *
find_entry (const char *tree)
{
  g_auto (GStrv) ids = list_entries (tree);

  for (guint i = 0; ids[i] != NULL; i++)
    {
      g_autofree char *path = g_build_filename ("state/quarantine", ids[i], "meta.json", NULL);

      if (*ids[i] != '.' && test_exists (tree, path))
        return g_strdup (ids[i]);
    }
  return NULL;
}

static void
assert_in_one_place (const char *tree)
{
  g_autoptr (Quarantine) quarantine = open_quarantine (tree);
  g_autofree char *id = find_entry (tree);

  g_assert_cmpint (test_exists (tree, "state/episodes/run/meta.json"), !=, id != NULL);
  if (id != NULL)
    {
      g_autoptr (QuarantineEntry) entry = quarantine_load (quarantine, id, NULL);

      g_assert_nonnull (entry->reason);
      g_assert_cmpstr (quarantine_entry_get_finding (entry), ==, "unstamped");
    }
}

/* The experiment's file is there under one of its names. */
static void
assert_own_is_kept (const char *tree)
{
  g_autofree char *id = find_entry (tree);
  g_autofree char *folder =
      id != NULL ? g_build_filename ("state/quarantine", id, NULL) : g_strdup ("state/episodes/run");
  guint n = 0;

  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *name =
          i == 0 ? g_strdup ("quarantine_reason.json") : g_strdup_printf ("quarantine_reason-%u.json", i);
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_autofree char *text = test_read (tree, path);

      n += g_strcmp0 (text, "the experiment's own") == 0;
    }
  g_assert_cmpuint (n, ==, 1);
}

static guint
count_lines (const char *tree, const char *verb)
{
  g_autofree char *text = test_read (tree, "state/audit.jsonl");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  g_autofree char *wanted = g_strdup_printf ("\"verb\":\"%s\"", verb);
  guint n = 0;

  for (guint i = 0; lines[i] != NULL; i++)
    n += strstr (lines[i], wanted) != NULL;
  return n;
}

/* ---- in */

static void
try_put (gpointer prepare)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Quarantine) quarantine = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *target = NULL, *hidden = NULL;
  const char *failed;

  make_folders (tree);
  ((Prepare) prepare) (tree);
  quarantine = open_quarantine (tree);
  faults_begin ();
  target = put (quarantine, &error);
  failed = faults_end ();

  g_assert_cmpint (target != NULL, ==, error == NULL);
  if (failed == NULL)
    g_assert_no_error (error);
  assert_in_one_place (tree);
  if (prepare == prepare_own_reason || prepare == prepare_released)
    assert_own_is_kept (tree);
  if (target != NULL)
    g_assert_false (test_exists (tree, "state/episodes/run"));
  /* What is told as undone is undone. */
  else if (!g_error_matches (error, CIS_ERROR, CIS_ERROR_FATAL))
    g_assert_true (test_exists (tree, "state/episodes/run/meta.json"));

  /* The next start finishes what was cut, and what was not put yet is put. */
  g_clear_error (&error);
  g_assert_true (quarantine_recover (quarantine, NULL, &error));
  if (test_exists (tree, "state/episodes/run"))
    {
      g_free (target);
      target = put (quarantine, &error);
      g_assert_no_error (error);
    }
  assert_in_one_place (tree);
  if (prepare == prepare_own_reason || prepare == prepare_released)
    assert_own_is_kept (tree);
}

/* Neither the way in nor the way back: the reason stays, and the next start clears it away. */
static void
test_put_nowhere (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Quarantine) quarantine = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *left = NULL;

  make_folders (tree);
  prepare_plain (tree);
  quarantine = open_quarantine (tree);
  faults_choose ("renameat2", 1, EIO, FALSE);
  faults_choose_too ("unlinkat", EIO);
  faults_begin ();
  g_assert_null (put (quarantine, &error));
  faults_end ();
  faults_choose (NULL, 0, 0, FALSE);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_clear_error (&error);
  assert_in_one_place (tree);
  g_assert_true (quarantine_recover (quarantine, NULL, &error));
  left = test_list (tree, "state/quarantine");
  g_assert_cmpstr (left, ==, "");
}

/* The stage: what is garbage once the episode is quarantined may stay, as scan sweeps it. */
static void
try_process (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *state = get_state (tree);
  gpointer part = test_part_new ("store/quarantine", "state", state, NULL);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  g_autoptr (CisOutcome) rejected =
      cis_outcome_rejected (cis_finding_new ("unstamped", CIS_SEVERITY_ERROR, "run", "No commit"));
  g_autoptr (GError) error = NULL;
  CisVerdict verdict;

  g_assert_true (cis_part_open (part, NULL, &error));
  prepare_plain (tree);
  test_write (tree, "state/outbox/run.tar.zst", "packed");
  test_write (tree, "state/outbox/run.json", "{}");
  cis_item_fix_outcome (CIS_ITEM (episode), rejected, "stamp");
  faults_begin ();
  verdict = test_process (part, episode, NULL);
  if (faults_end () == NULL)
    g_assert_cmpint (verdict, ==, CIS_VERDICT_PASSED);
  assert_in_one_place (tree);
  if (verdict == CIS_VERDICT_PASSED)
    g_assert_false (test_exists (tree, "state/episodes/run"));
  if (test_exists (tree, "state/episodes/run"))
    g_assert_true (test_exists (tree, "state/outbox/run.tar.zst"));
  cis_part_close (part);
  g_object_unref (part);
}

/* ---- out */

static void
try_release (gpointer prepare)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Quarantine) quarantine = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *before = NULL, *after = NULL, *id = NULL, *released = NULL;
  const char *failed;

  make_folders (tree);
  ((Prepare) prepare) (tree);
  before = test_list (tree, "state/episodes/run");
  quarantine = open_quarantine (tree);
  id = put (quarantine, NULL);
  faults_begin ();
  released = quarantine_release (quarantine, id, NULL, FALSE, &error);
  failed = faults_end ();

  g_assert_cmpint (released != NULL, ==, error == NULL);
  if (failed == NULL)
    g_assert_no_error (error);
  assert_in_one_place (tree);
  if (released != NULL)
    g_assert_true (test_exists (tree, "state/episodes/run"));
  if (test_exists (tree, "state/episodes/run"))
    g_assert_cmpuint (count_lines (tree, "release"), >=, 1);
  if (prepare == prepare_own_reason)
    assert_own_is_kept (tree);

  g_clear_error (&error);
  g_assert_true (quarantine_recover (quarantine, NULL, &error));
  if (!test_exists (tree, "state/episodes/run"))
    {
      g_free (released);
      released = quarantine_release (quarantine, id, NULL, FALSE, &error);
      g_assert_no_error (error);
    }
  /* As the experiment left it, so that the same bytes are packed again; but where a file of it seemed to be
   * gone. */
  after = test_list (tree, "state/episodes/run");
  if (faults_get_error () != ENOENT && faults_get_error () != EEXIST)
    g_assert_cmpstr (after, ==, before);
  if (prepare == prepare_own_reason)
    assert_own_is_kept (tree);
}

static void
try_remove (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Quarantine) quarantine = NULL;
  g_autoptr (QuarantineEntry) entry = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *id = NULL, *left = NULL;
  const char *failed;
  gboolean removed;

  make_folders (tree);
  prepare_plain (tree);
  quarantine = open_quarantine (tree);
  id = put (quarantine, NULL);
  entry = quarantine_load (quarantine, id, NULL);
  faults_begin ();
  removed = quarantine_remove (quarantine, entry, "purge", NULL, &error);
  failed = faults_end ();

  g_assert_cmpint (removed, ==, error == NULL);
  if (failed == NULL)
    g_assert_no_error (error);
  if (removed)
    g_assert_null (find_entry (tree));
  /* As a whole, or nobody sees it any more; and the log has it. */
  if (test_exists (tree, "state/quarantine/run"))
    assert_in_one_place (tree);
  else
    g_assert_cmpuint (count_lines (tree, "purge"), >=, 1);

  g_clear_error (&error);
  if (test_exists (tree, "state/quarantine/run"))
    g_assert_true (quarantine_remove (quarantine, entry, "purge", NULL, &error));
  g_assert_true (quarantine_sweep (quarantine, NULL, NULL, NULL, &error));
  g_assert_true (quarantine_recover (quarantine, NULL, &error));
  left = test_list (tree, "state/quarantine");
  g_assert_cmpstr (left, ==, "");
}

/* What is past keep-days goes as a whole, or nobody sees it any more;
 * what an earlier removal left goes, too. */
static void
try_maintain (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *state = get_state (tree);
  gpointer part =
      test_part_new ("store/quarantine", "state", state, "confirm-after", G_GINT64_CONSTANT (0), NULL);
  CisPartClass *klass = CIS_PART_GET_CLASS (part);
  g_autoptr (GError) error = NULL;
  const char *failed;
  gboolean done;

  g_assert_true (cis_part_open (part, NULL, &error));
  test_make_episode (tree, "state/quarantine/run", '\0');
  test_write (tree, "state/quarantine/run/quarantine_reason.json",
              "{\"finding\":\"unstamped\",\"quarantined_at\":\"2020-01-02T03:04:05Z\"}");
  test_write (tree, "state/quarantine/no-reason/data", "");
  test_write (tree, "state/quarantine/.half.purged/data", "");
  faults_begin ();
  /* The first pass gives notice. */
  done = klass->maintain (part, NULL, &error) >= 0 && klass->maintain (part, NULL, &error) >= 0;
  failed = faults_end ();
  g_assert_cmpint (done, ==, error == NULL);
  if (failed == NULL)
    g_assert_false (test_exists (tree, "state/quarantine/run"));
  if (test_exists (tree, "state/quarantine/run"))
    g_assert_true (test_exists (tree, "state/quarantine/run/quarantine_reason.json") &&
                   test_exists (tree, "state/quarantine/run/meta.json"));
  else
    g_assert_cmpuint (count_lines (tree, "expire"), >=, 1);
  g_assert_true (test_exists (tree, "state/quarantine/no-reason/data"));

  g_clear_error (&error);
  for (guint i = 0; i < 3; i++)
    klass->maintain (part, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (test_exists (tree, "state/quarantine/run"));
  g_assert_false (test_exists (tree, "state/quarantine/.half.purged"));
  cis_part_close (part);
  g_object_unref (part);
}

/* ---- the start */

/* Cut at each step: a reason without its episode, one with it, half of a file. */
static void
try_open_stage (gpointer unused)
{
  static const char reason[] =
      "{\"finding\": \"unstamped\", \"quarantined_at\": \"2026-01-02T03:04:05Z\", \"episode\": \"run\"}";
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *state = get_state (tree);
  gpointer part = test_part_new ("store/quarantine", "state", state, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *left = NULL;
  gboolean opened;

  make_folders (tree);
  test_make_episode (tree, "state/quarantine/run", '\0');
  test_write (tree, "state/quarantine/.run.reason.json", reason);
  test_write (tree, "state/quarantine/.gone.reason.json", reason);
  test_write (tree, "state/quarantine/..run.reason.json.01234567.tmp", "{\"find");
  faults_begin ();
  opened = cis_part_open (part, NULL, &error);
  faults_end ();
  g_assert_cmpint (opened, ==, error == NULL);
  cis_part_close (part);
  /* Where it seems to be gone, its reason may go. */
  if (faults_get_error () != ENOENT)
    assert_in_one_place (tree);

  g_clear_error (&error);
  g_assert_true (cis_part_open (part, NULL, &error));
  cis_part_close (part);
  left = test_list (tree, "state/quarantine");
  g_assert_cmpstr (left, ==, "run");
  g_object_unref (part);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  faults_add_test ("/quarantine-faults/put", try_put, prepare_plain);
  faults_add_test ("/quarantine-faults/put/own-reason", try_put, prepare_own_reason);
  faults_add_test ("/quarantine-faults/put/older-reason", try_put, prepare_older_reason);
  faults_add_test ("/quarantine-faults/put/taken", try_put, prepare_taken);
  faults_add_test ("/quarantine-faults/put/released", try_put, prepare_released);
  g_test_add_func ("/quarantine-faults/put/nowhere", test_put_nowhere);
  faults_add_test ("/quarantine-faults/process", try_process, NULL);
  faults_add_test ("/quarantine-faults/release", try_release, prepare_plain);
  faults_add_test ("/quarantine-faults/release/own-reason", try_release, prepare_own_reason);
  faults_add_test ("/quarantine-faults/release/torn-log", try_release, prepare_torn_log);
  faults_add_test ("/quarantine-faults/remove", try_remove, NULL);
  faults_add_test ("/quarantine-faults/maintain", try_maintain, NULL);
  faults_add_test ("/quarantine-faults/start", try_open_stage, NULL);
  return g_test_run ();
}
