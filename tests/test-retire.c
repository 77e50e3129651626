/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/store/retire/shipped.h"
#include "once.h"

#include <glib/gstdio.h>
#include <sys/syscall.h>
#include <utime.h>

#define HOUR (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC)
#define DAY  (24 * HOUR)

typedef struct
{
  char *tree;
  char *state_path;
  CisHostState *state;
  CisStage *retire;
  char *sha256;
} Site;

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
site_set_up (Site *site, gconstpointer keep_days)
{
  g_autoptr (GError) error = NULL;

  site->tree = test_tree_new ();
  site->state_path = g_build_filename (site->tree, "state", NULL);
  site->state = cis_host_state_open (site->state_path, &error);
  g_assert_no_error (error);
  site->sha256 = g_strnfill (64, 'a');
  site->retire = test_part_new ("store/retire", "state", site->state_path, "keep-days",
                                GPOINTER_TO_INT (keep_days), "confirm-after", (gint64) 0, NULL);
  cis_part_open (CIS_PART (site->retire), NULL, &error);
  g_assert_no_error (error);
}

static void
site_tear_down (Site *site, gconstpointer keep_days)
{
  cis_part_close (CIS_PART (site->retire));
  g_object_unref (site->retire);
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
  retire (site, "run-1", now - 31 * DAY); /* run-1-2 */
  retire (site, "run-2", now - 29 * DAY);
  retire (site, "run-3", now - 31 * DAY);
  test_write (site->tree, "state/receipts/run-3.json", "{\"episode\": \"run-3\"}");
  test_write (site->tree, "state/shipped/run-4/no-receipt", "");
  g_assert_cmpint (maintain (site), ==, HOUR);
  assert_list (site, "shipped", "run-1 run-1-2 run-2 run-3 run-4");
  once_begin_log ();
  g_assert_cmpint (maintain (site), ==, HOUR);
  log = once_end_log ();
  g_assert_nonnull (strstr (log, "Removed shipped/run-1-2, received at "));
  g_assert_nonnull (strstr (log, "Removed shipped/run-1, received at "));
  assert_list (site, "shipped", "run-2 run-3 run-4");
  assert_list (site, "receipts", "run-2.json run-3.json run-5.json");
  assert_list (site, "episodes", "run-5");
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

/* What somebody puts in the place of the folder that was compared was never sent. */
static void
test_retire_swapped (Site *site, gconstpointer unused)
{
  g_autofree char *folder = g_build_filename (site->state_path, "episodes/run-1", NULL);
  g_autofree char *elsewhere = g_build_filename (site->tree, "elsewhere", NULL);
  g_autoptr (GError) error = NULL;
  GStatBuf compared;

  test_make_episode (site->tree, "state/episodes/run-1", 'c');
  g_assert_no_errno (g_stat (folder, &compared));
  g_assert_no_errno (g_rename (folder, elsewhere));
  test_make_episode (site->tree, "state/episodes/run-1", 'd');
  g_assert_null (shipped_put (site->state, "run-1", &compared, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_GONE);
  assert_list (site, "episodes", "run-1");
  assert_list (site, "shipped", "");
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
add (const char *path, int keep_days, void (*func) (Site *, gconstpointer))
{
  g_test_add (path, Site, GINT_TO_POINTER (keep_days), site_set_up, func, site_tear_down);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  add ("/retire/shipped", 30, test_retire_shipped);
  add ("/retire/never-replaces", 30, test_retire_never_replaces);
  add ("/retire/changed", 30, test_retire_changed);
  add ("/retire/touched-back", 30, test_retire_touched_back);
  add ("/retire/without-receipt", 30, test_retire_without_receipt);
  add ("/retire/other-receipt", 30, test_retire_other_receipt);
  add ("/retire/gone", 30, test_retire_gone);
  add ("/retire/swapped", 30, test_retire_swapped);
  add ("/retire/receipt-of-newer", 30, test_retire_receipt_of_newer);
  add ("/retire/keep-days", 30, test_retire_keep_days);
  add ("/retire/own-receipt", 30, test_retire_own_receipt);
  add ("/retire/keeps-for-ever", 0, test_retire_keeps_for_ever);
  add ("/retire/idle-pass", 30, test_retire_idle_pass);
  add ("/retire/unreadable-receipt", 30, test_retire_unreadable_receipt);
  add ("/retire/due-already", 30, test_retire_due_already);
  return g_test_run ();
}
