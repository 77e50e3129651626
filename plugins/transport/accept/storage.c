/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage.h"

#include <sys/statvfs.h>

struct _CisStorage
{
  CisPart *part;
  const char *directory;
  guint64 free_space;
  GMutex lock;
  gboolean looked; /* under the lock */
  gboolean full;   /* less than that is left, and people have been told; under the lock */
};

CisStorage *
cis_storage_new (CisPart *part, const char *directory, guint64 free_space)
{
  CisStorage *self = g_new0 (CisStorage, 1);

  self->part = part;
  self->directory = directory;
  self->free_space = free_space;
  g_mutex_init (&self->lock);
  return self;
}

void
cis_storage_free (CisStorage *self)
{
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Tells people that the storage is full, once, and when it is over. */
static void
watch_storage (CisStorage *self, guint64 available)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  CisFinding *finding;

  if (self->looked && self->full == (available < self->free_space))
    return;
  self->looked = TRUE;
  self->full = available < self->free_space;
  if (!self->full)
    {
      cis_part_clear_unless (self->part, "storage-full", NULL, NULL);
      return;
    }
  finding = cis_finding_new ("storage-full", CIS_SEVERITY_ERROR, self->directory,
                             "Only %" G_GUINT64_FORMAT " bytes are left at %s, so that no archive is taken",
                             available, self->directory);
  cis_finding_set_fix (finding,
                       "df -h %s\n"
                       "# free space there, or enlarge it; hosts deliver by themselves once there is room",
                       self->directory);
  cis_part_raise (self->part, finding);
}

/* A folder that cannot be asked is the store's to complain about, in better words. */
static guint64
get_available (CisStorage *self)
{
  struct statvfs fs;

  return statvfs (self->directory, &fs) == 0 ? (guint64) fs.f_bavail * fs.f_frsize : G_MAXUINT64;
}

guint64
cis_storage_get_room (CisStorage *self)
{
  guint64 available = get_available (self);

  return available - MIN (available, self->free_space);
}

CisFinding *
cis_storage_check (CisStorage *self, guint64 promised, guint64 size)
{
  guint64 available = get_available (self);
  CisFinding *finding;

  watch_storage (self, available);
  if (available >= self->free_space && available - self->free_space >= promised &&
      available - self->free_space - promised >= size)
    return NULL;
  finding = cis_finding_new ("storage-full", CIS_SEVERITY_ERROR, "storage",
                             "The receiver has no room for %" G_GUINT64_FORMAT " bytes", size);
  cis_finding_set_fix (finding,
                       "# on the receiver; hosts deliver by themselves once there is room:\n"
                       "df -h %s",
                       self->directory);
  return finding;
}
