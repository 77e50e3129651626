/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gated.h"

/* Forgejo first, for which it waits for so long, and the repository behind it, and whatever else the test
 * wants; @option: name and value. */
static gpointer
impatient_gate_new (Fixture *fixture, Forge *forge, gint64 timeout, const char *option, const char *value)
{
  g_autofree char *save_file = g_build_filename (fixture->tree, "state", "window.json", NULL);
  g_autoptr (GError) error = NULL;
  gpointer gate =
      test_part_new ("gate/window", "repository", fixture->repository, "branch", "main", "window", 3, "ttl",
                     DAY, "wait", 60 * SECOND, "timeout", timeout, "save-file", save_file, "forgejo-url",
                     forge->url, "forgejo-repository", "lab/code", option, value, NULL);

  cis_part_open (gate, NULL, &error);
  g_assert_no_error (error);
  return gate;
}

static gpointer
forge_gate_new (Fixture *fixture, Forge *forge, const char *option, const char *value)
{
  return impatient_gate_new (fixture, forge, 30 * SECOND, option, value);
}

/* Forgejo says who is refused; without it nobody is, whatever way it fails, and whoever the repository knows
 * gets in. */
static void
test_forge (Fixture *fixture, gconstpointer data)
{
  static const char *const modes[] = { "500", "garbage", "empty", "cut", "short" };
  g_autoptr (Forge) forge = forge_new (fixture->tree, "--cap=2");
  g_autofree char *stale = get_commit (fixture, "c5");
  gpointer gate = forge_gate_new (fixture, forge, NULL, NULL);

  assert_rejected (gate, stale, "commit-not-in-window");
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autofree char *pushed = NULL;

      g_test_message ("%s", modes[i]);
      forge_set (forge, modes[i]);
      pushed = push (fixture);
      g_assert_cmpint (judge (gate, pushed, NULL), ==, CIS_VERDICT_PASSED);
      assert_deferred (gate, stale, DAY, CIS_SCOPE_ITEM);
      forge_set (forge, "ok");
      assert_rejected (gate, stale, "commit-not-in-window");
      g_assert_cmpint (judge (gate, pushed, NULL), ==, CIS_VERDICT_PASSED);
    }
  gate_free (gate);
}

/* The same where it has to be given up on. One that is well may be late for that, too. */
static void
test_slow_forge (Fixture *fixture, gconstpointer data)
{
  static const char *const modes[] = { "hang", "drip" };
  g_autoptr (Forge) forge = forge_new (fixture->tree, "--cap=2");
  g_autofree char *stale = get_commit (fixture, "c5");
  gpointer gate = impatient_gate_new (fixture, forge, SECOND / 2, NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autofree char *pushed = NULL;

      g_test_message ("%s", modes[i]);
      test_wait_for (judge (gate, stale, NULL) == CIS_VERDICT_REJECTED);
      forge_set (forge, modes[i]);
      pushed = push (fixture);
      g_assert_cmpint (judge (gate, pushed, NULL), ==, CIS_VERDICT_PASSED);
      assert_deferred (gate, stale, DAY, CIS_SCOPE_ITEM);
      forge_set (forge, "ok");
      test_wait_for (judge (gate, stale, NULL) == CIS_VERDICT_REJECTED);
      g_assert_cmpint (judge (gate, pushed, NULL), ==, CIS_VERDICT_PASSED);
    }
  gate_free (gate);
}

/* Receiver and forge are restarted at once, and the repository is gone too. */
static void
test_saved (Fixture *fixture, gconstpointer data)
{
  g_autofree char *recent = get_commit (fixture, "c8");
  g_autofree char *stale = get_commit (fixture, "c5");
  g_autoptr (Forge) forge = forge_new (fixture->tree, NULL);
  gpointer gate = forge_gate_new (fixture, forge, NULL, NULL);

  g_assert_cmpint (judge (gate, recent, NULL), ==, CIS_VERDICT_PASSED);
  test_wait_for (test_exists (fixture->tree, "state/window.json"));
  gate_free (gate);
  g_free (run (fixture, "mv repository elsewhere"));
  gate = forge_gate_new (fixture, forge, NULL, NULL);
  g_assert_cmpint (judge (gate, recent, NULL), ==, CIS_VERDICT_PASSED);
  assert_deferred (gate, stale, DAY, CIS_SCOPE_ITEM);
  gate_free (gate);
}

static void
test_setup (Fixture *fixture, gconstpointer data)
{
  static const char *const urls[] = { "forge.example", "https://forge.example" };

  for (guint i = 0; i < G_N_ELEMENTS (urls); i++)
    {
      g_autoptr (GError) error = NULL;
      gpointer gate = test_part_new ("gate/window", "repository", fixture->repository, "save-file", NULL,
                                     "forgejo-url", urls[i], NULL);

      g_assert_false (cis_part_open (gate, NULL, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_assert_nonnull (strstr (error->message, i == 0 ? "forgejo-url=" : "forgejo-repository="));
      gate_free (gate);
    }
}

/* What git, a forge or a path can never be is told with what was probably meant. */
static void
test_impossible (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *option, *value, *meant;
  } cases[] = {
    { "branch", "", NULL },
    { "branch", "main # the trunk", "branch=main" },
    { "branch", "main ; x", "branch=main" },
    { "branch", "\"main\"", "branch=main" },
    { "branch", "refs/heads/fix/it", "branch=fix/it" },
    { "branch", "refs/remotes/origin/main", "branch=main" },
    { "branch", "main.lock", "branch=main" },
    { "branch", "main/", "branch=main" },
    { "branch", "ma..in", NULL },
    { "branch", "-main", NULL },
    { "branch", "HEAD", NULL },
    { "branch", "main~1", NULL },
    { "branch", "main@{u}", NULL },
    { "branch", "a/.b", NULL },
    { "branch", "a//b", NULL },
    { "branch", "ma*n", NULL },
    { "branch", "ma\tin", NULL },
    { "repository", "", NULL },
    { "repository", "srv/git", NULL },
    { "repository", "https://git.example/lab/code", NULL },
    { "repository", "git@git.example:lab/code.git", NULL },
    { "forgejo-repository", "https://git.example/lab/code", "did you mean “lab/code”?" },
    { "forgejo-repository", "lab/code.git", "did you mean “lab/code”?" },
    { "forgejo-repository", "/lab/code/", "did you mean “lab/code”?" },
    { "forgejo-repository", "code", NULL },
    { "forgejo-url", "https://git.example/api/v1", "forgejo-url=https://git.example?" },
  };
  static const char *const possible[] = { "main", "fix/it", "origin/main", "ümläut",
                                          "v1.2", "a@b",    "#1",          "lock" };

  for (guint i = 0; i < G_N_ELEMENTS (cases) + G_N_ELEMENTS (possible); i++)
    {
      gboolean is_possible = i >= G_N_ELEMENTS (cases);
      const char *option = is_possible ? "branch" : cases[i].option;
      const char *value = is_possible ? possible[i - G_N_ELEMENTS (cases)] : cases[i].value;
      gboolean is_url = g_str_equal (option, "forgejo-url");
      gboolean is_forge = is_url || g_str_equal (option, "forgejo-repository");
      const char *other = is_url ? "forgejo-repository" : is_forge ? "forgejo-url" : "remedy";
      g_autoptr (CisPart) gate =
          test_part_new ("gate/window", option, value, other, is_url ? "lab/code" : "https://git.example",
                         "save-file", NULL, NULL);
      g_autoptr (GError) error = NULL;

      g_test_message ("%s=%s", option, value);
      g_assert_true (CIS_PART_GET_CLASS (gate)->validate (gate, &error) == is_possible);
      if (is_possible)
        continue;
      g_test_message ("%s", error->message);
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_assert_true (g_str_has_prefix (error->message, option));
      g_assert_true ((strstr (error->message, "did you mean") != NULL) == (cases[i].meant != NULL));
      if (cases[i].meant != NULL)
        g_assert_nonnull (strstr (error->message, cases[i].meant));
    }
}

static void
test_remedy (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Forge) forge = forge_new (fixture->tree, NULL);
  g_autofree char *path = g_build_filename (fixture->tree, "remedy", NULL);
  g_autofree char *stale = get_commit (fixture, "c5");
  g_autofree char *expected =
      g_strdup_printf ("# run-1 of lab07\ngit checkout main # not %s\n"
                       "# newer code makes newer episodes: another stamp on this one is no way.\n"
                       "# to let this episode in all the same, on the receiver, as a line of "
                       "the file that grants-file= of cis490.ini names:\n"
                       "#   NAME %s lab07 UNTIL\n"
                       "# and then, on the host: cis490 quarantine release run-1",
                       stale, stale);
  static const char *const odd[] = { NULL, "mine; rm -r x" };
  g_autoptr (CisOutcome) outcome = NULL;
  g_autoptr (CisOutcome) again = NULL;
  CisFinding *finding;
  gpointer gate;

  /* A link that leads to it, as for other files of an operator's. */
  test_write (fixture->tree, "ours", "# {episode} of {host}\ngit checkout {branch} # not {your_commit}\n");
  g_free (run (fixture, "ln -s ours remedy"));
  gate = forge_gate_new (fixture, forge, "remedy-file", path);
  g_assert_cmpint (judge (gate, stale, &outcome), ==, CIS_VERDICT_REJECTED);
  finding = cis_outcome_get_finding (outcome);
  g_assert_cmpstr (cis_finding_get_fix (finding), ==, expected);
  g_assert_cmpstr (cis_finding_get_detail (finding, "behind"), ==, "4 commits behind");
  /* Also where there is no commit, or none that can be one. */
  for (guint i = 0; i < G_N_ELEMENTS (odd); i++)
    {
      g_autoptr (CisOutcome) refused = NULL;

      g_assert_cmpint (judge (gate, odd[i], &refused), ==, CIS_VERDICT_REJECTED);
      g_assert_cmpstr (cis_finding_get_fix (cis_outcome_get_finding (refused)), ==,
                       "# run-1 of lab07\ngit checkout main # not unknown");
    }
  /* An edit counts at once; without the file there is the usual remedy. */
  g_free (run (fixture, "rm remedy"));
  g_assert_cmpint (judge (gate, stale, &again), ==, CIS_VERDICT_REJECTED);
  g_assert_nonnull (strstr (cis_finding_get_fix (cis_outcome_get_finding (again)), "pull --ff-only"));
  gate_free (gate);
}

/* @mark: NULL for a refusal. */
static void
assert_grant (gpointer gate, const char *commit, const char *mark)
{
  g_autoptr (CisEpisode) episode = episode_new (commit);

  g_assert_cmpint (test_process (gate, episode, NULL), ==,
                   mark != NULL ? CIS_VERDICT_PASSED : CIS_VERDICT_REJECTED);
  g_assert_cmpstr (cis_item_get_mark (CIS_ITEM (episode), "grant"), ==, mark);
}

static CisVerdict
look_and_judge (gpointer gate, const char *commit)
{
  g_autoptr (CisEpisode) episode = episode_new (commit);

  CIS_PART_GET_CLASS (gate)->maintain (gate, NULL, NULL);
  return test_process (gate, episode, NULL);
}

/* Stamped with new code after it was refused, as it were. The row is marked; refused where the option says
 * so, unless a grant names what it was stamped with first. */
static void
test_restamped (Fixture *fixture, gconstpointer data)
{
  static const char unknown[] = "unknown";
  g_autofree char *recent = get_commit (fixture, "c8");
  g_autofree char *first = get_commit (fixture, "c2");
  g_autofree char *granted = get_commit (fixture, "c3");
  g_autofree char *grants = g_build_filename (fixture->tree, "grants", NULL);
  g_autofree char *line = g_strdup_printf ("old %s * 2099-01-01\n", granted);
  const struct
  {
    gboolean refuse;
    const char *commit, *header, *mark, *grant;
    CisVerdict verdict;
  } cases[] = {
    { FALSE, recent, NULL, NULL, NULL, CIS_VERDICT_PASSED },
    { FALSE, recent, first, first, NULL, CIS_VERDICT_PASSED },
    { FALSE, recent, "no commit", unknown, NULL, CIS_VERDICT_PASSED },
    { FALSE, first, recent, recent, NULL, CIS_VERDICT_REJECTED },
    { TRUE, recent, NULL, NULL, NULL, CIS_VERDICT_PASSED },
    { TRUE, recent, first, first, NULL, CIS_VERDICT_REJECTED },
    { TRUE, recent, "", unknown, NULL, CIS_VERDICT_REJECTED },
    { TRUE, recent, granted, granted, "old", CIS_VERDICT_PASSED },
    { TRUE, recent, recent, recent, NULL, CIS_VERDICT_PASSED }, /* it was put back */
  };
  gpointer gates[2];

  test_write (fixture->tree, "grants", line);
  for (guint i = 0; i < G_N_ELEMENTS (gates); i++)
    {
      gates[i] =
          test_part_new ("gate/window", "repository", fixture->repository, "branch", "main", "window", 3,
                         "save-file", NULL, "grants-file", grants, "refuse-restamped", i == 1, NULL);
      g_assert_true (cis_part_open (gates[i], NULL, NULL));
      test_wait_for (look_and_judge (gates[i], first) == CIS_VERDICT_REJECTED);
    }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (CisEpisode) episode = episode_new (cases[i].commit);
      CisItem *item = CIS_ITEM (episode);
      g_autoptr (CisOutcome) outcome = NULL;

      if (cases[i].header != NULL)
        cis_request_set_header (cis_item_get_request (item), "x-cis490-code-restamped", cases[i].header);
      g_assert_cmpint (test_process (gates[cases[i].refuse], episode, &outcome), ==, cases[i].verdict);
      g_assert_cmpstr (cis_item_get_mark (item, "restamped"), ==, cases[i].mark);
      g_assert_cmpstr (cis_item_get_mark (item, "grant"), ==, cases[i].grant);
      if (cases[i].refuse && cases[i].verdict == CIS_VERDICT_REJECTED)
        g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, "commit-restamped");
    }
  for (guint i = 0; i < G_N_ELEMENTS (gates); i++)
    gate_free (gates[i]);
}

/* Who has just begun to save the grants in place has emptied them first: nobody is refused for that. */
static void
assert_settles (gpointer gate, const char *tree, const char *text, const char *stale)
{
  test_wait_for ((test_write (tree, "grants", ""), look_and_judge (gate, stale) == CIS_VERDICT_DEFERRED));
  test_write (tree, "grants", text);
  test_wait_for (look_and_judge (gate, stale) == CIS_VERDICT_REJECTED);
}

static void
test_grants (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Forge) forge = forge_new (fixture->tree, NULL);
  g_autofree char *path = g_build_filename (fixture->tree, "grants", NULL);
  g_autofree char *mine = get_commit (fixture, "c5");
  g_autofree char *other = get_commit (fixture, "c4");
  g_autofree char *recent = get_commit (fixture, "c9");
  g_autofree char *text =
      g_strdup_printf ("mine %s lab07 2090-01-01\nother %s lab08 2090-01-01\n", mine, other);
  g_autofree char *later = g_strdup_printf ("later %s * 2090-01-01\nover %s * 2020-01-01\n", other, mine);
  gpointer gate;

  test_write (fixture->tree, "grants", text);
  gate = forge_gate_new (fixture, forge, "grants-file", path);
  assert_grant (gate, mine, "mine");
  assert_settles (gate, fixture->tree, text, other);
  assert_grant (gate, mine, "mine");
  assert_grant (gate, other, NULL);
  assert_rejected (gate, NULL, "commit-missing");
  assert_rejected (gate, "mine", "commit-malformed");
  {
    g_autoptr (CisEpisode) episode = episode_new (recent);

    g_assert_cmpint (test_process (gate, episode, NULL), ==, CIS_VERDICT_PASSED);
    g_assert_null (cis_item_get_mark (CIS_ITEM (episode), "grant"));
  }
  /* Read anew by maintain(), which the pipeline calls each second. */
  test_write (fixture->tree, "grants", later);
  g_assert_cmpint (CIS_PART_GET_CLASS (gate)->maintain (gate, NULL, NULL), ==, SECOND);
  assert_grant (gate, other, "later");
  test_wait_for (look_and_judge (gate, mine) == CIS_VERDICT_REJECTED);
  assert_grant (gate, mine, NULL);
  gate_free (gate);
}

/* A mistake in the grants, or none at all where there should be some: good lines count, and nobody is
 * refused.
 */
static void
test_mistaken_grants (Fixture *fixture, gconstpointer data)
{
  g_autofree char *path = g_build_filename (fixture->tree, "grants", NULL);
  g_autofree char *good = get_commit (fixture, "c5");
  g_autofree char *stale = get_commit (fixture, "c4");
  g_autofree char *text = g_strdup_printf ("good %s * 2090-01-01\nbad %s * 2090-13-01\n", good, stale);
  g_autofree char *whole = g_strdup_printf ("good %s * 2090-01-01\n", good);
  const char *texts[] = { text, NULL, whole };
  g_autoptr (Forge) forge = forge_new (fixture->tree, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (CisRequest) request = cis_request_new ("POST", "/v1/ping");
      g_autoptr (CisItem) item = cis_item_new ("ping", request);
      gpointer gate;

      if (texts[i] != NULL)
        test_write (fixture->tree, "grants", texts[i]);
      else
        g_free (run (fixture, "rm grants"));
      gate = forge_gate_new (fixture, forge, "grants-file", path);
      if (texts[i] != NULL)
        assert_grant (gate, good, "good");
      else
        assert_deferred (gate, good, DAY, CIS_SCOPE_ITEM);
      if (texts[i] != whole)
        assert_deferred (gate, stale, DAY, CIS_SCOPE_ITEM);
      else
        {
          test_wait_for (look_and_judge (gate, stale) == CIS_VERDICT_REJECTED);
          assert_rejected (gate, stale, "commit-not-in-window");
        }
      cis_request_set_header (request, "x-cis490-code-commit", stale);
      g_assert_cmpint (test_process (gate, item, NULL), ==, CIS_VERDICT_PASSED);
      g_assert_cmpstr (cis_item_get_mark (item, "window"), ==, texts[i] == whole ? "out" : "unknown");
      gate_free (gate);
    }
}

/* Neither a ping nor any other item but an episode is ever refused,
 * and a ping learns where its code stands. */
static void
test_forecast (Fixture *fixture, gconstpointer data)
{
  gpointer gate = gate_new (fixture, DAY);
  static const struct
  {
    const char *tag, *window, *position;
  } cases[] = { { "c9", "in", "1" }, { "c7", "in", "3" }, { "c6", "out", NULL } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *commit = get_commit (fixture, cases[i].tag);
      g_autoptr (CisRequest) request = cis_request_new ("POST", "/v1/ping");
      g_autoptr (CisItem) item = cis_item_new ("ping", request);

      cis_request_set_header (request, "x-cis490-code-commit", commit);
      g_assert_cmpint (test_process (gate, item, NULL), ==, CIS_VERDICT_PASSED);
      g_assert_cmpstr (cis_item_get_mark (item, "window"), ==, cases[i].window);
      g_assert_cmpstr (cis_item_get_mark (item, "position"), ==, cases[i].position);
      g_assert_cmpstr (cis_item_get_mark (item, "size"), ==, "3");
      g_assert_cmpstr (cis_item_get_mark (item, "source"), ==, "git");
      g_assert_true ((cis_item_get_mark (item, "leaves_in_seconds") != NULL) == (cases[i].position != NULL));
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CisRequest) request = cis_request_new ("POST", "/v1/ping");
      g_autoptr (CisItem) item = cis_item_new ("ping", request);

      if (i > 0)
        cis_request_set_header (request, "x-cis490-code-commit", "no commit");
      g_assert_cmpint (test_process (gate, item, NULL), ==, CIS_VERDICT_PASSED);
      g_assert_cmpuint (g_hash_table_size (cis_item_get_marks (item)), ==, 0);
    }
  gate_free (gate);
}

/* What a force-push drops is refused within the ttl. */
static void
test_forced (Fixture *fixture, gconstpointer data)
{
  gpointer gate = gate_new (fixture, SECOND / 10);
  g_autofree char *dropped = get_commit (fixture, "c9");
  g_autofree char *left = get_commit (fixture, "c6");

  g_assert_cmpint (judge (gate, dropped, NULL), ==, CIS_VERDICT_PASSED);
  g_free (run (fixture, "git -C repository reset -q --hard c8"));
  test_wait_for (judge (gate, dropped, NULL) == CIS_VERDICT_REJECTED);
  g_assert_cmpint (judge (gate, left, NULL), ==, CIS_VERDICT_PASSED);
  gate_free (gate);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "/gate/forge", test_forge },
    { "/gate/slow-forge", test_slow_forge },
    { "/gate/saved", test_saved },
    { "/gate/setup", test_setup },
    { "/gate/impossible", test_impossible },
    { "/gate/remedy", test_remedy },
    { "/gate/grants", test_grants },
    { "/gate/restamped", test_restamped },
    { "/gate/mistaken-grants", test_mistaken_grants },
    { "/gate/forecast", test_forecast },
    { "/gate/forced", test_forced },
  };

  g_test_init (&argc, &argv, NULL);
  g_log_writer_default_set_use_stderr (TRUE);
  forge_prepare ();
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
