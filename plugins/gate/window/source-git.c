/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The window out of a local repository: what git says that the branch's last commits are.
 *
 * libgit2 gives it at once where it sees the repository as git does, which is nearly always. Else, as in a
 * clone that is partial or sparse, with a format or a trust that only git knows, git is asked.
 */
#include "history.h"
#include "source.h"
#include "walk.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  CisWindowSource parent;
  char *repository;
  gint64 until; /* seconds since 1970 */
  CisWalker *walker;
} CisWindowSourceGit;

/* What was found before git had to be asked is not its. */
static gboolean
cis_window_source_git_fetch (CisWindowSource *source, CisWindow *window, const char *branch, guint n,
                             GCancellable *cancellable, GError **error)
{
  CisWindowSourceGit *self = (CisWindowSourceGit *) source;
  g_autoptr (CisWindow) walked = cis_window_new ("git", cis_window_get_fetched_at (window));

  if (cis_walker_fill (self->walker, walked, branch, n, cancellable))
    {
      cis_window_append_all (window, walked);
      if (cis_window_is_cut (walked))
        cis_window_set_cut (window);
    }
  else if (g_cancellable_set_error_if_cancelled (cancellable, error) ||
           !cis_history_list (self->repository, branch, n, self->until, window, cancellable, error))
    return FALSE;
  if (self->until != G_MAXINT64 && cis_window_get_length (window) == 0)
    {
      g_autofree char *until = cis_time_to_string (self->until * G_USEC_PER_SEC);

      g_set_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_EARLY, "%s has no commits before %s", branch,
                   until);
      return FALSE;
    }
  return TRUE;
}

static gboolean
is_free (const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);

  return folder != NULL ? g_dir_read_name (folder) == NULL : g_access (path, F_OK) != 0;
}

/* A clone goes where nothing is; what is there stays. @path: quoted. */
static char *
suggest_repository (const char *repository, const char *path, const GError *error)
{
  g_autofree char *beside = g_strconcat (repository, ".mirror", NULL);
  g_autofree char *quoted = g_shell_quote (beside);
  const char *user = g_get_user_name ();

  if (g_access (repository, F_OK) == 0 && g_access (repository, R_OK | X_OK) != 0)
    return g_strdup_printf ("namei -l %s\n# %s has to be able to enter each of them, and to read the last",
                            path, user);
  if (is_free (repository))
    return g_strdup_printf (
        "git clone --mirror ADDRESS-OF-THE-REPOSITORY %s\n"
        "# or name an existing one, that the user %s may read, in cis490.ini: [site] repository=…",
        path, user);
  return g_strdup_printf ("# what is there cannot be used; in its place:\n"
                          "git clone --mirror ADDRESS-OF-THE-REPOSITORY %s\n"
                          "# and in cis490.ini: [site] repository=%s",
                          quoted, beside);
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
  if (g_error_matches (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_FORMAT))
    return g_strdup (
        "# the commits of requests are SHA-1's: the code has to be in a repository of that format,\n"
        "# which git init --object-format=sha1 makes");
  if (g_error_matches (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_GIT))
    return g_strdup ("apt-get install git");
  return suggest_repository (repository, path, error);
}

static void
cis_window_source_git_free (CisWindowSource *source)
{
  CisWindowSourceGit *self = (CisWindowSourceGit *) source;

  cis_walker_free (self->walker);
  g_free (self->repository);
  g_free (self);
}

static const CisWindowSourceClass git_class = {
  .name = "git",
  .fetch = cis_window_source_git_fetch,
  .suggest = cis_window_source_git_suggest,
  .free = cis_window_source_git_free,
};

gboolean
cis_window_source_git_check (const char *repository, GError **error)
{
  if (!cis_window_option_is_set (repository) || g_path_is_absolute (repository))
    {
      if (repository == NULL || *repository != '\0')
        return TRUE;
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG,
                           "repository= names no repository; it is a path such as /srv/git/experiments.git");
    }
  else if (strchr (repository, ':') != NULL)
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "repository=%s is an address, and has to be a path; fetch it first: git clone --mirror",
                 repository);
  else
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "repository=%s is no path from the root on, such as /srv/git/experiments.git", repository);
  return FALSE;
}

CisWindowSource *
cis_window_source_git_new_at (const char *repository, gint64 until)
{
  CisWindowSourceGit *self = g_new0 (CisWindowSourceGit, 1);

  self->parent.klass = &git_class;
  self->repository = g_strdup (repository);
  self->until = until;
  self->walker = cis_walker_new (repository, until);
  return &self->parent;
}

CisWindowSource *
cis_window_source_git_new (const char *repository)
{
  return cis_window_source_git_new_at (repository, G_MAXINT64);
}
