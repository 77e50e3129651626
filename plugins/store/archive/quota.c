/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quota.h"

#include <fcntl.h>

#define RETRY (5 * G_TIME_SPAN_MINUTE)

struct _CisQuota
{
  CisLayout *layout;
  guint64 bytes;
  GMutex lock;
  GHashTable *used; /* host to gint64 *, under the lock */
};

CisQuota *
cis_quota_new (CisLayout *layout, guint64 bytes)
{
  CisQuota *self = g_new0 (CisQuota, 1);

  self->layout = layout;
  self->bytes = bytes;
  g_mutex_init (&self->lock);
  self->used = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
  return self;
}

void
cis_quota_free (CisQuota *self)
{
  g_hash_table_unref (self->used);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Of an archive that is not home yet, the .part is another name:
 * only files with one name count in incoming/. */
static gboolean
add_folder (int dirfd, const char *host, gboolean only_single, gint64 *sum, GError **error)
{
  g_autoptr (GPtrArray) names = cis_layout_list (dirfd, host, error);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      g_autofree char *path = g_build_filename (host, g_ptr_array_index (names, i), NULL);
      struct stat st;

      if (fstatat (dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG (st.st_mode) &&
          (!only_single || st.st_nlink == 1))
        *sum += st.st_size;
    }
  return names != NULL;
}

/* Under the lock. %NULL on error. */
static gint64 *
look_up (CisQuota *self, const char *host, GError **error)
{
  gint64 *used = g_hash_table_lookup (self->used, host);
  gint64 sum = 0;

  if (used != NULL)
    return used;
  if (!add_folder (self->layout->store, host, FALSE, &sum, error) ||
      !add_folder (self->layout->incoming, host, TRUE, &sum, error))
    return NULL;
  used = g_memdup2 (&sum, sizeof sum);
  g_hash_table_insert (self->used, g_strdup (host), used);
  return used;
}

static CisOutcome *
used_up (CisQuota *self, CisEpisode *episode, gint64 used, gint64 more)
{
  const char *host = cis_episode_get_host (episode);
  CisFinding *finding =
      cis_finding_new ("host-quota-used-up", CIS_SEVERITY_ERROR, cis_item_get_id (CIS_ITEM (episode)),
                       "%s has %" G_GINT64_FORMAT " of the %" G_GUINT64_FORMAT
                       " bytes that a host may have at the receiver, so that %" G_GINT64_FORMAT
                       " more do not fit",
                       host, used, self->bytes, more);

  cis_finding_set_fix (finding,
                       "# on the receiver, in pipelines/receiver.ini.d/quota.ini:\n"
                       "[store]\n"
                       "host-quota=SIZE\n"
                       "# then, also after something was taken out of store/%s:\n"
                       "systemctl reload cis490-receiver\n"
                       "# the host tries again by itself; there, for an attempt at once:\n"
                       "systemctl restart cis490-shipper",
                       host);
  /* The quota is the host's, which is to tell of it. A smaller episode that fits is the next probe. */
  return cis_outcome_deferred (CIS_SCOPE_STAGE, RETRY, finding);
}

CisOutcome *
cis_quota_admit (CisQuota *self, CisEpisode *episode, gint64 more, gboolean take)
{
  g_autoptr (GMutexLocker) locker = NULL;
  g_autoptr (GError) error = NULL;
  gint64 *used;

  if (self->bytes == 0)
    return NULL;
  locker = g_mutex_locker_new (&self->lock);
  used = look_up (self, cis_episode_get_host (episode), &error);
  if (used == NULL)
    return cis_outcome_failed (g_steal_pointer (&error));
  if (more > 0 && *used + more > (gint64) MIN (self->bytes, G_MAXINT64))
    return used_up (self, episode, *used, more);
  if (take)
    *used += more;
  return NULL;
}

void
cis_quota_add (CisQuota *self, const char *host, gint64 more)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  gint64 *used = g_hash_table_lookup (self->used, host);

  if (used != NULL)
    *used += more;
}
