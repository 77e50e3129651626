/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "history.h"

#include <string.h>

/* A grant for more than this names the wrong commits. */
#define RANGE_MAX 100000

G_DEFINE_QUARK (cis_history_error_quark, cis_history_error)

gboolean
cis_history_set_error (GError **error, CisHistoryError code, const char *what)
{
  const git_error *last = git_error_last ();

  g_set_error (error, CIS_HISTORY_ERROR, code, "%s: %s", what,
               last != NULL && last->message != NULL ? last->message : "libgit2 gives no reason");
  return FALSE;
}

/* On first use, as it takes 6 ms; for as long as the program lives, as threads come and go. */
static gpointer
start_libgit2 (gpointer data)
{
  return GINT_TO_POINTER (git_libgit2_init ());
}

/* libgit2 1.5 says "not found" where no configuration has a safe.directory at all. Unlike git, it takes no
 * "*". */
static gboolean
is_owner_problem (int rc)
{
  const git_error *last = git_error_last ();

  return rc == GIT_EOWNER || (rc == GIT_ENOTFOUND && last != NULL && last->message != NULL &&
                              strstr (last->message, "safe.directory"));
}

git_repository *
cis_history_open (const char *path, GError **error)
{
  static GOnce once = G_ONCE_INIT;
  g_autofree char *what = g_strdup_printf ("cannot open the repository %s", path);
  git_repository *repository = NULL;
  int rc = GPOINTER_TO_INT (g_once (&once, start_libgit2, NULL));

  if (rc >= 0)
    rc = git_repository_open_ext (&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
  if (is_owner_problem (rc))
    {
      g_set_error (
          error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_OWNER,
          "%s: it belongs to another user, and no safe.directory is exactly its path (* is not enough)",
          what);
      return NULL;
    }
  if (rc < 0)
    return cis_history_set_error (error, CIS_HISTORY_ERROR_REPOSITORY, what), NULL;
  return repository;
}

/* Whoever is refused waits for the count, which would walk all of a long history for a commit that is not in
 * it. A walk without an order reads no more than it gives. */
static gboolean
is_near (git_repository *repository, const git_oid *commit, const git_oid *head)
{
  g_autoptr (git_revwalk) walk = NULL;
  git_oid id;

  if (git_revwalk_new (&walk, repository) < 0 || git_revwalk_push (walk, head) < 0)
    return FALSE;
  for (guint i = 0; i <= CIS_HISTORY_BEHIND_MAX && git_revwalk_next (&id, walk) == 0; i++)
    if (git_oid_equal (&id, commit))
      return TRUE;
  return FALSE;
}

gint64
cis_history_count_behind (const char *path, const char *commit, const char *head)
{
  g_autoptr (git_repository) repository = cis_history_open (path, NULL);
  git_oid mine, theirs;
  size_t ahead, behind;

  if (repository == NULL || git_oid_fromstr (&mine, commit) < 0 || git_oid_fromstr (&theirs, head) < 0 ||
      !is_near (repository, &mine, &theirs) ||
      git_graph_ahead_behind (&ahead, &behind, repository, &mine, &theirs) < 0)
    return -1;
  return (gint64) behind;
}

/* An annotated tag's id stands for the commit that it names. */
static gboolean
find_commit (git_repository *repository, const char *hex, git_oid *id, GError **error)
{
  g_autofree char *what = g_strdup_printf ("no commit %s in %s", hex, git_repository_path (repository));
  g_autoptr (git_object) object = NULL;
  g_autoptr (git_object) commit = NULL;
  git_oid named;

  if (git_oid_fromstr (&named, hex) < 0 ||
      git_object_lookup (&object, repository, &named, GIT_OBJECT_ANY) < 0 ||
      git_object_peel (&commit, object, GIT_OBJECT_COMMIT) < 0)
    return cis_history_set_error (error, CIS_HISTORY_ERROR_COMMIT, what);
  git_oid_cpy (id, git_object_id (commit));
  return TRUE;
}

GPtrArray *
cis_history_list_range (const char *path, const char *from, const char *to, GError **error)
{
  g_autoptr (GPtrArray) commits = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (git_repository) repository = cis_history_open (path, error);
  g_autoptr (git_revwalk) walk = NULL;
  git_oid first, last;
  int rc;

  if (repository == NULL || !find_commit (repository, to, &last, error) ||
      (from != NULL && !find_commit (repository, from, &first, error)))
    return NULL;
  if (from == NULL)
    {
      g_ptr_array_add (commits, g_strdup (git_oid_tostr_s (&last)));
      return g_steal_pointer (&commits);
    }
  if (git_revwalk_new (&walk, repository) < 0 || git_revwalk_push (walk, &last) < 0 ||
      git_revwalk_hide (walk, &first) < 0)
    return cis_history_set_error (error, CIS_HISTORY_ERROR_COMMIT, "cannot walk the range"), NULL;
  while ((rc = git_revwalk_next (&last, walk)) == 0 && commits->len <= RANGE_MAX)
    g_ptr_array_add (commits, g_strdup (git_oid_tostr_s (&last)));
  if (rc != 0 && rc != GIT_ITEROVER)
    return cis_history_set_error (error, CIS_HISTORY_ERROR_COMMIT, "cannot walk the range"), NULL;
  if (commits->len > 0 && commits->len <= RANGE_MAX)
    return g_steal_pointer (&commits);
  g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_COMMIT, "the range %.12s..%.12s has %s", from, to,
               commits->len == 0 ? "no commits" : "over 100000 commits");
  return NULL;
}
