/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "commits.h"

typedef struct
{
  const char *commit;
  gint64 time;
} Entry;

struct _CisWindow
{
  char *source;
  gint64 fetched_at;     /* monotonic µs */
  GStringChunk *ids;     /* what the others point into */
  GArray *entries;       /* of Entry, newest first */
  GHashTable *positions; /* commit: position */
  gboolean cut;
  gboolean fallback;
};

CisWindow *
cis_window_new (const char *source, gint64 fetched_at)
{
  CisWindow *self = g_atomic_rc_box_new0 (CisWindow);

  self->source = g_strdup (source);
  self->fetched_at = fetched_at;
  self->ids = g_string_chunk_new (4096);
  self->entries = g_array_new (FALSE, FALSE, sizeof (Entry));
  self->positions = g_hash_table_new (cis_str_hash, g_str_equal);
  return self;
}

CisWindow *
cis_window_ref (CisWindow *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
cis_window_clear (gpointer data)
{
  CisWindow *self = data;

  g_free (self->source);
  g_hash_table_unref (self->positions);
  g_array_unref (self->entries);
  g_string_chunk_free (self->ids);
}

void
cis_window_unref (CisWindow *self)
{
  g_atomic_rc_box_release_full (self, cis_window_clear);
}

void
cis_window_append (CisWindow *self, const char *commit, gint64 time)
{
  Entry entry = { NULL, time };

  if (g_hash_table_contains (self->positions, commit))
    return;
  entry.commit = g_string_chunk_insert_len (self->ids, commit, CIS_COMMIT_LENGTH);
  g_hash_table_insert (self->positions, (gpointer) entry.commit, GUINT_TO_POINTER (self->entries->len));
  g_array_append_val (self->entries, entry);
}

void
cis_window_append_all (CisWindow *self, CisWindow *other)
{
  for (guint i = 0; i < other->entries->len; i++)
    cis_window_append (self, cis_window_get_commit (other, i), cis_window_get_time (other, i));
}

void
cis_window_set_cut (CisWindow *self)
{
  self->cut = TRUE;
}

void
cis_window_set_fallback (CisWindow *self)
{
  self->fallback = TRUE;
}

gint64
cis_window_get_position (CisWindow *self, const char *commit)
{
  gpointer position;

  if (!g_hash_table_lookup_extended (self->positions, commit, NULL, &position))
    return -1;
  return GPOINTER_TO_UINT (position);
}

guint
cis_window_get_length (CisWindow *self)
{
  return self->entries->len;
}

const char *
cis_window_get_commit (CisWindow *self, guint position)
{
  return g_array_index (self->entries, Entry, position).commit;
}

gint64
cis_window_get_time (CisWindow *self, guint position)
{
  return g_array_index (self->entries, Entry, position).time;
}

const char *
cis_window_get_head (CisWindow *self)
{
  return self->entries->len > 0 ? cis_window_get_commit (self, 0) : NULL;
}

const char *
cis_window_get_source (CisWindow *self)
{
  return self->source;
}

char *
cis_window_describe_source (CisWindow *self)
{
  return g_strconcat (self->source, self->fallback ? "-fallback" : "", NULL);
}

gint64
cis_window_get_fetched_at (CisWindow *self)
{
  return self->fetched_at;
}

gboolean
cis_window_is_cut (CisWindow *self)
{
  return self->cut;
}

gboolean
cis_window_is_fallback (CisWindow *self)
{
  return self->fallback;
}

gboolean
cis_window_begins_with (CisWindow *self, CisWindow *beginning)
{
  if (self->entries->len < beginning->entries->len)
    return FALSE;
  for (guint i = 0; i < beginning->entries->len; i++)
    if (!g_str_equal (cis_window_get_commit (self, i), cis_window_get_commit (beginning, i)))
      return FALSE;
  return TRUE;
}

gboolean
cis_window_equal (CisWindow *self, CisWindow *other)
{
  return self->entries->len == other->entries->len && cis_window_begins_with (self, other);
}
