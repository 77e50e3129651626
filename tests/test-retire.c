/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "once.h"

#include <glib/gstdio.h>
#include <sys/syscall.h>
#include <utime.h>

#define INI                                                                                                  \
  "[pipeline]\nstages=scan;pack;ship;retire\n[scan]\nplugin=scan/episodes\nstate=@STATE@\n"                  \
  "[pack]\nplugin=pack/tar-zstd\nstate=@STATE@\n"                                                            \
  "[ship]\nplugin=transport/mock\nstate=@STATE@\nhost=lab\nasked=%s\n"                                       \
  "[retire]\nplugin=store/retire\nstate=@STATE@\nkeep-days=%d\nconfirm-after=0\n"
#define HOUR (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC)
#define DAY  (24 * HOUR)

typedef struct
{
  char *tree;
  char *state_path;
  CisHostState *state;
  CisPipeline *pipeline;
  CisStage *retire; /* of the pipeline */
  char *sha256;
} Site;

/* What a test is made with: what the receiver answers when it is asked, one after the other and from the
 * first again. */
typedef struct
{
  int keep_days;
  const char *asked;
} Options;

/* Somebody's hand in the midst of a pass: this definition comes before the C library's. */
static void (*on_sync) (void);

__attribute__ ((visibility ("default"))) int
fsync (int fd)
{
  if (on_sync != NULL)
    on_sync ();
  return (int) syscall (SYS_fsync, fd);
}

static void
site_set_up (Site *site, gconstpointer data)
{
  const Options *options = data;
  g_autofree char *ini = g_strdup_printf (INI, options->asked, options->keep_days);
  g_autoptr (GArray) steps = NULL;
  g_autoptr (GError) error = NULL;

  site->tree = test_tree_new ();
  site->state_path = g_build_filename (site->tree, "state", NULL);
  site->state = cis_host_state_open (site->state_path, &error);
  g_assert_no_error (error);
  site->sha256 = g_strnfill (64, 'a');
  /* Opened and not started: passes come when a test wants them. */
  site->pipeline = once_load (site->tree, ini);
  cis_pipeline_open (site->pipeline, &error);
  g_assert_no_error (error);
  steps = cis_pipeline_list_steps (site->pipeline);
  site->retire = g_array_index (steps, CisStep, steps->len - 1).stage;
}

static void
site_tear_down (Site *site, gconstpointer data)
{
  cis_pipeline_close (site->pipeline);
  g_object_unref (site->pipeline);
  g_object_unref (site->state);
  g_free (site->state_path);
  g_free (site->sha256);
  test_tree_remove (site->tree);
}

/* The item of an episode that has just been shipped. */
static CisEpisode *
ship (Site *site, const char *name, gint64 received)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_strconcat ("state/episodes/", name, NULL);
  g_autofree char *tarball = g_strconcat ("state/outbox/", name, ".tar.zst", NULL);
  g_autofree char *description = g_strconcat ("state/outbox/", name, ".json", NULL);
  g_autofree char *received_at = cis_time_to_string (received);
  g_autofree char *fingerprint = NULL;
  g_autoptr (JsonObject) receipt = NULL;
  CisEpisode *episode = cis_episode_new (NULL, name, NULL);

  test_make_episode (site->tree, path, 'c');
  test_write (site->tree, tarball, "packed");
  test_write (site->tree, description, "{\"packed_at\": \"2026-03-02T08:14:00.125Z\"}");
  fingerprint =
      cis_fingerprint (cis_host_state_get_fd (site->state, CIS_FOLDER_EPISODES), name, NULL, NULL, &error);
  g_assert_no_error (error);
  cis_episode_set_fingerprint (episode, fingerprint);
  cis_episode_set_archive (episode, tarball, site->sha256, 6);
  receipt = cis_receipt_new (episode, "lab", "stored", received_at);
  cis_host_state_store_receipt (site->state, episode, receipt, &error);
  g_assert_no_error (error);
  cis_episode_set_receipt (episode, receipt);
  return episode;
}

static void
retire (Site *site, const char *name, gint64 received)
{
  g_autoptr (CisEpisode) episode = ship (site, name, received);

  g_assert_cmpint (test_process (site->retire, episode, NULL), ==, CIS_VERDICT_PASSED);
}

static gint64
maintain (Site *site)
{
  g_autoptr (GError) error = NULL;
  gint64 again = CIS_PART_GET_CLASS (site->retire)->maintain (CIS_PART (site->retire), NULL, &error);

  g_assert_no_error (error);
  return again;
}

/* By the first pass, what is due is given notice only. */
static void
maintain_twice (Site *site)
{
  g_assert_cmpint (maintain (site), ==, HOUR);
  g_assert_cmpint (maintain (site), ==, HOUR);
}

static void
assert_list (Site *site, const char *folder, const char *expected)
{
  g_autofree char *path = g_build_filename ("state", folder, NULL);
  g_autofree char *names = test_list (site->tree, path);

  g_assert_cmpstr (names, ==, expected);
}

static void
test_retire_shipped (Site *site, gconstpointer unused)
{
  retire (site, "run-1", g_get_real_time ());
  assert_list (site, "episodes", "");
  assert_list (site, "outbox", "");
  assert_list (site, "shipped", "run-1");
  assert_list (site, "shipped/run-1", "data log.txt meta.json");
  assert_list (site, "receipts", "run-1.json");
}

static void
test_retire_never_replaces (Site *site, gconstpointer unused)
{
  test_write (site->tree, "state/shipped/run-1/old", "");
  test_write (site->tree, "state/shipped/run-1-2", "a file, even");
  retire (site, "run-1", g_get_real_time ());
  assert_list (site, "shipped", "run-1 run-1-2 run-1-3");
  assert_list (site, "shipped/run-1", "old");
  assert_list (site, "shipped/run-1-3", "data log.txt meta.json");
}

static void
test_retire_changed (Site *site, gconstpointer unused)
{
  g_autoptr (CisEpisode) episode = ship (site, "run-1", g_get_real_time ());
  g_autoptr (CisOutcome) outcome = NULL;
  const char *fix;

  test_write (site->tree, "state/episodes/run-1/log.txt", "started\nstopped\none line more\n");
  g_assert_cmpint (test_process (site->retire, episode, &outcome), ==, CIS_VERDICT_REJECTED);
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, "changed-after-shipping");
  fix = cis_finding_get_fix (cis_outcome_get_finding (outcome));
  g_assert_nonnull (strstr (fix, "/run-1' -newerct '2026-03-02T08:14:00.125Z' -ls\n"));
  g_assert_nonnull (strstr (fix, "--as run-1-changed --state "));
  assert_list (site, "episodes", "run-1");
  assert_list (site, "outbox", "run-1.json run-1.tar.zst");
  assert_list (site, "shipped", "");
}

static void
test_retire_touched_back (Site *site, gconstpointer unused)
{
  g_autoptr (CisEpisode) episode = ship (site, "run-1", g_get_real_time ());
  g_autofree char *log = g_build_filename (site->state_path, "episodes/run-1/log.txt", NULL);
  struct utimbuf times;
  GStatBuf st;

  /* Same size, and the mtime set back: only the ctime tells. */
  g_assert_no_errno (g_stat (log, &st));
  test_write (site->tree, "state/episodes/run-1/log.txt", "STARTED\nSTOPPED\n");
  times.actime = times.modtime = st.st_mtime;
  g_assert_no_errno (utime (log, &times));
  g_assert_cmpint (test_process (site->retire, episode, NULL), ==, CIS_VERDICT_REJECTED);
}

static void
test_retire_without_receipt (Site *site, gconstpointer unused)
{
  g_autoptr (CisEpisode) episode = ship (site, "run-1", g_get_real_time ());
  g_autofree char *receipt = g_build_filename (site->state_path, "receipts/run-1.json", NULL);

  g_assert_no_errno (g_unlink (receipt));
  g_assert_cmpint (test_process (site->retire, episode, NULL), ==, CIS_VERDICT_FAILED);
  test_write (site->tree, "state/receipts/run-1.json", "torn {");
  g_assert_cmpint (test_process (site->retire, episode, NULL), ==, CIS_VERDICT_FAILED);
  assert_list (site, "episodes", "run-1");
  assert_list (site, "shipped", "");
}

static void
test_retire_other_receipt (Site *site, gconstpointer unused)
{
  g_autoptr (CisEpisode) episode = ship (site, "run-1", g_get_real_time ());
  g_autofree char *other = g_strnfill (64, 'b');

  cis_episode_set_archive (episode, "run-1.tar.zst", other, 6);
  g_assert_cmpint (test_process (site->retire, episode, NULL), ==, CIS_VERDICT_FAILED);
  assert_list (site, "episodes", "run-1");
}

static void
test_retire_gone (Site *site, gconstpointer unused)
{
  g_autoptr (CisEpisode) episode = ship (site, "run-1", g_get_real_time ());
  g_autofree char *from = g_build_filename (site->state_path, "episodes/run-1", NULL);
  g_autofree char *to = g_build_filename (site->state_path, "quarantine/run-1", NULL);

  g_assert_no_errno (g_rename (from, to));
  g_assert_cmpint (test_process (site->retire, episode, NULL), ==, CIS_VERDICT_NONE);
}

static void
test_retire_keep_days (Site *site, gconstpointer unused)
{
  gint64 now = g_get_real_time ();
  g_autofree char *log = NULL;
  g_autoptr (CisEpisode) not_retired = ship (site, "run-5", now - 31 * DAY);

  retire (site, "run-1", now - 31 * DAY);
  retire (site, "run-2", now - 29 * DAY);
  retire (site, "run-3", now - 31 * DAY);
  test_write (site->tree, "state/receipts/run-3.json", "{\"episode\": \"run-3\"}");
  test_write (site->tree, "state/shipped/run-4/no-receipt", "");
  g_assert_cmpint (maintain (site), ==, HOUR);
  assert_list (site, "shipped", "run-1 run-2 run-3 run-4");
  once_begin_log ();
  g_assert_cmpint (maintain (site), ==, HOUR);
  log = once_end_log ();
  g_assert_nonnull (strstr (log, "Removed shipped/run-1, received at "));
  assert_list (site, "shipped", "run-2 run-3 run-4");
  assert_list (site, "receipts", "run-2.json run-3.json run-5.json");
  assert_list (site, "episodes", "run-5");
}

/* A receipt is of one copy. What somebody shipped under the name before goes by no receipt of another. */
static void
test_retire_older_copies (Site *site, gconstpointer unused)
{
  gint64 old = g_get_real_time () - 31 * DAY;
  g_autofree char *log = NULL;

  retire (site, "run-1", old);
  retire (site, "run-1", old);
  retire (site, "run-1", old);
  assert_list (site, "shipped", "run-1 run-1-2 run-1-3");
  g_assert_cmpint (maintain (site), ==, HOUR);
  once_begin_log ();
  g_assert_cmpint (maintain (site), ==, HOUR);
  log = once_end_log ();
  g_assert_nonnull (strstr (log, "Removed shipped/run-1-3, received at "));
  g_assert_nonnull (strstr (log, "shipped/run-1 is shipped anew as run-1: no receipt is left"));
  assert_list (site, "shipped", "run-1-2");
  assert_list (site, "episodes", "run-1");
  assert_list (site, "receipts", "run-1.json");
}

static void
test_retire_lost (Site *site, gconstpointer unused)
{
  gint64 old = g_get_real_time () - 31 * DAY;
  g_autofree char *log = NULL, *over = NULL;

  retire (site, "run-1", old);
  retire (site, "run-2", old);
  retire (site, "run-3", old);
  g_assert_cmpint (maintain (site), ==, HOUR);
  once_begin_log ();
  g_assert_cmpint (maintain (site), ==, HOUR);
  log = once_end_log ();
  g_assert_nonnull (strstr (log,
                            "lost-by-receiver: The receiver no longer has what it acknowledged: 1 episode "
                            "(run-1), shipped anew by itself; 1 episode (run-2), which it would not take now "
                            "(The episode's code is older"));
  g_assert_nonnull (strstr (log, "Removed shipped/run-3, received at "));
  assert_list (site, "episodes", "run-1");
  assert_list (site, "shipped", "run-2");
  assert_list (site, "receipts", "run-1.json run-2.json");
  /* What is not due is asked for by nobody, and of nothing that is due nothing is told. */
  test_write (site->tree, "state/receipts/run-1.json", "{}");
  test_write (site->tree, "state/receipts/run-2.json", "{}");
  once_begin_log ();
  maintain_twice (site);
  over = once_end_log ();
  g_assert_nonnull (strstr (over, "lost-by-receiver: over: "));
}

/* Nothing goes by what was, and the notice stands until somebody answers. */
static void
test_retire_no_answer (Site *site, gconstpointer unused)
{
  gint64 old = g_get_real_time () - 31 * DAY;
  g_autofree char *log = NULL, *over = NULL;

  retire (site, "run-1", old);
  retire (site, "run-2", old);
  g_assert_cmpint (maintain (site), ==, HOUR);
  once_begin_log ();
  g_assert_cmpint (maintain (site), ==, HOUR);
  log = once_end_log ();
  assert_list (site, "shipped", "run-1 run-2");
  assert_list (site, "receipts", ".notice run-1.json run-2.json");
  g_assert_nonnull (
      strstr (log, "shipped-unconfirmed: 2 episodes (run-1, run-2) past keep-days= stay in shipped/"));
  /* The second question was not asked: what one finds out of the receiver holds for all. */
  once_begin_log ();
  g_assert_cmpint (maintain (site), ==, HOUR);
  over = once_end_log ();
  assert_list (site, "shipped", "");
  g_assert_nonnull (strstr (over, "shipped-unconfirmed: over: "));
}

static void
test_retire_nobody_to_ask (Site *site, gconstpointer unused)
{
  CisStage *alone =
      test_part_new ("store/retire", "state", site->state_path, "confirm-after", G_GINT64_CONSTANT (0), NULL);
  CisPartClass *klass = CIS_PART_GET_CLASS (alone);
  g_autoptr (GError) error = NULL;

  retire (site, "run-1", g_get_real_time () - 31 * DAY);
  g_assert_true (cis_part_open (CIS_PART (alone), NULL, &error));
  g_assert_cmpint (klass->maintain (CIS_PART (alone), NULL, &error), ==, HOUR);
  g_assert_cmpint (klass->maintain (CIS_PART (alone), NULL, &error), ==, HOUR);
  assert_list (site, "shipped", "run-1");
  cis_part_close (CIS_PART (alone));
  g_object_unref (alone);
}

static void
test_retire_own_receipt (Site *site, gconstpointer unused)
{
  gint64 now = g_get_real_time ();

  /* An episode that is named like the second of another's. */
  retire (site, "run-1", now - 31 * DAY);
  retire (site, "run-1-2", now);
  maintain_twice (site);
  assert_list (site, "shipped", "run-1-2");
  assert_list (site, "receipts", "run-1-2.json");
}

static void
test_retire_keeps_for_ever (Site *site, gconstpointer unused)
{
  retire (site, "run-1", 0);
  g_assert_cmpint (maintain (site), ==, 0);
  assert_list (site, "shipped", "run-1");
}

static void
test_retire_idle_pass (Site *site, gconstpointer unused)
{
  gint64 now = g_get_real_time ();

  retire (site, "run-1", now);
  g_assert_cmpint (maintain (site), ==, HOUR);
  /* Nothing is due for thirty days, so a receipt that gets old behind our back is not even read… */
  test_write (site->tree, "state/receipts/run-0.json",
              "{\"episode\": \"run-0\", \"received_at\": \"2001-01-01T00:00:00Z\", \"sha256\": "
              "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
  g_assert_cmpint (maintain (site), ==, HOUR);
  assert_list (site, "receipts", "run-0.json run-1.json");
  /* … until an episode is retired that is due. */
  retire (site, "run-2", now - 31 * DAY);
  maintain_twice (site);
  assert_list (site, "receipts", "run-1.json");
  assert_list (site, "shipped", "run-1");
}

/* What a disk does not tell just now is asked again, and removed by nothing but what it says then. */
static void
test_retire_unreadable_receipt (Site *site, gconstpointer unused)
{
  test_write (site->tree, "state/shipped/run-1/data", "");
  test_write (site->tree, "state/shipped/run-2/data", "");
  test_write (site->tree, "state/receipts/run-1.json", "{\"episode\": \"ru");
  test_write (site->tree, "state/receipts/run-2.json", "{\"episode\": \"ru");
  maintain_twice (site);
  assert_list (site, "shipped", "run-1 run-2");
  test_write (site->tree, "state/receipts/run-1.json",
              "{\"episode\": \"run-1\", \"received_at\": \"2001-01-01T00:00:00Z\", \"sha256\": "
              "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
  maintain_twice (site);
  assert_list (site, "shipped", "run-2");
  assert_list (site, "receipts", "run-2.json");
}

static void
test_retire_due_already (Site *site, gconstpointer unused)
{
  gint64 old = g_get_real_time () - 31 * DAY;

  retire (site, "run-1", old);
  g_assert_cmpint (maintain (site), ==, HOUR);
  /* Its receipt has a time by which it was due when the notice was given, but it was not there. */
  retire (site, "run-2", old);
  g_assert_cmpint (maintain (site), ==, HOUR);
  assert_list (site, "shipped", "run-1 run-2");
  g_assert_cmpint (maintain (site), ==, HOUR);
  assert_list (site, "shipped", "");
  g_assert_cmpint (maintain (site), ==, HOUR);
  assert_list (site, "receipts", "");
}

static const char *renewed_tree;

static void
renew (void)
{
  if (test_exists (renewed_tree, "state/shipped/run-1") ||
      test_exists (renewed_tree, "state/shipped/.run-1.removed") ||
      test_exists (renewed_tree, "state/shipped/run-1-2"))
    return;
  test_make_episode (renewed_tree, "state/shipped/run-1-2", 'd');
  test_write (renewed_tree, "state/receipts/run-1.json",
              "{\"episode\": \"run-1\", \"received_at\": \"2090-01-01T00:00:00Z\", \"sha256\": "
              "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
}

/* Before the receipts of what was removed go, another run of the same name has been shipped, beside what was
 * still there. */
static void
test_retire_receipt_of_newer (Site *site, gconstpointer unused)
{
  retire (site, "run-1", g_get_real_time () - 31 * DAY);
  retire (site, "run-2", g_get_real_time () - 31 * DAY);
  g_assert_cmpint (maintain (site), ==, HOUR);
  renewed_tree = site->tree;
  on_sync = renew;
  g_assert_cmpint (maintain (site), ==, HOUR);
  on_sync = NULL;
  assert_list (site, "shipped", "run-1-2");
  assert_list (site, "receipts", "run-1.json");
}

static void
add (const char *path, const Options *options, void (*func) (Site *, gconstpointer))
{
  g_test_add (path, Site, options, site_set_up, func, site_tear_down);
}

int
main (int argc, char *argv[])
{
  static const Options usual = { 30, "200" }, for_ever = { 0, "200" }, lossy = { 30, "welcome;412;200" },
                       silent = { 30, "timeout;200;200" };

  g_test_init (&argc, &argv, NULL);
  add ("/retire/shipped", &usual, test_retire_shipped);
  add ("/retire/never-replaces", &usual, test_retire_never_replaces);
  add ("/retire/changed", &usual, test_retire_changed);
  add ("/retire/touched-back", &usual, test_retire_touched_back);
  add ("/retire/without-receipt", &usual, test_retire_without_receipt);
  add ("/retire/other-receipt", &usual, test_retire_other_receipt);
  add ("/retire/gone", &usual, test_retire_gone);
  add ("/retire/receipt-of-newer", &usual, test_retire_receipt_of_newer);
  add ("/retire/keep-days", &usual, test_retire_keep_days);
  add ("/retire/older-copies", &usual, test_retire_older_copies);
  add ("/retire/lost", &lossy, test_retire_lost);
  add ("/retire/no-answer", &silent, test_retire_no_answer);
  add ("/retire/nobody-to-ask", &usual, test_retire_nobody_to_ask);
  add ("/retire/own-receipt", &usual, test_retire_own_receipt);
  add ("/retire/keeps-for-ever", &for_ever, test_retire_keeps_for_ever);
  add ("/retire/idle-pass", &usual, test_retire_idle_pass);
  add ("/retire/unreadable-receipt", &usual, test_retire_unreadable_receipt);
  add ("/retire/due-already", &usual, test_retire_due_already);
  return g_test_run ();
}
