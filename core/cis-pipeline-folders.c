/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is held open by descriptor and is called by its name outside: a folder that was moved away, replaced
 * or mounted over would be worked in for ever, where nobody puts anything any more. */

#include "cis-journey.h"

#include <errno.h>
#include <sys/stat.h>

#define INTERVAL (2 * G_TIME_SPAN_SECOND)

typedef struct
{
  char *path; /* owned */
  dev_t device;
  ino_t inode;
} Folder;

static void
folder_clear (gpointer data)
{
  g_free (((Folder *) data)->path);
}

void
cis_pipeline_watch_folder (CisPipeline *self, const char *path, int fd)
{
  Folder folder = { g_canonicalize_filename (path, NULL), 0, 0 };
  struct stat info;

  if (fstat (fd, &info) != 0)
    {
      g_free (folder.path);
      return;
    }
  folder.device = info.st_dev;
  folder.inode = info.st_ino;
  if (self->folders == NULL)
    {
      self->folders = g_array_new (FALSE, FALSE, sizeof (Folder));
      g_array_set_clear_func (self->folders, folder_clear);
    }
  g_array_append_val (self->folders, folder);
}

/* What cannot be looked at just now may be the same all the time. */
static gboolean
is_another (const Folder *folder)
{
  struct stat info;

  if (stat (folder->path, &info) != 0)
    return errno == ENOENT || errno == ENOTDIR;
  return info.st_dev != folder->device || info.st_ino != folder->inode;
}

static gboolean
look (gpointer data)
{
  CisPipeline *self = data;

  for (guint i = 0; i < self->folders->len; i++)
    {
      const Folder *folder = &g_array_index (self->folders, Folder, i);

      if (!is_another (folder))
        continue;
      cis_pipeline_reopen (self, g_error_new (CIS_ERROR, CIS_ERROR_FATAL,
                                              "%s was moved away, replaced or mounted over", folder->path));
      return G_SOURCE_REMOVE;
    }
  cis_housekeeping_add (self->housekeeping, INTERVAL, look, self);
  return G_SOURCE_REMOVE;
}

void
cis_pipeline_watch_begin (CisPipeline *self)
{
  if (self->folders != NULL)
    cis_housekeeping_add (self->housekeeping, INTERVAL, look, self);
}

void
cis_pipeline_watch_end (CisPipeline *self)
{
  g_clear_pointer (&self->folders, g_array_unref);
}
