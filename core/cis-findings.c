/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-findings.h"

typedef struct
{
  CisFinding *finding; /* owned */
  char *owner;
} Entry;

struct _CisFindings
{
  GMutex lock;
  GHashTable *table; /* "id\nsubject" to Entry, both owned; under the lock */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_object_unref (entry->finding);
  g_free (entry->owner);
  g_free (entry);
}

CisFindings *
cis_findings_new (void)
{
  CisFindings *self = g_new0 (CisFindings, 1);

  g_mutex_init (&self->lock);
  self->table = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, entry_free);
  return self;
}

void
cis_findings_free (CisFindings *self)
{
  g_hash_table_unref (self->table);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static char *
make_key (const char *id, const char *subject)
{
  return g_strconcat (id, "\n", subject, NULL);
}

static Entry *
entry_new (CisFinding *finding, const char *owner)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->finding = g_object_ref (finding);
  entry->owner = g_strdup (owner);
  return entry;
}

gboolean
cis_findings_raise (CisFindings *self, CisFinding *finding, const char *owner, CisFindingChange *change)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  char *key = make_key (cis_finding_get_id (finding), cis_finding_get_subject (finding));
  Entry *entry = g_hash_table_lookup (self->table, key);
  CisFinding *before = entry != NULL ? entry->finding : NULL;
  gboolean is_same = before != NULL &&
                     g_str_equal (cis_finding_get_summary (before), cis_finding_get_summary (finding)) &&
                     g_strcmp0 (cis_finding_get_fix (before), cis_finding_get_fix (finding)) == 0;

  *change = before == NULL ? CIS_FINDING_RAISED : CIS_FINDING_REPLACED;
  g_hash_table_replace (self->table, key, entry_new (finding, owner));
  return !is_same;
}

CisFinding *
cis_findings_clear (CisFindings *self, const char *id, const char *subject)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_autofree char *key = make_key (id, subject);
  Entry *entry = g_hash_table_lookup (self->table, key);
  CisFinding *finding = entry != NULL ? g_object_ref (entry->finding) : NULL;

  g_hash_table_remove (self->table, key);
  return finding;
}

GPtrArray *
cis_findings_take (CisFindings *self, CisFindingsFunc is_over, gpointer user_data)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GPtrArray *taken = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->table);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Entry *entry = value;

      if (!is_over (entry->finding, entry->owner, user_data))
        continue;
      g_ptr_array_add (taken, g_object_ref (entry->finding));
      g_hash_table_iter_remove (&iter);
    }
  return taken;
}

void
cis_findings_inherit (CisFindings *self, CisFindings *from)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_remove_all (self->table);
  g_hash_table_iter_init (&iter, from->table);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      Entry *entry = value;

      g_hash_table_insert (self->table, g_strdup (key), entry_new (entry->finding, entry->owner));
    }
}
