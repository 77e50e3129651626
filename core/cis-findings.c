/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-findings.h"

struct _CisFindings
{
  GMutex lock;
  GHashTable *table; /* "id\nsubject" to CisFinding, both owned; under the lock */
};

CisFindings *
cis_findings_new (void)
{
  CisFindings *self = g_new0 (CisFindings, 1);

  g_mutex_init (&self->lock);
  self->table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
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

gboolean
cis_findings_raise (CisFindings *self, CisFinding *finding, CisFindingChange *change)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  char *key = make_key (cis_finding_get_id (finding), cis_finding_get_subject (finding));
  CisFinding *before = g_hash_table_lookup (self->table, key);
  gboolean is_same = before != NULL && g_str_equal (cis_finding_get_summary (before), cis_finding_get_summary (finding))
                     && g_strcmp0 (cis_finding_get_fix (before), cis_finding_get_fix (finding)) == 0;

  *change = before == NULL ? CIS_FINDING_RAISED : CIS_FINDING_REPLACED;
  g_hash_table_replace (self->table, key, g_object_ref (finding));
  return !is_same;
}

CisFinding *
cis_findings_clear (CisFindings *self, const char *id, const char *subject)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_autofree char *key = make_key (id, subject);
  g_autofree char *stolen = NULL;
  CisFinding *finding = NULL;

  g_hash_table_steal_extended (self->table, key, (gpointer *) &stolen, (gpointer *) &finding);
  return finding;
}
