/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What pack/tar-zstd does where the outbox's budget or its file system's floor is reached. */

#include "harness.h"

#include <glib/gstdio.h>
#include <unistd.h>

static void
make_noise (const char *tree, const char *name, gsize size)
{
  g_autofree char *folder = g_build_filename ("state/episodes", name, NULL);
  g_autofree char *file = g_build_filename (tree, folder, "noise", NULL);
  g_autofree guint8 *noise = g_malloc (size);
  GRand *random = g_rand_new_with_seed (size);

  for (gsize i = 0; i < size; i++)
    noise[i] = (guint8) g_rand_int (random);
  g_rand_free (random);
  test_make_episode (tree, folder, 'a');
  g_assert_true (g_file_set_contents (file, (char *) noise, size, NULL));
}

static CisStage *
pack_new (const char *tree, guint64 outbox_max, guint64 free_space)
{
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autoptr (GError) error = NULL;
  CisStage *pack = test_part_new ("pack/tar-zstd", "state", state, "outbox-max", outbox_max, "free-space",
                                  free_space, NULL);

  cis_part_open (CIS_PART (pack), NULL, &error);
  g_assert_no_error (error);
  return pack;
}

static void
pack_end (CisStage *pack)
{
  cis_part_close (CIS_PART (pack));
  g_object_unref (pack);
}

/* Packs; the digest where it passed, else %NULL and the episode alone is deferred as outbox-full. full. */
static char *
pack_one (CisStage *pack, const char *tree, const char *name)
{
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, name, NULL);
  g_autofree char *directory = g_build_filename (tree, "state/episodes", name, NULL);
  g_autoptr (CisOutcome) outcome = NULL;

  cis_episode_set_directory (episode, directory);
  if (test_process (pack, episode, &outcome) == CIS_VERDICT_PASSED)
    return g_strdup (cis_episode_get_sha256 (episode));
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_DEFERRED);
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_ITEM);
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, "outbox-full");
  return NULL;
}

/* What is packed already goes on, and the first of all does however large it is. */
static void
test_outbox_max (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 100 * 1024, 0);
  g_autofree char *first = NULL, *again = NULL, *second = NULL, *left = NULL;
  g_autofree char *tarball = g_build_filename (tree, "state/outbox/e1.tar.zst", NULL);

  make_noise (tree, "e1", 200 * 1024);
  make_noise (tree, "e2", 1024);
  first = pack_one (pack, tree, "e1");
  g_assert_nonnull (first);
  g_assert_null (pack_one (pack, tree, "e2"));
  again = pack_one (pack, tree, "e1");
  g_assert_cmpstr (again, ==, first);
  left = test_list (tree, "state/outbox");
  g_assert_cmpstr (left, ==, "e1.json e1.tar.zst");

  g_assert_no_errno (g_unlink (tarball));
  second = pack_one (pack, tree, "e2");
  g_assert_nonnull (second);
  pack_end (pack);
}

/* How large it will be is seen while it is made: it stops within the budget, and does not try again before
 * there is more room. */
static void
test_outbox_max_reached (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 10 << 20, 0);
  g_autofree char *first = NULL, *second = NULL, *left = NULL;
  g_autofree char *tarball = g_build_filename (tree, "state/outbox/e1.tar.zst", NULL);

  make_noise (tree, "e1", 1024);
  make_noise (tree, "e2", 40 << 20);
  first = pack_one (pack, tree, "e1");
  for (guint i = 0; i < 2; i++)
    g_assert_null (pack_one (pack, tree, "e2"));
  left = test_list (tree, "state/outbox");
  g_assert_cmpstr (left, ==, "e1.json e1.tar.zst");
  g_assert_no_errno (g_unlink (tarball));
  second = pack_one (pack, tree, "e2");
  g_assert_nonnull (second);
  pack_end (pack);
}

/* A file of that size, which takes no space on the disk. */
static void
make_sparse (const char *tree, const char *path, off_t size)
{
  g_autofree char *file = g_build_filename (tree, path, NULL);

  test_write (tree, path, "");
  g_assert_no_errno (truncate (file, size));
}

static gpointer
take_room (gpointer tree)
{
  test_wait_for (test_exists (tree, "state/outbox/e2.tar.zst.partial"));
  make_sparse (tree, "state/outbox/e1.tar.zst", (off_t) 2 << 30);
  return NULL;
}

/* Others take the room while it is packed. Once they give it back it fits, though there is no more than there
 * was when it began. */
static void
test_taken_meanwhile (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 1 << 30, 0);
  g_autofree char *taken = g_build_filename (tree, "state/outbox/e1.tar.zst", NULL);
  g_autofree char *packed = NULL;
  GThread *thread;

  test_write (tree, "state/outbox/e0.tar.zst", "waits all the time");
  /* Far more than there is time for. */
  make_sparse (tree, "state/episodes/e2/huge", (off_t) 1 << 42);
  thread = g_thread_new ("take-room", take_room, tree);
  g_assert_null (pack_one (pack, tree, "e2"));
  g_thread_join (thread);
  make_sparse (tree, "state/episodes/e2/huge", 1024);
  g_assert_null (pack_one (pack, tree, "e2"));
  g_assert_no_errno (g_unlink (taken));
  packed = pack_one (pack, tree, "e2");
  g_assert_nonnull (packed);
  pack_end (pack);
}

static void
test_free_space (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 0, (guint64) 1 << 60);
  g_autofree char *left = NULL;

  make_noise (tree, "e1", 1024);
  g_assert_null (pack_one (pack, tree, "e1"));
  left = test_list (tree, "state/outbox");
  g_assert_cmpstr (left, ==, "");
  pack_end (pack);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/room/outbox-max", test_outbox_max);
  g_test_add_func ("/room/outbox-max-reached", test_outbox_max_reached);
  g_test_add_func ("/room/taken-meanwhile", test_taken_meanwhile);
  g_test_add_func ("/room/free-space", test_free_space);
  return g_test_run ();
}
