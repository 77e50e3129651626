/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The window out of a local repository: what `git rev-list --max-count=N BRANCH` prints.
 *
 * The walk is our own: libgit2 1.5 knows nothing of a shallow clone's edge and fails there, and its
 * time-sorted walk reads the whole history first. A commit's id stands for all of its history, so a branch
 * that has the same head as before is not walked again.
 */
#include "history.h"
#include "source.h"

#include <stdlib.h>

/* A shallow clone has few edges. */
#define SHALLOW_MAX (16 * 1024 * 1024)

typedef struct
{
  CisWindowSource parent;
  char *repository;
  gint64 until; /* seconds since 1970 */
  /* The last window that was not cut: the last_n commits that end at last_head. */
  CisWindow *last; /* nullable */
  git_oid last_head;
  guint last_n;
} CisWindowSourceGit;

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
find_branch (git_repository *repository, const char *branch, git_oid *head, GError **error)
{
  static const char *const prefixes[] = { "refs/heads/", "refs/remotes/origin/" };
  g_autofree char *what = g_strdup_printf ("no branch %s in %s", branch, git_repository_path (repository));
  int rc = GIT_ENOTFOUND;

  for (guint i = 0; i < G_N_ELEMENTS (prefixes) && rc == GIT_ENOTFOUND; i++)
    {
      g_autofree char *name = g_strconcat (prefixes[i], branch, NULL);

      rc = git_reference_name_to_id (head, repository, name);
    }
  return rc == 0 ? TRUE : cis_history_set_error (error, CIS_HISTORY_ERROR_BRANCH, what);
}

/* The commits at which a shallow clone ends, one id a line; see gitrepository-layout(5). */
static GHashTable *
read_shallow (git_repository *repository, GError **error)
{
  g_autoptr (GHashTable) shallow = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *path = g_build_filename (git_repository_commondir (repository), "shallow", NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) problem = NULL;
  g_auto (GStrv) lines = NULL;

  text = cis_text_read (path, SHALLOW_MAX, &problem);
  if (text == NULL)
    {
      if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        return g_steal_pointer (&shallow);
      g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_COMMIT, "%s", problem->message);
      return NULL;
    }
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (cis_hex_is_valid (lines[i], GIT_OID_HEXSZ))
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
walk_push (Walk *walk, const git_oid *id, GError **error)
{
  g_autofree char *hex = g_strdup (git_oid_tostr_s (id));
  g_autofree char *what = g_strdup_printf ("cannot read the commit %s", hex);
  g_autoptr (git_commit) commit = NULL;
  Candidate *candidate;

  if (!g_hash_table_add (walk->seen, g_steal_pointer (&hex)))
    return TRUE;
  if (git_commit_lookup (&commit, walk->repository, id) < 0)
    return cis_history_set_error (error, CIS_HISTORY_ERROR_COMMIT, what);
  candidate = g_new0 (Candidate, 1);
  candidate->commit = g_steal_pointer (&commit);
  candidate->order = walk->n_seen++;
  g_sequence_insert_sorted (walk->candidates, candidate, candidate_compare, NULL);
  return TRUE;
}

/* Takes the newest candidate into the window (where it is old enough); its parents become candidates where
 * the walk goes on. */
static gboolean
walk_step (Walk *walk, CisWindow *window, gint64 until, guint n, GError **error)
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
      if (!walk_push (walk, git_commit_parent_id (candidate->commit, i), error))
        return FALSE;
  g_sequence_remove (first);
  return TRUE;
}

static gboolean
walk_from (CisWindowSourceGit *self, git_repository *repository, const git_oid *head, CisWindow *window,
           guint n, GCancellable *cancellable, GError **error)
{
  g_auto (Walk) walk = { .repository = repository };

  walk.shallow = read_shallow (repository, error);
  if (walk.shallow == NULL)
    return FALSE;
  walk.seen = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  walk.candidates = g_sequence_new (candidate_free);

  if (!walk_push (&walk, head, error))
    return FALSE;
  while (cis_window_get_length (window) < n && !g_sequence_is_empty (walk.candidates))
    if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
        !walk_step (&walk, window, self->until, n, error))
      return FALSE;
  return TRUE;
}

/* One that a shallow clone cut may be longer next time, though it has the same head. */
static void
remember (CisWindowSourceGit *self, CisWindow *window, const git_oid *head, guint n)
{
  g_clear_pointer (&self->last, cis_window_unref);
  self->last = !cis_window_is_cut (window) ? cis_window_ref (window) : NULL;
  self->last_head = *head;
  self->last_n = n;
}

static gboolean
cis_window_source_git_fetch (CisWindowSource *source, CisWindow *window, const char *branch, guint n,
                             GCancellable *cancellable, GError **error)
{
  CisWindowSourceGit *self = (CisWindowSourceGit *) source;
  g_autoptr (git_repository) repository = cis_history_open (self->repository, error);
  git_oid head;

  if (repository == NULL || !find_branch (repository, branch, &head, error))
    return FALSE;
  if (self->last != NULL && self->last_n == n && git_oid_equal (&self->last_head, &head))
    {
      cis_window_append_all (window, self->last);
      return TRUE;
    }
  if (!walk_from (self, repository, &head, window, n, cancellable, error))
    return FALSE;
  if (self->until != G_MAXINT64 && cis_window_get_length (window) == 0)
    {
      g_autofree char *until = cis_time_to_string (self->until * G_USEC_PER_SEC);

      g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_EARLY, "%s has no commits before %s", branch,
                   until);
      return FALSE;
    }
  remember (self, window, &head, n);
  return TRUE;
}

static char *
cis_window_source_git_suggest (CisWindowSource *source, const char *branch, const GError *error)
{
  const char *repository = ((CisWindowSourceGit *) source)->repository;
  g_autofree char *path = g_shell_quote (repository);

  if (error == NULL)
    return g_strdup_printf ("git -C %s fetch --unshallow", path);
  if (g_error_matches (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_OWNER))
    {
      /* It is compared with the path that has no symlinks. */
      g_autofree char *real = realpath (repository, NULL);
      g_autofree char *quoted = g_shell_quote (real != NULL ? real : repository);

      return g_strdup_printf ("git config --system --add safe.directory %s", quoted);
    }
  /* A bare clone and one of a single branch would go on without it. */
  if (g_error_matches (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_BRANCH))
    {
      g_autofree char *name = g_shell_quote (branch);
      g_autofree char *mapping = g_strdup_printf ("+refs/heads/%s:refs/remotes/origin/%s", branch, branch);
      g_autofree char *quoted = g_shell_quote (mapping);

      return g_strdup_printf ("git -C %s fetch origin %s && "
                              "git -C %s config --add remote.origin.fetch %s && "
                              "git -C %s fetch origin\n"
                              "# or name another branch in cis490.ini: [site] branch=…",
                              path, name, path, quoted, path);
    }
  if (g_error_matches (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_COMMIT))
    return g_strdup_printf ("git -C %s fsck", path);
  return g_strdup_printf (
      "git clone --mirror ADDRESS-OF-THE-REPOSITORY %s\n"
      "# or name an existing one, that the user %s may read, in cis490.ini: [site] repository=…",
      path, g_get_user_name ());
}

static void
cis_window_source_git_free (CisWindowSource *source)
{
  CisWindowSourceGit *self = (CisWindowSourceGit *) source;

  g_clear_pointer (&self->last, cis_window_unref);
  g_free (self->repository);
  g_free (self);
}

static const CisWindowSourceClass git_class = {
  .name = "git",
  .fetch = cis_window_source_git_fetch,
  .suggest = cis_window_source_git_suggest,
  .free = cis_window_source_git_free,
};

CisWindowSource *
cis_window_source_git_new_at (const char *repository, gint64 until)
{
  CisWindowSourceGit *self = g_new0 (CisWindowSourceGit, 1);

  self->parent.klass = &git_class;
  self->repository = g_strdup (repository);
  self->until = until;
  return &self->parent;
}

CisWindowSource *
cis_window_source_git_new (const char *repository)
{
  return cis_window_source_git_new_at (repository, G_MAXINT64);
}
