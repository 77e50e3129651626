/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "history.h"

#include "../../shared/git.h"
#include "walk.h"

#include <string.h>

/* A grant for more than this names the wrong commits. */
#define RANGE_MAX 100000
/* Nobody waits for it but the refresher and who is refused, and of these each has a deadline. */
#define TIMEOUT (30 * G_TIME_SPAN_SECOND)
/* A commit and its time, or the name of a branch. */
#define LINE_LENGTH_MAX 512

G_DEFINE_QUARK (cis_history_error_quark, cis_history_error)

/* Why git gives no answer, in words for whoever reads the finding. @code: where it says nothing more certain.
 */
static void
set_error (GError **error, CisHistoryError code, const char *path, const GError *problem)
{
  if (problem->domain == G_IO_ERROR)
    g_propagate_error (error, g_error_copy (problem));
  else if (g_error_matches (problem, CIS_GIT_ERROR, CIS_GIT_ERROR_OWNER))
    g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_OWNER,
                 "cannot open the repository %s: it belongs to another user, and no safe.directory names it",
                 path);
  else if (g_error_matches (problem, CIS_GIT_ERROR, CIS_GIT_ERROR_MISSING))
    g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_GIT,
                 "cannot open the repository %s: it takes git, and %s", path, problem->message);
  else if (g_error_matches (problem, CIS_GIT_ERROR, CIS_GIT_ERROR_REPOSITORY) ||
           code == CIS_HISTORY_ERROR_REPOSITORY)
    g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_REPOSITORY, "cannot open the repository %s: %s",
                 path, problem->message);
  else
    g_set_error (error, CIS_HISTORY_ERROR, code, "cannot read the commits of %s: %s", path, problem->message);
}

/* Up to @n_lines of what git prints. @code: what is wrong where git fails. full. */
static GStrv
ask (const char *path, guint n_lines, CisHistoryError code, const char *const *arguments,
     GCancellable *cancellable, GError **error)
{
  const CisGit git = { .folder = path, .timeout = TIMEOUT, .max = (gsize) n_lines * LINE_LENGTH_MAX };
  g_autoptr (GError) problem = NULL;
  g_autofree char *said = cis_git_ask (&git, arguments, cancellable, &problem);
  gsize length = said != NULL ? strlen (said) : 0;

  if (said == NULL)
    {
      set_error (error, code, path, problem);
      return NULL;
    }
  if (length > 0 && said[length - 1] == '\n')
    said[length - 1] = '\0';
  return g_strsplit (said, "\n", -1);
}

#define ASK(path, n_lines, code, cancellable, error, ...)                                                    \
  ask (path, n_lines, code, (const char *const[]){ __VA_ARGS__, NULL }, cancellable, error)

/* The repository's own, which a push moves, and a fetch into a mirror; else what was fetched into a clone.
 * The commit's id; full. */
static char *
find_branch (const char *path, const char *branch, GCancellable *cancellable, GError **error)
{
  g_autofree char *own = g_strconcat ("refs/heads/", branch, NULL);
  g_autofree char *fetched = g_strconcat ("refs/remotes/origin/", branch, NULL);
  g_auto (GStrv) lines = ASK (path, 1000, CIS_HISTORY_ERROR_REPOSITORY, cancellable, error, "for-each-ref",
                              "--format=%(objectname) %(refname)", own, fetched);
  const char *found = NULL;

  if (lines == NULL)
    return NULL;
  for (char **line = lines; *line != NULL; line++)
    {
      char *name = strchr (*line, ' ');

      if (name == NULL)
        continue;
      *name++ = '\0';
      if (g_str_equal (name, own) || (g_str_equal (name, fetched) && found == NULL))
        found = *line;
    }
  if (found == NULL)
    g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_BRANCH, "no branch %s in %s", branch, path);
  else if (!cis_hex_is_valid (found, CIS_COMMIT_LENGTH))
    g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_FORMAT,
                 "the repository %s names its commits by SHA-256, and requests name theirs by SHA-1", path);
  else
    return g_strdup (found);
  return NULL;
}

/* What lies behind a shallow clone's edge belongs into the window, unless this commit was the last one of it.
 */
static gboolean
find_cut (const char *path, CisWindow *window, guint n, GCancellable *cancellable, GError **error)
{
  g_auto (GStrv) file = ASK (path, 10, CIS_HISTORY_ERROR_REPOSITORY, cancellable, error, "rev-parse",
                             "--path-format=absolute", "--git-path", "shallow");
  g_autoptr (GError) problem = NULL;
  g_autoptr (GHashTable) shallow = file != NULL ? cis_walker_read_shallow (file[0], &problem) : NULL;

  if (problem != NULL)
    g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_COMMIT, "%s", problem->message);
  if (shallow == NULL)
    return FALSE;
  for (guint i = 0; i < MIN (cis_window_get_length (window), n - 1); i++)
    if (g_hash_table_contains (shallow, cis_window_get_commit (window, i)))
      cis_window_set_cut (window);
  return TRUE;
}

gboolean
cis_history_list (const char *path, const char *branch, guint n, gint64 until, CisWindow *window,
                  GCancellable *cancellable, GError **error)
{
  g_autofree char *head = find_branch (path, branch, cancellable, error);
  g_autofree char *most = g_strdup_printf ("--max-count=%u", n);
  g_autofree char *oldest = g_strdup_printf ("--min-age=%" G_GINT64_FORMAT, until);
  g_auto (GStrv) lines = head != NULL
                             ? ASK (path, n + 1, CIS_HISTORY_ERROR_COMMIT, cancellable, error, "rev-list",
                                    "--timestamp", most, until < G_MAXINT64 ? oldest : most, head)
                             : NULL;

  for (char **line = lines; line != NULL && *line != NULL; line++)
    {
      char *commit;
      gint64 time = g_ascii_strtoll (*line, &commit, 10);

      if (*commit == ' ' && cis_hex_is_valid (commit + 1, CIS_COMMIT_LENGTH))
        cis_window_append (window, commit + 1, time);
    }
  return lines != NULL && find_cut (path, window, n, cancellable, error);
}

/* Whoever is refused waits for the count, which would walk all of a long history for a commit that is not in
 * it. */
static gboolean
is_near (const char *path, const char *commit, const char *head)
{
  g_autofree char *most = g_strdup_printf ("--max-count=%d", CIS_HISTORY_BEHIND_MAX + 1);
  g_auto (GStrv) commits =
      ASK (path, CIS_HISTORY_BEHIND_MAX + 2, CIS_HISTORY_ERROR_COMMIT, NULL, NULL, "rev-list", most, head);

  return commits != NULL && g_strv_contains ((const char *const *) commits, commit);
}

gint64
cis_history_count_behind (const char *path, const char *commit, const char *head)
{
  g_autofree char *range = g_strconcat (commit, "..", head, NULL);
  g_auto (GStrv) count = is_near (path, commit, head) ? ASK (path, 1, CIS_HISTORY_ERROR_COMMIT, NULL, NULL,
                                                             "rev-list", "--count", range)
                                                      : NULL;

  return count != NULL ? g_ascii_strtoll (count[0], NULL, 10) : -1;
}

char *
cis_history_find (const char *path, const char *revision, GError **error)
{
  g_autofree char *name = g_strconcat (revision, "^{commit}", NULL);
  g_auto (GStrv) commit =
      ASK (path, 2, CIS_HISTORY_ERROR_COMMIT, NULL, error, "rev-parse", "--verify", "--end-of-options", name);

  return commit != NULL ? g_strdup (commit[g_strv_length (commit) - 1]) : NULL;
}

GPtrArray *
cis_history_list_range (const char *path, const char *from, const char *to, GError **error)
{
  g_autoptr (GPtrArray) commits = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *last = cis_history_find (path, to, error);
  g_autofree char *first = last != NULL && from != NULL ? cis_history_find (path, from, error) : NULL;
  g_autofree char *most = g_strdup_printf ("--max-count=%d", RANGE_MAX + 1);
  g_autofree char *range = first != NULL ? g_strconcat (first, "..", last, NULL) : NULL;
  g_auto (GStrv) lines = NULL;

  if (last == NULL || (from != NULL && first == NULL))
    return NULL;
  if (from == NULL)
    {
      g_ptr_array_add (commits, g_steal_pointer (&last));
      return g_steal_pointer (&commits);
    }
  lines = ASK (path, RANGE_MAX + 2, CIS_HISTORY_ERROR_COMMIT, NULL, error, "rev-list", most, range);
  if (lines == NULL)
    return NULL;
  for (char **line = lines; *line != NULL; line++)
    if (cis_hex_is_valid (*line, CIS_COMMIT_LENGTH))
      g_ptr_array_add (commits, g_strdup (*line));
  if (commits->len > 0 && commits->len <= RANGE_MAX)
    return g_steal_pointer (&commits);
  g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_COMMIT, "the range %.12s..%.12s has %s", from, to,
               commits->len == 0 ? "no commits" : "over 100000 commits");
  return NULL;
}
