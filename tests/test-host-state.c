/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static CisHostState *
open_state (const char *tree)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (tree, "a", "state", NULL);
  CisHostState *state = cis_host_state_open (path, &error);

  g_assert_no_error (error);
  return state;
}

static void
test_open (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisHostState) state = open_state (tree), again = open_state (tree);
  g_autofree char *names = test_list (tree, "a/state");
  g_autofree char *file = cis_host_state_get_file (state, CIS_FOLDER_OUTBOX, "run-1", ".tar.zst");
  g_autofree char *folder = cis_host_state_get_file (state, CIS_FOLDER_EPISODES, "run-1", NULL);
  struct stat by_fd, by_path;

  g_assert_cmpstr (names, ==, "episodes outbox quarantine receipts shipped");
  g_assert_true (g_str_has_prefix (file, cis_host_state_get_path (state)));
  g_assert_true (g_str_has_suffix (file, "/a/state/outbox/run-1.tar.zst"));
  g_assert_true (g_str_has_suffix (folder, "/a/state/episodes/run-1"));
  for (guint i = 0; i < CIS_N_FOLDERS; i++)
    {
      g_autofree char *path = cis_host_state_get_file (state, i, ".", NULL);

      g_assert_no_errno (fstat (cis_host_state_get_fd (state, i), &by_fd));
      g_assert_no_errno (stat (path, &by_path));
      g_assert_cmpuint (by_fd.st_ino, ==, by_path.st_ino);
    }
}

static void
test_open_refuses (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) mounted = NULL, file = NULL;
  g_autofree char *path = g_build_filename (tree, "state", NULL);
  g_autofree char *below_file = g_build_filename (tree, "file", "state", NULL);
  g_autofree char *shipped = g_build_filename (path, "shipped", NULL);

  test_write (tree, "file", "");
  g_assert_null (cis_host_state_open (below_file, &file));
  g_assert_error (file, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);

  test_write (tree, "state/episodes/run-1/meta.json", "{}");
  g_assert_no_errno (symlink ("/proc", shipped));
  g_assert_null (cis_host_state_open (path, &mounted));
  g_assert_error (mounted, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_nonnull (strstr (mounted->message, shipped));
}

static void
test_lock (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisHostState) first = open_state (tree), second = open_state (tree);
  g_autofree char *own = g_strdup_printf ("is locked by process %d (", (int) getpid ());
  g_autoptr (GError) error = NULL;

  g_assert_true (cis_host_state_lock (first, &error));
  g_assert_true (cis_host_state_lock (first, &error));
  g_assert_false (cis_host_state_lock (second, NULL));
  g_assert_false (cis_host_state_lock (second, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, own));
  g_clear_error (&error);

  g_clear_object (&first);
  g_assert_true (cis_host_state_lock (second, &error));
  g_assert_no_error (error);
}

static void
test_receipts (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisHostState) state = open_state (tree);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run-1", NULL);
  g_autoptr (JsonObject) receipt = NULL, loaded = NULL;
  g_autofree char *names = NULL;
  g_autoptr (GError) error = NULL;

  cis_episode_set_archive (episode, "archive", DIGEST, 5);
  cis_episode_set_fingerprint (episode, "of the tree");
  receipt = cis_receipt_new (episode, "lab-7", "stored", NULL);

  g_assert_null (cis_host_state_load_receipt (state, "run-1", &error));
  g_assert_no_error (error);
  g_assert_true (cis_host_state_store_receipt (state, episode, receipt, &error));
  g_assert_no_error (error);
  loaded = cis_host_state_load_receipt (state, "run-1", &error);
  g_assert_no_error (error);
  g_assert_true (cis_receipt_matches (loaded, episode, "lab-7", &error));
  g_assert_cmpstr (cis_json_get_string (loaded, "fingerprint"), ==, "of the tree");
  g_assert_cmpstr (names = test_list (tree, "a/state/receipts"), ==, "run-1.json");
}

static void
test_receipts_refuses (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisHostState) state = open_state (tree);
  g_autoptr (GError) torn = NULL, outside = NULL;
  g_autoptr (CisEpisode) odd = cis_episode_new (NULL, "../outside", NULL);
  g_autoptr (JsonObject) receipt = json_object_new ();

  test_write (tree, "a/state/receipts/torn.json", "{\"episode\": ");
  g_assert_null (cis_host_state_load_receipt (state, "torn", &torn));
  g_assert_error (torn, CIS_ERROR, CIS_ERROR_INVALID);
  g_assert_nonnull (strstr (torn->message, "/receipts/torn.json: Not JSON"));

  test_write (tree, "a/state/outside.json", "{}");
  g_assert_null (cis_host_state_load_receipt (state, "../outside", &outside));
  g_assert_error (outside, CIS_ERROR, CIS_ERROR_INVALID);
  g_clear_error (&outside);
  g_assert_false (cis_host_state_store_receipt (state, odd, receipt, &outside));
  g_assert_error (outside, CIS_ERROR, CIS_ERROR_INVALID);
}

static void
test_archives (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisHostState) state = open_state (tree);
  g_autoptr (CisEpisode) packed = cis_episode_new (NULL, "run-1", NULL);
  g_autoptr (CisEpisode) loaded = cis_episode_new (NULL, "run-1", NULL);
  g_autofree char *archive = cis_host_state_get_file (state, CIS_FOLDER_OUTBOX, "run-1", ".tar.zst");
  g_autofree char *sha256 = cis_digest_bytes ("bytes", 5), *names = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_false (cis_host_state_load_archive (state, loaded, "of the tree"));
  test_write (tree, "a/state/outbox/run-1.tar.zst", "bytes");
  cis_episode_set_archive (packed, archive, sha256, 5);
  cis_episode_set_fingerprint (packed, "of the tree");
  g_assert_true (cis_host_state_store_archive (state, packed, "level 3", 0, &error));
  g_assert_no_error (error);

  g_assert_false (cis_host_state_load_archive (state, loaded, "of another tree"));
  g_assert_null (cis_episode_get_archive (loaded));
  g_assert_null (cis_episode_get_fingerprint (loaded));
  g_assert_true (cis_host_state_load_archive (state, loaded, "of the tree"));
  g_assert_cmpstr (cis_episode_get_archive (loaded), ==, archive);
  g_assert_cmpstr (cis_episode_get_sha256 (loaded), ==, sha256);
  g_assert_cmpuint (cis_episode_get_size (loaded), ==, 5);
  g_assert_cmpstr (cis_episode_get_fingerprint (loaded), ==, "of the tree");

  g_assert_true (cis_host_state_drop_archive (state, packed, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (names = test_list (tree, "a/state/outbox"), ==, "");
  g_assert_false (cis_host_state_load_archive (state, loaded, "of the tree"));
}

static void
test_archives_unreadable (gconstpointer text)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisHostState) state = open_state (tree);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run-1", NULL);

  test_write (tree, "a/state/outbox/run-1.json", text);
  g_assert_false (cis_host_state_load_archive (state, episode, "of the tree"));
  g_assert_null (cis_episode_get_sha256 (episode));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/host-state/open", test_open);
  g_test_add_func ("/host-state/open/refuses", test_open_refuses);
  g_test_add_func ("/host-state/lock", test_lock);
  g_test_add_func ("/host-state/receipts", test_receipts);
  g_test_add_func ("/host-state/receipts/refuses", test_receipts_refuses);
  g_test_add_func ("/host-state/archives", test_archives);
  g_test_add_data_func ("/host-state/archives/torn", "{\"sha256\":", test_archives_unreadable);
  g_test_add_data_func ("/host-state/archives/digest",
                        "{\"sha256\":\"12\",\"size\":5,\"fingerprint\":\"of the tree\"}",
                        test_archives_unreadable);
  g_test_add_data_func ("/host-state/archives/size",
                        "{\"sha256\":\"" DIGEST "\",\"fingerprint\":\"of the tree\"}",
                        test_archives_unreadable);
  g_test_add_data_func ("/host-state/archives/fingerprint", "{\"sha256\":\"" DIGEST "\",\"size\":5}",
                        test_archives_unreadable);
  return g_test_run ();
}
