/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stamp-code.h"

#include "../plugins/shared/git.h"

#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define COMMIT_LENGTH 40
/* Files that were touched are read anew, all of them where git's notes are gone. */
#define TIMEOUT (5 * G_TIME_SPAN_MINUTE)
/* A line for each changed file. */
#define STATUS_MAX (256 * 1024 * 1024)

void
stamp_code_clear (StampCode *self)
{
  g_clear_pointer (&self->commit, g_free);
  g_clear_pointer (&self->branch, g_free);
  g_clear_pointer (&self->repository, g_free);
  g_clear_pointer (&self->remote, g_free);
}

/* @path: nullable. Replaces the error by one that says what to do. */
static gboolean
explain (GError **error, const char *path, const char *folder)
{
  g_autoptr (GError) problem = g_steal_pointer (error);

  if (g_error_matches (problem, CIS_GIT_ERROR, CIS_GIT_ERROR_MISSING))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 _ ("%s; it knows what is checked out: apt-get install git"), problem->message);
  else if (g_error_matches (problem, CIS_GIT_ERROR, CIS_GIT_ERROR_OWNER))
    g_set_error (
        error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
        _ ("A repository of another user is not trusted; run: git config --global --add safe.directory %s"),
        problem->message);
  else if (strstr (problem->message, "must be run in a work tree") != NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 _ ("%s is a bare repository, or a .git folder: no code can have run from it"), folder);
  else if (path == NULL && g_error_matches (problem, CIS_GIT_ERROR, CIS_GIT_ERROR_REPOSITORY))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                 _ ("%s is in no repository; name one with --repository: %s"), folder, problem->message);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _ ("Cannot open the repository %s: %s"), folder,
                 problem->message);
  return FALSE;
}

char *
stamp_code_clean_remote (const char *remote)
{
  const char *colon = strstr (remote, "://");
  const char *authority = colon != NULL ? colon + strlen ("://") : remote;
  const char *at = colon != NULL ? memrchr (authority, '@', strcspn (authority, "/?#")) : NULL;
  const char *host = at != NULL ? at + 1 : authority;
  gboolean is_ssh = g_str_has_prefix (remote, "ssh://") || strstr (remote, "+ssh://") != NULL;
  g_autofree char *scheme = g_strndup (remote, authority - remote);
  /* Of ssh, a user's name is part of the address; elsewhere it may be a token. */
  g_autofree char *user =
      is_ssh && at != NULL ? g_strndup (authority, strcspn (authority, ":@")) : g_strdup ("");
  g_autofree char *rest = g_strdup (host);

  /* Git's word for a remote that nobody has configured. */
  if (strpbrk (remote, "/:") == NULL)
    return NULL;
  if (g_str_has_prefix (remote, "http"))
    rest[strcspn (rest, "?#")] = '\0';
  return g_strconcat (scheme, user, *user != '\0' ? "@" : "", rest, NULL);
}

/* "# branch.oid COMMIT", "# branch.head BRANCH", and a line for each file that differs. */
static gboolean
parse_status (StampCode *self, const char *status, const char *folder, GError **error)
{
  g_auto (GStrv) lines = g_strsplit (status, "\n", -1);

  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_prefix (*line, "# branch.oid "))
      self->commit = g_strdup (*line + strlen ("# branch.oid "));
    else if (g_str_has_prefix (*line, "# branch.head "))
      self->branch = g_strdup (*line + strlen ("# branch.head "));
    else if (**line != '\0' && **line != '#')
      self->dirty = TRUE;
  if (self->branch == NULL || g_str_equal (self->branch, "(detached)"))
    {
      g_free (self->branch);
      self->branch = g_strdup ("HEAD");
    }
  if (self->commit != NULL && cis_hex_is_valid (self->commit, COMMIT_LENGTH))
    return TRUE;
  if (self->commit != NULL && cis_hex_is_valid (self->commit, 64))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                 _ ("%s names its commits by SHA-256, and receivers know those of SHA-1 only (git init "
                    "--object-format=sha1)"),
                 folder);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, _ ("%s has no commit checked out"), folder);
  return FALSE;
}

static char *
ask (const CisGit *git, GError **error, const char *first, ...)
{
  const char *arguments[8] = { first };
  va_list more;

  va_start (more, first);
  for (guint i = 1; i < G_N_ELEMENTS (arguments) - 1 && arguments[i - 1] != NULL; i++)
    arguments[i] = va_arg (more, const char *);
  va_end (more);
  return cis_git_ask (git, arguments, NULL, error);
}

static char *
chop (char *line)
{
  gsize length = line != NULL ? strlen (line) : 0;

  if (length > 0 && line[length - 1] == '\n')
    line[length - 1] = '\0';
  return line;
}

gboolean
stamp_code_read (StampCode *self, const char *path, GError **error)
{
  g_autofree char *here = g_get_current_dir ();
  /* Who names the .git in it means the checkout. */
  g_autofree char *folder = path == NULL                       ? g_strdup (here)
                            : g_str_has_suffix (path, "/.git") ? g_path_get_dirname (path)
                                                               : g_strdup (path);
  CisGit git = { .folder = folder, .search = path == NULL, .timeout = TIMEOUT, .max = STATUS_MAX };
  g_autofree char *status = NULL;
  g_autofree char *remote = NULL;
  struct stat info;

  *self = (StampCode){ NULL };
  self->repository = chop (ask (&git, error, "rev-parse", "--show-toplevel", NULL));
  if (self->repository == NULL)
    return explain (error, path, folder);
  if (g_stat (self->repository, &info) == 0)
    git.owner = info.st_uid;
  /* Whether a file differs may be a filter's to say, as that of Git LFS. */
  git.programs = TRUE;
  status = ask (&git, error, "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--no-renames",
                "--no-ahead-behind", NULL);
  if (status == NULL)
    return explain (error, path, folder);
  git.programs = FALSE;
  remote = chop (ask (&git, NULL, "ls-remote", "--get-url", NULL));
  self->remote = remote != NULL ? stamp_code_clean_remote (remote) : NULL;
  return parse_status (self, status, folder, error);
}
