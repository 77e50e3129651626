/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "notice.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX 4096

typedef struct
{
  gint64 given; /* by the wall clock, µs since 1970 */
  gint64 ran;   /* how long the machine ran from then until `seen`, µs */
  char *boot;   /* in which boot it was seen last, */
  gint64 seen;  /* and how long after it, µs */
} Notice;

static void
notice_clear (Notice *notice)
{
  g_clear_pointer (&notice->boot, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Notice, notice_clear)

/* A notice that is given now. */
static gboolean
notice_init (Notice *notice, gint64 now, GError **error)
{
  g_autoptr (GBytes) boot = cis_file_read (AT_FDCWD, "/proc/sys/kernel/random/boot_id", FILE_MAX, error);
  struct timespec since;

  if (boot == NULL)
    return FALSE;
  if (clock_gettime (CLOCK_BOOTTIME, &since) != 0)
    return cis_error_set_errno (error, errno, "Cannot read the time since boot");
  notice->given = now;
  notice->boot = g_strchomp (g_strdup (g_bytes_get_data (boot, NULL)));
  notice->seen = since.tv_sec * G_USEC_PER_SEC + since.tv_nsec / 1000;
  return TRUE;
}

/* FALSE where there is none, or none that can be read. */
static gboolean
notice_load (Notice *notice, int dirfd)
{
  g_autoptr (JsonObject) json = cis_json_load (dirfd, NOTICE_FILE, FILE_MAX, NULL);

  if (json == NULL)
    return FALSE;
  notice->given = cis_json_get_size (json, "given", -1);
  notice->ran = cis_json_get_size (json, "ran", -1);
  notice->boot = g_strdup (cis_json_get_string (json, "boot"));
  notice->seen = cis_json_get_size (json, "seen", -1);
  return notice->given >= 0 && notice->ran >= 0 && notice->boot != NULL && notice->seen >= 0;
}

static gboolean
notice_store (const Notice *notice, int dirfd, GError **error)
{
  g_autoptr (JsonObject) json = json_object_new ();
  g_autofree char *line = NULL;

  json_object_set_int_member (json, "given", notice->given);
  json_object_set_int_member (json, "ran", notice->ran);
  json_object_set_string_member (json, "boot", notice->boot);
  json_object_set_int_member (json, "seen", notice->seen);
  line = cis_json_to_line (json);
  return cis_file_replace (dirfd, NOTICE_FILE, line, strlen (line), error);
}

gboolean
notice_stands (int dirfd)
{
  return faccessat (dirfd, NOTICE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Synced, so that no power cut brings it back. */
gboolean
notice_end (int dirfd, GError **error)
{
  if (unlinkat (dirfd, NOTICE_FILE, 0) == 0)
    return cis_file_sync (dirfd, "the folder of a notice", error);
  return errno == ENOENT || cis_error_set_errno (error, errno, "Cannot remove " NOTICE_FILE);
}

gboolean
notice_withdraw (int dirfd, gint64 due, GError **error)
{
  g_auto (Notice) notice = { 0 };

  return (notice_load (&notice, dirfd) && due > notice.given) || notice_end (dirfd, error);
}

gboolean
notice_pass (int dirfd, gint64 oldest, gint64 now, gint64 period, gint64 *by, GError **error)
{
  g_auto (Notice) given = { 0 };
  g_auto (Notice) next = { 0 };

  *by = NOTICE_NONE;
  if (oldest > now)
    return notice_end (dirfd, error);
  if (!notice_init (&next, now, error))
    return FALSE;
  if (notice_load (&given, dirfd) && given.given <= now)
    {
      gint64 before = g_str_equal (given.boot, next.boot) ? given.seen : 0;

      /* A machine that was set back to a snapshot has run for less than it did. */
      next.ran = MIN (given.ran, period) + MAX (next.seen - before, 0);
      next.given = given.given;
      /* What frees space must not need any: a notice that has run out is not written again. */
      if (next.ran >= period)
        {
          *by = next.given;
          return TRUE;
        }
    }
  return notice_store (&next, dirfd, error);
}
