/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void
test_replace (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_build_filename (tree, "folder", "file", NULL);
  g_autofree char *text = NULL, *other = NULL, *names = NULL;
  int dirfd = test_tree_open (tree);
  struct stat st;

  g_assert_true (cis_file_replace (dirfd, "file", "one", 3, &error));
  g_assert_true (cis_file_replace (dirfd, "file", "two!", 4, &error));
  g_assert_no_errno (fstatat (dirfd, "file", &st, 0));
  g_assert_cmpuint (st.st_mode & 07777 & ~0640, ==, 0);
  g_assert_cmpstr (text = test_read (tree, "file"), ==, "two!");

  g_assert_no_errno (mkdirat (dirfd, "folder", 0750));
  g_assert_true (cis_file_replace (dirfd, "folder/file", "below", 5, &error));
  g_assert_true (cis_file_replace (AT_FDCWD, path, "", 0, &error));
  g_assert_cmpstr (other = test_read (tree, "folder/file"), ==, "");
  g_assert_cmpstr (names = test_list (tree, "folder"), ==, "file");
  g_assert_no_errno (close (dirfd));
}

/* Owner and mode are of the file that it was; and no bits that make a program of it. */
static void
test_rewrite (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  int dirfd = test_tree_open (tree);
  struct stat before, after;

  test_write (tree, "file", "one");
  if (geteuid () == 0)
    g_assert_no_errno (fchownat (dirfd, "file", 65534, 65533, 0));
  g_assert_no_errno (fchmodat (dirfd, "file", 04606, 0));
  g_assert_no_errno (fstatat (dirfd, "file", &before, 0));
  g_assert_true (cis_file_rewrite (dirfd, "file", "two!", 4, &error));
  g_assert_no_errno (fstatat (dirfd, "file", &after, 0));
  g_assert_cmpuint (after.st_uid, ==, before.st_uid);
  g_assert_cmpuint (after.st_gid, ==, before.st_gid);
  g_assert_cmpuint (after.st_mode & 07777, ==, 0606);
  g_assert_cmpstr (text = test_read (tree, "file"), ==, "two!");
  g_assert_false (cis_file_rewrite (dirfd, "other", "x", 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_no_errno (close (dirfd));
}

static void
test_replace_long_name (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) name = g_string_new ("x");
  g_autofree char *names = NULL;
  int dirfd = test_tree_open (tree);

  while (name->len < 255)
    g_string_append (name, "ü");
  g_assert_true (cis_file_replace (dirfd, name->str, "x", 1, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (names = test_list (tree, "."), ==, name->str);
  /* No character begins in it, so that nothing of it is kept. */
  g_assert_true (cis_file_replace (dirfd, "\200\200", "x", 1, &error));
  g_assert_no_error (error);
  g_assert_no_errno (close (dirfd));
}

static void
test_replace_fails (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *names = NULL;
  int dirfd = test_tree_open (tree);

  test_write (tree, "taken/by-a-folder", "");
  g_assert_false (cis_file_replace (dirfd, "taken", "x", 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY);
  g_clear_error (&error);
  g_assert_false (cis_file_replace (dirfd, "no-folder/file", "x", 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_cmpstr (names = test_list (tree, "."), ==, "taken");
  g_assert_no_errno (close (dirfd));
}

static void
test_read_whole (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL, kernel = NULL;
  int dirfd = test_tree_open (tree);
  gsize length;
  const char *data;

  test_write (tree, "file", "12345");
  bytes = cis_file_read (dirfd, "file", 5, &error);
  g_assert_no_error (error);
  data = g_bytes_get_data (bytes, &length);
  g_assert_cmpuint (length, ==, 5);
  g_assert_cmpstr (data, ==, "12345");

  /* A file whose size the kernel does not tell. */
  kernel = cis_file_read (AT_FDCWD, "/proc/self/status", G_MAXSIZE, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (g_bytes_get_data (kernel, NULL), "\nThreads:"));
  g_assert_no_errno (close (dirfd));
}

/* What lies there in place of a file is not opened, whatever it is for. */
static void
test_open_refuses (void)
{
  static const struct
  {
    const char *name, *message;
  } cases[] = {
    { "pipe", "pipe is a FIFO, not a regular file" },
    { "folder", "folder is a folder, not a regular file" },
    { "socket", "socket is a socket, not a regular file" },
    { "/dev/null", "/dev/null is a device, not a regular file" },
    { "link", "link is a symbolic link, which is not followed" },
  };
  static const int modes[] = { O_RDONLY, O_WRONLY | O_APPEND, O_RDWR | O_CREAT };
  g_autoptr (TestTree) tree = test_tree_new ();
  int dirfd = test_tree_open (tree);

  test_write (tree, "file", "12345");
  test_write (tree, "folder/file", "");
  g_assert_no_errno (symlinkat ("file", dirfd, "link"));
  g_assert_no_errno (mkfifoat (dirfd, "pipe", 0600));
  g_assert_no_errno (mknodat (dirfd, "socket", S_IFSOCK | 0600, 0));
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (modes); j++)
      {
        g_autoptr (GError) error = NULL;

        g_assert_cmpint (cis_file_open (dirfd, cases[i].name, modes[j] | O_NOFOLLOW, NULL, &error), ==, -1);
        g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
        g_assert_cmpstr (error->message, ==, cases[i].message);
      }
  g_assert_no_errno (close (dirfd));
}

/* A link that leads nowhere is told from a name that is not there. */
static void
test_open_links (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) missing = NULL, dangling = NULL, loop = NULL;
  int dirfd = test_tree_open (tree), fd;
  struct stat st;

  test_write (tree, "file", "12345");
  g_assert_no_errno (symlinkat ("file", dirfd, "link"));
  g_assert_no_errno (symlinkat ("nowhere", dirfd, "dangling"));
  g_assert_no_errno (symlinkat ("loop", dirfd, "loop"));
  fd = cis_file_open (dirfd, "link", O_RDONLY, &st, NULL);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (st.st_size, ==, 5);
  g_assert_no_errno (close (fd));
  g_assert_cmpint (cis_file_open (dirfd, "missing", O_RDONLY, NULL, &missing), ==, -1);
  g_assert_error (missing, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_cmpint (cis_file_open (dirfd, "dangling", O_RDONLY, NULL, &dangling), ==, -1);
  g_assert_error (dangling, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (dangling->message, "a symbolic link to nowhere, which is not there"));
  g_assert_cmpint (cis_file_open (dirfd, "loop", O_RDONLY, NULL, &loop), ==, -1);
  g_assert_error (loop, G_IO_ERROR, G_IO_ERROR_TOO_MANY_LINKS);
  fd = cis_file_open (dirfd, "made", O_RDWR | O_CREAT | O_NOFOLLOW, &st, NULL);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (st.st_mode & 0137, ==, 0);
  g_assert_no_errno (close (fd));
  g_assert_no_errno (close (dirfd));
}

static void
test_read_refuses (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *link = g_build_filename (tree, "link", NULL);
  g_autoptr (GError) large = NULL, followed = NULL, missing = NULL;
  g_autoptr (GBytes) given = NULL;
  int dirfd = test_tree_open (tree);

  test_write (tree, "file", "12345");
  g_assert_no_errno (symlinkat ("file", dirfd, "link"));
  g_assert_null (cis_file_read (dirfd, "file", 4, &large));
  g_assert_error (large, CIS_ERROR, CIS_ERROR_INVALID);
  g_assert_nonnull (strstr (large->message, "larger than 4 bytes"));
  g_assert_null (cis_file_read (dirfd, "link", 5, &followed));
  g_assert_error (followed, CIS_ERROR, CIS_ERROR_INVALID);
  g_assert_nonnull (given = cis_file_read_given (link, 5, NULL));
  g_assert_null (cis_file_read (dirfd, "missing", 4, &missing));
  g_assert_error (missing, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_no_errno (close (dirfd));
}

static void
test_publish (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *kept = NULL, *moved = NULL;
  int dirfd = test_tree_open (tree);

  test_write (tree, "a/one", "one");
  test_write (tree, "b/taken", "taken");
  g_assert_false (cis_file_publish (dirfd, "a/one", dirfd, "b/taken", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS);
  g_clear_error (&error);
  g_assert_cmpstr (kept = test_read (tree, "b/taken"), ==, "taken");

  g_assert_true (cis_file_publish (dirfd, "a/one", dirfd, "b/two", &error));
  g_assert_true (cis_file_publish (dirfd, "b", dirfd, "c", &error));
  g_assert_cmpstr (moved = test_read (tree, "c/two"), ==, "one");
  g_assert_false (test_exists (tree, "a/one"));

  g_assert_false (cis_file_publish (dirfd, "a/one", dirfd, "b", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_no_errno (close (dirfd));
}

static void
test_remove (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  int dirfd = test_tree_open (tree);

  test_write (tree, "folder/file", "");
  g_assert_true (cis_file_remove (dirfd, "folder/file", &error));
  g_assert_false (test_exists (tree, "folder/file"));
  g_assert_true (cis_file_remove (dirfd, "folder/file", &error));
  g_assert_false (cis_file_remove (dirfd, "folder", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY);
  g_assert_no_errno (close (dirfd));
}

static void
test_errors (void)
{
  g_autoptr (GError) sync = NULL, full = NULL, closed = NULL;
  int fd = open ("/dev/full", O_WRONLY | O_CLOEXEC);
  int fds[2];
  int bad = 1 << 20;

  g_assert_no_errno (fd);
  g_assert_false (cis_file_write_all (fd, "x", 1, "the row", &full));
  g_assert_error (full, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_true (g_str_has_prefix (full->message, "Cannot write the row: "));
  g_assert_true (cis_file_close (&fd, "the row", NULL));
  g_assert_cmpint (fd, ==, -1);
  g_assert_true (cis_file_close (&fd, "the row", NULL));

  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  g_assert_false (cis_file_sync (fds[1], "the row", &sync));
  g_assert_error (sync, CIS_ERROR, CIS_ERROR_FATAL);
  g_assert_nonnull (strstr (sync->message, "the row"));
  g_assert_no_errno (close (fds[0]));
  g_assert_no_errno (close (fds[1]));

  g_assert_false (cis_file_close (&bad, "the row", &closed));
  g_assert_nonnull (closed);
  g_assert_cmpint (bad, ==, -1);
}

typedef struct
{
  int fd;
  GCancellable *cancellable; /* none */
  GError *error;
} Waiter;

static gpointer
lock_and_wait (gpointer fd)
{
  g_assert_true (cis_file_lock (GPOINTER_TO_INT (fd), TRUE, "file", NULL, NULL));
  return NULL;
}

static void
test_lock (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  GThread *waiting;
  int dirfd = test_tree_open (tree);
  int a, b;

  test_write (tree, "file", "");
  a = openat (dirfd, "file", O_RDWR | O_CLOEXEC);
  b = openat (dirfd, "file", O_RDWR | O_CLOEXEC);
  g_assert_true (cis_file_lock (a, FALSE, "file", NULL, &error));
  g_assert_false (cis_file_lock (b, FALSE, "file", NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE);
  g_clear_error (&error);

  waiting = g_thread_new ("lock", lock_and_wait, GINT_TO_POINTER (b));
  cis_file_unlock (a);
  g_thread_join (waiting);
  g_assert_false (cis_file_lock (a, FALSE, "file", NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE);
  g_assert_no_errno (close (a));
  g_assert_no_errno (close (b));
  g_assert_no_errno (close (dirfd));
}

static gpointer
lock_until_cancelled (gpointer data)
{
  Waiter *waiter = data;

  g_assert_false (cis_file_lock (waiter->fd, TRUE, "file", waiter->cancellable, &waiter->error));
  return NULL;
}

/* Whoever has it may be stopped, and we still have to end. */
static void
test_lock_cancelled (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  Waiter waiter = { .cancellable = cancellable };
  GThread *waiting;
  int dirfd = test_tree_open (tree);
  int fd;

  test_write (tree, "file", "");
  fd = openat (dirfd, "file", O_RDWR | O_CLOEXEC);
  waiter.fd = openat (dirfd, "file", O_RDWR | O_CLOEXEC);
  g_assert_true (cis_file_lock (fd, TRUE, "file", cancellable, &error));
  waiting = g_thread_new ("lock", lock_until_cancelled, &waiter);
  g_usleep (50 * G_TIME_SPAN_MILLISECOND);
  g_cancellable_cancel (cancellable);
  g_thread_join (waiting);
  g_assert_error (waiter.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&waiter.error);

  /* One that nobody has is there to be taken even then: what is at its end comes to it. */
  cis_file_unlock (fd);
  g_assert_true (cis_file_lock (waiter.fd, TRUE, "file", cancellable, &error));
  g_assert_no_errno (close (fd));
  g_assert_no_errno (close (waiter.fd));
  g_assert_no_errno (close (dirfd));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/file/replace", test_replace);
  g_test_add_func ("/file/rewrite", test_rewrite);
  g_test_add_func ("/file/replace/long-name", test_replace_long_name);
  g_test_add_func ("/file/replace/fails", test_replace_fails);
  g_test_add_func ("/file/read", test_read_whole);
  g_test_add_func ("/file/open/refuses", test_open_refuses);
  g_test_add_func ("/file/open/links", test_open_links);
  g_test_add_func ("/file/read/refuses", test_read_refuses);
  g_test_add_func ("/file/publish", test_publish);
  g_test_add_func ("/file/remove", test_remove);
  g_test_add_func ("/file/errors", test_errors);
  g_test_add_func ("/file/lock", test_lock);
  g_test_add_func ("/file/lock-cancelled", test_lock_cancelled);
  return g_test_run ();
}
