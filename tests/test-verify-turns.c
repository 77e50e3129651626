/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose archive gate/verify looks into, and how soon. */

#include "tarballs.h"
#include "uploads.h"

#include <glib/gstdio.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct
{
  CisStage *verify;
  const char *host;
  int fd;
  GCancellable *cancellable;
  gint ended; /* atomic */
} Looking;

static CisVerdict
look (Looking *of)
{
  g_autoptr (CisRequest) request = cis_request_new ("PUT", "/v1/whatever");
  g_autoptr (CisEpisode) episode = cis_episode_new (of->host, "run", request);
  g_autoptr (CisOutcome) outcome = NULL;

  cis_episode_set_commit (episode, COMMIT);
  cis_outcome_unref (cis_stage_process (of->verify, CIS_ITEM (episode), NULL));
  outcome = cis_episode_inspect (episode, of->fd, of->cancellable);
  return cis_outcome_get_verdict (outcome);
}

static gpointer
look_often (gpointer data)
{
  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (look (data), ==, CIS_VERDICT_PASSED);
  return NULL;
}

static int
open_good (void)
{
  g_autoptr (GByteArray) bytes = tarball_make ("run", TARBALL_META (COMMIT));
  int fd = memfd_create ("archive", MFD_CLOEXEC);

  g_assert_cmpint (write (fd, bytes->data, bytes->len), ==, bytes->len);
  return fd;
}

/* More than there are processors: each has its turn. */
static void
test_many (void)
{
  g_autoptr (CisStage) verify = test_part_new ("gate/verify", NULL, NULL);
  Looking of = { verify, "lab-1", open_good (), NULL, 0 };
  GThread *threads[32];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("look", look_often, &of);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_close (of.fd, NULL);
}

/* A few MiB that inflate to 256 GiB, which takes a minute. */
static int
open_endless (void)
{
  const gsize unit = 64 * 1024 * 1024;
  g_autofree guint8 *zeros = g_malloc0 (unit);
  g_autoptr (GByteArray) end = tarball_compress (zeros, unit);
  int fd = open_good ();

  for (guint i = 0; i < 4096; i++)
    g_assert_cmpint (write (fd, end->data, end->len), ==, end->len);
  return fd;
}

static gpointer
look_until_cancelled (gpointer data)
{
  Looking *of = data;

  g_assert_cmpint (look (of), ==, CIS_VERDICT_NONE);
  g_atomic_int_inc (&of->ended);
  return NULL;
}

/* However many hosts send what goes on for minutes, another's has its turn. */
static void
test_other_host (void)
{
  g_autoptr (CisStage) verify =
      test_part_new ("gate/verify", "max-inflated", (guint64) 1 << 41, "max-ratio", 1000000, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  int fd = open_endless ();
  Looking endless[] = { { verify, "lab-1", fd, cancellable, 0 },
                        { verify, "lab-3", fd, cancellable, 0 },
                        { verify, "lab-4", fd, cancellable, 0 } };
  Looking small = { verify, "lab-2", open_good (), NULL, 0 };
  guint n = G_N_ELEMENTS (endless) * (2 + g_get_num_processors ());
  g_autofree GThread **threads = g_new (GThread *, n);

  for (guint i = 0; i < n; i++)
    threads[i] = g_thread_new ("look", look_until_cancelled, &endless[i % G_N_ELEMENTS (endless)]);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (look (&small), ==, CIS_VERDICT_PASSED);
  for (guint i = 0; i < G_N_ELEMENTS (endless); i++)
    g_assert_cmpint (g_atomic_int_get (&endless[i].ended), ==, 0);
  g_cancellable_cancel (cancellable);
  for (guint i = 0; i < n; i++)
    g_thread_join (threads[i]);
  g_close (fd, NULL);
  g_close (small.fd, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/verify-turns/many", test_many);
  g_test_add_func ("/verify-turns/other-host", test_other_host);
  return g_test_run ();
}
