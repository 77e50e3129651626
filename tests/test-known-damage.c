/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What store/known makes of an archive that nothing beside it is a receipt of. */

#include "known.h"

/* What was noted when the archive was stored, and what a row says, is what its bytes have to be. */
static void
assert_damaged (Fixture *f, gboolean admitted)
{
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_cmpuint (cis_request_get_status (f->request), ==, 0);
  g_assert_cmpstr (cis_item_get_mark (CIS_ITEM (f->episode), "recovered"), ==, admitted ? "true" : NULL);
}

/* The version gate has let these very bytes in before. */
static void
test_changed_since_noted (Fixture *f, gconstpointer data)
{
  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  note_receipt (f);
  g_assert_no_errno (truncate (f->stored, 3));
  assert_damaged (f, TRUE);
  assert_damaged (f, TRUE);
}

static void
test_changed_since_noted_of_another_commit (Fixture *f, gconstpointer data)
{
  test_write (f->tree, "store/lab-1/run.tar.zst", "bytes");
  note_receipt (f);
  g_assert_no_errno (truncate (f->stored, 3));
  cis_episode_set_commit (f->episode, "ffffffffffffffffffffffffffffffffffffffff");
  assert_damaged (f, FALSE);
}

static void
write_row (Fixture *f, const char *sha256)
{
  g_autofree char *row =
      g_strdup_printf ("{\"host\":\"lab-1\",\"episode\":\"ran\",\"sha256\":\"%s\",\"size\":5}\n"
                       "{\"host\":\"lab-1\",\"episode\":\"run\",\"sha256\":\"%s\",\"size\":5}\n",
                       sha256, sha256);

  test_write (f->tree, "index.jsonl", row);
}

static void
test_other_than_its_row (Fixture *f, gconstpointer data)
{
  g_free (store_archive (f));
  write_row (f, cis_episode_get_sha256 (f->episode));
  assert_damaged (f, TRUE);
}

/* Whether the archive is damaged or not: what was acknowledged is not what comes. */
static void
test_not_what_was_promised (Fixture *f, gconstpointer data)
{
  g_autofree char *acknowledged = cis_digest_bytes ("BYTES", 5);
  g_autoptr (CisOutcome) outcome = NULL;

  test_write (f->tree, "store/lab-1/run.tar.zst", "");
  write_row (f, acknowledged);
  g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_REJECTED);
  assert_finding (outcome, "episode-conflict");
  g_assert_cmpstr (cis_finding_get_detail (cis_outcome_get_finding (outcome), "stored_sha256"), ==,
                   acknowledged);
}

/* Neither a note nor a row is left: what fails its own check is damaged, and nothing else is. */
static void
test_without_a_promise (Fixture *f, gconstpointer data)
{
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *sha256 = NULL;
  g_autofree char *cut = NULL;
  gsize length;

  test_write (f->tree, "store/lab-1/run.tar.zst", "");
  assert_damaged (f, FALSE);
  test_write (f->tree, "store/lab-1/run.tar.zst", "garbage");
  assert_damaged (f, FALSE);
  g_free (store_archive (f));
  g_assert_true (g_file_get_contents (f->stored, &cut, &length, NULL));
  g_assert_true (g_file_set_contents (f->stored, cut, length - 1, NULL));
  assert_damaged (f, FALSE);
  sha256 = store_archive (f);
  g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_REJECTED);
  assert_finding (outcome, "episode-conflict");
  g_assert_cmpstr (cis_finding_get_detail (cis_outcome_get_finding (outcome), "stored_sha256"), ==, sha256);
}

/* Whatever is asked, the archive is hashed once. */
static void
test_hashed_conflict (Fixture *f, gconstpointer data)
{
  g_autoptr (CisOutcome) outcome = NULL;
  g_autoptr (CisEpisode) truth = cis_episode_new ("lab-1", "run", NULL);
  g_autofree char *sha256 = store_archive (f);
  struct stat st;

  cis_item_set_mark (CIS_ITEM (f->episode), "grant", "this question's own");
  g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_REJECTED);
  assert_finding (outcome, "episode-conflict");
  g_assert_no_errno (stat (f->stored, &st));
  cis_episode_set_archive (truth, NULL, sha256, st.st_size);
  assert_noted (f->stored, truth);
  g_assert_null (cis_item_get_mark (CIS_ITEM (truth), "grant"));
}

/* Another archive was there and was hashed, and then this one was put in its place, as by cp(1). */
static void
test_hashed_and_mended (Fixture *f, gconstpointer data)
{
  test_hashed_conflict (f, data);
  g_assert_no_errno (truncate (f->stored, 0));
  g_assert_true (g_file_set_contents_full (f->stored, "bytes", 5, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  /* All of this took less than an mtime tells. */
  g_assert_no_errno (
      utimensat (AT_FDCWD, f->stored, (struct timespec[]){ { .tv_sec = 1 }, { .tv_sec = 1 } }, 0));
  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_DONE);
}

static void
test_hashed_wrong_length (Fixture *f, gconstpointer data)
{
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *sha256 = store_archive (f);

  cis_episode_set_archive (f->episode, NULL, sha256, 6);
  g_assert_cmpint (test_process (f->known, f->episode, &outcome), ==, CIS_VERDICT_REJECTED);
  assert_finding (outcome, "digest-mismatch");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/known-damage/hashed-conflict", Fixture, NULL, set_up, test_hashed_conflict, tear_down);
  g_test_add ("/known-damage/hashed-and-mended", Fixture, NULL, set_up, test_hashed_and_mended, tear_down);
  g_test_add ("/known-damage/hashed-wrong-length", Fixture, NULL, set_up, test_hashed_wrong_length,
              tear_down);
  g_test_add ("/known-damage/noted", Fixture, NULL, set_up, test_changed_since_noted, tear_down);
  g_test_add ("/known-damage/noted-commit", Fixture, NULL, set_up, test_changed_since_noted_of_another_commit,
              tear_down);
  g_test_add ("/known-damage/row", Fixture, NULL, set_up, test_other_than_its_row, tear_down);
  g_test_add ("/known-damage/conflict", Fixture, NULL, set_up, test_not_what_was_promised, tear_down);
  g_test_add ("/known-damage/no-promise", Fixture, NULL, set_up, test_without_a_promise, tear_down);
  return g_test_run ();
}
