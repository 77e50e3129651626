/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gated.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

static void
test_recent (Fixture *fixture, gconstpointer data)
{
  gpointer gate = gate_new (fixture, DAY);
  static const char *const recent[] = { "c9", "c8", "c7" };

  for (guint i = 0; i < G_N_ELEMENTS (recent); i++)
    {
      g_autofree char *commit = get_commit (fixture, recent[i]);

      g_assert_cmpint (judge (gate, commit, NULL), ==, CIS_VERDICT_PASSED);
    }
  gate_free (gate);
}

static void
test_stale (Fixture *fixture, gconstpointer data)
{
  gpointer gate = gate_new (fixture, DAY);
  g_autofree char *commit = get_commit (fixture, "c6");
  g_autofree char *head = get_commit (fixture, "main");
  g_autoptr (CisOutcome) outcome = NULL;
  CisFinding *finding;

  assert_rejected (gate, commit, "commit-not-in-window");
  assert_rejected (gate, "0000000000000000000000000000000000000000", "commit-not-in-window");
  judge (gate, commit, &outcome);
  finding = cis_outcome_get_finding (outcome);
  g_assert_cmpstr (cis_finding_get_detail (finding, "your_commit"), ==, commit);
  g_assert_cmpstr (cis_finding_get_detail (finding, "head_commit"), ==, head);
  g_assert_nonnull (strstr (cis_finding_get_summary (finding), "not among the last 3 commits of main"));
  g_assert_nonnull (strstr (cis_finding_get_fix (finding), "git -C {repository} pull"));
  gate_free (gate);
}

static void
test_header (Fixture *fixture, gconstpointer data)
{
  static const char *const malformed[] = {
    "",
    "main",
    "HEAD",
    "c9",
    "0123456789abcdef",
    "ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD",
    " 0000000000000000000000000000000000000000",
    "00000000000000000000000000000000000000000",
    "v1^{/fix}",
  };
  gpointer gate = gate_new (fixture, DAY);

  assert_rejected (gate, NULL, "commit-missing");
  for (guint i = 0; i < G_N_ELEMENTS (malformed); i++)
    assert_rejected (gate, malformed[i], "commit-malformed");
  gate_free (gate);
}

/* Where no header says it, the episode does. */
static void
test_episode (Fixture *fixture, gconstpointer data)
{
  gpointer gate = gate_new (fixture, DAY);
  g_autofree char *recent = get_commit (fixture, "c9");
  g_autofree char *stale = get_commit (fixture, "c1");
  g_autoptr (CisEpisode) episode = episode_new (NULL);
  g_autoptr (CisEpisode) bare = cis_episode_new (NULL, "run-1", NULL);

  cis_episode_set_commit (episode, recent);
  g_assert_cmpint (test_process (gate, episode, NULL), ==, CIS_VERDICT_PASSED);
  cis_episode_set_commit (bare, stale);
  g_assert_cmpint (test_process (gate, bare, NULL), ==, CIS_VERDICT_REJECTED);
  gate_free (gate);
}

/* Whoever pulls and ships in the second after a push is not refused, however long the ttl. */
static void
test_pushed (Fixture *fixture, gconstpointer data)
{
  gpointer gate = gate_new (fixture, DAY);
  g_autofree char *old = get_commit (fixture, "c7");
  g_autofree char *pushed = NULL;

  g_assert_cmpint (judge (gate, old, NULL), ==, CIS_VERDICT_PASSED);
  pushed = push (fixture);
  g_assert_cmpint (judge (gate, pushed, NULL), ==, CIS_VERDICT_PASSED);
  assert_rejected (gate, old, "commit-not-in-window");
  gate_free (gate);
}

static void
test_ttl (Fixture *fixture, gconstpointer data)
{
  gpointer gate = gate_new (fixture, SECOND / 10);
  g_autofree char *old = get_commit (fixture, "c7");

  g_assert_cmpint (judge (gate, old, NULL), ==, CIS_VERDICT_PASSED);
  g_free (push (fixture));
  test_wait_for (judge (gate, old, NULL) == CIS_VERDICT_REJECTED);
  gate_free (gate);
}

static void
test_absent (Fixture *fixture, gconstpointer data)
{
  g_autofree char *commit = get_commit (fixture, "c9");
  gpointer gate;

  g_free (run (fixture, "mv repository elsewhere"));
  gate = gate_new (fixture, DAY);
  assert_deferred (gate, commit, DAY, CIS_SCOPE_STAGE);
  assert_rejected (gate, "no commit", "commit-malformed");
  g_free (run (fixture, "mv elsewhere repository"));
  g_assert_cmpint (judge (gate, commit, NULL), ==, CIS_VERDICT_PASSED);

  /* What was seen before it went away admits, but refuses no more. */
  g_free (run (fixture, "mv repository elsewhere"));
  assert_deferred (gate, "0000000000000000000000000000000000000000", DAY, CIS_SCOPE_ITEM);
  g_assert_cmpint (judge (gate, commit, NULL), ==, CIS_VERDICT_PASSED);
  gate_free (gate);
}

static void
test_shallow (Fixture *fixture, gconstpointer data)
{
  g_autofree char *recent = get_commit (fixture, "c8");
  g_autofree char *behind = get_commit (fixture, "c7");
  gpointer gate;

  g_free (run (
      fixture,
      "git clone -q --depth 2 file://$PWD/repository shallow; mv repository full; mv shallow repository"));
  gate = gate_new (fixture, DAY);
  g_assert_cmpint (judge (gate, recent, NULL), ==, CIS_VERDICT_PASSED);
  assert_deferred (gate, behind, DAY, CIS_SCOPE_ITEM);
  gate_free (gate);
}

/* The repository does not answer: opening its file "shallow" waits for a writer. */
static void
test_hanging (Fixture *fixture, gconstpointer data)
{
  /* libgit2 reads it, and a FIFO keeps it waiting. */
  g_autofree char *fifo =
      g_build_filename (fixture->repository, ".git", "objects", "info", "alternates", NULL);
  g_autofree char *commit = get_commit (fixture, "c9");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (CisEpisode) episode = episode_new (commit);
  g_autoptr (CisOutcome) outcome = NULL;
  g_autoptr (GError) error = NULL;
  gpointer gate = test_part_new ("gate/window", "repository", fixture->repository, "branch", "main", "ttl",
                                 DAY, "wait", SECOND / 2, "save-file", NULL, NULL);
  int fd;

  g_assert_no_errno (mkfifo (fifo, 0600));
  cis_part_open (gate, NULL, &error);
  g_assert_no_error (error);
  assert_deferred (gate, commit, DAY, CIS_SCOPE_STAGE);
  g_cancellable_cancel (cancellable);
  outcome = cis_stage_process (gate, CIS_ITEM (episode), cancellable);
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_NONE);

  fd = g_open (fifo, O_WRONLY | O_CLOEXEC, 0);
  g_assert_no_errno (fd);
  g_assert_no_errno (g_unlink (fifo));
  g_assert_true (g_close (fd, NULL));
  test_wait_for (judge (gate, commit, NULL) == CIS_VERDICT_PASSED);
  gate_free (gate);
}

static void
test_disabled (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisEpisode) episode = episode_new (NULL);
  g_autoptr (GError) error = NULL;
  gpointer gate =
      test_part_new ("gate/window", "repository", "/nonexistent", "branch", "main", "enabled", FALSE, NULL);

  cis_part_open (gate, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (test_process (gate, episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpstr (cis_item_get_mark (CIS_ITEM (episode), "gate"), ==, "disabled");
  gate_free (gate);
}

/* What store/known found to be in the store already is judged no more. */
static void
test_admitted (Fixture *fixture, gconstpointer data)
{
  gpointer gate = gate_new (fixture, DAY);
  g_autofree char *stale = get_commit (fixture, "c1");
  g_autoptr (CisEpisode) episode = episode_new (stale);

  g_assert_cmpint (test_process (gate, episode, NULL), ==, CIS_VERDICT_REJECTED);
  cis_item_set_mark (CIS_ITEM (episode), "recovered", "true");
  g_assert_cmpint (test_process (gate, episode, NULL), ==, CIS_VERDICT_PASSED);
  gate_free (gate);
}

static void
assert_sources_refused (const char *const *sources, const char *message)
{
  g_autoptr (GError) error = NULL;
  gpointer gate =
      test_part_new ("gate/window", "repository", "/nonexistent", "branch", "main", "sources", sources, NULL);

  g_assert_false (cis_part_open (gate, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, message));
  gate_free (gate);
}

static void
test_sources (Fixture *fixture, gconstpointer data)
{
  static const char *const unknown[] = { "git", "gti", NULL };
  static const char *const none[] = { NULL };

  assert_sources_refused (unknown, "there is no source “gti”");
  assert_sources_refused (none, "at least one is needed");
}

static void
assert_checked (Fixture *fixture, gboolean enabled, guint n, const char *id, const char *fix)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  gpointer gate = test_part_new ("gate/window", "repository", fixture->repository, "branch", "main", "window",
                                 n, "enabled", enabled, NULL);

  cis_part_check (gate, findings, NULL);
  g_assert_cmpuint (findings->len, >, 0);
  g_assert_cmpstr (cis_finding_get_id (findings->pdata[0]), ==, id);
  if (fix != NULL)
    g_assert_nonnull (strstr (cis_finding_get_fix (findings->pdata[0]), fix));
  g_object_unref (gate);
}

static void
test_check (Fixture *fixture, gconstpointer data)
{
  assert_checked (fixture, TRUE, 3, "window-available", NULL);
  assert_checked (fixture, FALSE, 3, "gate-disabled", "enabled=false");
  g_free (run (
      fixture,
      "git clone -q --depth 2 file://$PWD/repository shallow; mv repository full; mv shallow repository"));
  assert_checked (fixture, TRUE, 3, "window-cut", "fetch --unshallow");
  g_free (run (fixture, "mv repository elsewhere"));
  assert_checked (fixture, TRUE, 3, "window-unavailable", fixture->repository);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "/window/recent", test_recent },     { "/window/stale", test_stale },
    { "/window/header", test_header },     { "/window/episode", test_episode },
    { "/window/pushed", test_pushed },     { "/window/ttl", test_ttl },
    { "/window/absent", test_absent },     { "/window/shallow", test_shallow },
    { "/window/hanging", test_hanging },   { "/window/disabled", test_disabled },
    { "/window/sources", test_sources },   { "/window/check", test_check },
    { "/window/admitted", test_admitted },
  };

  g_test_init (&argc, &argv, NULL);
  g_log_writer_default_set_use_stderr (TRUE);
  forge_prepare ();
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
