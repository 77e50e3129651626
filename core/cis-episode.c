/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-item.h"

typedef struct
{
  CisInspectFunc inspect;
  gpointer user_data;
} Inspection;

typedef struct
{
  char *host; /* nullable */
  char *name;
  char *directory;     /* path, nullable */
  char *fingerprint;   /* nullable */
  char *commit;        /* 40 hex, nullable */
  char *archive;       /* path, nullable */
  char *sha256;        /* 64 hex, nullable */
  guint64 size;        /* of the archive, bytes */
  JsonObject *receipt; /* owned, nullable */
  GArray *inspections; /* of Inspection; owned, nullable */
} CisEpisodePrivate;

G_DEFINE_TYPE_WITH_PRIVATE (CisEpisode, cis_episode, CIS_TYPE_ITEM)

static CisEpisodePrivate *
get_private (CisEpisode *self)
{
  return cis_episode_get_instance_private (self);
}

static void
cis_episode_finalize (GObject *object)
{
  CisEpisodePrivate *priv = get_private (CIS_EPISODE (object));

  g_free (priv->host);
  g_free (priv->name);
  g_free (priv->directory);
  g_free (priv->fingerprint);
  g_free (priv->commit);
  g_free (priv->archive);
  g_free (priv->sha256);
  g_clear_pointer (&priv->receipt, json_object_unref);
  g_clear_pointer (&priv->inspections, g_array_unref);
  G_OBJECT_CLASS (cis_episode_parent_class)->finalize (object);
}

static void
cis_episode_class_init (CisEpisodeClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = cis_episode_finalize;
}

static void
cis_episode_init (CisEpisode *self)
{
}

CisEpisode *
cis_episode_new (const char *host, const char *name, CisRequest *request)
{
  CisEpisode *self = g_object_new (CIS_TYPE_EPISODE, NULL);
  CisEpisodePrivate *priv = get_private (self);
  g_autofree char *id = host != NULL ? g_strdup_printf ("%s/%s", host, name) : g_strdup (name);

  cis_item_init_id (CIS_ITEM (self), id, request);
  priv->host = g_strdup (host);
  priv->name = g_strdup (name);
  return self;
}

const char *
cis_episode_get_host (CisEpisode *self)
{
  return get_private (self)->host;
}

const char *
cis_episode_get_name (CisEpisode *self)
{
  return get_private (self)->name;
}

static void
set_string (char **field, const char *value)
{
  char *copy = g_strdup (value); /* first: value may be what the field holds */

  g_free (*field);
  *field = copy;
}

void
cis_episode_set_directory (CisEpisode *self, const char *path)
{
  set_string (&get_private (self)->directory, path);
}

const char *
cis_episode_get_directory (CisEpisode *self)
{
  return get_private (self)->directory;
}

void
cis_episode_set_fingerprint (CisEpisode *self, const char *fingerprint)
{
  set_string (&get_private (self)->fingerprint, fingerprint);
}

const char *
cis_episode_get_fingerprint (CisEpisode *self)
{
  return get_private (self)->fingerprint;
}

void
cis_episode_set_commit (CisEpisode *self, const char *commit)
{
  set_string (&get_private (self)->commit, commit);
}

const char *
cis_episode_get_commit (CisEpisode *self)
{
  return get_private (self)->commit;
}

void
cis_episode_set_archive (CisEpisode *self, const char *path, const char *sha256, guint64 size)
{
  CisEpisodePrivate *priv = get_private (self);

  set_string (&priv->archive, path);
  set_string (&priv->sha256, sha256);
  priv->size = size;
}

const char *
cis_episode_get_archive (CisEpisode *self)
{
  return get_private (self)->archive;
}

const char *
cis_episode_get_sha256 (CisEpisode *self)
{
  return get_private (self)->sha256;
}

guint64
cis_episode_get_size (CisEpisode *self)
{
  return get_private (self)->size;
}

void
cis_episode_set_receipt (CisEpisode *self, JsonObject *receipt)
{
  CisEpisodePrivate *priv = get_private (self);

  g_clear_pointer (&priv->receipt, json_object_unref);
  priv->receipt = json_object_ref (receipt);
}

JsonObject *
cis_episode_get_receipt (CisEpisode *self)
{
  return get_private (self)->receipt;
}

gboolean
cis_name_is_valid (const char *name, gsize max)
{
  gsize length = 0;

  if (!g_ascii_isalnum (name[0]))
    return FALSE;
  for (; name[length] != '\0'; length++)
    if (length >= max || !(g_ascii_isalnum (name[length]) || strchr ("._-", name[length]) != NULL))
      return FALSE;
  return strstr (name, "..") == NULL;
}

gboolean
cis_hex_is_valid (const char *hex, gsize length)
{
  return hex != NULL && strlen (hex) == length && strspn (hex, "0123456789abcdef") == length;
}

void
cis_episode_add_inspection (CisEpisode *self, CisInspectFunc inspect, gpointer user_data)
{
  CisEpisodePrivate *priv = get_private (self);
  Inspection inspection = { inspect, user_data };

  if (priv->inspections == NULL)
    priv->inspections = g_array_new (FALSE, FALSE, sizeof (Inspection));
  g_array_append_val (priv->inspections, inspection);
}

CisOutcome *
cis_episode_inspect (CisEpisode *self, int fd, GCancellable *cancellable)
{
  CisEpisodePrivate *priv = get_private (self);

  for (guint i = 0; priv->inspections != NULL && i < priv->inspections->len; i++)
    {
      const Inspection *inspection = &g_array_index (priv->inspections, Inspection, i);
      g_autoptr (CisOutcome) outcome = inspection->inspect (self, fd, cancellable, inspection->user_data);

      if (cis_outcome_get_verdict (outcome) != CIS_VERDICT_PASSED)
        return g_steal_pointer (&outcome);
    }
  return cis_outcome_passed ();
}
