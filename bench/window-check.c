/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How fast gate/window decides about a commit that a window at hand has: alone, and while its source hangs.
 *
 *     meson compile -C BUILD window-check && BUILD/bench/window-check
 */
#include "../plugins/gate/window/refresher.h"

#include <stdio.h>
#include <string.h>

#define SECONDS 1
#define N_ASKED (1 << 14)

/* Gives a window of as many commits as it is asked for, once, and then hangs until it is let go. */
typedef struct
{
  CisWindowSource parent;
  GMutex lock;
  GCond changed;
  gboolean given, hanging, let_go;
} BenchSource;

typedef CisStage BenchStage;
typedef CisStageClass BenchStageClass;
GType bench_stage_get_type (void);
G_DEFINE_TYPE (BenchStage, bench_stage, CIS_TYPE_STAGE)

static char *
make_commit (guint i)
{
  g_autofree char *seed = g_strdup_printf ("%u", i);
  char *digest = cis_digest_bytes (seed, strlen (seed));

  digest[CIS_COMMIT_LENGTH] = '\0';
  return digest;
}

static gboolean
bench_source_fetch (CisWindowSource *source, CisWindow *window, const char *branch, guint n,
                    GCancellable *cancellable, GError **error)
{
  BenchSource *self = (BenchSource *) source;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *commit = make_commit (i);

      cis_window_append (window, commit, i);
    }
  g_mutex_lock (&self->lock);
  self->hanging = self->given;
  while (self->given && !self->let_go)
    g_cond_wait (&self->changed, &self->lock);
  self->given = TRUE;
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static void
bench_source_free (CisWindowSource *source)
{
  BenchSource *self = (BenchSource *) source;

  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}

static BenchSource *
bench_source_new (void)
{
  static const CisWindowSourceClass klass = { "bench", bench_source_fetch, NULL, bench_source_free };
  BenchSource *self = g_new0 (BenchSource, 1);

  self->parent.klass = &klass;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  return self;
}

static void
bench_stage_class_init (BenchStageClass *klass)
{
}

static void
bench_stage_init (BenchStage *self)
{
}

static void
check (CisRefresher *refresher, const char *commit)
{
  g_autoptr (CisWindow) window = NULL;

  if (!cis_hex_is_valid (commit, CIS_COMMIT_LENGTH) ||
      cis_refresher_ask (refresher, commit, G_USEC_PER_SEC, &window, NULL) != CIS_REFRESHER_INSIDE)
    g_error ("A commit of the window is not in it");
}

static double
measure_rate (CisRefresher *refresher, char **commits)
{
  gint64 began = g_get_monotonic_time ();
  gint64 now = began;
  guint64 n = 0;

  for (; now - began < SECONDS * G_USEC_PER_SEC; now = g_get_monotonic_time ())
    for (guint i = 0; i < 1024; i++)
      check (refresher, commits[n++ % N_ASKED]);
  return (double) n * G_USEC_PER_SEC / (double) (now - began);
}

/* The longest of a second's checks, µs: whether any of them waits for the source. */
static gint64
measure_longest (CisRefresher *refresher, char **commits)
{
  gint64 began = g_get_monotonic_time ();
  gint64 before = began;
  gint64 longest = 0;

  for (guint i = 0; before - began < SECONDS * G_USEC_PER_SEC; i++)
    {
      gint64 now;

      check (refresher, commits[i % N_ASKED]);
      now = g_get_monotonic_time ();
      longest = MAX (longest, now - before);
      before = now;
    }
  return longest;
}

static void
wait_until_hanging (BenchSource *source)
{
  gboolean hanging = FALSE;

  while (!hanging)
    {
      g_mutex_lock (&source->lock);
      hanging = source->hanging;
      g_mutex_unlock (&source->lock);
      g_usleep (1000);
    }
}

static void
run (guint n)
{
  g_autoptr (CisPart) part = g_object_new (bench_stage_get_type (), "name", "bench", NULL);
  g_autoptr (GPtrArray) sources = g_ptr_array_new_with_free_func ((GDestroyNotify) cis_window_source_free);
  BenchSource *source = bench_source_new ();
  CisRefresher *refresher;
  char **commits = g_new0 (char *, N_ASKED + 1);
  double rate;
  gint64 longest;

  for (guint i = 0; i < N_ASKED; i++)
    commits[i] = make_commit (g_random_int_range (0, (gint32) n));
  g_ptr_array_add (sources, source);
  refresher =
      cis_refresher_new (part, sources, "main", n, 100 * G_TIME_SPAN_MILLISECOND, G_TIME_SPAN_DAY, NULL);
  wait_until_hanging (source);
  rate = measure_rate (refresher, commits);
  longest = measure_longest (refresher, commits);
  printf ("%8u commits: %10.0f checks/s; the longest of a second, with a source that hangs: %" G_GINT64_FORMAT
          " µs\n",
          n, rate, longest);
  g_mutex_lock (&source->lock);
  source->let_go = TRUE;
  g_cond_broadcast (&source->changed);
  g_mutex_unlock (&source->lock);
  cis_refresher_free (refresher);
  g_strfreev (commits);
}

int
main (void)
{
  static const guint sizes[] = { 100, 1000, 10000, 100000 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    run (sizes[i]);
  return 0;
}
