/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may lie in quarantine/ beside what the program puts there: entries without a reason, with an odd one,
 * with files that bear the reason's name. */

#include "harness.h"

#include "../plugins/store/quarantine/folder.h"
#include "../plugins/store/quarantine/reason.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SINCE "2026-01-02T03:04:05Z"
#define HOUR  (3600 * G_GINT64_CONSTANT (1000000))

/* The wall clock as the quarantine sees it: this definition comes before GLib's. */
static gboolean just_booted;

__attribute__ ((visibility ("default"))) gint64
g_get_real_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  return just_booted ? HOUR : now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

typedef struct
{
  char *tree;
  Quarantine *quarantine;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = NULL;

  f->tree = test_tree_new ();
  state = cis_host_state_open (f->tree, &error);
  g_assert_no_error (error);
  f->quarantine = quarantine_open (f->tree, NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  quarantine_free (f->quarantine);
  test_tree_remove (f->tree);
}

/* An entry that is called run, whose reason has some more @members. */
static void
make_entry (Fixture *f, const char *members)
{
  g_autofree char *reason =
      g_strdup_printf ("{\"finding\":\"unstamped\",\"quarantined_at\":\"" SINCE "\"%s}", members);

  test_make_episode (f->tree, "quarantine/run", '\0');
  test_write (f->tree, "quarantine/run/quarantine_reason.json", reason);
}

static void
assert_list (Fixture *f, const char *folder, const char *expected)
{
  g_autofree char *names = test_list (f->tree, folder);

  g_assert_cmpstr (names, ==, expected);
}

static void
release (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *episode = quarantine_release (f->quarantine, "run", NULL, FALSE, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (episode, ==, "run");
  assert_list (f, "quarantine", "");
}

static void
assert_gone (Fixture *f, const char *id)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (quarantine_load (f->quarantine, id, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_GONE);
}

static void
test_no_entries (Fixture *f, gconstpointer data)
{
  test_write (f->tree, "quarantine/file", "");
  test_write (f->tree, "quarantine/.hidden/file", "");
  test_write (f->tree, "quarantine/folder/below/file", "");
  assert_gone (f, "");
  assert_gone (f, ".hidden");
  assert_gone (f, "folder/below");
  assert_gone (f, "file");
  assert_gone (f, "nothing");
}

/* Somebody put a folder there by hand: it may go out and it may be removed, and the log says that. */
static void
test_no_reason (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (QuarantineEntry) entry = NULL;
  g_autofree char *log = NULL;

  test_make_episode (f->tree, "quarantine/run", '\0');
  test_write (f->tree, "quarantine/run/quarantine_reason.json", "{\"finding\":\"unstamped\"}");
  release (f);
  assert_list (f, "episodes/run", "data log.txt meta.json quarantine_reason.json");

  test_make_episode (f->tree, "quarantine/other", '\0');
  entry = quarantine_load (f->quarantine, "other", &error);
  g_assert_null (entry->reason);
  g_assert_null (quarantine_entry_get_finding (entry));
  g_assert_cmpstr (quarantine_entry_get_episode (entry), ==, "other");
  g_assert_cmpint (entry->time, ==, -1);
  g_assert_true (quarantine_remove (f->quarantine, entry, "purge", NULL, &error));
  log = test_read (f->tree, "audit.jsonl");
  g_assert_nonnull (strstr (log, "\"verb\":\"release\",\"episode\":\"run\""));
  g_assert_nonnull (strstr (log, "\"verb\":\"purge\",\"episode\":\"other\""));
}

/* Where it cannot go back, it stays as it was. */
static void
test_release_fails (Fixture *f, gconstpointer reason)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (f->tree, "episodes", NULL);

  if (reason != NULL)
    test_write (f->tree, reason, "{\"finding\":\"unstamped\",\"quarantined_at\":\"" SINCE "\"}");
  test_make_episode (f->tree, "quarantine/run", '\0');
  /* The folder that it would go to is not there any more. */
  g_assert_no_errno (rmdir (path));
  g_assert_null (quarantine_release (f->quarantine, "run", NULL, FALSE, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_true (test_exists (f->tree, "quarantine/run/meta.json"));
  if (reason != NULL)
    g_assert_true (test_exists (f->tree, reason));
}

/* A name that leads elsewhere is not taken from a reason. */
static void
test_odd_names (Fixture *f, gconstpointer data)
{
  g_autoptr (QuarantineEntry) entry = NULL;

  make_entry (f, ",\"episode\":\"../elsewhere\",\"displaced\":\"../../receipts/run.json\"");
  test_write (f->tree, "receipts/run.json", "{}");
  entry = quarantine_load (f->quarantine, "run", NULL);
  g_assert_cmpstr (quarantine_entry_get_episode (entry), ==, "run");
  release (f);
  assert_list (f, "episodes", "run");
  assert_list (f, "receipts", "run.json");
}

static void
test_odd_folder_times (Fixture *f, gconstpointer data)
{
  static const char *const times[] = { "1",           "1.5",           "x.000000000",
                                       "1.x00000000", "1.000000000.0", "99999999999999999999.000000000" };
  struct timespec time;

  for (guint i = 0; i < G_N_ELEMENTS (times); i++)
    {
      g_autoptr (JsonObject) reason = json_object_new ();

      json_object_set_string_member (reason, "folder_mtime", times[i]);
      g_assert_false (reason_get_folder_time (reason, &time));
    }
  make_entry (f, "");
  release (f);
}

/* An answer's status is a number of HTTP's. */
static void
test_odd_answer (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  g_autoptr (CisFinding) finding = cis_finding_new ("unstamped", CIS_SEVERITY_ERROR, "run", "No commit");
  g_autoptr (QuarantineEntry) entry = NULL;
  g_autofree char *id = NULL;

  test_make_episode (f->tree, "episodes/run", '\0');
  cis_finding_set_detail (finding, "answer_status", "teapot");
  id = quarantine_put (f->quarantine, episode, finding, NULL, &error);
  g_assert_no_error (error);
  entry = quarantine_load (f->quarantine, id, &error);
  g_assert_false (json_object_has_member (entry->reason, "answer"));
}

/* What somebody else says of the episode is kept, but steers nothing: displaced is a file that release
 * renames. */
static void
test_foreign_members (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  g_autoptr (CisFinding) finding = cis_finding_new ("archive-odd", CIS_SEVERITY_ERROR, "run", "Odd");
  g_autofree char *id = NULL;

  test_make_episode (f->tree, "episodes/run", '\0');
  cis_finding_set_detail (finding, "displaced", "log.txt");
  id = quarantine_put (f->quarantine, episode, finding, NULL, &error);
  g_assert_no_error (error);
  release (f);
  assert_list (f, "episodes/run", "data log.txt meta.json");
}

/* Something else was put in the episode's place since it was judged: nothing is written into what that leads
 * to. */
static void
test_swapped (Fixture *f, gconstpointer data)
{
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  g_autoptr (CisFinding) finding = cis_finding_new ("unstamped", CIS_SEVERITY_ERROR, "run", "No commit");
  g_autofree char *path = g_build_filename (f->tree, "episodes", "run", NULL);

  test_write (f->tree, "outside/meta.json", "{}");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;

      if (i == 0)
        g_assert_no_errno (symlink ("../outside", path));
      else if (i == 1)
        g_assert_no_errno (mkfifo (path, 0600));
      else
        test_write (f->tree, "episodes/run", "");
      g_assert_null (quarantine_put (f->quarantine, episode, finding, NULL, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_GONE);
      assert_list (f, "episodes", "run");
      assert_list (f, "quarantine", "");
      assert_list (f, "outside", "meta.json");
      g_assert_no_errno (unlink (path));
    }
}

static gint64
put (Fixture *f, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename ("episodes", name, NULL);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, name, NULL);
  g_autoptr (CisFinding) finding = cis_finding_new ("unstamped", CIS_SEVERITY_ERROR, name, "No commit");
  g_autoptr (QuarantineEntry) entry = NULL;
  g_autofree char *id = NULL;

  test_make_episode (f->tree, path, '\0');
  id = quarantine_put (f->quarantine, episode, finding, NULL, &error);
  g_assert_no_error (error);
  entry = quarantine_load (f->quarantine, id, &error);
  return entry->time;
}

/* Before the clock is set, what is rejected is as new as what the disk remembers. */
static void
test_clock_behind (Fixture *f, gconstpointer data)
{
  gint64 now = g_get_real_time ();

  just_booted = TRUE;
  g_assert_cmpint (put (f, "run"), >=, now - HOUR);
  just_booted = FALSE;
  g_assert_cmpint (put (f, "other"), >=, now);
}

/* An older reason of ours is no file of the experiment's: what it knows is carried on, and it goes. */
static void
test_older_reason (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  g_autoptr (CisFinding) finding = cis_finding_new ("unstamped", CIS_SEVERITY_ERROR, "run", "No commit");
  g_autoptr (QuarantineEntry) entry = NULL;
  g_autofree char *id = NULL;

  test_make_episode (f->tree, "episodes/run", '\0');
  test_write (f->tree, "episodes/run/quarantine_reason.json",
              "{\"finding\":\"unstamped\",\"quarantined_at\":\"" SINCE
              "\",\"attempts\":1,\"first_seen\":\"" SINCE "\"}");
  id = quarantine_put (f->quarantine, episode, finding, NULL, &error);
  g_assert_no_error (error);
  entry = quarantine_load (f->quarantine, id, &error);
  g_assert_cmpint (cis_json_get_size (entry->reason, "attempts", -1), ==, 2);
  g_assert_cmpstr (cis_json_get_string (entry->reason, "first_seen"), ==, SINCE);
  release (f);
  assert_list (f, "episodes/run", "data log.txt meta.json");
}

/* The log knows more than an older reason that somebody put back. */
static void
test_older_reason_released (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  g_autoptr (CisFinding) finding = cis_finding_new ("unstamped", CIS_SEVERITY_ERROR, "run", "No commit");
  g_autoptr (QuarantineEntry) entry = NULL;
  g_autofree char *id = NULL;

  test_write (f->tree, "audit.jsonl",
              "{\"episode\":\"run\",\"verb\":\"release\",\"reason\":{\"quarantined_at\":\"" SINCE "\"}}\n"
              "{\"episode\":\"run\",\"verb\":\"release\"}\n");
  test_make_episode (f->tree, "episodes/run", '\0');
  test_write (f->tree, "episodes/run/quarantine_reason.json",
              "{\"finding\":\"unstamped\",\"quarantined_at\":\"2026-03-02T03:04:05Z\"}");
  id = quarantine_put (f->quarantine, episode, finding, NULL, &error);
  g_assert_no_error (error);
  entry = quarantine_load (f->quarantine, id, &error);
  g_assert_cmpint (cis_json_get_size (entry->reason, "attempts", -1), ==, 2);
  g_assert_cmpstr (cis_json_get_string (entry->reason, "first_seen"), ==, SINCE);
}

/* What came and went meanwhile under the same name was judged by nobody. */
static void
test_another_by_now (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (QuarantineEntry) entry = NULL;

  make_entry (f, "");
  entry = quarantine_load (f->quarantine, "run", &error);
  test_write (f->tree, "quarantine/run/quarantine_reason.json",
              "{\"finding\":\"unstamped\",\"quarantined_at\":\"2026-02-02T03:04:05Z\"}");
  g_assert_false (quarantine_remove (f->quarantine, entry, "purge", NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_GONE);
  assert_list (f, "quarantine", "run");
}

/* A reason that waits beside its entry, where a person has taken every name that it would use. */
static void
test_taken_names (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  make_entry (f, "");
  test_write (f->tree, "quarantine/run/quarantine_reason.json", "a person's");
  test_write (f->tree, "quarantine/run/quarantine_reason-1.json", "another");
  test_write (f->tree, "quarantine/.run.reason.json",
              "{\"finding\":\"unstamped\",\"quarantined_at\":\"" SINCE
              "\",\"displaced\":\"quarantine_reason-1.json\"}");
  test_write (f->tree, "quarantine/.reason.json", "no entry's");
  test_write (f->tree, "quarantine/.notes", "a person's");
  g_assert_true (quarantine_recover (f->quarantine, NULL, &error));
  assert_list (f, "quarantine", ".notes .reason.json run");
  text = test_read (f->tree, "quarantine/run/quarantine_reason-2.json");
  g_assert_cmpstr (text, ==, "a person's");
}

/* What is no reason does not count as one: without its finding, or somewhere else. */
static void
test_no_valid_reason (Fixture *f, gconstpointer data)
{
  g_autofree char *link_name = g_build_filename (f->tree, "quarantine/linked/quarantine_reason.json", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (QuarantineEntry) no_finding = NULL, linked = NULL;

  test_write (f->tree, "quarantine/no-finding/quarantine_reason.json", "{\"quarantined_at\":\"" SINCE "\"}");
  test_write (f->tree, "quarantine/linked/data", "");
  test_write (f->tree, "elsewhere", "{\"finding\":\"unstamped\",\"quarantined_at\":\"" SINCE "\"}");
  g_assert_no_errno (symlink ("../../elsewhere", link_name));
  no_finding = quarantine_load (f->quarantine, "no-finding", &error);
  g_assert_null (no_finding->reason);
  linked = quarantine_load (f->quarantine, "linked", &error);
  g_assert_null (linked->reason);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, data, function)                                                                            \
  g_test_add ("/quarantine-entry/" path, Fixture, data, set_up, function, tear_down)
  ADD ("no-entries", NULL, test_no_entries);
  ADD ("no-reason", NULL, test_no_reason);
  ADD ("release-fails/no-reason", NULL, test_release_fails);
  ADD ("release-fails/inside", "quarantine/run/quarantine_reason.json", test_release_fails);
  ADD ("release-fails/outside", "quarantine/.run.reason.json", test_release_fails);
  ADD ("odd-names", NULL, test_odd_names);
  ADD ("odd-folder-times", NULL, test_odd_folder_times);
  ADD ("odd-answer", NULL, test_odd_answer);
  ADD ("foreign-members", NULL, test_foreign_members);
  ADD ("swapped", NULL, test_swapped);
  ADD ("clock-behind", NULL, test_clock_behind);
  ADD ("older-reason", NULL, test_older_reason);
  ADD ("older-reason/released", NULL, test_older_reason_released);
  ADD ("no-valid-reason", NULL, test_no_valid_reason);
  ADD ("another-by-now", NULL, test_another_by_now);
  ADD ("taken-names", NULL, test_taken_names);
  return g_test_run ();
}
