/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <stdio.h>
#include <unistd.h>

#define N_THREADS 16
#define N_CALLS   100

/* What the flush of a test saw, and how it is held up. */
typedef struct
{
  CisGroupCommit *commit;
  gint written; /* atomic, as all of these */
  gint flushed; /* how much had been written when the last flush began */
  gint n_flushes;
  gint n_running;
  gint released;
  gint fails;
  gint tid;
  gboolean gone;
} Disk;

static gboolean
flush_disk (gpointer user_data, GError **error)
{
  Disk *disk = user_data;
  gint written = g_atomic_int_get (&disk->written);

  g_assert_cmpint (g_atomic_int_add (&disk->n_running, 1), ==, 0);
  g_atomic_int_inc (&disk->n_flushes);
  g_usleep (500);
  g_atomic_int_set (&disk->flushed, written);
  g_atomic_int_add (&disk->n_running, -1);
  return TRUE;
}

static gboolean
flush_when_released (gpointer user_data, GError **error)
{
  Disk *disk = user_data;

  g_atomic_int_inc (&disk->n_flushes);
  while (!g_atomic_int_get (&disk->released))
    g_usleep (100);
  if (g_atomic_int_get (&disk->fails))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "the disk is gone");
  return !g_atomic_int_get (&disk->fails);
}

static void
disk_gone (gpointer user_data)
{
  ((Disk *) user_data)->gone = TRUE;
}

static gpointer
write_and_flush (gpointer user_data)
{
  Disk *disk = user_data;

  for (guint i = 0; i < N_CALLS; i++)
    {
      gint mine = g_atomic_int_add (&disk->written, 1) + 1;

      g_assert_true (cis_group_commit_flush (disk->commit, NULL));
      g_assert_cmpint (g_atomic_int_get (&disk->flushed), >=, mine);
    }
  return NULL;
}

static void
test_shared (void)
{
  Disk disk = { 0 };
  GThread *threads[N_THREADS];

  disk.commit = cis_group_commit_new (flush_disk, &disk, disk_gone);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("writer", write_and_flush, &disk);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (disk.n_flushes, >=, N_CALLS);
  g_assert_cmpint (disk.n_flushes, <, N_THREADS * N_CALLS);
  cis_group_commit_free (disk.commit);
  g_assert_true (disk.gone);
}

static gpointer
flush_once (gpointer user_data)
{
  Disk *disk = user_data;
  g_autoptr (GError) error = NULL;

  g_atomic_int_set (&disk->tid, gettid ());
  if (!cis_group_commit_flush (disk->commit, &error))
    g_assert_error (error, CIS_ERROR, CIS_ERROR_FATAL);
  return GINT_TO_POINTER (error == NULL);
}

/* Whether the thread that wrote its id waits for something. */
static gboolean
is_asleep (Disk *disk)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/stat", g_atomic_int_get (&disk->tid));
  g_autofree char *stat = NULL;

  return g_atomic_int_get (&disk->tid) != 0 && g_file_get_contents (path, &stat, NULL, NULL) &&
         strncmp (strrchr (stat, ')'), ") S", 3) == 0;
}

/* A flush that runs when one comes may have missed its bytes. */
static void
test_late_caller (void)
{
  Disk disk = { 0 };
  GThread *first, *late;

  disk.commit = cis_group_commit_new (flush_when_released, &disk, NULL);
  first = g_thread_new ("first", flush_once, &disk);
  test_wait_for (g_atomic_int_get (&disk.n_flushes) == 1);
  g_atomic_int_set (&disk.tid, 0);
  late = g_thread_new ("late", flush_once, &disk);
  test_wait_for (is_asleep (&disk));
  g_atomic_int_set (&disk.released, TRUE);
  g_assert_nonnull (g_thread_join (first));
  g_assert_nonnull (g_thread_join (late));
  g_assert_cmpint (disk.n_flushes, ==, 2);
  cis_group_commit_free (disk.commit);
}

static void
test_failure (void)
{
  Disk disk = { .fails = TRUE };
  g_autoptr (GError) error = NULL;
  GThread *first, *late;

  disk.commit = cis_group_commit_new (flush_when_released, &disk, NULL);
  first = g_thread_new ("first", flush_once, &disk);
  test_wait_for (g_atomic_int_get (&disk.n_flushes) == 1);
  g_atomic_int_set (&disk.tid, 0);
  late = g_thread_new ("late", flush_once, &disk);
  test_wait_for (is_asleep (&disk));
  g_atomic_int_set (&disk.released, TRUE);
  g_assert_null (g_thread_join (first));
  g_assert_null (g_thread_join (late));

  /* Even if the disk says yes again. */
  g_atomic_int_set (&disk.fails, FALSE);
  g_assert_false (cis_group_commit_flush (disk.commit, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_FATAL);
  g_assert_nonnull (strstr (error->message, "the disk is gone"));
  g_assert_cmpint (disk.n_flushes, ==, 1);
  cis_group_commit_free (disk.commit);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/group-commit/shared", test_shared);
  g_test_add_func ("/group-commit/late-caller", test_late_caller);
  g_test_add_func ("/group-commit/failure", test_failure);
  return g_test_run ();
}
