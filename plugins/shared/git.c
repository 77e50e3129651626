/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "git.h"

#include <errno.h>
#include <gio/gunixinputstream.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How much of what it complains is kept. */
#define COMPLAINT_MAX 4096
/* How often a cancellation is looked for, ms. */
#define TICK 100

G_DEFINE_QUARK (cis_git_error_quark, cis_git_error)

/* Between fork and exec: in a session of its own, so that neither it nor what it runs finds a terminal to ask
 * on, and all of them can be ended together. */
static void
enter (gpointer data)
{
  const struct passwd *user = data;

  setsid ();
  if (user->pw_uid != geteuid () &&
      (setgroups (0, NULL) != 0 || setresgid (user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
       setresuid (user->pw_uid, user->pw_uid, user->pw_uid) != 0))
    _exit (127);
}

static void
clean_environment (GSubprocessLauncher *launcher, const CisGit *self, const char *real, const char *home)
{
  static const char *const kept[] = { "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
                                      "GIT_EXEC_PATH", NULL };
  g_autofree char *above = g_path_get_dirname (real);
  g_auto (GStrv) names = g_listenv ();

  for (char **name = names; *name != NULL; name++)
    if (g_str_has_prefix (*name, "GIT_") && !g_strv_contains (kept, *name))
      g_subprocess_launcher_unsetenv (launcher, *name);
  g_subprocess_launcher_unsetenv (launcher, "LANGUAGE");
  g_subprocess_launcher_setenv (launcher, "LC_ALL", "C.UTF-8", TRUE);
  g_subprocess_launcher_setenv (launcher, "GIT_TERMINAL_PROMPT", "0", TRUE);
  g_subprocess_launcher_setenv (launcher, "GIT_ASKPASS", "false", TRUE);
  g_subprocess_launcher_setenv (launcher, "GIT_OPTIONAL_LOCKS", "0", TRUE);
  if (!self->search)
    g_subprocess_launcher_setenv (launcher, "GIT_CEILING_DIRECTORIES", above, TRUE);
  if (!self->programs)
    {
      g_subprocess_launcher_setenv (launcher, "GIT_NO_LAZY_FETCH", "1", TRUE);
      g_subprocess_launcher_setenv (launcher, "GIT_ALLOW_PROTOCOL", "none", TRUE);
    }
  if (home != NULL)
    {
      g_subprocess_launcher_setenv (launcher, "HOME", home, TRUE);
      g_subprocess_launcher_unsetenv (launcher, "XDG_CONFIG_HOME");
    }
}

/* Whom it runs as: us, but for root, who runs nothing that another user's repository names. */
static struct passwd
choose_user (const CisGit *self, char **home)
{
  struct passwd user = { .pw_uid = geteuid (), .pw_gid = getegid () }, found, *entry = NULL;
  char names[4096];

  if (!self->programs || user.pw_uid != 0 || self->owner == 0)
    return user;
  user.pw_uid = self->owner;
  /* One without a name is in no group but nobody's. */
  user.pw_gid = (gid_t) 65534;
  if (getpwuid_r (self->owner, &found, names, sizeof names, &entry) == 0 && entry != NULL)
    user.pw_gid = entry->pw_gid;
  *home = g_strdup (entry != NULL ? entry->pw_dir : "/nonexistent");
  return user;
}

static GSubprocess *
start (const CisGit *self, const char *const *arguments, GError **error)
{
  /* An empty monitor is none, for each git there is; "false" was a program's name once. */
  static const char *const first[] = {
    "git", "-c", "core.fsmonitor=", "-c", "core.hooksPath=/dev/null", NULL
  };
  g_autoptr (GSubprocessLauncher) launcher =
      g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autofree char *real = realpath (self->folder, NULL);
  g_autofree char *home = NULL;
  g_autoptr (GError) problem = NULL;
  struct passwd user = choose_user (self, &home);
  GSubprocess *child;

  if (real == NULL)
    {
      g_set_error (error, CIS_GIT_ERROR, CIS_GIT_ERROR_REPOSITORY, "%s", g_strerror (errno));
      return NULL;
    }
  clean_environment (launcher, self, real, home);
  g_subprocess_launcher_set_cwd (launcher, real);
  g_subprocess_launcher_set_child_setup (launcher, enter, &user, NULL);
  for (const char *const *one = first; *one != NULL; one++)
    g_ptr_array_add (argv, (gpointer) *one);
  for (const char *const *one = arguments; *one != NULL; one++)
    g_ptr_array_add (argv, (gpointer) *one);
  g_ptr_array_add (argv, NULL);
  child = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv->pdata, &problem);
  if (child != NULL)
    return child;
  if (g_error_matches (problem, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT))
    g_set_error_literal (error, CIS_GIT_ERROR, CIS_GIT_ERROR_MISSING, "there is no git on this machine");
  else
    g_set_error (error, CIS_GIT_ERROR, CIS_GIT_ERROR_REPOSITORY, "cannot start git: %s", problem->message);
  return NULL;
}

/* What is there to be read of @stream; %FALSE once it has ended. */
static gboolean
take (GInputStream *stream, GString *text, gsize max)
{
  char block[64 * 1024];
  ssize_t n = TEMP_FAILURE_RETRY (
      read (g_unix_input_stream_get_fd (G_UNIX_INPUT_STREAM (stream)), block, sizeof block));

  /* One byte more tells that there is more. */
  if (n > 0)
    g_string_append_len (text, block, (gssize) MIN ((gsize) n, max + 1 - MIN (text->len, max + 1)));
  return n > 0;
}

/* Both channels to their ends. */
static gboolean
listen_to (GSubprocess *child, const CisGit *self, GString *said, GString *complained,
           GCancellable *cancellable, GError **error)
{
  GInputStream *streams[] = { g_subprocess_get_stdout_pipe (child), g_subprocess_get_stderr_pipe (child) };
  GString *texts[] = { said, complained };
  const gsize most[] = { self->max, COMPLAINT_MAX };
  const gint64 deadline = g_get_monotonic_time () + self->timeout;
  struct pollfd polls[2];

  for (guint i = 0; i < 2; i++)
    polls[i] = (struct pollfd){ g_unix_input_stream_get_fd (G_UNIX_INPUT_STREAM (streams[i])), POLLIN, 0 };
  while (polls[0].fd >= 0 || polls[1].fd >= 0)
    {
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;
      if (g_get_monotonic_time () >= deadline)
        g_set_error (error, CIS_GIT_ERROR, CIS_GIT_ERROR_FAILED, "git took longer than %d s",
                     (int) (self->timeout / G_USEC_PER_SEC));
      else if (said->len > self->max)
        g_set_error_literal (error, CIS_GIT_ERROR, CIS_GIT_ERROR_FAILED, "git says too much");
      else
        {
          poll (polls, 2, TICK);
          for (guint i = 0; i < 2; i++)
            if (polls[i].fd >= 0 && polls[i].revents != 0 && !take (streams[i], texts[i], most[i]))
              polls[i].fd = -1;
          continue;
        }
      return FALSE;
    }
  return TRUE;
}

/* Of what git complained, the last line that says why, without its first word. */
static char *
find_reason (const char *complained)
{
  g_auto (GStrv) lines = g_strsplit (complained, "\n", -1);
  const char *reason = NULL;

  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_prefix (*line, "fatal: ") || g_str_has_prefix (*line, "error: "))
      reason = *line + strlen ("fatal: ");
    else if (reason == NULL && **line != '\0')
      reason = *line;
  return g_strdup (reason != NULL ? reason : "git gives no reason");
}

static void
set_complaint (GError **error, const char *complained)
{
  static const char advice[] = "--add safe.directory ";
  const char *trust = strstr (complained, advice);
  g_autofree char *reason = find_reason (complained);

  if (trust != NULL)
    {
      trust += strlen (advice);
      g_set_error (error, CIS_GIT_ERROR, CIS_GIT_ERROR_OWNER, "%.*s", (int) strcspn (trust, "\n"), trust);
    }
  else
    g_set_error_literal (error, CIS_GIT_ERROR,
                         strstr (complained, "not a git repository") != NULL ? CIS_GIT_ERROR_REPOSITORY
                                                                             : CIS_GIT_ERROR_FAILED,
                         reason);
}

char *
cis_git_ask (const CisGit *self, const char *const *arguments, GCancellable *cancellable, GError **error)
{
  g_autoptr (GSubprocess) child = start (self, arguments, error);
  g_autoptr (GString) said = g_string_new (NULL);
  g_autoptr (GString) complained = g_string_new (NULL);
  const char *id;
  gboolean heard;

  if (child == NULL)
    return NULL;
  heard = listen_to (child, self, said, complained, cancellable, error);
  id = g_subprocess_get_identifier (child);
  /* With all that it runs. */
  if (!heard && id != NULL)
    kill (-(pid_t) g_ascii_strtoll (id, NULL, 10), SIGKILL);
  g_subprocess_wait (child, NULL, NULL);
  if (!heard)
    return NULL;
  if (g_subprocess_get_successful (child))
    return g_string_free (g_steal_pointer (&said), FALSE);
  set_complaint (error, complained->str);
  return NULL;
}
