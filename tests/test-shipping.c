/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parts of a host together, with a receiver that answers by a script. */

#include "once.h"

#include <glib/gstdio.h>

/* All of a host, with a receiver that gives that answer. */
#define HOST(answer)                                                                                         \
  "[pipeline]\nstages=scan;stamp;pack;ship;retire;quarantine\nworkers=2\n"                                   \
  "[scan]\nplugin=scan/episodes\nstate=@STATE@\nquiet=1ms\nbackoff-initial=10ms\n"                           \
  "[stamp]\nplugin=gate/stamp\n"                                                                             \
  "[pack]\nplugin=pack/tar-zstd\nstate=@STATE@\n"                                                            \
  "[ship]\nplugin=transport/mock\nstate=@STATE@\nhost=lab\nrecord=@STATE@/record\nanswers=" answer "\n"      \
  "[retire]\nplugin=store/retire\nstate=@STATE@\n"                                                           \
  "[quarantine]\nplugin=store/quarantine\nstate=@STATE@\n"

static int
run (const char *tree, const char *ini)
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

static void
test_shipping_shipped (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  test_make_episode (tree, "state/episodes/run-1", 'c');
  test_make_episode (tree, "state/episodes/run-2", 'c');
  g_assert_cmpint (run (tree, HOST ("201")), ==, 0);
  assert_list (tree, "episodes", "");
  assert_list (tree, "outbox", "");
  assert_list (tree, "shipped", "run-1 run-2");
  assert_list (tree, "receipts", "run-1.json run-2.json");
}

static void
test_shipping_receiver_down (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  test_make_episode (tree, "state/episodes/run-1", 'c');
  test_make_episode (tree, "state/episodes/run-2", 'c');
  g_assert_cmpint (run (tree, HOST ("timeout")), ==, 75);
  assert_list (tree, "episodes", "run-1 run-2");
  assert_list (tree, "shipped", "");
}

/* As it is when the shipper is killed between the receipt and the retirement. */
static void
make_shipped (const char *tree, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_strconcat ("state/episodes/", name, NULL);
  g_autofree char *state_path = g_build_filename (tree, "state", NULL);
  g_autofree char *tarball = g_strconcat ("state/outbox/", name, ".tar.zst", NULL);
  g_autofree char *description = g_strconcat ("state/outbox/", name, ".json", NULL);
  g_autofree char *fingerprint = NULL, *text = NULL, *sha256 = g_strnfill (64, 'a');
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, name, NULL);
  g_autoptr (CisHostState) state = cis_host_state_open (state_path, &error);
  g_autoptr (JsonObject) receipt = NULL;

  g_assert_no_error (error);
  test_make_episode (tree, path, 'c');
  fingerprint =
      cis_fingerprint (cis_host_state_get_fd (state, CIS_FOLDER_EPISODES), name, NULL, NULL, &error);
  g_assert_no_error (error);
  text = g_strdup_printf ("{\"episode\": \"%s\", \"sha256\": \"%s\", \"size\": 6, \"fingerprint\": \"%s\"}\n",
                          name, sha256, fingerprint);
  test_write (tree, tarball, "packed");
  test_write (tree, description, text);
  cis_episode_set_archive (episode, tarball, sha256, 6);
  cis_episode_set_fingerprint (episode, fingerprint);
  receipt = cis_receipt_new (episode, "lab", "stored", NULL);
  cis_host_state_store_receipt (state, episode, receipt, &error);
  g_assert_no_error (error);
}

static void
test_shipping_receipt_on_disk (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  make_shipped (tree, "run-1");
  /* Nobody answers, and nobody needs to. */
  g_assert_cmpint (run (tree, HOST ("timeout")), ==, 0);
  assert_list (tree, "episodes", "");
  assert_list (tree, "outbox", "");
  assert_list (tree, "shipped", "run-1");
}

static void
test_shipping_changed_after_receipt (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *text = NULL;

  make_shipped (tree, "run-1");
  test_write (tree, "state/episodes/run-1/log.txt", "one line more\n");
  g_assert_cmpint (run (tree, HOST ("201")), ==, 65);
  assert_list (tree, "quarantine", "run-1");
  assert_list (tree, "shipped", "");
  text = test_read (tree, "state/quarantine/run-1/quarantine_reason.json");
  g_assert_nonnull (strstr (text, "changed-after-shipping"));
}

static void
test_shipping_other_receipt (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  /* A receipt for other bytes is no proof: the episode is packed and shipped. */
  make_shipped (tree, "run-1");
  test_write (
      tree, "state/receipts/run-1.json",
      "{\"episode\": \"run-1\", \"sha256\": \"00\", \"size\": 6, \"received_at\": \"2026-01-01T00:00:00Z\"}");
  g_assert_cmpint (run (tree, HOST ("timeout")), ==, 75);
  assert_list (tree, "episodes", "run-1");
  g_assert_cmpint (run (tree, HOST ("201")), ==, 0);
  assert_list (tree, "shipped", "run-1");
}

/* As when the receiver has lost it, and the only copy is moved back to be shipped anew. */
static void
test_shipping_moved_back (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *shipped = g_build_filename (tree, "state/shipped/run-1", NULL);
  g_autofree char *episode = g_build_filename (tree, "state/episodes/run-1", NULL);
  g_autofree char *record = NULL;

  test_make_episode (tree, "state/episodes/run-1", 'c');
  g_assert_cmpint (run (tree, HOST ("201")), ==, 0);
  g_assert_no_errno (g_rename (shipped, episode));
  g_assert_cmpint (run (tree, HOST ("503")), ==, 75);
  g_assert_cmpint (run (tree, HOST ("timeout")), ==, 75);
  assert_list (tree, "episodes", "run-1");
  g_assert_cmpint (run (tree, HOST ("201")), ==, 0);
  assert_list (tree, "shipped", "run-1");
  record = test_read (tree, "state/record");
  g_assert_cmpstr (strrchr (g_strchomp (record), '\n'), !=, NULL);
  g_assert_nonnull (strstr (strrchr (record, '\n'), "\"201\""));
}

static void
test_shipping_comes_back (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisPipeline) pipeline = once_load (tree, HOST ("422;in-flight;201"));
  gboolean finished = FALSE;

  test_make_episode (tree, "state/episodes/run-1", 'c');
  once_start (pipeline, &finished);
  test_wait_for (test_exists (tree, "state/shipped/run-1"));
  once_stop (pipeline, &finished);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/shipping/shipped", test_shipping_shipped);
  g_test_add_func ("/shipping/receiver-down", test_shipping_receiver_down);
  g_test_add_func ("/shipping/receipt-on-disk", test_shipping_receipt_on_disk);
  g_test_add_func ("/shipping/changed-after-receipt", test_shipping_changed_after_receipt);
  g_test_add_func ("/shipping/other-receipt", test_shipping_other_receipt);
  g_test_add_func ("/shipping/moved-back", test_shipping_moved_back);
  g_test_add_func ("/shipping/comes-back", test_shipping_comes_back);
  return g_test_run ();
}
