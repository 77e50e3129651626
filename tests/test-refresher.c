/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "../plugins/gate/window/refresher.h"

#define NEVER (24 * 3600 * G_TIME_SPAN_SECOND)
#define WAIT  G_TIME_SPAN_MINUTE

/* A source that gives what it is told to give; all fields are locked. */
typedef struct
{
  CisWindowSource parent;
  GMutex lock;
  GCond changed;
  char *commits; /* one character each, "cba": the commits cc…, bb…, aa…; NULL: it fails */
  gboolean cut;
  gboolean hangs;
  guint n_fetches;
} TestSource;

static void
test_source_free (TestSource *self)
{
  g_free (self->commits);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestSource, test_source_free)

typedef CisStage TestStage;
typedef CisStageClass TestStageClass;
GType test_stage_get_type (void);
G_DEFINE_TYPE (TestStage, test_stage, CIS_TYPE_STAGE)

static gboolean
test_source_fetch (CisWindowSource *source, CisWindow *window, const char *branch, guint n,
                   GCancellable *cancellable, GError **error)
{
  TestSource *self = (TestSource *) source;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->n_fetches++;
  while (self->hangs)
    g_cond_wait (&self->changed, &self->lock);
  if (self->commits == NULL)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "told to fail");
      return FALSE;
    }
  for (const char *c = self->commits; *c != '\0'; c++)
    {
      g_autofree char *commit = g_strnfill (40, *c);

      cis_window_append (window, commit, 0);
    }
  if (self->cut)
    cis_window_set_cut (window);
  return TRUE;
}

static char *
test_source_suggest (CisWindowSource *source, const char *branch, const GError *error)
{
  return g_strdup ("Tell it otherwise.");
}

static const CisWindowSourceClass test_source_class = {
  .name = "test",
  .fetch = test_source_fetch,
  .suggest = test_source_suggest,
};

static void
test_stage_class_init (TestStageClass *klass)
{
}

static void
test_stage_init (TestStage *self)
{
}

static TestSource *
source_new (const char *commits)
{
  TestSource *self = g_new0 (TestSource, 1);

  self->parent.klass = &test_source_class;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->commits = g_strdup (commits);
  return self;
}

static void
give (TestSource *self, const char *commits)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_free (self->commits);
  self->commits = g_strdup (commits);
}

static void
hang (TestSource *self, gboolean hangs)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->hangs = hangs;
  g_cond_broadcast (&self->changed);
}

static guint
count_fetches (TestSource *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->n_fetches;
}

static CisRefresher *
refresher_new (CisPart *part, TestSource *first, TestSource *second, gint64 ttl, gint64 max_age)
{
  g_autoptr (GPtrArray) sources = g_ptr_array_new ();

  g_ptr_array_add (sources, first);
  if (second != NULL)
    g_ptr_array_add (sources, second);
  return cis_refresher_new (part, sources, "main", 3, ttl, max_age, NULL);
}

static CisRefresherAnswer
ask_within (CisRefresher *refresher, char digit, gint64 wait, GCancellable *cancellable)
{
  g_autofree char *commit = g_strnfill (40, digit);
  g_autoptr (CisWindow) window = NULL;

  return cis_refresher_ask (refresher, commit, wait, &window, cancellable);
}

static CisRefresherAnswer
ask (CisRefresher *refresher, char digit)
{
  return ask_within (refresher, digit, WAIT, NULL);
}

static CisPart *
part_new (void)
{
  return g_object_new (test_stage_get_type (), "name", "window", NULL);
}

static void
test_pushed (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cba");
  g_autoptr (CisRefresher) refresher = refresher_new (part, source, NULL, NEVER, NEVER);

  g_assert_cmpint (ask (refresher, 'b'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask (refresher, 'd'), ==, CIS_REFRESHER_OUTSIDE);
  give (source, "dcb");
  g_assert_cmpint (ask (refresher, 'd'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_OUTSIDE);
}

static void
test_ttl (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cba");
  g_autoptr (CisRefresher) refresher = refresher_new (part, source, NULL, 20000, NEVER);

  test_wait_for (count_fetches (source) >= 5);
}

/* A known commit costs no fetch. */
static void
test_off_path (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cba");
  g_autoptr (CisRefresher) refresher = refresher_new (part, source, NULL, NEVER, NEVER);
  gint64 end;

  g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_INSIDE);
  /* Long enough for three more. */
  end = g_get_monotonic_time () + 800 * G_TIME_SPAN_MILLISECOND;
  while (g_get_monotonic_time () < end)
    g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_INSIDE);
  /* The one at the start, and one that the first question asked for while it was under way. */
  g_assert_cmpuint (count_fetches (source), <=, 2);
}

static void
test_kept (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cba");
  g_autoptr (CisRefresher) refresher = refresher_new (part, source, NULL, NEVER, NEVER);

  g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_INSIDE);
  give (source, NULL);
  g_assert_cmpint (ask (refresher, 'd'), ==, CIS_REFRESHER_UNKNOWN);
  g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_INSIDE);
  give (source, "");
  g_assert_cmpint (ask (refresher, 'd'), ==, CIS_REFRESHER_UNKNOWN);
}

static void
test_fallback (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) first = source_new (NULL);
  g_autoptr (TestSource) second = source_new ("cba");
  g_autoptr (CisRefresher) refresher = refresher_new (part, first, second, NEVER, NEVER);

  g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask (refresher, 'd'), ==, CIS_REFRESHER_UNKNOWN);
  give (first, "edc");
  g_assert_cmpint (ask (refresher, 'd'), ==, CIS_REFRESHER_INSIDE);
  /* The first one is back, so the fallback's word counts no more. */
  g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_OUTSIDE);
  /* What the first one gave before it failed is kept, beside the fallback's. */
  give (first, NULL);
  g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask (refresher, 'e'), ==, CIS_REFRESHER_INSIDE);
}

/* However long the source is away, code does not become recent by that. */
static void
test_too_old (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cba");
  g_autoptr (CisRefresher) refresher = refresher_new (part, source, NULL, 10000, 200000);
  g_autofree char *commit = g_strnfill (40, 'c');

  g_assert_cmpint (ask (refresher, 'c'), ==, CIS_REFRESHER_INSIDE);
  hang (source, TRUE); /* it is asked again, and has not answered yet */
  for (guint i = 0; i < 40; i++, g_usleep (10000))
    g_assert_true (cis_refresher_knows (refresher, commit));
  give (source, NULL);
  hang (source, FALSE);
  test_wait_for (!cis_refresher_knows (refresher, commit));
  g_assert_cmpint (ask (refresher, 'c'), ==, CIS_REFRESHER_UNKNOWN);
  give (source, "cba");
  g_assert_cmpint (ask (refresher, 'c'), ==, CIS_REFRESHER_INSIDE);
}

/* What a ping is told. */
static void
assert_told (CisRefresher *refresher, char digit, const char *expected, gint64 position)
{
  g_autofree char *commit = g_strnfill (40, digit);
  g_autofree char *source = NULL;
  g_autoptr (CisWindow) window = NULL;

  g_assert_cmpint (cis_refresher_ask (refresher, commit, WAIT, &window, NULL), ==, CIS_REFRESHER_INSIDE);
  source = cis_window_describe_source (window);
  g_assert_cmpstr (source, ==, expected);
  g_assert_cmpint (cis_window_get_position (window, commit), ==, position);
}

/* The first one's last word admits for as long as it is away, but where a commit stands the fallback knows
 * better. */
static void
test_told_by_the_newest (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) first = source_new ("cba");
  g_autoptr (TestSource) second = source_new ("dcb");
  g_autoptr (CisRefresher) refresher = refresher_new (part, first, second, NEVER, NEVER);

  assert_told (refresher, 'c', "test", 0);
  give (first, NULL);
  assert_told (refresher, 'd', "test-fallback", 0);
  assert_told (refresher, 'c', "test-fallback", 1);
  assert_told (refresher, 'a', "test", 2);
  give (first, "edc");
  assert_told (refresher, 'e', "test", 0);
  assert_told (refresher, 'c', "test", 2);
}

static void
test_cut (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cb");
  g_autoptr (CisRefresher) refresher = NULL;

  source->cut = TRUE;
  refresher = refresher_new (part, source, NULL, NEVER, NEVER);
  g_assert_cmpint (ask (refresher, 'b'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask (refresher, 'a'), ==, CIS_REFRESHER_UNKNOWN);
}

/* A fetch that began before the question may have missed what was pushed meanwhile. */
static void
test_begun_before (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cba");
  g_autoptr (CisRefresher) refresher = NULL;

  source->hangs = TRUE;
  refresher = refresher_new (part, source, NULL, NEVER, NEVER);
  test_wait_for (count_fetches (source) == 1);
  g_assert_cmpint (ask_within (refresher, 'd', G_TIME_SPAN_MILLISECOND, NULL), ==, CIS_REFRESHER_UNKNOWN);
  hang (source, FALSE);
  g_assert_cmpint (ask (refresher, 'd'), ==, CIS_REFRESHER_OUTSIDE);
  /* A second one may have begun before the last question, too. */
  g_assert_cmpuint (count_fetches (source), >=, 2);
}

static gpointer
cancel_soon (gpointer cancellable)
{
  g_usleep (10000);
  g_cancellable_cancel (cancellable);
  return NULL;
}

static void
test_cancelled (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cba");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (CisRefresher) refresher = NULL;
  GThread *thread;

  source->hangs = TRUE;
  refresher = refresher_new (part, source, NULL, NEVER, NEVER);
  thread = g_thread_new ("cancel", cancel_soon, cancellable);
  /* The source never answers, so only the cancellation ends this. */
  g_assert_cmpint (ask_within (refresher, 'd', NEVER, cancellable), ==, CIS_REFRESHER_UNKNOWN);
  g_thread_join (thread);
  hang (source, FALSE);
}

static gpointer
ask_unknown (gpointer refresher)
{
  return GINT_TO_POINTER (ask (refresher, 'd'));
}

/* Many unknown commits at once share their fetches. */
static void
test_shared (void)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new ("cba");
  g_autoptr (CisRefresher) refresher = refresher_new (part, source, NULL, NEVER, NEVER);
  gint64 begin = g_get_monotonic_time ();
  GThread *threads[32];

  for (guint round = 0; round < 2; round++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        threads[i] = g_thread_new ("ask", ask_unknown, refresher);
      for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (threads[i])), ==, CIS_REFRESHER_OUTSIDE);
    }
  /* At most four a second, however slow the machine. */
  g_assert_cmpuint (count_fetches (source), <=,
                    2 + (g_get_monotonic_time () - begin) * 4 / G_TIME_SPAN_SECOND);
}

static CisRefresher *
refresher_new_saved (CisPart *part, const char *tree, TestSource *first, TestSource *second, const char *of,
                     gint64 max_age)
{
  g_autoptr (GPtrArray) sources = g_ptr_array_new ();
  g_autofree char *path = g_build_filename (tree, "state", "window.json", NULL);

  g_ptr_array_add (sources, first);
  if (second != NULL)
    g_ptr_array_add (sources, second);
  return cis_refresher_new (part, sources, "main", 3, NEVER, max_age,
                            cis_saved_window_new (path, of, max_age));
}

/* One run of a receiver that asks for @digit. */
static CisRefresherAnswer
ask_in_new_run (const char *tree, const char *first, const char *second, const char *of, gint64 max_age,
                char digit)
{
  g_autoptr (CisPart) part = part_new ();
  g_autoptr (TestSource) source = source_new (first);
  g_autoptr (TestSource) other = second != NULL ? source_new (second) : NULL;
  g_autoptr (CisRefresher) refresher = refresher_new_saved (part, tree, source, other, of, max_age);

  return ask (refresher, digit);
}

/* What an earlier run left admits and never refuses. */
static void
test_saved (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *saved = NULL;

  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'c'), ==, CIS_REFRESHER_UNKNOWN);
  g_assert_cmpint (ask_in_new_run (tree, "cba", NULL, "main", NEVER, 'c'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'c'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'd'), ==, CIS_REFRESHER_UNKNOWN);
  /* A fallback's word does not take its place, and both count. */
  g_assert_cmpint (ask_in_new_run (tree, NULL, "fed", "main", NEVER, 'd'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'c'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'd'), ==, CIS_REFRESHER_UNKNOWN);
  /* Of another repository, or too old. */
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "other", NEVER, 'c'), ==, CIS_REFRESHER_UNKNOWN);
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", 0, 'c'), ==, CIS_REFRESHER_UNKNOWN);
  /* The first source's word is the last one. */
  g_assert_cmpint (ask_in_new_run (tree, "fed", NULL, "main", NEVER, 'f'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'c'), ==, CIS_REFRESHER_UNKNOWN);
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'f'), ==, CIS_REFRESHER_INSIDE);
}

static void
test_saved_garbage (void)
{
  static const char *const garbage[] = {
    "",
    "{",
    "[]",
    "{\"of\":\"main\",\"saved_at\":99999999999}",
    "{\"of\":\"main\",\"saved_at\":99999999999,\"commits\":[\"x\"],\"times\":[1]}",
    "{\"of\":\"main\",\"saved_at\":99999999999,\"commits\":[],\"times\":[]}"
  };

  for (guint i = 0; i < G_N_ELEMENTS (garbage); i++)
    {
      g_autoptr (TestTree) tree = test_tree_new ();

      test_write (tree, "state/window.json", garbage[i]);
      g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'c'), ==, CIS_REFRESHER_UNKNOWN);
      g_assert_cmpint (ask_in_new_run (tree, "cba", NULL, "main", NEVER, 'c'), ==, CIS_REFRESHER_INSIDE);
      g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", NEVER, 'c'), ==, CIS_REFRESHER_INSIDE);
    }
}

static void
test_saved_ahead (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  test_write (tree, "state/window.json",
              "{\"of\":\"main\",\"saved_at\":4000000000,"
              "\"commits\":[\"cccccccccccccccccccccccccccccccccccccccc\"],\"times\":[1]}");
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", G_MAXINT64, 'c'), ==, CIS_REFRESHER_INSIDE);
  g_assert_cmpint (ask_in_new_run (tree, NULL, NULL, "main", G_TIME_SPAN_DAY, 'c'), ==,
                   CIS_REFRESHER_UNKNOWN);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_writer_default_set_use_stderr (TRUE);
  /* A fallback is told by a warning, which ends no test. */
  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
  g_test_add_func ("/refresher/pushed", test_pushed);
  g_test_add_func ("/refresher/ttl", test_ttl);
  g_test_add_func ("/refresher/off-path", test_off_path);
  g_test_add_func ("/refresher/kept", test_kept);
  g_test_add_func ("/refresher/fallback", test_fallback);
  g_test_add_func ("/refresher/too-old", test_too_old);
  g_test_add_func ("/refresher/told-by-the-newest", test_told_by_the_newest);
  g_test_add_func ("/refresher/cut", test_cut);
  g_test_add_func ("/refresher/begun-before", test_begun_before);
  g_test_add_func ("/refresher/cancelled", test_cancelled);
  g_test_add_func ("/refresher/shared", test_shared);
  g_test_add_func ("/refresher/saved", test_saved);
  g_test_add_func ("/refresher/saved-garbage", test_saved_garbage);
  g_test_add_func ("/refresher/saved-ahead", test_saved_ahead);
  return g_test_run ();
}
