/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "row-set.h"

#include "../../shared/rows/row.h"

#include <errno.h>
#include <sys/stat.h>

#define CHUNK (64 * 1024)

struct _CisRowSet
{
  GHashTable *ids;     /* set of "host/episode" … */
  GStringChunk *names; /* … which are in here */
  gint64 offset;       /* up to where the file is known */
};

CisRowSet *
cis_row_set_new (void)
{
  CisRowSet *self = g_new0 (CisRowSet, 1);

  self->ids = g_hash_table_new (cis_str_hash, g_str_equal);
  self->names = g_string_chunk_new (CHUNK);
  return self;
}

void
cis_row_set_free (CisRowSet *self)
{
  g_hash_table_unref (self->ids);
  g_string_chunk_free (self->names);
  g_free (self);
}

static void
add (const CisRow *row, gint64 offset, gpointer user_data)
{
  CisRowSet *self = user_data;
  g_autofree char *id = NULL;

  if (row == NULL)
    return;
  id = g_strconcat (row->host, "/", row->episode, NULL);
  if (!g_hash_table_contains (self->ids, id))
    g_hash_table_add (self->ids, g_string_chunk_insert (self->names, id));
}

gboolean
cis_row_set_read (CisRowSet *self, int fd, GCancellable *cancellable, GError **error)
{
  struct stat st;

  if (fstat (fd, &st) < 0)
    return cis_error_set_errno (error, errno, "Looking at the index");
  return cis_row_foreach (fd, &self->offset, st.st_size, add, self, cancellable, error);
}

gboolean
cis_row_set_has (CisRowSet *self, const char *host, const char *episode)
{
  g_autofree char *id = g_strconcat (host, "/", episode, NULL);

  return g_hash_table_contains (self->ids, id);
}
