/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* More hosts than there are descriptors. */

#include "../plugins/store/archive/shelf.h"
#include "uploads.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define N_HOSTS       20000
#define N_DESCRIPTORS 256

static void
limit_descriptors (rlim_t n)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  limit.rlim_cur = n;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
}

/* As another run left it. */
static char *
make_host (const CisLayout *layout, guint i)
{
  char *host = g_strdup_printf ("lab-%u", i);

  g_assert_no_errno (mkdirat (layout->incoming, host, 0750));
  g_assert_no_errno (mkdirat (layout->store, host, 0750));
  return host;
}

static void
test_many_hosts (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  CisLayout layout = CIS_LAYOUT_CLOSED;
  g_autoptr (CisShelves) shelves = cis_shelves_new (&layout);
  g_autoptr (CisShelf) used = NULL;

  g_assert_true (cis_layout_open (&layout, tree, &error));
  limit_descriptors (N_DESCRIPTORS);
  used = cis_shelves_get (shelves, "lab", &error);
  g_assert_no_error (error);
  for (guint i = 0; i < N_HOSTS; i++)
    {
      g_autofree char *host = make_host (&layout, i);
      g_autoptr (CisShelf) shelf = cis_shelves_get (shelves, host, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (shelf->host, ==, host);
    }

  /* The one that was used all the time is still the only one of its host. */
  {
    g_autoptr (CisShelf) again = cis_shelves_get (shelves, "lab", &error);

    g_assert_true (again == used);
    g_assert_true (cis_group_commit_flush (again->store_commit, &error));
  }
  cis_layout_close (&layout);
}

/* The last ones stay open, an older one is opened anew. */
static void
test_kept (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  CisLayout layout = CIS_LAYOUT_CLOSED;
  g_autoptr (CisShelves) shelves = cis_shelves_new (&layout);
  int kept = -1;

  g_assert_true (cis_layout_open (&layout, tree, &error));
  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *host = make_host (&layout, i);
      g_autoptr (CisShelf) shelf = cis_shelves_get (shelves, host, &error);

      if (i == 90)
        kept = shelf->store;
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CisShelf) recent = cis_shelves_get (shelves, "lab-90", &error);
      g_autoptr (CisShelf) old = cis_shelves_get (shelves, "lab-0", &error);

      g_assert_no_error (error);
      g_assert_cmpint (recent->store, ==, kept);
      g_assert_cmpstr (old->host, ==, "lab-0");
    }
  cis_layout_close (&layout);
}

/* Whole uploads, each a host's first. */
static void
test_uploads (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  gpointer archive = uploads_open (tree, G_TIME_SPAN_SECOND);
  g_autofree char *sha256 = cis_digest_bytes ("bytes", 5);

  limit_descriptors (64);
  for (guint i = 0; i < 48; i++)
    {
      g_autofree char *host = g_strdup_printf ("lab-%u", i);
      g_autoptr (GInputStream) body = g_memory_input_stream_new_from_data ("bytes", 5, NULL);
      g_autoptr (CisEpisode) episode = uploads_make ("PUT", host, "run", sha256, 5, body);

      g_assert_cmpint (uploads_put (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
    }
  uploads_close (archive);
  limit_descriptors (N_DESCRIPTORS);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* In memory: twice as many folders as hosts take a busy disk minutes. */
  g_setenv ("TMPDIR", "/dev/shm", TRUE);
  g_test_add_func ("/shelf/many-hosts", test_many_hosts);
  g_test_add_func ("/shelf/kept", test_kept);
  g_test_add_func ("/shelf/uploads", test_uploads);
  return g_test_run ();
}
