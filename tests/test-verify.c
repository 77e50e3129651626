/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gate/verify before store/archive. What is read of an archive: test-meta-reader.c. */

#include "tarballs.h"
#include "uploads.h"

#define META TARBALL_META (COMMIT)

typedef struct
{
  TestTree *tree;
  gpointer verify, archive;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  fixture->tree = test_tree_new ();
  fixture->verify = test_part_new ("gate/verify", "max-entries", 1000, NULL);
  cis_part_open (fixture->verify, NULL, &error);
  g_assert_no_error (error);
  fixture->archive = uploads_open (fixture->tree, G_USEC_PER_SEC);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  uploads_close (fixture->archive);
  cis_part_close (fixture->verify);
  g_object_unref (fixture->verify);
  test_tree_remove (fixture->tree);
}

/* Takes the bytes. The finding's id, "" where it is stored. */
static char *
put (Fixture *fixture, GByteArray *bytes, const char *announced_sha256)
{
  g_autoptr (GBytes) body_bytes = g_byte_array_free_to_bytes (bytes);
  g_autoptr (GInputStream) body = g_memory_input_stream_new_from_bytes (body_bytes);
  gsize size = g_bytes_get_size (body_bytes);
  g_autofree char *sha256 = cis_digest_bytes (g_bytes_get_data (body_bytes, NULL), size);
  g_autoptr (CisEpisode) episode =
      uploads_make ("PUT", "lab-1", "run", announced_sha256 != NULL ? announced_sha256 : sha256, size, body);
  g_autoptr (CisOutcome) outcome = NULL;
  gboolean stored;

  g_assert_cmpint (test_process (fixture->verify, episode, NULL), ==, CIS_VERDICT_PASSED);
  stored = uploads_put (fixture->archive, episode, &outcome) == CIS_VERDICT_PASSED;
  g_assert_true (stored || cis_outcome_get_verdict (outcome) == CIS_VERDICT_REJECTED);
  g_assert_cmpint (test_exists (fixture->tree, "store/lab-1/run.tar.zst"), ==, stored);
  uploads_assert_none_left (fixture->tree);
  return g_strdup (stored ? "" : cis_finding_get_id (cis_outcome_get_finding (outcome)));
}

static void
assert_put (Fixture *fixture, GByteArray *bytes, const char *id)
{
  g_autofree char *found = put (fixture, bytes, NULL);

  g_assert_cmpstr (found, ==, id);
}

static void
test_stored (Fixture *fixture, gconstpointer data)
{
  assert_put (fixture, tarball_make ("run", META), "");
}

static void
test_named (Fixture *fixture, gconstpointer data)
{
  assert_put (fixture,
              tarball_make ("run",
                            "{\"episode\": \"run\", \"id\": \"x\", \"code_version\": {\"commit\": \"" COMMIT
                            "\"}}"),
              "");
}

static void
test_rejected (Fixture *fixture, gconstpointer data)
{
  g_autofree char *damaged = NULL;
  g_autofree char *zeros = g_strnfill (64, '0');

  assert_put (fixture, tarball_make ("run", "{}"), "archive-mismatch");
  assert_put (fixture, tarball_make ("run", TARBALL_META (OTHER_COMMIT)), "archive-mismatch");
  assert_put (fixture,
              tarball_make ("run", "{\"episode\": \"walk\", \"code_version\": {\"commit\": \"" COMMIT "\"}}"),
              "archive-mismatch");
  assert_put (fixture,
              tarball_make ("run", "{\"id\": \"walk\", \"code_version\": {\"commit\": \"" COMMIT "\"}}"),
              "archive-mismatch");
  assert_put (fixture, tarball_make ("run", "{"), "archive-malformed");
  assert_put (fixture, tarball_make ("walk", META), "archive-malformed");
  /* What was damaged on its way is to be sent again, not to be put aside. */
  damaged = put (fixture, tarball_make ("run", "{"), zeros);
  g_assert_cmpstr (damaged, ==, "digest-mismatch");
  assert_put (fixture, tarball_make ("run", META), "");
}

/* Behind the store it could only come too late. */
static void
test_misplaced (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "bytes");
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (uploads_put (fixture->archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpint (test_process (fixture->verify, episode, &outcome), ==, CIS_VERDICT_FAILED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/verify/stored", Fixture, NULL, set_up, test_stored, tear_down);
  g_test_add ("/verify/named", Fixture, NULL, set_up, test_named, tear_down);
  g_test_add ("/verify/rejected", Fixture, NULL, set_up, test_rejected, tear_down);
  g_test_add ("/verify/misplaced", Fixture, NULL, set_up, test_misplaced, tear_down);
  return g_test_run ();
}
