/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whom a name, a link and a mode may lead where. Needs root, to become somebody else. */

#include "harness.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SERVICE  65534 /* whose the state is */
#define STRANGER 65533

/* Opens @path in the tree, from the root on or (@below) from the tree on; closes it again. */
static GError *
try (const char *tree, const char *path, gboolean below)
{
  g_autofree char *whole = g_build_filename (tree, path, NULL);
  int dirfd = test_tree_open (tree);
  GError *error = NULL;
  int fd = cis_folder_open (below ? dirfd : AT_FDCWD, below ? path : whole, FALSE, &error);

  g_assert_cmpint (fd >= 0, ==, error == NULL);
  if (fd >= 0)
    g_assert_no_errno (close (fd));
  g_assert_no_errno (close (dirfd));
  return error;
}

static void
assert_opens (const char *tree, const char *path, gboolean below)
{
  g_autoptr (GError) error = try (tree, path, below);

  g_assert_no_error (error);
}

/* @fix: what the message asks for. */
static void
assert_refused (const char *tree, const char *path, gboolean below, int code, const char *fix)
{
  g_autoptr (GError) error = try (tree, path, below);

  g_assert_error (error, CIS_ERROR, code);
  g_assert_nonnull (strstr (error->message, fix));
}

static void
change (const char *tree, const char *path, uid_t user, mode_t mode)
{
  g_autofree char *whole = g_build_filename (tree, path, NULL);

  g_assert_no_errno (lchown (whole, user, user));
  if (mode != 0)
    g_assert_no_errno (chmod (whole, mode));
}

static void
test_below (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  int dirfd = test_tree_open (tree);

  test_write (tree, "inside/deep/file", "inside");
  test_write (tree, "outside/deep/file", "outside");
  g_assert_no_errno (symlinkat ("../outside", dirfd, "inside/link"));
  g_assert_no_errno (symlinkat ("outside/deep", dirfd, "last"));
  assert_opens (tree, "inside/deep", TRUE);
  assert_opens (tree, "./inside//deep/", TRUE);
  assert_refused (tree, "last", TRUE, CIS_ERROR_INVALID, "symbolic link");
  assert_refused (tree, "last/", TRUE, CIS_ERROR_INVALID, "symbolic link");
  assert_refused (tree, "inside/link/deep", TRUE, CIS_ERROR_INVALID, "symbolic link");
  error = try (tree, "inside/../..", TRUE);
  g_assert_nonnull (error);
  g_clear_error (&error);

  /* All that works on a file in it, too. */
  g_assert_null (cis_file_read (dirfd, "inside/link/deep/file", 100, NULL));
  g_assert_false (cis_file_replace (dirfd, "inside/link/deep/file", "x", 1, NULL));
  g_assert_false (cis_file_rewrite (dirfd, "inside/link/deep/file", "x", 1, NULL));
  g_assert_false (cis_file_remove (dirfd, "inside/link/deep/file", NULL));
  g_assert_false (cis_file_publish (dirfd, "inside/deep/file", dirfd, "inside/link/new", NULL));
  g_assert_false (cis_file_publish (dirfd, "inside/link/deep/file", dirfd, "inside/new", NULL));
  g_assert_cmpint (cis_folder_open (dirfd, "inside/link/new", TRUE, NULL), ==, -1);
  g_assert_cmpstr (text = test_read (tree, "outside/deep/file"), ==, "outside");
  g_assert_false (test_exists (tree, "outside/new"));
  g_assert_no_errno (close (dirfd));
}

static void
test_way (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  int dirfd = test_tree_open (tree);

  test_write (tree, "a/b/state/file", "");
  g_assert_no_errno (symlinkat ("a/b", dirfd, "link"));
  g_assert_no_errno (symlinkat ("b/../../link/state", dirfd, "a/links"));
  assert_opens (tree, "a/b/state", FALSE);
  assert_opens (tree, "link/state", FALSE);
  assert_opens (tree, "a/links", FALSE);
  change (tree, "a/b/state", SERVICE, 0);
  assert_opens (tree, "link/state", FALSE);
  change (tree, "a/b", SERVICE, 0);
  assert_opens (tree, "link/state", FALSE);

  change (tree, "link", STRANGER, 0);
  assert_refused (tree, "link/state", FALSE, CIS_ERROR_CONFIG, "chown -h root ");
  assert_refused (tree, "a/links", FALSE, CIS_ERROR_CONFIG, "chown -h root ");
  assert_opens (tree, "a/b/state", FALSE);
  change (tree, "a", STRANGER, 0);
  assert_refused (tree, "a/b/state", FALSE, CIS_ERROR_CONFIG, "chown root ");
  change (tree, "a", 0, 0775);
  assert_refused (tree, "a/b/state", FALSE, CIS_ERROR_CONFIG, "chmod go-w ");
  change (tree, "a", 0, 01777);
  assert_opens (tree, "a/b/state", FALSE);
  change (tree, "a/b", STRANGER, 0);
  assert_refused (tree, "a/b/state", FALSE, CIS_ERROR_CONFIG, "chown root ");
  g_assert_no_errno (close (dirfd));
}

static void
test_link_loop (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  int dirfd = test_tree_open (tree);

  g_assert_no_errno (symlinkat ("b", dirfd, "a"));
  g_assert_no_errno (symlinkat ("a", dirfd, "b"));
  error = try (tree, "a/state", FALSE);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_LINKS);
  g_assert_no_errno (close (dirfd));
}

static mode_t
get_mode (const char *tree, const char *path)
{
  g_autofree char *whole = g_build_filename (tree, path, NULL);
  struct stat info;

  g_assert_no_errno (stat (whole, &info));
  return info.st_mode & 07777;
}

/* As an older version left it: whoever was in the group could rename what was in it. */
static void
test_mends (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = NULL;

  test_write (tree, "episodes/one/meta.json", "{}");
  test_write (tree, "outbox/file", "");
  change (tree, ".", geteuid (), 02770);
  change (tree, "episodes", geteuid (), 02770);
  change (tree, "outbox", geteuid (), 0777);
  state = cis_host_state_open (tree, &error);
  g_assert_no_error (error);
  g_assert_cmphex (get_mode (tree, "."), ==, 0750);
  g_assert_cmphex (get_mode (tree, "episodes"), ==, 03770);
  g_assert_cmphex (get_mode (tree, "outbox"), ==, 0755);
  g_assert_cmphex (get_mode (tree, "shipped"), ==, 0750);
}

static void
test_refuses (void)
{
  static const char *const folders[] = { ".", "episodes", "outbox", "quarantine" };

  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autoptr (TestTree) tree = test_tree_new ();
      g_autoptr (GError) error = NULL;

      test_write (tree, "episodes/one/meta.json", "{}");
      test_write (tree, "outbox/file", "");
      test_write (tree, "quarantine/file", "");
      change (tree, folders[i], STRANGER, 0);
      g_assert_null (cis_host_state_open (tree, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_assert_nonnull (strstr (error->message, "chown root "));
    }
}

static void
test_shares (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "episodes", NULL);
  g_autoptr (CisHostState) state = cis_host_state_open (tree, NULL);
  guint8 acl[64];

  g_assert_nonnull (state);
  g_assert_cmphex (get_mode (tree, "episodes"), ==, 03770);
  g_assert_cmpint (getxattr (path, "system.posix_acl_default", acl, sizeof acl), ==, 4 + 5 * 8);
  /* What others of the group get: not w. */
  g_assert_cmpuint (acl[4 + 2 * 8], ==, 4);
  g_assert_cmpuint (acl[4 + 2 * 8 + 2], ==, 5);
}

/* For good: in a process of its own. */
static void
test_become (void)
{
  g_autoptr (TestTree) tree = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *missing = NULL;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }
  tree = test_tree_new ();
  missing = g_build_filename (tree, "not", "there", NULL);
  g_setenv ("SUDO_USER", "alice", TRUE);
  g_assert_true (cis_become_owner (tree, &error));
  g_assert_cmpuint (geteuid (), ==, 0);
  change (tree, ".", SERVICE, 0);
  g_assert_true (cis_become_owner (missing, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (getuid (), ==, SERVICE);
  g_assert_cmpuint (getegid (), !=, 0);
  g_assert_cmpint (getgroups (0, NULL), <=, 1);
  g_assert_cmpint (setresuid (0, 0, 0), ==, -1);
  g_assert_cmpstr (cis_get_operator (), ==, "alice");
  /* Not once more. */
  g_assert_true (cis_become_owner ("/", &error));
  g_assert_cmpuint (geteuid (), ==, SERVICE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/folder-open/below", test_below);
  g_test_add_func ("/folder-open/way", test_way);
  g_test_add_func ("/folder-open/link-loop", test_link_loop);
  g_test_add_func ("/folder-open/mends", test_mends);
  g_test_add_func ("/folder-open/refuses", test_refuses);
  g_test_add_func ("/folder-open/shares", test_shares);
  g_test_add_func ("/folder-open/become", test_become);
  return g_test_run ();
}
