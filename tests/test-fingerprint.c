/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
fingerprint (const char *tree)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (tree, "episode", NULL);
  char *result = cis_fingerprint (AT_FDCWD, path, NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (cis_hex_is_valid (result, 64));
  return result;
}

/* Whether the tree changed since *@last, which becomes what it is now. */
static gboolean
changed (const char *tree, char **last)
{
  g_autofree char *before = g_steal_pointer (last);

  *last = fingerprint (tree);
  return !g_str_equal (before, *last);
}

static void
test_changes (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *last = NULL, *file = g_build_filename (tree, "episode", "log.txt", NULL);
  g_autofree char *renamed = g_build_filename (tree, "episode", "log.old", NULL);
  struct timespec times[2];
  struct stat st;

  test_make_episode (tree, "episode", 'a');
  last = fingerprint (tree);
  g_assert_false (changed (tree, &last));

  /* Reading changes nothing, though it may set the atime. */
  g_assert_no_errno (utimensat (AT_FDCWD, file, (struct timespec[]){ { .tv_sec = 1 }, { .tv_sec = 2 } }, 0));
  g_assert_true (changed (tree, &last));
  g_free (test_read (tree, "episode/log.txt"));
  g_assert_false (changed (tree, &last));

  /* Other bytes of the same length, and the mtime set back: only the ctime tells. */
  g_assert_no_errno (stat (file, &st));
  times[0] = st.st_atim;
  times[1] = st.st_mtim;
  test_write (tree, "episode/log.txt", "STARTED\nSTOPPED\n");
  g_assert_no_errno (utimensat (AT_FDCWD, file, times, 0));
  g_assert_true (changed (tree, &last));

  test_write (tree, "episode/data/more", "");
  g_assert_true (changed (tree, &last));
  g_assert_no_errno (rename (file, renamed));
  g_assert_true (changed (tree, &last));
  g_assert_no_errno (chmod (renamed, 0600));
  g_assert_true (changed (tree, &last));
  g_assert_no_errno (unlink (renamed));
  g_assert_true (changed (tree, &last));
}

static void
test_odd_entries (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *last = NULL;
  int dirfd;

  test_make_episode (tree, "episode", 'a');
  test_write (tree, "outside/file", "");
  dirfd = test_tree_open (tree);
  last = fingerprint (tree);
  g_assert_no_errno (mkfifoat (dirfd, "episode/pipe", 0600));
  g_assert_true (changed (tree, &last));
  g_assert_no_errno (symlinkat ("../outside", dirfd, "episode/link"));
  g_assert_no_errno (symlinkat ("nowhere", dirfd, "episode/dangling"));
  g_assert_true (changed (tree, &last));
  test_write (tree, "episode/odd\n\x01\xff", "");
  g_assert_true (changed (tree, &last));

  /* What a symlink leads to is no part of the episode. */
  test_write (tree, "outside/more", "");
  g_assert_false (changed (tree, &last));
  g_assert_no_errno (close (dirfd));
}

static void
test_newest (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (tree, "episode", NULL);
  g_autofree char *file = g_build_filename (path, "data", "telemetry.jsonl", NULL);
  g_autofree char *result = NULL;
  struct stat st;
  gint64 newest, expected;

  test_make_episode (tree, "episode", 'a');
  g_usleep (20 * 1000); /* more than a tick of the kernel's clock, by which times are stamped */
  g_assert_no_errno (chmod (file, 0600));
  g_assert_no_errno (stat (file, &st));
  expected = (gint64) st.st_ctim.tv_sec * G_USEC_PER_SEC + st.st_ctim.tv_nsec / 1000;
  result = cis_fingerprint (AT_FDCWD, path, &newest, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (newest, ==, expected);
}

static void
test_refuses (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  int dirfd = test_tree_open (tree);

  g_assert_null (cis_fingerprint (dirfd, "gone", NULL, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_GONE);
  g_clear_error (&error);

  test_write (tree, "file", "");
  g_assert_null (cis_fingerprint (dirfd, "file", NULL, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
  g_clear_error (&error);

  test_make_episode (tree, "episode", 'a');
  g_assert_no_errno (symlinkat ("episode", dirfd, "link"));
  g_assert_null (cis_fingerprint (dirfd, "link", NULL, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
  g_clear_error (&error);

  g_cancellable_cancel (cancellable);
  g_assert_null (cis_fingerprint (dirfd, "episode", NULL, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_no_errno (close (dirfd));
}

static void
test_depth (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GString) path = g_string_new ("episode");
  g_autoptr (GError) error = NULL;
  g_autofree char *result = NULL;
  int dirfd = test_tree_open (tree);

  for (guint i = 1; i < 128; i++)
    g_string_append (path, "/d");
  g_assert_no_errno (close (cis_folder_open (dirfd, path->str, TRUE, &error)));
  result = cis_fingerprint (dirfd, "episode", NULL, NULL, &error);
  g_assert_no_error (error);

  g_string_append (path, "/d");
  g_assert_no_errno (close (cis_folder_open (dirfd, path->str, TRUE, &error)));
  g_assert_null (cis_fingerprint (dirfd, "episode", NULL, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
  g_assert_no_errno (close (dirfd));
}

typedef struct
{
  const char *tree;
  gint stopped; /* atomic */
} Writer;

static gpointer
come_and_go (gpointer user_data)
{
  Writer *writer = user_data;

  while (!g_atomic_int_get (&writer->stopped))
    {
      g_autofree char *folder = g_build_filename (writer->tree, "episode", "folder", NULL);

      test_write (folder, "file", "");
      cis_folder_remove (AT_FDCWD, folder, NULL, NULL);
    }
  return NULL;
}

static gboolean
is_busy (int dirfd)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *result = cis_fingerprint (dirfd, "episode", NULL, NULL, &error);

  if (result == NULL)
    g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  return result == NULL;
}

static void
test_vanishing (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  Writer writer = { .tree = tree };
  GThread *thread;
  int dirfd = test_tree_open (tree);

  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *path = g_strdup_printf ("episode/e%u", i);

      test_write (tree, path, "");
    }
  thread = g_thread_new ("writer", come_and_go, &writer);
  test_wait_for (is_busy (dirfd));
  g_atomic_int_set (&writer.stopped, TRUE);
  g_thread_join (thread);
  g_assert_false (is_busy (dirfd));
  g_assert_no_errno (close (dirfd));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fingerprint/changes", test_changes);
  g_test_add_func ("/fingerprint/odd-entries", test_odd_entries);
  g_test_add_func ("/fingerprint/newest", test_newest);
  g_test_add_func ("/fingerprint/refuses", test_refuses);
  g_test_add_func ("/fingerprint/depth", test_depth);
  g_test_add_func ("/fingerprint/vanishing", test_vanishing);
  return g_test_run ();
}
