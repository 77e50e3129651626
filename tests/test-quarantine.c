/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/store/quarantine/folder.h"
#include "once.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#define DAY (G_GINT64_CONSTANT (86400) * G_USEC_PER_SEC)

/* gate/stamp is there to reject. */
static const char ini[] = "[pipeline]\nstages=scan;stamp;quarantine\nworkers=4\n"
                          "[scan]\nplugin=scan/episodes\nstate=@STATE@\nquiet=1ms\n"
                          "[stamp]\nplugin=gate/stamp\n"
                          "[quarantine]\nplugin=store/quarantine\nstate=@STATE@\nkeep-days=0\n";

static int
run (const char *tree)
{
  g_autoptr (CisPipeline) pipeline = once_load (tree, ini);

  return once_run (pipeline);
}

static void
assert_list (const char *tree, const char *folder, const char *expected)
{
  g_autofree char *path = g_build_filename ("state", folder, NULL);
  g_autofree char *names = test_list (tree, path);

  g_assert_cmpstr (names, ==, expected);
}

static JsonObject *
read_reason (const char *tree, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_strdup_printf ("state/quarantine/%s/quarantine_reason.json", name);
  g_autofree char *text = test_read (tree, path);
  JsonObject *reason;

  g_assert_nonnull (text);
  reason = cis_json_parse (text, strlen (text), &error);
  g_assert_no_error (error);
  return reason;
}

static void
test_quarantine_rejected (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (JsonObject) reason = NULL;
  g_autofree char *log = NULL;
  int status;

  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_make_episode (tree, "state/episodes/run-2", 'c');
  test_write (tree, "state/outbox/run-1.tar.zst", "packed once");
  test_write (tree, "state/outbox/run-1.json", "{}");
  once_begin_log ();
  status = run (tree);
  log = once_end_log ();
  g_assert_cmpint (status, ==, 65);
  assert_list (tree, "episodes", "run-2");
  assert_list (tree, "quarantine", "run-1");
  assert_list (tree, "quarantine/run-1", "data log.txt meta.json quarantine_reason.json");
  assert_list (tree, "outbox", "");

  reason = read_reason (tree, "run-1");
  g_assert_cmpstr (cis_json_get_string (reason, "finding"), ==, "unstamped");
  g_assert_cmpstr (cis_json_get_string (reason, "episode"), ==, "run-1");
  g_assert_cmpstr (cis_json_get_string (reason, "stage"), ==, "stamp");
  g_assert_cmpstr (cis_json_get_string (reason, "version"), ==, CIS_VERSION);
  g_assert_nonnull (cis_json_get_string (reason, "quarantined_at"));
  g_assert_cmpstr (cis_json_get_string (reason, "first_seen"), ==,
                   cis_json_get_string (reason, "quarantined_at"));
  g_assert_cmpint (cis_json_get_size (reason, "attempts", -1), ==, 0);
  g_assert_false (json_object_has_member (reason, "answer"));
  /* The whole remedy is logged too, once. */
  g_assert_nonnull (strstr (log, "run-1 is in quarantine/run-1"));
  g_assert_nonnull (strstr (log, cis_json_get_string (reason, "fix")));
  g_assert_null (
      strstr (strstr (log, cis_json_get_string (reason, "fix")) + 1, cis_json_get_string (reason, "fix")));
}

static void
test_quarantine_taken (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (JsonObject) reason = NULL;

  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_write (tree, "state/quarantine/run-1/earlier", "");
  g_assert_cmpint (run (tree), ==, 65);
  assert_list (tree, "quarantine", "run-1 run-1-2");
  assert_list (tree, "quarantine/run-1", "earlier");
  reason = read_reason (tree, "run-1-2");
  g_assert_cmpstr (cis_json_get_string (reason, "episode"), ==, "run-1");
  /* The remedy is for the one that was rejected now. */
  g_assert_nonnull (strstr (cis_json_get_string (reason, "fix"), "state/quarantine/run-1-2' && "));
  g_assert_nonnull (strstr (cis_json_get_string (reason, "fix"), "quarantine release run-1-2"));
}

static void
test_quarantine_keeps_older_reason (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (JsonObject) reason = NULL;
  g_autofree char *first = NULL, *second = NULL;

  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_write (tree, "state/episodes/run-1/quarantine_reason.json", "second");
  test_write (tree, "state/episodes/run-1/quarantine_reason-1.json", "first");
  g_assert_cmpint (run (tree), ==, 65);
  reason = read_reason (tree, "run-1");
  first = test_read (tree, "state/quarantine/run-1/quarantine_reason-1.json");
  second = test_read (tree, "state/quarantine/run-1/quarantine_reason-2.json");
  g_assert_cmpstr (first, ==, "first");
  g_assert_cmpstr (second, ==, "second");
}

static void
test_quarantine_many (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  /* Four workers: "run" and "run-2" both want the name run-2. */
  for (guint round = 0; round < 10; round++)
    {
      test_make_episode (tree, "state/episodes/run", '\0');
      test_make_episode (tree, "state/episodes/run-2", '\0');
      g_assert_cmpint (run (tree), ==, 65);
      assert_list (tree, "episodes", "");
    }
  {
    g_autofree char *path = g_build_filename (tree, "state/quarantine", NULL);
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *name;
    guint n = 0;

    while ((name = g_dir_read_name (dir)) != NULL)
      {
        g_autoptr (JsonObject) reason = read_reason (tree, name);

        g_assert_true (g_str_has_prefix (name, cis_json_get_string (reason, "episode")));
        n++;
      }
    g_assert_cmpuint (n, ==, 20);
  }
}

/* Opens the stage, as after a crash, and closes it again. */
static void
open_stage (const char *tree)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autoptr (CisPart) part = test_part_new ("store/quarantine", "state", state, NULL);

  cis_part_open (part, NULL, &error);
  g_assert_no_error (error);
  cis_part_close (part);
}

static void
test_quarantine_cut_before_rename (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_write (tree, "state/quarantine/.run-1.reason.json", "{\"episode\": \"run-1\"}\n");
  test_write (tree, "state/quarantine/..run-2.reason.json.01234567.tmp", "{\"epis");
  open_stage (tree);
  assert_list (tree, "episodes", "run-1");
  assert_list (tree, "quarantine", "");
}

static void
test_quarantine_cut_after_rename (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (JsonObject) reason = NULL;
  g_autofree char *kept = NULL;

  test_make_episode (tree, "state/quarantine/run-1", '\0');
  test_write (tree, "state/quarantine/run-1/quarantine_reason.json", "older");
  test_write (tree, "state/quarantine/.run-1.reason.json", "{\"episode\": \"run-1\"}\n");
  open_stage (tree);
  assert_list (tree, "quarantine", "run-1");
  reason = read_reason (tree, "run-1");
  g_assert_cmpstr (cis_json_get_string (reason, "episode"), ==, "run-1");
  kept = test_read (tree, "state/quarantine/run-1/quarantine_reason-1.json");
  g_assert_cmpstr (kept, ==, "older");
  /* And a second time there is nothing to do. */
  open_stage (tree);
  assert_list (tree, "quarantine/run-1",
               "data log.txt meta.json quarantine_reason-1.json quarantine_reason.json");
}

static void
test_quarantine_cut_while_keeping (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (JsonObject) reason = NULL;

  /* The older reason has its new name, the new one is not in yet. */
  test_write (tree, "state/quarantine/run-1/quarantine_reason-1.json", "older");
  test_write (tree, "state/quarantine/.run-1.reason.json", "{\"episode\": \"run-1\"}\n");
  open_stage (tree);
  reason = read_reason (tree, "run-1");
  assert_list (tree, "quarantine/run-1", "quarantine_reason-1.json quarantine_reason.json");
}

static void
write_reason (const char *tree, const char *path, gint64 time)
{
  g_autofree char *since = cis_time_to_string (time);
  g_autofree char *text =
      g_strdup_printf ("{\"finding\": \"unstamped\", \"quarantined_at\": \"%s\"}\n", since);

  test_write (tree, path, text);
}

static void
test_quarantine_keep_days (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *log = NULL;
  g_autoptr (CisPart) part =
      test_part_new ("store/quarantine", "state", state, "keep-days", 7, "confirm-after", (gint64) 0, NULL);
  gint64 now = g_get_real_time ();

  write_reason (tree, "state/quarantine/old/quarantine_reason.json", now - 8 * DAY);
  write_reason (tree, "state/quarantine/young/quarantine_reason.json", now - 6 * DAY);
  test_write (tree, "state/quarantine/no-reason/data", "");
  test_write (tree, "state/quarantine/no-time/quarantine_reason.json", "{\"finding\": \"unstamped\"}");
  cis_part_open (part, NULL, &error);
  g_assert_no_error (error);
  /* A quarantine that could not move its reason in: the old one inside does not count. */
  write_reason (tree, "state/quarantine/again/quarantine_reason.json", now - 8 * DAY);
  write_reason (tree, "state/quarantine/.again.reason.json", now);
  g_assert_cmpint (CIS_PART_GET_CLASS (part)->maintain (part, NULL, &error), ==, DAY / 24);
  /* The first pass gives notice only. */
  assert_list (tree, "quarantine", ".again.reason.json .notice again no-reason no-time old young");
  once_begin_log ();
  g_assert_cmpint (CIS_PART_GET_CLASS (part)->maintain (part, NULL, &error), ==, DAY / 24);
  log = once_end_log ();
  g_assert_no_error (error);
  assert_list (tree, "quarantine", ".again.reason.json again no-reason no-time young");
  g_assert_nonnull (strstr (log, "Removed quarantine/old: "));
  cis_part_close (part);
}

static void
test_quarantine_answer (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autoptr (Quarantine) quarantine = NULL;
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run-1", NULL);
  g_autoptr (CisFinding) finding =
      cis_finding_new ("commit-not-in-window", CIS_SEVERITY_ERROR, "run-1", "Too old");
  g_autoptr (CisHostState) made = cis_host_state_open (state, &error);
  g_autofree char *target = NULL;
  g_autoptr (JsonObject) reason = NULL;
  JsonObject *answer;

  test_make_episode (tree, "state/episodes/run-1", 'c');
  cis_finding_set_fix (finding, "git pull");
  cis_finding_set_detail (finding, "answer_status", "412");
  cis_finding_set_detail (finding, "head_commit", "abc");
  cis_episode_set_commit (episode, "c0");
  cis_episode_set_archive (episode, NULL, "5ha", 1);
  quarantine = quarantine_open (state, NULL, &error);
  g_assert_no_error (error);
  target = quarantine_put (quarantine, episode, finding, NULL, &error);
  g_assert_no_error (error);
  reason = read_reason (tree, target);
  g_assert_cmpstr (cis_json_get_string (reason, "head_commit"), ==, "abc");
  g_assert_cmpstr (cis_json_get_string (reason, "commit"), ==, "c0");
  g_assert_cmpstr (cis_json_get_string (reason, "sha256"), ==, "5ha");
  answer = json_object_get_object_member (reason, "answer");
  g_assert_cmpint (cis_json_get_size (answer, "status", 0), ==, 412);
  g_assert_cmpstr (cis_json_get_string (answer, "type"), ==, "urn:cis490:finding:commit-not-in-window");
  g_assert_cmpstr (cis_json_get_string (answer, "remedy"), ==, "git pull");
  g_assert_cmpstr (cis_json_get_string (answer, "head_commit"), ==, "abc");
}

/* What the tree's packed bytes depend on. */
static char *
describe_tree (const char *tree, const char *path)
{
  g_autofree char *folder = g_build_filename (tree, path, NULL);
  g_autofree char *names = test_list (tree, path);
  struct stat st;

  g_assert_no_errno (stat (folder, &st));
  return g_strdup_printf ("%s %" G_GINT64_FORMAT ".%09ld", names, (gint64) st.st_mtim.tv_sec,
                          st.st_mtim.tv_nsec);
}

static void
test_quarantine_released_as_it_was (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *before = NULL, *own = NULL;
  g_autoptr (Quarantine) quarantine = NULL;

  /* The experiment has such a file of its own. */
  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_write (tree, "state/episodes/run-1/quarantine_reason.json", "own");
  before = describe_tree (tree, "state/episodes/run-1");
  g_assert_cmpint (run (tree), ==, 65);
  quarantine = quarantine_open (state, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 1; i <= QUARANTINE_RELEASES_MAX + 1; i++)
    {
      g_autofree char *after = NULL, *episode = NULL;
      g_autoptr (JsonObject) reason = NULL;

      episode = quarantine_release (quarantine, "run-1", NULL, i > QUARANTINE_RELEASES_MAX, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (episode, ==, "run-1");
      assert_list (tree, "quarantine", "");
      after = describe_tree (tree, "state/episodes/run-1");
      g_assert_cmpstr (after, ==, before);
      g_assert_cmpint (run (tree), ==, 65);
      reason = read_reason (tree, "run-1");
      g_assert_cmpint (cis_json_get_size (reason, "attempts", -1), ==, i);
      g_assert_cmpstr (cis_json_get_string (reason, "first_seen"), <,
                       cis_json_get_string (reason, "quarantined_at"));
    }
  own = test_read (tree, "state/quarantine/run-1/quarantine_reason-1.json");
  g_assert_cmpstr (own, ==, "own");
  g_assert_null (quarantine_release (quarantine, "run-1", NULL, FALSE, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE);
  assert_list (tree, "episodes", "");
}

static void
test_quarantine_release_never_replaces (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *audit = NULL;
  g_autoptr (Quarantine) quarantine = NULL;
  g_autoptr (JsonObject) reason = NULL;

  test_make_episode (tree, "state/episodes/run-1", '\0');
  g_assert_cmpint (run (tree), ==, 65);
  test_make_episode (tree, "state/episodes/run-1", 'c');
  quarantine = quarantine_open (state, NULL, &error);
  g_assert_no_error (error);
  g_assert_null (quarantine_release (quarantine, "run-1", NULL, TRUE, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS);
  reason = read_reason (tree, "run-1");
  /* Nothing was done, so nothing is noted. */
  audit = test_read (tree, "state/audit.jsonl");
  g_assert_cmpstr (audit, ==, "");
}

/* Cut between its steps, and tried again. */
static void
test_quarantine_release_again (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *before = NULL, *after = NULL, *episode = NULL;
  g_autofree char *inside = g_build_filename (state, "quarantine/run-1/quarantine_reason.json", NULL);
  g_autofree char *outside = g_build_filename (state, "quarantine/.run-1.reason.json", NULL);
  g_autoptr (Quarantine) quarantine = NULL;

  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_write (tree, "state/episodes/run-1/quarantine_reason.json", "own");
  before = describe_tree (tree, "state/episodes/run-1");
  g_assert_cmpint (run (tree), ==, 65);
  g_assert_no_errno (g_rename (inside, outside));
  quarantine = quarantine_open (state, NULL, &error);
  g_assert_no_error (error);
  episode = quarantine_release (quarantine, "run-1", NULL, FALSE, &error);
  g_assert_no_error (error);
  after = describe_tree (tree, "state/episodes/run-1");
  g_assert_cmpstr (after, ==, before);
  assert_list (tree, "quarantine", "");
}

/* Two lines of one stay, as a cut release leaves them, and a torn one count once. */
static void
test_quarantine_audit (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) reason = json_object_new ();
  g_autofree char *first_seen = NULL;
  g_autofree char *text = NULL;
  int fd = open (tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  g_autoptr (Audit) audit = audit_new (fd, tree);

  g_assert_cmpuint (audit_count_releases (audit, "run-1", NULL), ==, 0);
  json_object_set_string_member (reason, "quarantined_at", "2026-01-01T00:00:00.000000Z");
  for (guint i = 0; i < 2; i++)
    g_assert_true (audit_append (audit, "release", "run-1", "run-1", reason, &error));
  g_assert_true (audit_append (audit, "purge", "run-1", "run-1", reason, &error));
  g_assert_cmpuint (audit_count_releases (audit, "run-1", NULL), ==, 1);
  text = test_read (tree, "audit.jsonl");
  {
    g_autofree char *torn = g_strconcat (text, "{\"verb\":\"release\",\"epis", NULL);

    test_write (tree, "audit.jsonl", torn);
  }
  json_object_set_string_member (reason, "quarantined_at", "2026-01-02T00:00:00.000000Z");
  g_assert_true (audit_append (audit, "release", "run-1", "run-1", reason, &error));
  g_assert_cmpuint (audit_count_releases (audit, "run-1", &first_seen), ==, 2);
  g_assert_cmpstr (first_seen, ==, "2026-01-01T00:00:00.000000Z");
  g_assert_cmpuint (audit_count_releases (audit, "run-2", NULL), ==, 0);
  g_close (fd, NULL);
}

static void
test_quarantine_dry_run (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *ini_text = g_strconcat (ini, "dry-run=true\n", NULL);
  g_autoptr (CisPipeline) pipeline = NULL;

  test_make_episode (tree, "state/episodes/run-1", '\0');
  test_write (tree, "state/quarantine/.run-2.reason.json", "{}");
  pipeline = once_load (tree, ini_text);
  g_assert_cmpint (once_run (pipeline), ==, 65);
  assert_list (tree, "episodes", "run-1");
  assert_list (tree, "quarantine", ".run-2.reason.json");
}

/* A removal that was cut is finished, and what is half removed is nobody's to release. */
static void
test_quarantine_removal_cut (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autoptr (CisPart) part = test_part_new ("store/quarantine", "state", state, "keep-days", 0, NULL);

  cis_part_open (part, NULL, &error);
  g_assert_no_error (error);
  /* Now and later, whether there are keep-days or not. */
  for (guint i = 0; i < 2; i++)
    {
      test_write (tree, "state/quarantine/.run-1.purged/half", "");
      g_assert_cmpint (CIS_PART_GET_CLASS (part)->maintain (part, NULL, &error), ==, DAY / 24);
      assert_list (tree, "quarantine", "");
    }
  cis_part_close (part);
}

static void
test_quarantine_not_rejected (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autoptr (CisPart) part = test_part_new ("store/quarantine", "state", state, NULL);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run-1", NULL);

  test_make_episode (tree, "state/episodes/run-1", 'c');
  cis_part_open (part, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (test_process (part, episode, NULL), ==, CIS_VERDICT_FAILED);
  assert_list (tree, "episodes", "run-1");
  cis_part_close (part);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/quarantine/rejected", test_quarantine_rejected);
  g_test_add_func ("/quarantine/taken", test_quarantine_taken);
  g_test_add_func ("/quarantine/keeps-older-reason", test_quarantine_keeps_older_reason);
  g_test_add_func ("/quarantine/many", test_quarantine_many);
  g_test_add_func ("/quarantine/cut-before-rename", test_quarantine_cut_before_rename);
  g_test_add_func ("/quarantine/cut-after-rename", test_quarantine_cut_after_rename);
  g_test_add_func ("/quarantine/cut-while-keeping", test_quarantine_cut_while_keeping);
  g_test_add_func ("/quarantine/keep-days", test_quarantine_keep_days);
  g_test_add_func ("/quarantine/answer", test_quarantine_answer);
  g_test_add_func ("/quarantine/released-as-it-was", test_quarantine_released_as_it_was);
  g_test_add_func ("/quarantine/release-never-replaces", test_quarantine_release_never_replaces);
  g_test_add_func ("/quarantine/release-again", test_quarantine_release_again);
  g_test_add_func ("/quarantine/audit", test_quarantine_audit);
  g_test_add_func ("/quarantine/dry-run", test_quarantine_dry_run);
  g_test_add_func ("/quarantine/removal-cut", test_quarantine_removal_cut);
  g_test_add_func ("/quarantine/not-rejected", test_quarantine_not_rejected);
  return g_test_run ();
}
