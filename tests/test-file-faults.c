/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the durable files, and all that stands on them, promise wherever a call fails. */

#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int
open_folder (const char *tree, const char *name)
{
  g_autofree char *path = g_build_filename (tree, name, NULL);
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  g_assert_no_errno (fd);
  return fd;
}

/* It says what it did, and a failed fsync as nothing else. */
static void
assert_told (gboolean done, const char *failed, GError *error)
{
  g_assert_cmpint (done, ==, error == NULL);
  if (failed == NULL)
    g_assert_no_error (error);
  if (g_strcmp0 (failed, "fsync") == 0 && faults_get_error () != EINTR)
    g_assert_error (error, CIS_ERROR, CIS_ERROR_FATAL);
  else if (error != NULL)
    g_assert_false (g_error_matches (error, CIS_ERROR, CIS_ERROR_FATAL));
}

static void
try_replace (gpointer rewrite)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL, *names = NULL;
  gboolean replaced;
  const char *failed;
  int dirfd;

  test_write (tree, "folder/file", "old");
  dirfd = open_folder (tree, ".");
  faults_begin ();
  replaced = rewrite != NULL ? cis_file_rewrite (dirfd, "folder/file", "new!", 4, &error)
                             : cis_file_replace (dirfd, "folder/file", "new!", 4, &error);
  failed = faults_end ();
  assert_told (replaced, failed, error);

  text = test_read (tree, "folder/file");
  /* After a failed fsync of the folder nobody knows which it is; never is it half of one, or none. */
  if (g_strcmp0 (failed, "fsync") != 0)
    g_assert_cmpstr (text, ==, replaced ? "new!" : "old");
  g_assert_true (g_str_equal (text, "old") || g_str_equal (text, "new!"));
  names = test_list (tree, "folder");
  g_assert_cmpstr (names, ==, "file");
  g_clear_error (&error);
  g_assert_true (cis_file_replace (dirfd, "folder/file", "newer", 5, &error));
  close (dirfd);
}

static void
try_read (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  const char *failed;
  int dirfd;

  test_write (tree, "file", "what is in it");
  dirfd = open_folder (tree, ".");
  faults_begin ();
  bytes = cis_file_read (dirfd, "file", 100, &error);
  failed = faults_end ();
  g_assert_cmpint (bytes != NULL, ==, error == NULL);
  if (failed == NULL)
    g_assert_no_error (error);
  if (error != NULL)
    g_assert_nonnull (strstr (error->message, "file"));
  /* But for the end of the file in its middle, which looks like a shorter file. */
  else if (faults_get_error () != FAULT_NONE)
    g_assert_cmpstr (g_bytes_get_data (bytes, NULL), ==, "what is in it");
  close (dirfd);
}

static void
try_publish (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  gboolean published, there;
  const char *failed;
  int from, to;

  test_write (tree, "from/file", "text");
  test_write (tree, "to/other", "other");
  from = open_folder (tree, "from");
  to = open_folder (tree, "to");
  faults_begin ();
  published = cis_file_publish (from, "file", to, "file", &error);
  failed = faults_end ();
  assert_told (published, failed, error);

  there = test_exists (tree, "to/file");
  g_assert_cmpint (there, !=, test_exists (tree, "from/file"));
  /* An error that is not fatal means that it is where it was. */
  if (!g_error_matches (error, CIS_ERROR, CIS_ERROR_FATAL))
    g_assert_cmpint (there, ==, published);
  close (from);
  close (to);
}

static void
try_remove (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  gboolean removed;
  int dirfd;

  test_write (tree, "file", "text");
  dirfd = open_folder (tree, ".");
  faults_begin ();
  removed = cis_file_remove (dirfd, "file", &error);
  assert_told (removed, faults_end (), error);
  if (faults_get_error () != ENOENT)
    g_assert_cmpint (removed, !=, test_exists (tree, "file"));
  close (dirfd);
}

static void
try_lock (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "file", NULL);
  g_autoptr (GError) error = NULL;
  const char *failed;
  gboolean locked;
  int fd, other;

  test_write (tree, "file", "text");
  fd = open (path, O_RDWR | O_CLOEXEC);
  other = open (path, O_RDWR | O_CLOEXEC);
  faults_begin ();
  locked = cis_file_lock (fd, FALSE, "file", NULL, &error);
  failed = faults_end ();
  g_assert_cmpint (locked, ==, failed == NULL || faults_get_error () == EINTR);
  if (!locked)
    g_assert_cmpint (g_error_matches (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE), ==,
                     faults_get_error () == EACCES);
  g_clear_error (&error);
  g_assert_cmpint (cis_file_lock (other, FALSE, "file", NULL, &error), !=, locked);
  g_clear_error (&error);
  close (other);
  close (fd);
}

static void
test_unlock (void)
{
  g_test_expect_message ("cis490", G_LOG_LEVEL_WARNING, "Cannot unlock descriptor*");
  faults_choose ("unlock", 1, ENOLCK, FALSE);
  faults_begin ();
  cis_file_unlock (0);
  g_assert_cmpstr (faults_end (), ==, "unlock");
  g_test_assert_expected_messages ();
}

static void
test_write_nothing (void)
{
  g_autoptr (GError) error = NULL;

  faults_choose ("write", 1, FAULT_NONE, FALSE);
  faults_begin ();
  g_assert_false (cis_file_write_all (1, "text", 4, "the file", &error));
  faults_end ();
  g_assert_cmpstr (error->message, ==, "Cannot write the file: Input/output error");
}

/* ---- folders */

static void
try_make_folder (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  int dirfd = open_folder (tree, ".");
  int fd;

  faults_begin ();
  fd = cis_folder_open (dirfd, "a/b", TRUE, &error);
  assert_told (fd >= 0, faults_end (), error);
  if (fd >= 0)
    {
      g_assert_true (test_exists (tree, "a/b"));
      close (fd);
    }
  g_clear_error (&error);
  fd = cis_folder_open (dirfd, "a/b", TRUE, &error);
  g_assert_no_error (error);
  close (fd);
  close (dirfd);
}

static void
try_remove_folder (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *beside = NULL;
  gboolean removed;
  int dirfd;

  test_write (tree, "folder/below/further/file", "text");
  test_write (tree, "folder/file", "text");
  test_write (tree, "beside", "text");
  dirfd = open_folder (tree, ".");
  faults_begin ();
  removed = cis_folder_remove (dirfd, "folder", NULL, &error);
  assert_told (removed, faults_end (), error);
  /* What another process removes first counts as removed. */
  if (faults_get_error () != ENOENT)
    g_assert_cmpint (removed, !=, test_exists (tree, "folder"));
  g_clear_error (&error);
  g_assert_true (cis_folder_remove (dirfd, "folder", NULL, &error));
  beside = test_list (tree, ".");
  g_assert_cmpstr (beside, ==, "beside");
  close (dirfd);
}

static void
try_probe (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *names = NULL;
  int dirfd = open_folder (tree, ".");
  gboolean able;
  const char *failed;

  faults_begin ();
  able = cis_folder_probe (dirfd, "the folder", &error);
  failed = faults_end ();
  g_assert_cmpint (able, ==, error == NULL);
  if (failed == NULL)
    g_assert_no_error (error);
  /* A disk that is full or broken just now is no matter of configuration. */
  if (faults_get_error () == EIO)
    g_assert_false (g_error_matches (error, CIS_ERROR, CIS_ERROR_CONFIG));
  names = test_list (tree, ".");
  if (g_strcmp0 (failed, "unlinkat") != 0)
    g_assert_cmpstr (names, ==, "");
  close (dirfd);
}

/* A probe whose first call fails with @failure. */
static gboolean
probe_failing (int failure, GError **error)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  int dirfd = open_folder (tree, ".");
  gboolean able;

  faults_choose ("openat", 1, failure, FALSE);
  faults_begin ();
  able = cis_folder_probe (dirfd, "the folder", error);
  faults_end ();
  close (dirfd);
  return able;
}

/* What passes by itself, or with a larger limit, is no matter of configuration. */
static void
test_probe_exhausted (void)
{
  static const int errors[] = { EIO, EMFILE, ENFILE, ENOMEM };

  for (guint i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (probe_failing (errors[i], &error));
      g_assert_true (g_str_has_prefix (error->message, "Cannot try whether the folder can make files: "));
      g_assert_false (g_error_matches (error, CIS_ERROR, CIS_ERROR_CONFIG));
    }
}

/* A full disk can be freed by who has started only. */
static void
test_probe_full (void)
{
  static const int errors[] = { ENOSPC, EDQUOT };

  for (guint i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (probe_failing (errors[i], &error));
      g_assert_no_error (error);
    }
}

/* A file system that replaces where it was told not to. */
static void
test_probe_replaces (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  int dirfd = open_folder (tree, ".");

  faults_choose ("renameat2", 1, FAULT_LIE, FALSE);
  faults_begin ();
  errno = EIO;
  g_assert_false (cis_folder_probe (dirfd, "the folder", &error));
  faults_end ();
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_true (
      g_str_has_prefix (error->message, "the folder cannot rename without replacing: it replaced the file."));
  close (dirfd);
}

/* ---- a host's state */

static void
try_host_state (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = NULL;
  g_autoptr (CisHostState) again = NULL;

  faults_begin ();
  state = cis_host_state_open (tree, &error);
  faults_end ();
  g_assert_cmpint (state != NULL, ==, error == NULL);
  if (error != NULL && !faults_are_lasting ())
    g_assert_nonnull (strstr (error->message, tree));
  g_clear_error (&error);
  again = cis_host_state_open (tree, &error);
  g_assert_no_error (error);
}

static void
try_host_state_lock (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (tree, NULL);
  g_autoptr (CisHostState) other = cis_host_state_open (tree, NULL);
  gboolean locked;

  faults_begin ();
  locked = cis_host_state_lock (state, &error);
  faults_end ();
  g_assert_cmpint (locked, ==, error == NULL);
  if (error != NULL)
    g_assert_nonnull (strstr (error->message, tree));
  g_assert_cmpint (cis_host_state_lock (other, NULL), !=, locked);
}

static void
try_list (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) names = NULL;
  int fd;

  test_write (tree, "folder/b", "");
  test_write (tree, "folder/.a", "");
  fd = open_folder (tree, "folder");
  faults_begin ();
  names = cis_folder_list (fd, "the folder", &error);
  assert_told (names != NULL, faults_end (), error);
  /* All of it, or nothing: where it was cut, what is missing would seem to be gone. */
  if (names != NULL)
    {
      g_assert_cmpuint (names->len, ==, 2);
      g_assert_cmpstr (names->pdata[0], ==, ".a");
      g_assert_cmpstr (names->pdata[1], ==, "b");
    }
  g_assert_no_errno (close (fd));
}

static void
try_receipt (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (tree, NULL);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  g_autoptr (JsonObject) receipt = json_object_new ();
  g_autoptr (JsonObject) loaded = NULL;
  gboolean stored;

  json_object_set_string_member (receipt, "episode", "run");
  faults_begin ();
  stored = cis_host_state_store_receipt (state, episode, receipt, &error);
  assert_told (stored, faults_end (), error);
  if (error != NULL)
    g_assert_nonnull (strstr (error->message, "receipt"));
  g_clear_error (&error);
  loaded = cis_host_state_load_receipt (state, "run", &error);
  g_assert_no_error (error);
  if (stored)
    g_assert_nonnull (loaded);
}

static void
try_drop_archive (gpointer unused)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisHostState) state = cis_host_state_open (tree, NULL);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run", NULL);
  gboolean dropped;

  test_write (tree, "outbox/run.tar.zst", "archive");
  test_write (tree, "outbox/run.json", "{}");
  faults_begin ();
  dropped = cis_host_state_drop_archive (state, episode, &error);
  assert_told (dropped, faults_end (), error);
  g_clear_error (&error);
  g_assert_true (cis_host_state_drop_archive (state, episode, &error));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  faults_add_test ("/file-faults/replace", try_replace, NULL);
  faults_add_test ("/file-faults/rewrite", try_replace, GINT_TO_POINTER (TRUE));
  faults_add_test ("/file-faults/read", try_read, NULL);
  faults_add_test ("/file-faults/publish", try_publish, NULL);
  faults_add_test ("/file-faults/remove", try_remove, NULL);
  faults_add_test ("/file-faults/lock", try_lock, NULL);
  g_test_add_func ("/file-faults/unlock", test_unlock);
  g_test_add_func ("/file-faults/write-nothing", test_write_nothing);
  faults_add_test ("/folder-faults/open", try_make_folder, NULL);
  faults_add_test ("/folder-faults/list", try_list, NULL);
  faults_add_test ("/folder-faults/remove", try_remove_folder, NULL);
  faults_add_test ("/folder-faults/probe", try_probe, NULL);
  g_test_add_func ("/folder-faults/probe/exhausted", test_probe_exhausted);
  g_test_add_func ("/folder-faults/probe/full", test_probe_full);
  g_test_add_func ("/folder-faults/probe/replaces", test_probe_replaces);
  faults_add_test ("/host-state-faults/open", try_host_state, NULL);
  faults_add_test ("/host-state-faults/lock", try_host_state_lock, NULL);
  faults_add_test ("/host-state-faults/store-receipt", try_receipt, NULL);
  faults_add_test ("/host-state-faults/drop-archive", try_drop_archive, NULL);
  return g_test_run ();
}
