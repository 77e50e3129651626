/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `git rev-list --max-count=N BRANCH` prints, as far as libgit2 can know it.
 *
 * The walk is our own: libgit2 1.5 knows nothing of a shallow clone's edge and fails there, and its
 * time-sorted walk reads the whole history first. A commit's id stands for all of its history, so a branch
 * that has the same head as before is not walked again.
 */
#include "walk.h"

/* A shallow clone has few edges. */
#define SHALLOW_MAX (16 * 1024 * 1024)

struct _CisWalker
{
  char *repository;
  gint64 until;            /* seconds since 1970 */
  gboolean has_extensions; /* git is asked, and libgit2 no more */
  /* The last window that was not cut: the last_n commits that end at last_head. */
  CisWindow *last; /* nullable */
  git_oid last_head;
  guint last_n;
};

/* What the walk has still to visit: newest first, and first come first served within a second. */
typedef struct
{
  git_commit *commit;
  guint64 order;
} Candidate;

typedef struct
{
  git_repository *repository;
  GHashTable *seen;    /* ids as strings */
  GHashTable *shallow; /* ids whose parents a shallow clone has left out */
  GSequence *candidates;
  guint64 n_seen;
} Walk;

/* The repository's own, which a push moves, and a fetch into a mirror; else what was fetched into a clone. */
static gboolean
find_branch (git_repository *repository, const char *branch, git_oid *head)
{
  static const char *const prefixes[] = { "refs/heads/", "refs/remotes/origin/" };
  int rc = GIT_ENOTFOUND;

  for (guint i = 0; i < G_N_ELEMENTS (prefixes) && rc == GIT_ENOTFOUND; i++)
    {
      g_autofree char *name = g_strconcat (prefixes[i], branch, NULL);

      rc = git_reference_name_to_id (head, repository, name);
    }
  return rc == 0;
}

GHashTable *
cis_walker_read_shallow (const char *path, GError **error)
{
  g_autoptr (GHashTable) shallow = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GError) problem = NULL;
  g_autofree char *text = cis_text_read (path, SHALLOW_MAX, &problem);
  g_auto (GStrv) lines = NULL;

  if (text == NULL)
    {
      if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        return g_steal_pointer (&shallow);
      g_propagate_error (error, g_steal_pointer (&problem));
      return NULL;
    }
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (cis_hex_is_valid (lines[i], CIS_COMMIT_LENGTH))
      g_hash_table_add (shallow, g_strdup (lines[i]));
  return g_steal_pointer (&shallow);
}

static void
candidate_free (gpointer data)
{
  Candidate *candidate = data;

  git_commit_free (candidate->commit);
  g_free (candidate);
}

static int
candidate_compare (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const Candidate *first = a;
  const Candidate *second = b;
  git_time_t first_time = git_commit_time (first->commit);
  git_time_t second_time = git_commit_time (second->commit);

  if (first_time != second_time)
    return first_time > second_time ? -1 : 1;
  return first->order < second->order ? -1 : 1;
}

static void
walk_clear (Walk *walk)
{
  g_clear_pointer (&walk->seen, g_hash_table_unref);
  g_clear_pointer (&walk->shallow, g_hash_table_unref);
  g_clear_pointer (&walk->candidates, g_sequence_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Walk, walk_clear)

static gboolean
walk_push (Walk *walk, const git_oid *id)
{
  g_autofree char *hex = g_strdup (git_oid_tostr_s (id));
  g_autoptr (git_commit) commit = NULL;
  Candidate *candidate;

  if (!g_hash_table_add (walk->seen, g_steal_pointer (&hex)))
    return TRUE;
  if (git_commit_lookup (&commit, walk->repository, id) < 0)
    return FALSE;
  candidate = g_new0 (Candidate, 1);
  candidate->commit = g_steal_pointer (&commit);
  candidate->order = walk->n_seen++;
  g_sequence_insert_sorted (walk->candidates, candidate, candidate_compare, NULL);
  return TRUE;
}

/* Takes the newest candidate into the window (where it is old enough); its parents become candidates where
 * the walk goes on. */
static gboolean
walk_step (Walk *walk, CisWindow *window, gint64 until, guint n)
{
  GSequenceIter *first = g_sequence_get_begin_iter (walk->candidates);
  Candidate *candidate = g_sequence_get (first);
  gint64 time = git_commit_time (candidate->commit);
  gboolean last;
  char hex[GIT_OID_HEXSZ + 1];

  git_oid_tostr (hex, sizeof hex, git_commit_id (candidate->commit));
  if (time <= until)
    cis_window_append (window, hex, time);
  last = cis_window_get_length (window) >= n;
  /* What lies behind a shallow clone's edge belongs into the window, unless this commit was the last one of
   * it. */
  if (!last && g_hash_table_contains (walk->shallow, hex))
    cis_window_set_cut (window);
  else if (!last)
    for (guint i = 0; i < git_commit_parentcount (candidate->commit); i++)
      if (!walk_push (walk, git_commit_parent_id (candidate->commit, i)))
        return FALSE;
  g_sequence_remove (first);
  return TRUE;
}

static gboolean
walk_from (CisWalker *self, git_repository *repository, const git_oid *head, CisWindow *window, guint n,
           GCancellable *cancellable)
{
  g_autofree char *path = g_build_filename (git_repository_commondir (repository), "shallow", NULL);
  g_auto (Walk) walk = { .repository = repository, .shallow = cis_walker_read_shallow (path, NULL) };

  if (walk.shallow == NULL)
    return FALSE;
  walk.seen = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  walk.candidates = g_sequence_new (candidate_free);

  if (!walk_push (&walk, head))
    return FALSE;
  while (cis_window_get_length (window) < n && !g_sequence_is_empty (walk.candidates))
    if (g_cancellable_is_cancelled (cancellable) || !walk_step (&walk, window, self->until, n))
      return FALSE;
  return TRUE;
}

/* libgit2 knows nothing of what lets git see other parents than a commit names. */
static gboolean
is_plain (git_repository *repository)
{
  g_autofree char *grafts = g_build_filename (git_repository_commondir (repository), "info", "grafts", NULL);
  g_autoptr (git_reference_iterator) replacements = NULL;
  const char *name;

  return !g_file_test (grafts, G_FILE_TEST_EXISTS) &&
         git_reference_iterator_glob_new (&replacements, repository, "refs/replace/*") == 0 &&
         git_reference_next_name (&name, replacements) == GIT_ITEROVER;
}

/* On first use, as it takes 6 ms; for as long as the program lives, as threads come and go. */
static gpointer
start_libgit2 (gpointer data)
{
  return GINT_TO_POINTER (git_libgit2_init ());
}

/* Whether its configuration may name extensions: for each line that is none, libgit2 1.5 leaks some 20 KB,
 * each time that it opens the repository, and then it often gives up. */
static gboolean
has_extensions (git_repository *repository)
{
  g_autoptr (git_config) config = NULL;
  gint32 version = 0;

  return git_repository_config_snapshot (&config, repository) == 0 &&
         git_config_get_int32 (&version, config, "core.repositoryformatversion") == 0 && version > 0;
}

static git_repository *
open_repository (CisWalker *self)
{
  static GOnce once = G_ONCE_INIT;
  git_repository *repository = NULL;
  const git_error *failure;
  int rc;

  if (self->has_extensions || GPOINTER_TO_INT (g_once (&once, start_libgit2, NULL)) < 0)
    return NULL;
  rc = git_repository_open_ext (&repository, self->repository, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
  failure = rc == GIT_ERROR ? git_error_last () : NULL;
  self->has_extensions =
      rc == 0 ? has_extensions (repository) : failure != NULL && failure->klass == GIT_ERROR_REPOSITORY;
  return repository;
}

/* One that a shallow clone cut may be longer next time, though it has the same head. */
static void
remember (CisWalker *self, CisWindow *window, const git_oid *head, guint n)
{
  g_clear_pointer (&self->last, cis_window_unref);
  self->last = !cis_window_is_cut (window) ? cis_window_ref (window) : NULL;
  self->last_head = *head;
  self->last_n = n;
}

gboolean
cis_walker_fill (CisWalker *self, CisWindow *window, const char *branch, guint n, GCancellable *cancellable)
{
  g_autoptr (git_repository) repository = open_repository (self);
  git_oid head;

  if (repository == NULL || !is_plain (repository) || !find_branch (repository, branch, &head))
    return FALSE;
  if (self->last != NULL && self->last_n == n && git_oid_equal (&self->last_head, &head))
    {
      cis_window_append_all (window, self->last);
      return TRUE;
    }
  if (!walk_from (self, repository, &head, window, n, cancellable))
    return FALSE;
  remember (self, window, &head, n);
  return TRUE;
}

CisWalker *
cis_walker_new (const char *repository, gint64 until)
{
  CisWalker *self = g_new0 (CisWalker, 1);

  self->repository = g_strdup (repository);
  self->until = until;
  return self;
}

void
cis_walker_free (CisWalker *self)
{
  g_clear_pointer (&self->last, cis_window_unref);
  g_free (self->repository);
  g_free (self);
}
