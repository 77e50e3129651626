/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-item.h"

typedef struct
{
  char *id;
  CisRequest *request; /* owned, nullable */
  GHashTable *marks;   /* owned; string to string */
  gboolean recovered;
  CisOutcome *outcome; /* owned; NULL while at work */
  char *decided_by;    /* nullable */
} CisItemPrivate;

G_DEFINE_TYPE_WITH_PRIVATE (CisItem, cis_item, G_TYPE_OBJECT)

static CisItemPrivate *
get_private (CisItem *self)
{
  return cis_item_get_instance_private (self);
}

static void
cis_item_finalize (GObject *object)
{
  CisItemPrivate *priv = get_private (CIS_ITEM (object));

  g_free (priv->id);
  g_clear_object (&priv->request);
  g_hash_table_unref (priv->marks);
  g_clear_pointer (&priv->outcome, cis_outcome_unref);
  g_free (priv->decided_by);
  G_OBJECT_CLASS (cis_item_parent_class)->finalize (object);
}

static void
cis_item_class_init (CisItemClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = cis_item_finalize;
}

static void
cis_item_init (CisItem *self)
{
  get_private (self)->marks = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
}

void
cis_item_init_id (CisItem *self, const char *id, CisRequest *request)
{
  CisItemPrivate *priv = get_private (self);

  priv->id = g_strdup (id);
  g_set_object (&priv->request, request);
}

CisItem *
cis_item_new (const char *id, CisRequest *request)
{
  CisItem *self = g_object_new (CIS_TYPE_ITEM, NULL);

  cis_item_init_id (self, id, request);
  return self;
}

const char *
cis_item_get_id (CisItem *self)
{
  return get_private (self)->id;
}

CisRequest *
cis_item_get_request (CisItem *self)
{
  return get_private (self)->request;
}

void
cis_item_set_mark (CisItem *self, const char *key, const char *value)
{
  g_hash_table_replace (get_private (self)->marks, g_strdup (key), g_strdup (value));
}

const char *
cis_item_get_mark (CisItem *self, const char *key)
{
  return g_hash_table_lookup (get_private (self)->marks, key);
}

GHashTable *
cis_item_get_marks (CisItem *self)
{
  return get_private (self)->marks;
}

void
cis_item_set_recovered (CisItem *self)
{
  get_private (self)->recovered = TRUE;
}

gboolean
cis_item_is_recovered (CisItem *self)
{
  return get_private (self)->recovered;
}

void
cis_item_fix_outcome (CisItem *self, CisOutcome *outcome, const char *decided_by)
{
  CisItemPrivate *priv = get_private (self);

  g_clear_pointer (&priv->outcome, cis_outcome_unref);
  priv->outcome = cis_outcome_ref (outcome);
  g_free (priv->decided_by);
  priv->decided_by = g_strdup (decided_by);
}

CisOutcome *
cis_item_get_outcome (CisItem *self)
{
  return get_private (self)->outcome;
}

const char *
cis_item_get_decided_by (CisItem *self)
{
  return get_private (self)->decided_by;
}
