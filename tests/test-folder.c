/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEP 1500 /* a path of this depth is longer than PATH_MAX */

static void
test_folder_open (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  int dirfd = test_tree_open (tree);
  int fd = cis_folder_open (dirfd, "a/b/c//", TRUE, &error);
  struct stat st;

  g_assert_no_error (error);
  g_assert_no_errno (fstat (fd, &st));
  g_assert_cmpuint (st.st_mode & 07777 & ~0750, ==, 0);
  g_assert_true (test_exists (tree, "a/b/c"));
  g_assert_no_errno (close (fd));

  g_assert_cmpint (cis_folder_open (dirfd, "d", FALSE, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_false (test_exists (tree, "d"));
  g_clear_error (&error);

  test_write (tree, "file", "");
  g_assert_cmpint (cis_folder_open (dirfd, "file/e", TRUE, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);
  g_assert_no_errno (close (dirfd));
}

static void
test_folder_remove (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *names = NULL;
  int dirfd = test_tree_open (tree);

  test_write (tree, "kept/file", "kept");
  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *path = g_strdup_printf ("gone/%u/%u/file", i % 20, i);

      test_write (tree, path, "gone");
    }
  g_assert_no_errno (symlinkat ("../kept", dirfd, "gone/link"));
  g_assert_no_errno (mkfifoat (dirfd, "gone/odd\nname\xff", 0));

  g_cancellable_cancel (cancellable);
  g_assert_false (cis_folder_remove (dirfd, "gone", cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_true (cis_folder_remove (dirfd, "gone", NULL, &error));
  g_assert_true (cis_folder_remove (dirfd, "gone", NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (names = test_list (tree, "."), ==, "kept");
  g_assert_true (test_exists (tree, "kept/file"));

  g_assert_no_errno (symlinkat ("kept", dirfd, "link"));
  g_assert_false (cis_folder_remove (dirfd, "link", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);
  g_assert_true (test_exists (tree, "kept/file"));
  g_assert_no_errno (close (dirfd));
}

static void
test_folder_remove_deep (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  int dirfd = test_tree_open (tree);
  int fd = fcntl (dirfd, F_DUPFD_CLOEXEC, 0);

  for (guint i = 0; i < DEEP; i++)
    {
      int below;

      g_assert_no_errno (mkdirat (fd, "folder", 0750));
      below = openat (fd, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      g_assert_no_errno (below);
      g_assert_no_errno (close (fd));
      fd = below;
    }
  g_assert_no_errno (close (fd));
  g_assert_true (cis_folder_remove (dirfd, "folder", NULL, &error));
  g_assert_no_error (error);
  g_assert_false (test_exists (tree, "folder"));
  g_assert_no_errno (close (dirfd));
}

/* Data are often made read-only, with their folders; who owns them may remove them all the same. Root may do
 * anything, and is somebody else here. */
static void
test_folder_remove_read_only (void)
{
  uid_t user = geteuid ();
  char *tree;
  int dirfd;

  g_assert_no_errno (seteuid (user == 0 ? 65534 : user));
  tree = test_tree_new ();
  dirfd = test_tree_open (tree);
  for (guint i = 0; i < 3; i++)
    {
      static const mode_t modes[] = { 0555, 0444, 01500 };
      g_autoptr (GError) error = NULL;

      test_write (tree, "gone/read-only/below/file", "");
      test_write (tree, "gone/read-only/file", "");
      g_assert_no_errno (fchmodat (dirfd, "gone/read-only/below", modes[i], 0));
      g_assert_no_errno (fchmodat (dirfd, "gone/read-only", modes[0], 0));
      g_assert_true (cis_folder_remove (dirfd, "gone", NULL, &error));
      g_assert_no_error (error);
      g_assert_false (test_exists (tree, "gone"));
    }
  g_assert_no_errno (close (dirfd));
  test_tree_remove (tree);
  g_assert_no_errno (seteuid (user));
}

static gpointer
remove_folder (gpointer dirfd)
{
  g_autoptr (GError) error = NULL;

  cis_folder_remove (GPOINTER_TO_INT (dirfd), "gone", NULL, &error);
  g_assert_no_error (error);
  return NULL;
}

/* Entries that vanish while we are at it are what we want, not errors. */
static void
test_folder_remove_twice_at_once (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  int dirfd = test_tree_open (tree);
  GThread *other;

  for (guint i = 0; i < 400; i++)
    {
      g_autofree char *path = g_strdup_printf ("gone/%u/file", i);

      test_write (tree, path, "");
    }
  other = g_thread_new ("remove", remove_folder, GINT_TO_POINTER (dirfd));
  remove_folder (GINT_TO_POINTER (dirfd));
  g_thread_join (other);
  g_assert_false (test_exists (tree, "gone"));
  g_assert_no_errno (close (dirfd));
}

static void
test_folder_probe (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *names = NULL;
  int dirfd = test_tree_open (tree);
  int proc = test_tree_open ("/proc/self");

  g_assert_true (cis_folder_probe (dirfd, "the state folder", &error));
  g_assert_no_error (error);
  g_assert_cmpstr (names = test_list (tree, "."), ==, "");
  g_assert_false (cis_folder_probe (proc, "the state folder", &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_true (g_str_has_prefix (error->message, "the state folder cannot make files: "));
  g_assert_no_errno (close (proc));
  g_assert_no_errno (close (dirfd));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/folder/open", test_folder_open);
  g_test_add_func ("/folder/remove", test_folder_remove);
  g_test_add_func ("/folder/remove/deep", test_folder_remove_deep);
  g_test_add_func ("/folder/remove/read-only", test_folder_remove_read_only);
  g_test_add_func ("/folder/remove/twice-at-once", test_folder_remove_twice_at_once);
  g_test_add_func ("/folder/probe", test_folder_probe);
  return g_test_run ();
}
