/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fixes about whose a file is. Whoever pastes one may be root, the service's user or anybody who tried a
 * verb: a file that the service reads must stay readable to it, and what others read is theirs. */

#include "cis-fix.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  uid_t uid;
  gid_t gid;
  char *user;  /* owned */
  char *group; /* owned */
} Service;

static void
service_clear (Service *service)
{
  g_free (service->user);
  g_free (service->group);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Service, service_clear)

/* The names are of any length, and what is asked for them may have several threads. */
#define NAMES_MAX 4096

static char *
get_user (uid_t uid)
{
  char names[NAMES_MAX];
  struct passwd own, *entry = NULL;

  return getpwuid_r (uid, &own, names, sizeof names, &entry) == 0 && entry != NULL
             ? g_strdup (entry->pw_name)
             : g_strdup_printf ("%u", uid);
}

static char *
get_group (gid_t gid)
{
  char names[NAMES_MAX];
  struct group own, *entry = NULL;

  return getgrgid_r (gid, &own, names, sizeof names, &entry) == 0 && entry != NULL
             ? g_strdup (entry->gr_name)
             : g_strdup_printf ("%u", gid);
}

/* Whom the state belongs to, by which systemd says it too; else the user that the package makes. */
static void
find_service (Service *service)
{
  const char *state = g_getenv ("STATE_DIRECTORY");
  g_autofree char *first = state != NULL ? g_strndup (state, strcspn (state, ":")) : g_strdup ("");
  const char *const folders[] = { first, "/var/lib/cis490", "/var/lib/cis490-receiver" };
  char names[NAMES_MAX];
  struct passwd own, *made = NULL;
  struct stat info;

  if (getpwnam_r ("cis490", &own, names, sizeof names, &made) != 0)
    made = NULL;
  service->uid = made != NULL ? made->pw_uid : geteuid ();
  service->gid = made != NULL ? made->pw_gid : getegid ();
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    if (stat (folders[i], &info) == 0)
      {
        service->uid = info.st_uid;
        service->gid = info.st_gid;
        break;
      }
  service->user = get_user (service->uid);
  service->group = get_group (service->gid);
}

/* By the mode alone: an access list may say more. */
static gboolean
service_reads (const Service *service, const struct stat *info)
{
  if (service->uid == 0)
    return TRUE;
  if (service->uid == info->st_uid)
    return (info->st_mode & S_IRUSR) != 0;
  return (info->st_mode & (service->gid == info->st_gid ? S_IRGRP : S_IROTH)) != 0;
}

/* What lets the service read it; full */
static char *
grant (const Service *service, const struct stat *info, const char *quoted)
{
  if (service->uid == info->st_uid)
    return g_strdup_printf ("chmod u+r %s", quoted);
  /* Its group is somebody's who reads it. */
  if (info->st_gid != 0 && info->st_gid != service->gid && (info->st_mode & S_IRGRP) != 0)
    return g_strdup_printf ("setfacl -m u:%s:r %s", service->user, quoted);
  return g_strdup_printf ("chgrp %s %s && chmod g+r %s", service->group, quoted, quoted);
}

char *
cis_fix_access (const char *path)
{
  g_autofree char *quoted = g_shell_quote (path);
  g_auto (Service) service = { 0 };
  g_autofree char *line = NULL;
  struct stat info;

  find_service (&service);
  errno = 0;
  if (stat (path, &info) != 0 && (errno == ENOENT || errno == ELOOP))
    return g_strdup_printf (
        "# put it there, or name another file, as a rule in [site] of cis490.ini:\nls -l %s", quoted);
  if (errno != 0 || (service_reads (&service, &info) && geteuid () == service.uid))
    return g_strdup_printf ("# each of these folders has to be open to %s:\nnamei -l %s", service.user,
                            quoted);
  if (service_reads (&service, &info))
    return g_strdup_printf ("# the service's user can read it, and nobody else has to; ask as that user:\n"
                            "sudo -u %s %s",
                            service.user, g_get_prgname () != NULL ? g_get_prgname () : "cis490");
  line = grant (&service, &info, quoted);
  return g_strdup_printf ("# the service runs as %s:\n%s", service.user, line);
}

char *
cis_fix_secret (const char *path)
{
  g_autofree char *quoted = g_shell_quote (path);
  g_auto (Service) service = { 0 };
  g_autofree char *owner = NULL, *group = NULL;
  struct stat info;

  find_service (&service);
  if (stat (path, &info) != 0 || !S_ISREG (info.st_mode))
    return g_strdup_printf ("install -o %s -m 600 /dev/stdin %s", service.user, quoted);
  owner = get_user (info.st_uid);
  group = get_group (info.st_gid);
  return g_strdup_printf ("install -o %s -g %s -m %o /dev/stdin %s", owner, group, info.st_mode & 0660,
                          quoted);
}

char *
cis_fix_exposed (const char *path)
{
  g_autofree char *quoted = g_shell_quote (path);
  g_auto (Service) service = { 0 };
  struct stat info;

  find_service (&service);
  if (stat (path, &info) == 0)
    info.st_mode &= ~(mode_t) S_IRWXO;
  else
    return g_strdup_printf ("chmod g-w,o-rwx %s", quoted);
  if (!service_reads (&service, &info))
    {
      g_autofree char *line = grant (&service, &info, quoted);

      return g_strdup_printf ("%s && chmod g-w,o-rwx %s", line, quoted);
    }
  return g_strdup_printf ("chmod g-w,o-rwx %s", quoted);
}
