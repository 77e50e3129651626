/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every folder that the program works in is opened here, a component at a time.
 *
 * Below a folder that is held already no symbolic link is followed: in episodes/, and in what was moved out
 * of it, a name may mean something else at any moment. From the root on links are followed, but each folder
 * and link on the way has to be of somebody who is trusted: root, us, or the owner of the folder that they
 * lead to. Whoever else could change one of them would choose where we rename and remove. */

#include "cis-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define OPEN_STEP   (O_PATH | O_NOFOLLOW | O_CLOEXEC)
#define LINKS_MAX   40 /* as path_resolution(7) */

/* A folder or link on the way. */
typedef struct
{
  char *path; /* as it is without links; owned */
  struct stat info;
} Step;

typedef struct
{
  int at;        /* where it has come to; owned */
  char *path;    /* owned */
  gsize offset;  /* of what is left of it */
  GArray *steps; /* of Step; owned. %NULL: no link is followed */
  guint n_links;
} Walk;

static void
step_clear (gpointer data)
{
  g_free (((Step *) data)->path);
}

/* Nothing was written through it. */
static void
let_go (int fd)
{
  int errsv = errno;

  if (fd >= 0)
    close (fd);
  errno = errsv;
}

static void
walk_clear (Walk *self)
{
  let_go (self->at);
  g_free (self->path);
  g_clear_pointer (&self->steps, g_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Walk, walk_clear)

/* "a/b//" is "b" in "a". */
static char *
split_path (const char *path, char **name)
{
  gsize length = strlen (path);
  g_autofree char *trimmed = NULL;

  while (length > 1 && path[length - 1] == '/')
    length--;
  trimmed = g_strndup (path, length);
  *name = g_path_get_basename (trimmed);
  return g_path_get_dirname (trimmed);
}

char *
cis_user_to_string (uid_t user)
{
  struct passwd buffer, *entry = NULL;
  char text[4096];

  if (getpwuid_r (user, &buffer, text, sizeof text, &entry) == 0 && entry != NULL)
    return g_strdup (entry->pw_name);
  return g_strdup_printf ("%u", user);
}

/* ---- trust */

/* @owner: of the folder that the way leads to. In a folder with the sticky bit each entry is its owner's, who
 * is looked at next. */
static gboolean
check_step (const Step *step, uid_t owner, GError **error)
{
  const struct stat *info = &step->info;
  gboolean trusted = info->st_uid == 0 || info->st_uid == geteuid () || info->st_uid == owner;
  gboolean loose =
      S_ISDIR (info->st_mode) && (info->st_mode & (S_IWGRP | S_IWOTH)) != 0 && (info->st_mode & S_ISVTX) == 0;
  g_autofree char *quoted = g_shell_quote (step->path);
  g_autofree char *user = cis_user_to_string (info->st_uid);

  if (!trusted && S_ISLNK (info->st_mode))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "the symbolic link %s belongs to %s, who can make it lead anywhere; if it is right: "
                 "chown -h root %s",
                 step->path, user, quoted);
  else if (!trusted)
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "%s belongs to %s, who can put another folder in its place; if it is right: chown root %s",
                 step->path, user, quoted);
  else if (loose)
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "others than its owner can write to %s and put another folder in its place: chmod go-w %s",
                 step->path, quoted);
  return trusted && !loose;
}

/* The last step is the folder itself: who may write to that, is its user's to judge. */
static gboolean
check_steps (const Walk *self, GError **error)
{
  uid_t owner = g_array_index (self->steps, Step, self->steps->len - 1).info.st_uid;

  for (guint i = 0; i + 1 < self->steps->len; i++)
    if (!check_step (&g_array_index (self->steps, Step, i), owner, error))
      return FALSE;
  return TRUE;
}

/* ---- walking */

static gboolean
note_step (Walk *self, int fd, const char *name, const struct stat *info)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  Step step = { g_file_read_link (link, NULL), *info };

  if (step.path == NULL)
    step.path = g_strdup (name);
  g_array_append_val (self->steps, step);
  return TRUE;
}

/* Goes on with what the link says, and then with what was left. */
static gboolean
follow_link (Walk *self, int link)
{
  char target[PATH_MAX];
  ssize_t length = readlinkat (link, "", target, sizeof target);
  char *path;

  if (length < 0 || self->n_links++ == LINKS_MAX || (gsize) length == sizeof target)
    {
      errno = length < 0 ? errno : ELOOP;
      return FALSE;
    }
  path = g_strdup_printf ("%.*s/%s", (int) length, target, self->path + self->offset);
  g_free (self->path);
  self->path = path;
  self->offset = 0;
  if (path[0] != '/')
    return TRUE;
  let_go (self->at);
  self->at = open ("/", OPEN_STEP | O_DIRECTORY);
  return self->at >= 0;
}

static gboolean
take_step (Walk *self, const char *name)
{
  int fd = TEMP_FAILURE_RETRY (openat (self->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info;
  gboolean taken = fd >= 0 && fstat (fd, &info) == 0;

  if (taken && self->steps != NULL)
    note_step (self, fd, name, &info);
  if (taken && !S_ISLNK (info.st_mode))
    {
      let_go (self->at);
      self->at = fd;
      return TRUE;
    }
  if (taken)
    {
      errno = ELOOP;
      taken = self->steps != NULL && follow_link (self, fd);
    }
  let_go (fd);
  return taken;
}

/* The next component; %NULL at the end. full */
static char *
take_component (Walk *self)
{
  const char *begin;
  gsize length;

  self->offset += strspn (self->path + self->offset, "/");
  begin = self->path + self->offset;
  length = strcspn (begin, "/");
  self->offset += length;
  return length > 0 ? g_strndup (begin, length) : NULL;
}

static gboolean
walk_to_end (Walk *self)
{
  char *component;

  while ((component = take_component (self)) != NULL)
    {
      g_autofree char *name = component;
      gboolean taken = TRUE;

      /* Nothing below a folder is above it. */
      if (g_str_equal (name, "..") && self->steps == NULL)
        {
          errno = EXDEV;
          return FALSE;
        }
      if (!g_str_equal (name, "."))
        taken = take_step (self, name);
      if (!taken)
        return FALSE;
    }
  return TRUE;
}

static void
walk_begin (Walk *self, int dirfd, const char *path)
{
  if (dirfd != AT_FDCWD)
    {
      self->path = g_strdup (path);
      self->at = fcntl (dirfd, F_DUPFD_CLOEXEC, 3);
      return;
    }
  self->path = g_canonicalize_filename (path, NULL);
  self->steps = g_array_new (FALSE, FALSE, sizeof (Step));
  g_array_set_clear_func (self->steps, step_clear);
  self->at = open ("/", OPEN_STEP | O_DIRECTORY);
}

static int
set_open_error (const char *path, int errsv, gboolean below, GError **error)
{
  if (errsv == ELOOP && below)
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
                 "Cannot open the folder %s: there is a symbolic link in its place, which is not followed",
                 path);
  else
    cis_error_set_errno (error, errsv, "Cannot open the folder %s", path);
  return -1;
}

/* Where root is led by a link, its owner decides where. */
static gboolean
check_links (const Walk *self, GError **error)
{
  for (guint i = 0; geteuid () == 0 && i < self->steps->len; i++)
    {
      const Step *step = &g_array_index (self->steps, Step, i);

      if (S_ISLNK (step->info.st_mode) && !check_step (step, 0, error))
        return FALSE;
    }
  return TRUE;
}

typedef gboolean (*Check) (const Walk *walk, GError **error);

/* -1 on error. @check: what of the way there is looked at. @missing: there is no such folder. */
static int
open_folder (int dirfd, const char *path, Check check, gboolean *missing, GError **error)
{
  g_auto (Walk) walk = { .at = -1 };
  struct stat root;
  int fd = -1;

  walk_begin (&walk, dirfd, path);
  if (walk.at >= 0 && walk.steps != NULL && fstat (walk.at, &root) == 0)
    note_step (&walk, walk.at, "/", &root);
  if (walk.at >= 0 && walk_to_end (&walk))
    fd = TEMP_FAILURE_RETRY (openat (walk.at, ".", OPEN_FOLDER));
  *missing = fd < 0 && errno == ENOENT;
  if (fd < 0)
    return set_open_error (path, errno, walk.steps == NULL, error);
  if (walk.steps == NULL || check (&walk, error))
    return fd;
  g_prefix_error (error, "Cannot work in the folder %s: ", path);
  let_go (fd);
  return -1;
}

int
cis_folder_open_parent (int dirfd, const char *path, char **name, GError **error)
{
  g_autofree char *parent = split_path (path, name);
  gboolean missing;
  int fd = open_folder (dirfd, parent, check_steps, &missing, error);

  if (fd < 0)
    g_prefix_error (error, "%s: ", path);
  return fd;
}

static gboolean
make_folder (int dirfd, const char *path, GError **error)
{
  g_autofree char *name = NULL;
  g_autofree char *parent_path = split_path (path, &name);
  int parent = cis_folder_open (dirfd, parent_path, TRUE, error);
  gboolean made;

  if (parent < 0)
    return FALSE;
  made = mkdirat (parent, name, 0750) == 0 || errno == EEXIST ||
         cis_error_set_errno (error, errno, "Cannot make the folder %s", path);
  /* One that another has made just now may not be on the disk either, so sync in any case. */
  made = made && cis_file_sync (parent, parent_path, error);
  cis_file_close (&parent, parent_path, NULL); /* synced already */
  return made;
}

int
cis_folder_open (int dirfd, const char *name, gboolean create, GError **error)
{
  g_autoptr (GError) cause = NULL;
  gboolean missing;
  int fd = open_folder (dirfd, name, check_steps, &missing, &cause);

  if (fd < 0 && missing && create && !g_str_equal (name, ".") && !g_str_equal (name, "/"))
    {
      g_clear_error (&cause);
      if (make_folder (dirfd, name, &cause))
        fd = open_folder (dirfd, name, check_steps, &missing, &cause);
    }
  if (fd < 0)
    g_propagate_error (error, g_steal_pointer (&cause));
  return fd;
}

int
cis_folder_open_given (const char *path, GError **error)
{
  gboolean missing;

  return open_folder (AT_FDCWD, path, check_links, &missing, error);
}
