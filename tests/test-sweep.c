/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/scan/episodes/sweep.h"
#include "harness.h"

#include <fcntl.h>
#include <sys/stat.h>

static void
test_sweep_spares_flying (void)
{
  static const char *const files[] = { "a.tar.zst.partial",   "a.json",      ".a.json.01234567.tmp",
                                       "a.b.tar.zst.partial", "a.b.tar.zst", ".a.b.json.0.tmp",
                                       "c.tar.zst.partial",   "c.tar.zst",   ".c.json.0.tmp",
                                       "d.tar.zst",           "d.json",      "notes.txt",
                                       "not valid.tar.zst" };
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (tree, "state", NULL);
  g_autofree char *names = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (path, &error);
  g_autoptr (Backlog) backlog = backlog_new (1, 1);
  struct timespec swept = { 0 };

  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *file = g_build_filename ("state/outbox", files[i], NULL);

      test_write (tree, file, "");
    }
  /* "a.b" is in flight, and just now retired; "c" waits; "a" and "d" are gone. */
  test_make_episode (tree, "state/episodes/c", 'c');
  backlog_add (backlog, "a.b", 1, 0);
  backlog_add (backlog, "c", 2, 0);
  g_assert_cmpstr (backlog_take (backlog, 0)->name, ==, "a.b");
  sweep (NULL, state, backlog, &swept, NULL);
  names = test_list (tree, "state/outbox");
  g_assert_cmpstr (names, ==,
                   ".a.b.json.0.tmp a.b.tar.zst a.b.tar.zst.partial c.tar.zst not valid.tar.zst notes.txt");
}

static void
test_sweep_folder_in_the_way (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (tree, "state", NULL);
  g_autofree char *names = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (path, &error);
  g_autoptr (Backlog) backlog = backlog_new (1, 1);
  struct timespec swept = { 0 };

  /* Somebody's folder is no tarball, and does not keep us from the rest. */
  g_assert_no_error (error);
  test_write (tree, "state/outbox/a.tar.zst/kept", "");
  test_write (tree, "state/outbox/b.tar.zst", "");
  test_write (tree, "state/outbox/c.partial/kept", "");
  sweep (NULL, state, backlog, &swept, NULL);
  names = test_list (tree, "state/outbox");
  g_assert_cmpstr (names, ==, "a.tar.zst c.partial");
}

static void
set_mtime (const char *folder, gint64 seconds)
{
  const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

  g_assert_no_errno (utimensat (AT_FDCWD, folder, times, 0));
}

/* One receipt for each of 100,000 shipped episodes is not gone through for nothing. */
static void
test_sweep_receipts_unchanged (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (tree, "state", NULL);
  g_autofree char *receipts = g_build_filename (path, "receipts", NULL);
  g_autoptr (CisHostState) state = cis_host_state_open (path, &error);
  g_autoptr (Backlog) backlog = backlog_new (1, 1);
  struct timespec swept = { 0 };

  g_assert_no_error (error);
  test_write (tree, "state/receipts/.run-1.json.01234567.tmp", "");
  set_mtime (receipts, 1000);
  sweep (NULL, state, backlog, &swept, NULL);
  g_assert_false (test_exists (tree, "state/receipts/.run-1.json.01234567.tmp"));
  test_write (tree, "state/receipts/.run-1.json.01234567.tmp", "");
  set_mtime (receipts, 1000);
  sweep (NULL, state, backlog, &swept, NULL);
  g_assert_true (test_exists (tree, "state/receipts/.run-1.json.01234567.tmp"));
  set_mtime (receipts, 1001);
  sweep (NULL, state, backlog, &swept, NULL);
  g_assert_false (test_exists (tree, "state/receipts/.run-1.json.01234567.tmp"));
}

/* What retire may be writing just now is of no episode that could be in flight. */
static void
test_sweep_spares_notice (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (tree, "state", NULL);
  g_autofree char *names = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (path, &error);
  g_autoptr (Backlog) backlog = backlog_new (1, 1);
  struct timespec swept = { 0 };

  g_assert_no_error (error);
  test_write (tree, "state/receipts/..notice.01234567.tmp", "");
  test_write (tree, "state/receipts/.run-1.json.01234567.tmp", "");
  sweep (NULL, state, backlog, &swept, NULL);
  names = test_list (tree, "state/receipts");
  g_assert_cmpstr (names, ==, "..notice.01234567.tmp");
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sweep/spares-flying", test_sweep_spares_flying);
  g_test_add_func ("/sweep/folder-in-the-way", test_sweep_folder_in_the_way);
  g_test_add_func ("/sweep/receipts-unchanged", test_sweep_receipts_unchanged);
  g_test_add_func ("/sweep/spares-notice", test_sweep_spares_notice);
  return g_test_run ();
}
