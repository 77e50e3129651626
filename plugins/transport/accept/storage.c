/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage.h"

#include <stdatomic.h>
#include <sys/statvfs.h>

#define SMALL (1024 * 1024) /* bytes; with less room than that, nobody's archive has any */

struct _CisStorage
{
  CisPart *part;
  const char *directory;
  guint64 free_space;
  GMutex promising;         /* one looks at a time, so that nothing is promised twice */
  _Atomic guint64 promised; /* bytes of the bodies that are being read, and have not come */
  GMutex lock;
  gboolean looked; /* under the lock */
  guint64 lacking; /* bytes: the least that there was no room for, of which people have been told; 0: none;
                      under the lock */
};

CisStorage *
cis_storage_new (CisPart *part, const char *directory, guint64 free_space)
{
  CisStorage *self = g_new0 (CisStorage, 1);

  self->part = part;
  self->directory = directory;
  self->free_space = free_space;
  g_mutex_init (&self->promising);
  g_mutex_init (&self->lock);
  return self;
}

void
cis_storage_free (CisStorage *self)
{
  g_mutex_clear (&self->promising);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* A folder that cannot be asked is the store's to complain about, in better words. */
static guint64
get_available (CisStorage *self)
{
  struct statvfs fs;

  return statvfs (self->directory, &fs) == 0 ? (guint64) fs.f_bavail * fs.f_frsize : G_MAXUINT64;
}

static guint64
get_room (CisStorage *self, guint64 available)
{
  return available - MIN (available, self->free_space);
}

guint64
cis_storage_get_room (CisStorage *self)
{
  return get_room (self, get_available (self));
}

static CisFinding *
new_finding (CisStorage *self, const char *subject, guint64 available, guint64 promised, guint64 size)
{
  CisFinding *finding =
      cis_finding_new ("storage-full", CIS_SEVERITY_ERROR, subject,
                       "The receiver has no room for an archive of %" G_GUINT64_FORMAT
                       " bytes: %" G_GUINT64_FORMAT " are free, of which free-space= keeps %" G_GUINT64_FORMAT
                       ", and uploads under way are to have %" G_GUINT64_FORMAT,
                       size, available, self->free_space, promised);

  cis_finding_set_fix (finding,
                       "# on the receiver; hosts deliver by themselves once there is room:\n"
                       "df -h %s",
                       self->directory);
  /* Where there is room for something, a smaller archive need not wait for this one. */
  cis_finding_set_detail (finding, "scope", get_room (self, available) > promised + SMALL ? "item" : "stage");
  return finding;
}

/* Tells people once that archives of that size are not taken, and when it is over. */
static void
watch_storage (CisStorage *self, guint64 available, guint64 promised, guint64 size)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  guint64 room = get_room (self, available);
  gboolean told = self->lacking > 0;

  if (room < size)
    self->lacking = told ? MIN (self->lacking, size) : size;
  else if (room >= self->lacking)
    self->lacking = 0;
  if (self->lacking > 0 && !told)
    cis_part_raise (self->part, new_finding (self, self->directory, available, promised, size));
  else if (self->lacking == 0 && (told || !self->looked))
    cis_part_clear_unless (self->part, "storage-full", NULL, NULL);
  self->looked = TRUE;
}

CisFinding *
cis_storage_check (CisStorage *self, guint64 size, gboolean known)
{
  /* First: what comes in between is counted twice rather than not at all. */
  guint64 promised = atomic_load (&self->promised);
  guint64 available = get_available (self);
  guint64 room = get_room (self, available);

  watch_storage (self, available, promised, known ? size : MIN (size, 1));
  return room >= promised && room - promised >= size
             ? NULL
             : new_finding (self, "storage", available, promised, size);
}

CisFinding *
cis_storage_promise (CisStorage *self, guint64 size)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->promising);
  CisFinding *problem = cis_storage_check (self, size, TRUE);

  if (problem == NULL)
    atomic_fetch_add (&self->promised, size);
  return problem;
}

void
cis_storage_redeem (CisStorage *self, guint64 size)
{
  atomic_fetch_sub (&self->promised, size);
}
