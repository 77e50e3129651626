/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/mount.h>
#include <unistd.h>

static CisPart *
directory_new (const char *tree, gboolean mounted)
{
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *target = g_build_filename (tree, "target", NULL);
  CisPart *part = test_part_new ("transport/directory", "state", state, "directory", target, "host", "lab-7",
                                 "mounted", mounted, NULL);
  g_autoptr (GError) error = NULL;

  cis_part_open (part, NULL, &error);
  g_assert_no_error (error);
  return part;
}

static void
directory_end (CisPart *part)
{
  cis_part_close (part);
  g_object_unref (part);
}

/* Ships @text as the archive of "e1", said to be @said. */
static void
expect (CisPart *part, const char *tree, const char *text, const char *said, CisVerdict verdict,
        const char *id)
{
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);
  g_autofree char *archive = g_build_filename (tree, "state/outbox/e1.tar.zst", NULL);
  g_autofree char *sha256 = cis_digest_bytes (said, strlen (said));
  g_autoptr (CisOutcome) outcome = NULL;
  CisFinding *finding;

  test_write (tree, "state/outbox/e1.tar.zst", text);
  test_write (tree, "state/outbox/e1.json", "{}");
  cis_episode_set_archive (episode, archive, sha256, strlen (said));
  g_assert_cmpstr (cis_verdict_to_string (test_process (part, episode, &outcome)), ==,
                   cis_verdict_to_string (verdict));
  finding = cis_outcome_get_finding (outcome);
  g_assert_cmpstr (finding != NULL ? cis_finding_get_id (finding) : NULL, ==, id);
  g_assert_true ((cis_episode_get_receipt (episode) != NULL) == (verdict == CIS_VERDICT_PASSED));
}

static void
test_copy (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisPart *part = directory_new (tree, FALSE);
  g_autofree char *copy = NULL, *receipt = NULL, *beside = NULL, *listed = NULL, *again = NULL;

  test_write (tree, "target/lab-7/.e1.partial", "what a kill left behind");
  expect (part, tree, "bytes", "bytes", CIS_VERDICT_PASSED, NULL);
  copy = test_read (tree, "target/lab-7/e1.tar.zst");
  g_assert_cmpstr (copy, ==, "bytes");
  beside = test_read (tree, "target/lab-7/e1.json");
  receipt = test_read (tree, "state/receipts/e1.json");
  g_assert_nonnull (strstr (receipt, "stored"));
  g_assert_cmpstr (beside, ==, receipt);

  expect (part, tree, "bytes", "bytes", CIS_VERDICT_PASSED, NULL);
  again = test_read (tree, "state/receipts/e1.json");
  g_assert_nonnull (strstr (again, "duplicate"));
  expect (part, tree, "others", "others", CIS_VERDICT_REJECTED, "episode-conflict");
  listed = test_list (tree, "target/lab-7");
  g_assert_cmpstr (listed, ==, "e1.json e1.tar.zst");
  directory_end (part);
}

/* The receipt of an archive that was carried away is none of the next of that name. */
static void
test_carried_away (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisPart *part = directory_new (tree, FALSE);
  g_autofree char *copy = g_build_filename (tree, "target/lab-7/e1.tar.zst", NULL);
  g_autofree char *receipt = NULL, *beside = NULL;

  test_write (tree, "target/lab-7/other", "");
  expect (part, tree, "bytes", "bytes", CIS_VERDICT_PASSED, NULL);
  g_assert_no_errno (g_unlink (copy));
  expect (part, tree, "others", "others", CIS_VERDICT_PASSED, NULL);
  receipt = test_read (tree, "state/receipts/e1.json");
  beside = test_read (tree, "target/lab-7/e1.json");
  g_assert_cmpstr (beside, ==, receipt);
  directory_end (part);
}

/* The archive is not what its description says: it is packed again, and nothing is left in the folder. */
static void
test_mismatch (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisPart *part = directory_new (tree, FALSE);
  g_autofree char *listed = NULL;

  test_write (tree, "target/lab-7/other", "");
  expect (part, tree, "damaged", "packed!", CIS_VERDICT_DEFERRED, "digest-mismatch");
  g_assert_false (test_exists (tree, "state/outbox/e1.json"));
  listed = test_list (tree, "target/lab-7");
  g_assert_cmpstr (listed, ==, "other");
  directory_end (part);
}

/* Nor does an archive that cannot be read say anything of the folder. */
static void
test_unreadable (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisPart *part = directory_new (tree, FALSE);
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);
  g_autofree char *sha256 = cis_digest_bytes ("", 0), *listed = NULL, *outbox = NULL;
  g_autoptr (CisOutcome) outcome = NULL;

  test_write (tree, "target/lab-7/other", "");
  test_write (tree, "state/outbox/e1.json", "{}");
  test_write (tree, "state/outbox/e1.tar.zst", "");
  cis_episode_set_archive (episode, tree, sha256, 0); /* EISDIR does for EIO */
  g_assert_cmpint (test_process (part, episode, &outcome), ==, CIS_VERDICT_DEFERRED);
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_ITEM);
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, "digest-mismatch");
  g_assert_cmpstr (outbox = test_list (tree, "state/outbox"), ==, "");
  listed = test_list (tree, "target/lab-7");
  g_assert_cmpstr (listed, ==, "other");
  directory_end (part);
}

static void
test_unavailable (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisPart *part = directory_new (tree, FALSE);
  CisPart *mounted = directory_new (tree, TRUE);

  expect (part, tree, "bytes", "bytes", CIS_VERDICT_DEFERRED, "directory-unavailable");
  g_assert_false (test_exists (tree, "target"));
  /* An empty mount point is a folder like any other, unless the operator says what it is. */
  test_write (tree, "target/mount-point", "");
  expect (mounted, tree, "bytes", "bytes", CIS_VERDICT_DEFERRED, "directory-unavailable");
  g_assert_false (test_exists (tree, "target/lab-7"));
  expect (part, tree, "bytes", "bytes", CIS_VERDICT_PASSED, NULL);
  directory_end (part);
  directory_end (mounted);
}

/* In a mount namespace of its own, so that nothing is left behind whatever happens. As systemd does for
 * ReadWritePaths=: an empty mount point, bound onto itself, is the root disk still. */
static void
test_bind_mount_subprocess (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *target = g_build_filename (tree, "target", NULL);
  CisPart *part = directory_new (tree, TRUE);

  test_enter_namespace ();
  g_assert_no_errno (g_mkdir (target, 0750));
  g_assert_no_errno (mount (target, target, NULL, MS_BIND, NULL));
  expect (part, tree, "bytes", "bytes", CIS_VERDICT_DEFERRED, "directory-unavailable");
  g_assert_no_errno (mount ("tmpfs", target, "tmpfs", 0, NULL));
  expect (part, tree, "bytes", "bytes", CIS_VERDICT_PASSED, NULL);
  g_assert_no_errno (umount2 (target, MNT_DETACH));
  g_assert_false (test_exists (tree, "target/lab-7"));
  directory_end (part);
  g_assert_no_errno (umount2 (target, MNT_DETACH));
}

static void
test_bind_mount (void)
{
  g_test_trap_subprocess ("/directory/bind-mount/subprocess", 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

static void
test_full_subprocess (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *target = g_build_filename (tree, "target", NULL);
  g_autofree char *large = g_strnfill (128 * 1024, 'x');
  g_autofree char *listed = NULL;
  CisPart *part = directory_new (tree, TRUE);

  test_enter_namespace ();
  g_assert_no_errno (g_mkdir (target, 0750));
  g_assert_no_errno (mount ("tmpfs", target, "tmpfs", 0, "size=64k"));
  expect (part, tree, large, large, CIS_VERDICT_DEFERRED, "directory-unavailable");
  listed = test_list (tree, "target/lab-7");
  g_assert_cmpstr (listed, ==, "");
  expect (part, tree, "small", "small", CIS_VERDICT_PASSED, NULL);
  directory_end (part);
  g_assert_no_errno (umount2 (target, MNT_DETACH));
}

static void
test_full (void)
{
  g_test_trap_subprocess ("/directory/full/subprocess", 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/directory/copy", test_copy);
  g_test_add_func ("/directory/carried-away", test_carried_away);
  g_test_add_func ("/directory/mismatch", test_mismatch);
  g_test_add_func ("/directory/unreadable", test_unreadable);
  g_test_add_func ("/directory/unavailable", test_unavailable);
  g_test_add_func ("/directory/bind-mount", test_bind_mount);
  g_test_add_func ("/directory/bind-mount/subprocess", test_bind_mount_subprocess);
  g_test_add_func ("/directory/full", test_full);
  g_test_add_func ("/directory/full/subprocess", test_full_subprocess);
  return g_test_run ();
}
