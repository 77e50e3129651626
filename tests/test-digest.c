/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <fcntl.h>
#include <unistd.h>

/* From FIPS 180-2, appendix B. */
#define EMPTY   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MILLION "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void
test_bytes (void)
{
  g_autofree char *million = g_strnfill (1000000, 'a');
  g_autofree char *empty = cis_digest_bytes (NULL, 0), *abc = cis_digest_bytes ("abc", 3);
  g_autofree char *large = cis_digest_bytes (million, 1000000);

  g_assert_cmpstr (empty, ==, EMPTY);
  g_assert_cmpstr (abc, ==, ABC);
  g_assert_cmpstr (large, ==, MILLION);
}

static void
test_stream (void)
{
  g_autoptr (CisDigest) digest = cis_digest_new ();
  g_autofree char *abc = NULL, *empty = NULL;

  cis_digest_update (digest, "a", 1);
  cis_digest_update (digest, "", 0);
  cis_digest_update (digest, "bc", 2);
  g_assert_cmpstr (abc = cis_digest_finish (digest), ==, ABC);
  g_assert_cmpstr (empty = cis_digest_finish (digest), ==, EMPTY);
}

static void
test_file (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *million = g_strnfill (1000000, 'a');
  g_autofree char *path = g_build_filename (tree, "file", NULL);
  g_autofree char *sha256 = NULL;
  int fd;

  test_write (tree, "file", million);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (lseek (fd, 17, SEEK_SET), ==, 17);
  g_assert_cmpstr (sha256 = cis_digest_file (fd, NULL, NULL, NULL, &error), ==, MILLION);
  g_assert_no_error (error);
  g_assert_cmpint (lseek (fd, 0, SEEK_CUR), ==, 17);

  g_cancellable_cancel (cancellable);
  g_assert_null (cis_digest_file (fd, NULL, NULL, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_no_errno (close (fd));

  fd = open (tree, O_RDONLY | O_CLOEXEC);
  g_assert_null (cis_digest_file (fd, NULL, NULL, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_IS_DIRECTORY);
  g_assert_no_errno (close (fd));
}

static void
test_equal (void)
{
  g_assert_true (cis_equal_in_constant_time ("", ""));
  g_assert_true (cis_equal_in_constant_time (ABC, ABC));
  g_assert_false (cis_equal_in_constant_time (ABC, MILLION));
  g_assert_false (cis_equal_in_constant_time ("abc", "abd"));
  g_assert_false (cis_equal_in_constant_time ("abc", "ab"));
  g_assert_false (cis_equal_in_constant_time ("", "a"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/digest/bytes", test_bytes);
  g_test_add_func ("/digest/stream", test_stream);
  g_test_add_func ("/digest/file", test_file);
  g_test_add_func ("/digest/equal", test_equal);
  return g_test_run ();
}
