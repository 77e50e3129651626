/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 stamp DIR: writes into DIR/meta.json which code the episode comes from. */
#include "options.h"
#include "stamp-text.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <sysexits.h>

#define META     "meta.json"
#define META_MAX (16 * 1024 * 1024)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_repository, git_repository_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_reference, git_reference_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (git_status_list, git_status_list_free)

typedef struct
{
  char commit[GIT_OID_HEXSZ + 1];
  char *branch; /* "HEAD" where no branch is checked out, as git says it */
  gboolean dirty;
} CodeVersion;

static void
code_version_clear (CodeVersion *version)
{
  g_clear_pointer (&version->branch, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CodeVersion, code_version_clear)

static void
close_folder (int *fd)
{
  if (*fd >= 0)
    g_close (*fd, NULL);
}

typedef int Folder;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Folder, close_folder)

G_GNUC_PRINTF (2, 3)
static gboolean
set_git_error (GError **error, const char *format, ...)
{
  const git_error *last = git_error_last ();
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", what,
               last != NULL && last->message != NULL ? last->message : _ ("no reason given"));
  return FALSE;
}

/* What git knows the repository around @path by, for a shell; full. */
static char *
quote_root (const char *path)
{
  git_buf found = { 0 };
  g_autofree char *root = NULL;

  if (git_repository_discover (&found, path, 0, NULL) == 0 && g_str_has_suffix (found.ptr, "/.git/"))
    root = g_strndup (found.ptr, found.size - strlen ("/.git/"));
  git_buf_dispose (&found);
  return g_shell_quote (root != NULL ? root : path);
}

/* The repository at @path, or the one that the current folder is in. */
static git_repository *
open_repository (const char *path, GError **error)
{
  git_repository *repository = NULL;
  g_autofree char *here = g_get_current_dir ();
  const git_error *last;
  int rc = path != NULL ? git_repository_open_ext (&repository, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL)
                        : git_repository_open_ext (&repository, here, 0, NULL);

  if (rc == 0)
    return repository;
  last = git_error_last ();
  /* libgit2 1.5 says "not found" where no configuration has a safe.directory at all. */
  if (rc == GIT_EOWNER ||
      (last != NULL && last->message != NULL && strstr (last->message, "safe.directory") != NULL))
    {
      g_autofree char *root = quote_root (path != NULL ? path : here);

      g_set_error (
          error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
          _ ("A repository of another user is not trusted; run: git config --global --add safe.directory %s"),
          root);
    }
  else if (path != NULL)
    set_git_error (error, _ ("Cannot open the repository %s"), path);
  else
    set_git_error (error, _ ("%s is in no repository; name one with --repository"), here);
  return NULL;
}

/* Whether the files that git knows differ from the commit; what it does not know does not count. */
static gboolean
read_dirty (git_repository *repository, gboolean *dirty, GError **error)
{
  git_status_options options;
  g_autoptr (git_status_list) list = NULL;
  const char *path = git_repository_path (repository);

  if (git_repository_is_bare (repository))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                   _ ("%s is a bare repository: no code can have run from it"), path);
      return FALSE;
    }
  if (git_status_options_init (&options, GIT_STATUS_OPTIONS_VERSION) < 0)
    return set_git_error (error, _ ("Cannot ask for the state of %s"), path);
  options.show = GIT_STATUS_SHOW_INDEX_AND_WORKDIR;
  options.flags = 0;
  if (git_status_list_new (&list, repository, &options) < 0)
    return set_git_error (error, _ ("Cannot compare the files of %s with its commit"), path);
  *dirty = git_status_list_entrycount (list) > 0;
  return TRUE;
}

static gboolean
read_version (const char *path, CodeVersion *version, GError **error)
{
  g_autoptr (git_repository) repository = open_repository (path, error);
  g_autoptr (git_reference) head = NULL;
  const git_oid *id;

  if (repository == NULL)
    return FALSE;
  if (git_repository_head (&head, repository) < 0)
    return set_git_error (error, _ ("%s has no commit checked out"), git_repository_path (repository));
  id = git_reference_target (head);
  if (id == NULL)
    return set_git_error (error, _ ("%s has no commit checked out"), git_repository_path (repository));
  git_oid_tostr (version->commit, sizeof version->commit, id);
  version->branch = g_strdup (git_reference_shorthand (head));
  return read_dirty (repository, &version->dirty, error);
}

static char *
write_member (const CodeVersion *version)
{
  g_autoptr (JsonObject) member = json_object_new ();

  json_object_set_string_member (member, "commit", version->commit);
  json_object_set_string_member (member, "branch", version->branch);
  json_object_set_boolean_member (member, "dirty", version->dirty);
  return cis_json_to_line (member);
}

/* Whether cis_file_rewrite() may have made it. */
static gboolean
is_temporary (const char *name)
{
  const char *digits = name + strlen ("." META ".");

  return g_str_has_prefix (name, "." META ".") && strspn (digits, "0123456789abcdef") == 8 &&
         g_str_equal (digits + 8, ".tmp");
}

/* What a stamp that was killed has left beside the file would be shipped. */
static gboolean
remove_temporaries (int folder, const char *directory, GError **error)
{
  g_autoptr (GPtrArray) names = cis_folder_list (folder, directory, error);

  for (guint i = 0; names != NULL && i < names->len; i++)
    if (is_temporary (g_ptr_array_index (names, i)) &&
        !cis_file_remove (folder, g_ptr_array_index (names, i), error))
      return FALSE;
  return names != NULL;
}

static gboolean
stamp (int folder, const char *directory, const CodeVersion *version, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *text = NULL;
  g_autofree char *value = NULL;

  bytes = cis_file_read (folder, META, META_MAX, error);
  if (bytes == NULL)
    {
      if (error != NULL && g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        g_prefix_error (error, _ ("%s has no %s, which the experiment writes: "), directory, META);
      return FALSE;
    }
  value = write_member (version);
  text = stamp_text_set (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), value, error);
  if (text == NULL)
    {
      g_prefix_error (error, "%s/%s: ", directory, META);
      return FALSE;
    }
  /* So that who could read it still can. */
  return remove_temporaries (folder, directory, error) &&
         cis_file_rewrite (folder, META, text, strlen (text), error);
}

int
cis_verb_stamp (int argc, char **argv)
{
  g_autofree char *repository = NULL;
  const GOptionEntry entries[] = {
    { "repository", 'r', 0, G_OPTION_ARG_FILENAME, &repository,
      N_ ("The repository that the code ran from (default: the one around the current folder)"),
      N_ ("PATH") },
    { NULL }
  };
  g_autoptr (GError) error = NULL;
  g_auto (CodeVersion) version = { .branch = NULL };
  g_auto (Folder) folder = -1;
  gboolean ok;

  if (!options_parse (
          &argc, &argv, _ ("DIR"),
          _ ("Writes commit, branch and whether files were changed into DIR/meta.json, as code_version."),
          entries))
    return EX_USAGE;
  if (argc != 2)
    {
      g_printerr ("cis490 stamp: %s\n", _ ("one episode folder is needed: cis490 stamp DIR"));
      return EX_USAGE;
    }
  if (git_libgit2_init () < 0)
    {
      g_printerr ("cis490 stamp: %s\n", _ ("cannot start libgit2"));
      return 1;
    }
  folder = cis_folder_open (AT_FDCWD, argv[1], FALSE, &error);
  ok =
      folder >= 0 && read_version (repository, &version, &error) && stamp (folder, argv[1], &version, &error);
  git_libgit2_shutdown ();
  if (!ok)
    {
      g_printerr ("cis490 stamp: %s\n", error->message);
      return 1;
    }
  g_print ("%s %s %s\n", version.commit, version.branch, version.dirty ? "dirty" : "clean");
  return 0;
}
