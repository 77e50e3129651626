/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shelf.h"

#include <errno.h>
#include <glib/gstdio.h>

/* How many stay open for the next request: two descriptors each. To open them takes some 20 µs. */
#define IDLE_MAX 16

struct _CisShelves
{
  CisLayout *layout;
  GMutex lock;
  GHashTable *shelves; /* host to CisShelf, owned; under the lock */
  GQueue idle;         /* of those that nobody uses, the one that was used last at the end; under the lock */
};

static void
shelf_free (gpointer data)
{
  CisShelf *shelf = data;

  g_clear_pointer (&shelf->incoming_commit, cis_group_commit_free);
  g_clear_pointer (&shelf->store_commit, cis_group_commit_free);
  if (shelf->incoming >= 0)
    g_close (shelf->incoming, NULL);
  if (shelf->store >= 0)
    g_close (shelf->store, NULL);
  g_free (shelf->host);
  g_free (shelf);
}

static gboolean
sync_incoming (gpointer data, GError **error)
{
  CisShelf *shelf = data;
  g_autofree char *what = g_build_filename ("incoming", shelf->host, NULL);

  return cis_file_sync (shelf->incoming, what, error);
}

static gboolean
sync_store (gpointer data, GError **error)
{
  CisShelf *shelf = data;
  g_autofree char *what = g_build_filename ("store", shelf->host, NULL);

  return cis_file_sync (shelf->store, what, error);
}

static CisShelf *
shelf_new (CisShelves *shelves, const char *host, GError **error)
{
  CisLayout *layout = shelves->layout;
  CisShelf *shelf = g_new0 (CisShelf, 1);

  shelf->shelves = shelves;
  shelf->idle.data = shelf;
  shelf->host = g_strdup (host);
  shelf->store = -1;
  shelf->incoming = cis_folder_open (layout->incoming, host, TRUE, error);
  if (shelf->incoming >= 0)
    shelf->store = cis_folder_open (layout->store, host, TRUE, error);
  if (shelf->store < 0)
    {
      shelf_free (shelf);
      return NULL;
    }
  shelf->incoming_commit = cis_group_commit_new (sync_incoming, shelf, NULL);
  shelf->store_commit = cis_group_commit_new (sync_store, shelf, NULL);
  return shelf;
}

/* A folder that was removed takes no files, however well its descriptor looks; only a new start makes
 * another. */
static gboolean
shelf_is_there (CisShelf *shelf, GError **error)
{
  struct stat incoming, store;

  if (fstat (shelf->incoming, &incoming) < 0 || fstat (shelf->store, &store) < 0)
    return cis_error_set_errno (error, errno, "Looking at the folders of %s", shelf->host);
  if (incoming.st_nlink > 0 && store.st_nlink > 0)
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_FATAL,
               "%s/%s was removed while it is in use; the receiver starts anew and makes it again",
               incoming.st_nlink == 0 ? "incoming" : "store", shelf->host);
  return FALSE;
}

CisShelves *
cis_shelves_new (CisLayout *layout)
{
  CisShelves *self = g_new0 (CisShelves, 1);

  self->layout = layout;
  g_mutex_init (&self->lock);
  self->shelves = g_hash_table_new_full (cis_str_hash, g_str_equal, NULL, shelf_free);
  return self;
}

void
cis_shelves_free (CisShelves *self)
{
  g_hash_table_unref (self->shelves);
  g_mutex_clear (&self->lock);
  g_free (self);
}

CisShelf *
cis_shelves_get (CisShelves *self, const char *host, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  CisShelf *shelf = g_hash_table_lookup (self->shelves, host);

  if (shelf != NULL && !shelf_is_there (shelf, error))
    return NULL;
  if (shelf == NULL)
    {
      shelf = shelf_new (self, host, error);
      if (shelf == NULL)
        return NULL;
      g_hash_table_insert (self->shelves, shelf->host, shelf);
    }
  else if (shelf->n_users == 0)
    g_queue_unlink (&self->idle, &shelf->idle);
  shelf->n_users++;
  return shelf;
}

void
cis_shelf_release (CisShelf *shelf)
{
  CisShelves *self = shelf->shelves;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (--shelf->n_users > 0)
    return;
  g_queue_push_tail_link (&self->idle, &shelf->idle);
  if (self->idle.length > IDLE_MAX)
    {
      CisShelf *oldest = g_queue_pop_head_link (&self->idle)->data;

      g_hash_table_remove (self->shelves, oldest->host);
    }
}
