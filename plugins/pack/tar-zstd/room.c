/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How large an archive will be nobody knows before it is made. So the first attempt stops where the room
 * ends, and how much it had used by then is remembered: the next one waits until there is more. What there
 * was when it began says nothing, as others may have taken of it. */

#include "room.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define FINDING "outbox-full"

struct _CisRoom
{
  CisPart *part;       /* none */
  CisHostState *state; /* none */
  char *outbox;        /* its path, for people */
  guint64 outbox_max, free_space;
  GMutex lock;
  GHashTable *too_little; /* episode to how many bytes it used up in vain (guint64 *); under the lock */
  char *told;             /* the episode that people were told about, nullable; under the lock */
};

CisRoom *
cis_room_new (CisPart *part, CisHostState *state, guint64 outbox_max, guint64 free_space)
{
  CisRoom *self = g_new0 (CisRoom, 1);

  self->part = part;
  self->state = state;
  self->outbox = g_build_filename (cis_host_state_get_path (state), "outbox", NULL);
  self->outbox_max = outbox_max;
  self->free_space = free_space;
  g_mutex_init (&self->lock);
  self->too_little = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
  return self;
}

void
cis_room_free (CisRoom *self)
{
  g_hash_table_unref (self->too_little);
  g_mutex_clear (&self->lock);
  g_free (self->outbox);
  g_free (self->told);
  g_free (self);
}

static guint64
left_of (guint64 most, guint64 used)
{
  return used < most ? most - used : 0;
}

/* Adds up the outbox; @others: without what is there of @name. */
static gboolean
measure_outbox (CisRoom *self, const char *name, guint64 *all, guint64 *others, GError **error)
{
  g_autofree char *prefix = g_strconcat (name, ".tar.zst", NULL);
  int outbox = cis_host_state_get_fd (self->state, CIS_FOLDER_OUTBOX);
  g_autoptr (GPtrArray) names = cis_folder_list (outbox, self->outbox, error);
  struct stat st;

  *all = *others = 0;
  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *file = g_ptr_array_index (names, i);

      if (strstr (file, ".tar.zst") == NULL || fstatat (outbox, file, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
          !S_ISREG (st.st_mode))
        continue;
      *all += st.st_size;
      *others += g_str_has_prefix (file, prefix) ? 0 : st.st_size;
    }
  return names != NULL;
}

/* How much more may be written for @name. One that is alone may be as large as it is, or it would never get
 * out. */
static gboolean
measure (CisRoom *self, const char *name, guint64 *room, const char **why, GError **error)
{
  guint64 all = 0, others = 0;
  struct statvfs fs;

  if (statvfs (self->outbox, &fs) != 0)
    return cis_error_set_errno (error, errno, "Looking at the file system of %s", self->outbox);
  *room = (guint64) fs.f_bavail * fs.f_frsize;
  *room = left_of (*room, self->free_space);
  *why = "no more than free-space= is left on its file system";
  if (self->outbox_max == 0)
    return TRUE;
  if (!measure_outbox (self, name, &all, &others, error))
    return FALSE;
  if (others > 0 && left_of (self->outbox_max, all) < *room)
    {
      *room = left_of (self->outbox_max, all);
      *why = "the archives in it, which wait to be shipped, are as many bytes as outbox-max= allows";
    }
  return TRUE;
}

static gboolean
set_no_space (GError **error, const char *why)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, why);
  return FALSE;
}

/* Under the lock. */
static guint64
get_too_little (CisRoom *self, const char *name)
{
  guint64 *used = g_hash_table_lookup (self->too_little, name);

  return used != NULL ? *used : 0;
}

gboolean
cis_room_begin (CisRoom *self, const char *name, GError **error)
{
  g_autoptr (GMutexLocker) locker = NULL;
  const char *why;
  guint64 room;

  if (!measure (self, name, &room, &why, error))
    return FALSE;
  locker = g_mutex_locker_new (&self->lock);
  if (room > get_too_little (self, name))
    return TRUE;
  return set_no_space (error, room == 0 ? why : "there is no more room than it did not fit into before");
}

gboolean
cis_room_check (CisRoom *self, const char *name, GError **error)
{
  const char *why;
  guint64 room;

  if (!measure (self, name, &room, &why, error))
    return FALSE;
  return room > 0 || set_no_space (error, why);
}

static CisFinding *
make_finding (CisRoom *self, CisSeverity severity, const char *subject, const char *name, const char *what)
{
  CisFinding *finding =
      cis_finding_new (FINDING, severity, subject,
                       "No room is left to pack %s, which waits; what is packed already goes on: %s.", name,
                       what);
  g_autofree char *outbox = g_shell_quote (self->outbox);
  g_autofree char *state = g_shell_quote (cis_host_state_get_path (self->state));

  cis_finding_set_fix (finding,
                       "df -h %s\n"
                       "du -sh %s %s/shipped %s/quarantine\n"
                       "# free space there: what is shipped or in quarantine can go",
                       outbox, outbox, state, state);
  return finding;
}

CisOutcome *
cis_room_lack (CisRoom *self, const char *name, guint64 used, const char *what)
{
  gboolean first;

  g_mutex_lock (&self->lock);
  used = MAX (used, get_too_little (self, name));
  g_hash_table_replace (self->too_little, g_strdup (name), g_memdup2 (&used, sizeof used));
  first = self->told == NULL;
  if (first)
    self->told = g_strdup (name);
  g_mutex_unlock (&self->lock);

  if (first)
    cis_part_raise (self->part, make_finding (self, CIS_SEVERITY_ERROR, self->outbox, name, what));
  /* Of this episode only: where the whole stage were held, what is packed could not go out. */
  return cis_outcome_deferred (CIS_SCOPE_ITEM, 0, make_finding (self, CIS_SEVERITY_INFO, name, name, what));
}

void
cis_room_suffice (CisRoom *self, const char *name)
{
  gboolean over;

  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->too_little, name);
  /* Where nobody was told, somebody may have been before a reload. */
  over = self->told == NULL || g_str_equal (self->told, name);
  if (over)
    g_clear_pointer (&self->told, g_free);
  g_mutex_unlock (&self->lock);
  if (over)
    cis_part_clear_unless (self->part, FINDING, NULL, NULL);
}

/* Whether there is nothing left to pack. */
static gboolean
is_gone (gpointer name, gpointer used, gpointer self)
{
  int episodes = cis_host_state_get_fd (((CisRoom *) self)->state, CIS_FOLDER_EPISODES);
  struct stat st;

  return fstatat (episodes, name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

void
cis_room_forget_gone (CisRoom *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_hash_table_foreach_remove (self->too_little, is_gone, self);
}

void
cis_room_look (CisRoom *self)
{
  g_autofree char *name = NULL;
  guint64 too_little, room;
  const char *why;

  g_mutex_lock (&self->lock);
  name = g_strdup (self->told);
  too_little = name != NULL ? get_too_little (self, name) : 0;
  g_mutex_unlock (&self->lock);
  if (name == NULL)
    return;
  if (!is_gone (name, NULL, self) && (!measure (self, name, &room, &why, NULL) || room <= too_little))
    return;
  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->told, g_free);
  g_mutex_unlock (&self->lock);
  cis_part_clear_unless (self->part, FINDING, NULL, NULL);
}
