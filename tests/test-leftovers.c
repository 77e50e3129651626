/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uploads.h"

#include "cis-pipeline.h"

#include "../plugins/store/archive/leftovers.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
test_unfinished (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) other = uploads_make_put ("run", "other bytes");
  g_autoptr (CisEpisode) same = uploads_make_put ("run", "bytes");
  g_autoptr (CisOutcome) outcome = NULL;

  uploads_store_without_home (archive);
  g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.tar.zst"), ==, 2);
  g_assert_cmpint (uploads_put (archive, other, &outcome), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (outcome, "episode-conflict");
  g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.tar.zst"), ==, 2);

  /* The same bytes, though stamped otherwise: what was stored goes home,
   * under the commit that it came with. */
  cis_episode_set_commit (same, OTHER_COMMIT);
  g_assert_cmpint (uploads_put (archive, same, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpstr (cis_episode_get_commit (same), ==, COMMIT);
  g_assert_cmpstr (cis_item_get_mark (CIS_ITEM (same), "recovered"), ==, "true");
  g_assert_cmpstr (cis_json_get_string (cis_episode_get_receipt (same), "status"), ==, "stored");
  uploads_assert_none_left (tree);
  uploads_close (archive);
}

/* A disk that has not kept in a power cut what it had confirmed: no row comes of it, and the host sends it
 * again. */
static void
test_lost_bytes (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) again = uploads_make_put ("run", "bytes");
  g_autofree char *path = g_build_filename (tree, "store/lab-1/run.tar.zst", NULL);
  g_autofree char *empty = cis_digest_bytes ("", 0);
  g_autofree char *aside = g_strdup_printf ("damaged/lab-1/run.%s.tar.zst", empty);
  g_autofree char *stored = NULL;

  uploads_store_without_home (archive);
  uploads_close (archive);
  g_assert_no_errno (truncate (path, 0));
  archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_assert_false (test_exists (tree, "store/lab-1/run.tar.zst"));
  g_assert_cmpuint (uploads_count_links (tree, aside), ==, 1);
  uploads_assert_none_left (tree);
  g_assert_cmpint (uploads_put (archive, again, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_null (cis_item_get_mark (CIS_ITEM (again), "recovered"));
  stored = test_read (tree, "store/lab-1/run.tar.zst");
  g_assert_cmpstr (stored, ==, "bytes");
  uploads_close (archive);
}

static CisVerdict
ask (gpointer archive, const char *bytes, CisOutcome **outcome)
{
  g_autofree char *sha256 = cis_digest_bytes (bytes, strlen (bytes));
  g_autoptr (CisEpisode) question = uploads_make ("POST", "lab-1", "run", sha256, strlen (bytes), NULL);

  return uploads_put (archive, question, outcome);
}

/* The question does not welcome what a PUT is refused for, and needs no body to finish what is there. */
static void
test_asked (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisOutcome) outcome = NULL, again = NULL;

  uploads_store_without_home (archive);
  g_assert_cmpint (ask (archive, "other bytes", &outcome), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (outcome, "episode-conflict");
  g_assert_cmpuint (uploads_count_links (tree, "store/lab-1/run.tar.zst"), ==, 2);
  g_assert_cmpint (ask (archive, "bytes", NULL), ==, CIS_VERDICT_PASSED);
  uploads_assert_none_left (tree);
  g_assert_cmpint (ask (archive, "other bytes", &again), ==, CIS_VERDICT_REJECTED);
  uploads_assert_finding (again, "episode-conflict");
  uploads_close (archive);
}

static void
collect (CisEpisode *episode, const char *part, gpointer user_data)
{
  g_ptr_array_add (user_data, episode);
}

static void
test_recovery (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) odd = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  g_autofree char *zeros = g_strnfill (64, '0');
  g_autofree char *twin = g_strdup_printf ("%s/incoming/lab-1/twin.%s." COMMIT ".part", tree, zeros);
  g_autofree char *elsewhere = g_build_filename (tree, "elsewhere", NULL);
  g_autofree char *part = g_strdup_printf ("incoming/lab-1/cut.%s." COMMIT ".part", zeros);
  CisLayout layout = CIS_LAYOUT_CLOSED;
  CisShelves *shelves;
  CisEpisode *episode;

  uploads_store_without_home (archive);
  uploads_close (archive);
  test_write (tree, part, "the beginning");
  test_write (tree, "elsewhere", "somebody's doing");
  g_assert_no_errno (link (elsewhere, twin));

  g_assert_true (cis_layout_open (&layout, tree, &error));
  shelves = cis_shelves_new (&layout);
  g_assert_true (cis_leftovers_recover (&layout, shelves, collect, found, odd, &error));
  g_assert_cmpuint (found->len, ==, 1);
  episode = g_ptr_array_index (found, 0);
  g_assert_cmpstr (cis_item_get_id (CIS_ITEM (episode)), ==, "lab-1/run");
  g_assert_cmpstr (cis_episode_get_commit (episode), ==, COMMIT);
  g_assert_cmpint (cis_episode_get_size (episode), ==, 5);
  g_assert_true (cis_receipt_matches (cis_episode_get_receipt (episode), episode, "lab-1", &error));
  g_assert_cmpuint (odd->len, ==, 1);
  cis_shelves_free (shelves);
  cis_layout_close (&layout);

  /* The stage itself holds what it recovers, and leaves the rest alone. */
  archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_assert_true (test_exists (tree, part));
  g_assert_true (g_file_test (twin, G_FILE_TEST_EXISTS));
  uploads_close (archive);
}

/* What bears a name of no .part of ours stays out of it, whatever it is. */
static void
test_odd_names (void)
{
  g_autofree char *hex = g_strnfill (64, 'a');
  g_autofree char *big = g_strnfill (64, 'A');
  const struct
  {
    const char *episode, *dot, *sha256, *dash, *commit, *suffix;
  } odd[] = {
    { "", ".", hex, ".", COMMIT, ".part" },
    { "run", ".", hex, ".", COMMIT, ".tmp!" },
    { "run", "-", hex, ".", COMMIT, ".part" },
    { "run", ".", hex, "-", COMMIT, ".part" },
    { "ru n", ".", hex, ".", COMMIT, ".part" },
    { "run", ".", big, ".", COMMIT, ".part" },
    { "run", ".", hex, ".", "ABCDEF6789abcdef0123456789abcdef01234567", ".part" },
  };
  g_autofree char *good = g_strdup_printf ("r.u.n.%s." COMMIT ".part", hex);
  g_autoptr (CisPartName) parsed = cis_part_name_parse (good);

  for (guint i = 0; i < G_N_ELEMENTS (odd); i++)
    {
      g_autofree char *name = g_strconcat (odd[i].episode, odd[i].dot, odd[i].sha256, odd[i].dash,
                                           odd[i].commit, odd[i].suffix, NULL);

      g_assert_null (cis_part_name_parse (name));
    }
  g_assert_cmpstr (parsed->episode, ==, "r.u.n");
  g_assert_cmpstr (parsed->commit, ==, COMMIT);
}

/* Files where folders would be, folders where files would be, and a second .part of one archive: a start
 * takes none of them for more than it is, and removes none. */
static void
test_odd_things (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autofree char *hex = g_strnfill (64, 'a');
  g_autofree char *sha256 = cis_digest_bytes ("bytes", 5);
  g_autofree char *folder = g_strdup_printf ("incoming/lab-1/folder.%s." COMMIT ".part/file", hex);
  g_autofree char *second = g_strdup_printf ("%s/incoming/lab-1/run.%s." OTHER_COMMIT ".part", tree, sha256);
  g_autofree char *twin = g_strdup_printf ("%s/incoming/lab-1/twin.%s." COMMIT ".part", tree, hex);
  g_autofree char *elsewhere = g_build_filename (tree, "elsewhere", NULL);
  g_autofree char *stored = g_build_filename (tree, "store/lab-1/run.tar.zst", NULL);
  g_autofree char *link_name = g_build_filename (tree, "incoming/lab-3", NULL);
  g_autofree char *before = NULL, *after = NULL;

  uploads_store_without_home (archive);
  uploads_close (archive);
  test_write (tree, "incoming/lab-2", "a file");
  test_write (tree, "incoming/-odd/file", "no host of ours");
  g_assert_no_errno (symlink ("lab-1", link_name));
  test_write (tree, folder, "");
  g_assert_no_errno (link (stored, second));
  /* Its archive is there, but is another. */
  test_write (tree, "elsewhere", "somebody's doing");
  test_write (tree, "store/lab-1/twin.tar.zst", "another archive");
  g_assert_no_errno (link (elsewhere, twin));

  before = test_list (tree, "incoming/lab-1");
  archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  after = test_list (tree, "incoming/lab-1");
  g_assert_cmpstr (after, ==, before);
  uploads_close (archive);
}

static CisPipeline *
make_receiver (const char *tree)
{
  g_autofree char *line = cis_digest_bytes ("token", 5);
  g_autofree char *tokens = g_strdup_printf ("lab-1 %s\n", line);
  g_autofree char *tokens_file = g_build_filename (tree, "tokens", NULL);
  g_autofree char *file = g_build_filename (tree, "receiver.ini", NULL);
  g_autofree char *text = g_strdup_printf ("[pipeline]\nstages=accept;bearer;store;index\n"
                                           "[accept]\nplugin=transport/accept\nlisten=unix:%s/socket\n"
                                           "[bearer]\nplugin=gate/bearer\ntokens-file=%s\n"
                                           "[store]\nplugin=store/archive\ndirectory=%s\n"
                                           "[index]\nplugin=store/index\ndirectory=%s\n",
                                           tree, tokens_file, tree, tree);
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (CisConfig) config = NULL;
  g_autoptr (GError) error = NULL;
  CisPipeline *pipeline;

  test_write (tree, "tokens", tokens);
  g_assert_no_errno (g_chmod (tokens_file, 0600));
  test_write (tree, "receiver.ini", text);
  config = cis_config_load (file, NULL, &error);
  g_assert_no_error (error);
  pipeline = cis_pipeline_new (config, findings);
  for (guint i = 0; i < findings->len; i++)
    g_test_message ("%s", cis_finding_get_summary (g_ptr_array_index (findings, i)));
  g_assert_nonnull (pipeline);
  return pipeline;
}

/* Before it is ready, a receiver brings home what the one before left; once. */
static void
test_brought_home (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisPipeline) receiver = make_receiver (tree);
  g_autoptr (GError) error = NULL;
  g_autofree char *first = NULL, *second = NULL;

  uploads_store_without_home (archive);
  uploads_close (archive);
  cis_pipeline_open (receiver, &error);
  g_assert_no_error (error);
  uploads_assert_none_left (tree);
  first = test_read (tree, "index.jsonl");
  g_assert_nonnull (strstr (first, "\"recovered\":true"));
  g_assert_nonnull (strstr (first, "\"gate\":\"disabled\""));
  cis_pipeline_close (receiver);

  cis_pipeline_open (receiver, &error);
  g_assert_no_error (error);
  second = test_read (tree, "index.jsonl");
  g_assert_cmpstr (first, ==, second);
  cis_pipeline_close (receiver);
}

static void
test_begun_anew (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, 5 * G_USEC_PER_SEC);
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "bytes");
  g_autofree char *part =
      g_strdup_printf ("incoming/lab-1/run.%s." COMMIT ".part", cis_episode_get_sha256 (episode));
  g_autofree char *text = NULL;

  test_write (tree, part, "what a killed run wrote, longer than the archive");
  g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  text = test_read (tree, "store/lab-1/run.tar.zst");
  g_assert_cmpstr (text, ==, "bytes");
  uploads_close (archive);
}

/* A clock that was ahead, or behind, when it was written. */
static void
set_mtime (const char *tree, const char *path, time_t seconds)
{
  g_autofree char *file = g_build_filename (tree, path, NULL);
  struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = seconds } };

  g_assert_no_errno (utimensat (AT_FDCWD, file, times, 0));
}

static void
test_expiry (void)
{
  const gint64 keep = G_TIME_SPAN_HOUR;
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *zeros = g_strnfill (64, '0');
  g_autofree char *part = g_strdup_printf ("incoming/lab-1/cut.%s." COMMIT ".part", zeros);
  g_autoptr (CisEpisodeHolds) holds = cis_holds_new (0);
  CisLayout layout = CIS_LAYOUT_CLOSED;
  g_autoptr (CisQuota) quota = NULL;
  CisLeftovers *leftovers;
  CisEpisodeHold *hold;

  g_assert_true (cis_layout_open (&layout, tree, &error));
  quota = cis_quota_new (&layout, 0);
  leftovers = cis_leftovers_new (tree, &layout, holds, quota, keep);
  test_write (tree, part, "the beginning");
  test_write (tree, "incoming/lab-1/notes.txt", "not ours");
  set_mtime (tree, part, 0);
  set_mtime (tree, "incoming/lab-1/notes.txt", 0);

  /* Of 1970, but only just seen; then seen for long, but written to, by a clock that is far ahead. */
  g_assert_cmpint (cis_leftovers_expire (leftovers, 10, &error), ==, 0);
  g_assert_cmpint (cis_leftovers_expire (leftovers, keep + 9, &error), ==, 0);
  test_write (tree, part, "the beginning, and more");
  set_mtime (tree, part, 4000000000);
  g_assert_cmpint (cis_leftovers_expire (leftovers, keep + 10, &error), ==, 0);
  g_assert_cmpint (cis_leftovers_expire (leftovers, 2 * keep + 9, &error), ==, 0);
  hold = cis_holds_take (holds, "lab-1/cut", zeros);
  g_assert_cmpint (cis_leftovers_expire (leftovers, 2 * keep + 11, &error), ==, 0);
  cis_holds_release (holds, hold);
  g_assert_true (test_exists (tree, part));
  g_assert_cmpint (cis_leftovers_expire (leftovers, 2 * keep + 12, &error), ==, 1);
  g_assert_false (test_exists (tree, part));
  g_assert_true (test_exists (tree, "incoming/lab-1/notes.txt"));
  cis_leftovers_free (leftovers);
  cis_layout_close (&layout);
}

static int
expire_once (const char *directory, CisLayout *layout, gint64 now)
{
  g_autoptr (CisEpisodeHolds) holds = cis_holds_new (0);
  g_autoptr (CisQuota) quota = cis_quota_new (layout, 0);
  g_autoptr (CisLeftovers) leftovers =
      cis_leftovers_new (directory, layout, holds, quota, 2 * G_TIME_SPAN_HOUR);
  g_autoptr (GError) error = NULL;
  int n_expired = cis_leftovers_expire (leftovers, now, &error);

  g_assert_no_error (error);
  return n_expired;
}

/* However often it is reloaded, the time that something has been there is counted from the first look. */
static void
test_expiry_over_reloads (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *zeros = g_strnfill (64, '0');
  g_autofree char *part = g_strdup_printf ("incoming/lab-1/cut.%s." COMMIT ".part", zeros);
  CisLayout layout = CIS_LAYOUT_CLOSED;

  g_assert_true (cis_layout_open (&layout, tree, NULL));
  test_write (tree, part, "the beginning");
  g_assert_cmpint (expire_once (tree, &layout, 0), ==, 0);
  g_assert_cmpint (expire_once (tree, &layout, G_TIME_SPAN_HOUR), ==, 0);
  g_assert_cmpint (expire_once ("elsewhere", &layout, 2 * G_TIME_SPAN_HOUR), ==, 0);
  g_assert_cmpint (expire_once (tree, &layout, 2 * G_TIME_SPAN_HOUR), ==, 1);
  cis_layout_close (&layout);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/leftovers/unfinished", test_unfinished);
  g_test_add_func ("/leftovers/lost-bytes", test_lost_bytes);
  g_test_add_func ("/leftovers/asked", test_asked);
  g_test_add_func ("/leftovers/recovery", test_recovery);
  g_test_add_func ("/leftovers/brought-home", test_brought_home);
  g_test_add_func ("/leftovers/begun-anew", test_begun_anew);
  g_test_add_func ("/leftovers/expiry", test_expiry);
  g_test_add_func ("/leftovers/expiry-over-reloads", test_expiry_over_reloads);
  g_test_add_func ("/leftovers/odd-names", test_odd_names);
  g_test_add_func ("/leftovers/odd-things", test_odd_things);
  return g_test_run ();
}
