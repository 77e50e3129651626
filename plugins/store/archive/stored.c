/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stored.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

#define IN_FLIGHT_RETRY    (1 * G_USEC_PER_SEC)
#define STORAGE_FULL_RETRY (30 * G_USEC_PER_SEC)

CisOutcome *
cis_stored_in_flight (CisItem *item, const char *summary)
{
  CisFinding *finding =
      cis_finding_new ("in-flight", CIS_SEVERITY_INFO, cis_item_get_id (item), "%s", summary);

  cis_finding_set_fix (finding, "# nothing to do: send it again in a second, as the shipper does");
  return cis_outcome_deferred (CIS_SCOPE_ITEM, IN_FLIGHT_RETRY, finding);
}

CisOutcome *
cis_stored_failed (CisPart *part, CisItem *item, GError *error)
{
  CisFinding *finding;

  if (g_error_matches (error, CIS_ERROR, CIS_ERROR_FATAL))
    cis_part_stop (part, g_error_copy (error));
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
    return cis_outcome_failed (error);

  finding =
      cis_finding_new ("storage-full", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                       "The receiver's file system is full (or its quota is used up): %s", error->message);
  cis_finding_set_fix (finding, "# on the receiver; hosts deliver by themselves once there is room:\n"
                                "df -h\n"
                                "df -i");
  g_error_free (error);
  /* To a host: none of its episodes has room. Here it is one upload's, and logged as that, with its reason.
   */
  cis_finding_set_detail (finding, "scope", "stage");
  return cis_outcome_deferred (CIS_SCOPE_ITEM, STORAGE_FULL_RETRY, finding);
}

CisOutcome *
cis_stored_mismatch (CisEpisode *episode, const char *key, const char *announced, const char *found)
{
  CisFinding *finding =
      cis_finding_new ("digest-mismatch", CIS_SEVERITY_ERROR, cis_item_get_id (CIS_ITEM (episode)),
                       "The archive is not the one that was announced: its %s is %s, not %s.", key, found,
                       announced);

  cis_finding_set_fix (finding, "# pack the episode anew and send it again");
  cis_finding_set_detail (finding, "announced", announced);
  cis_finding_set_detail (finding, "received", found);
  return cis_outcome_rejected (finding);
}

CisOutcome *
cis_stored_wrong_length (CisEpisode *episode, guint64 length)
{
  g_autofree char *announced = g_strdup_printf ("%" G_GUINT64_FORMAT, cis_episode_get_size (episode));
  g_autofree char *found = g_strdup_printf ("%" G_GUINT64_FORMAT, length);

  return cis_stored_mismatch (episode, "length", announced, found);
}

/* The digest is that of what is stored. Announced with another length it is not, and a receipt that repeats
 * the true one would not be believed. */
static gboolean
has_length_of (CisEpisode *episode, const struct stat *st)
{
  return cis_episode_get_size (episode) == (guint64) st->st_size;
}

/* Of what the bytes tell: no gate has looked at what this question claims besides. full. */
static JsonObject *
make_receipt (CisEpisode *stored, const CisDamage *found)
{
  g_autofree char *since = cis_time_to_string (found->st.st_mtim.tv_sec * G_USEC_PER_SEC);

  cis_episode_set_archive (stored, NULL, found->found, found->st.st_size);
  return cis_receipt_new (stored, cis_episode_get_host (stored), "stored", since);
}

/* Takes the receipt. */
static CisOutcome *
duplicate (CisEpisode *episode, JsonObject *stored, const struct stat *st)
{
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));
  g_autoptr (JsonObject) receipt = stored;
  const char *commit = cis_episode_get_commit (episode);

  if (!has_length_of (episode, st))
    return cis_stored_wrong_length (episode, st->st_size);
  if (commit != NULL && !json_object_has_member (receipt, "commit"))
    json_object_set_string_member (receipt, "commit", commit);
  json_object_set_string_member (receipt, "status", "duplicate");
  cis_episode_set_receipt (episode, receipt);
  if (request != NULL)
    cis_request_set_reply (request, 200, g_steal_pointer (&receipt));
  return cis_outcome_done ();
}

CisOutcome *
cis_stored_conflict (CisEpisode *episode, const char *stored_sha256)
{
  const char *host = cis_episode_get_host (episode);
  const char *name = cis_episode_get_name (episode);
  CisFinding *finding =
      cis_finding_new ("episode-conflict", CIS_SEVERITY_ERROR, cis_item_get_id (CIS_ITEM (episode)),
                       "The receiver has other bytes under the name %s/%s (sha256 %s); it never "
                       "replaces what it has stored.",
                       host, name, stored_sha256);

  cis_finding_set_fix (finding,
                       "# where it is another run of the experiment, it can go out under another name:\n"
                       "cis490 quarantine release %s --as %s-2\n"
                       "# where it is the same run, changed after it was sent, leave it in quarantine",
                       name, name);
  cis_finding_set_detail (finding, "stored_sha256", stored_sha256);
  return cis_outcome_rejected (finding);
}

static CisOutcome *
judge_unfinished (CisEpisode *episode, const struct stat *st, char *part, char **intent)
{
  *intent = part;
  if (cis_part_name_is_of (part, episode) && !has_length_of (episode, st))
    return cis_stored_wrong_length (episode, st->st_size);
  return cis_outcome_passed ();
}

/* Of an archive that nothing beside it is a receipt of: as after it was moved or restored, or damaged. %NULL
 * without @error: it is damaged, and @episode may take its place, as it is what was promised, or nobody knows
 * any more what was. Otherwise the receipt that counts; full.
 *
 * That of an archive that is sound is noted, whatever was asked: else each question would have it hashed, and
 * a large one takes longer than its host waits. */
static JsonObject *
examine (CisStage *stage, CisLayout *layout, CisEpisode *episode, int fd, CisDamage **damage,
         GCancellable *cancellable, GError **error)
{
  g_autoptr (CisDamage) found = cis_damage_look (layout, episode, fd, stage, cancellable, error);
  g_autoptr (CisEpisode) stored =
      cis_episode_new (cis_episode_get_host (episode), cis_episode_get_name (episode), NULL);
  const char *sent = cis_episode_get_sha256 (episode);
  g_autoptr (JsonObject) receipt = NULL;
  gboolean same;

  if (found == NULL)
    return NULL;
  receipt = make_receipt (stored, found);
  same = g_strcmp0 (found->found, sent) == 0;
  /* What its host has, too, is as good as it gets. */
  if (found->reason == NULL || (same && found->promised == NULL))
    (void) cis_layout_write_receipt (fd, receipt, CIS_ITEM (stored));
  else if (same && !found->has_row)
    return g_steal_pointer (&receipt);
  else if (found->promised == NULL || g_strcmp0 (found->promised, sent) == 0)
    {
      *damage = g_steal_pointer (&found);
      return NULL;
    }
  else /* What was acknowledged were other bytes than these, however damaged they are by now. */
    json_object_set_string_member (receipt, "sha256", found->promised);
  return g_steal_pointer (&receipt);
}

/* ---- one look at an archive at a time: it may take minutes */

typedef struct
{
  dev_t device;
  ino_t inode;
} Looked;

static GMutex looking_mutex; /* guards what follows */
static GArray *looking;      /* of Looked; one for each worker at most */

/* Not by a lock of the file: whoever may read the store could hold it. @st: the archive's. FALSE: another
 * request is at it. */
static gboolean
begin_looking (const struct stat *st)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&looking_mutex);
  Looked own = { st->st_dev, st->st_ino };

  if (looking == NULL)
    looking = g_array_new (FALSE, FALSE, sizeof (Looked));
  for (guint i = 0; i < looking->len; i++)
    {
      const Looked *other = &g_array_index (looking, Looked, i);

      if (other->device == own.device && other->inode == own.inode)
        return FALSE;
    }
  g_array_append_val (looking, own);
  return TRUE;
}

static void
end_looking (const struct stat *st)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&looking_mutex);

  for (guint i = looking->len; i-- > 0;)
    if (g_array_index (looking, Looked, i).device == st->st_dev &&
        g_array_index (looking, Looked, i).inode == st->st_ino)
      g_array_remove_index_fast (looking, i);
}

static CisOutcome *
judge_archive (CisStage *stage, CisLayout *layout, CisEpisode *episode, int fd, char **intent,
               CisDamage **damage, GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) receipt = NULL;
  g_autofree char *part = NULL;
  const char *sha256;
  struct stat st;

  if (fstat (fd, &st) < 0)
    {
      cis_error_set_errno (&error, errno, "Looking at the archive of %s",
                           cis_item_get_id (CIS_ITEM (episode)));
      return cis_outcome_failed (g_steal_pointer (&error));
    }
  /* More than one link is an intent beside it, or merely a backup made of hard links. */
  if (st.st_nlink > 1)
    part = cis_layout_find_intent (layout, cis_episode_get_host (episode), cis_episode_get_name (episode),
                                   &st, &error);
  if (error != NULL)
    return cis_outcome_failed (g_steal_pointer (&error));
  if (part != NULL)
    return judge_unfinished (episode, &st, g_steal_pointer (&part), intent);

  receipt = cis_layout_read_receipt (fd, episode, NULL);
  if (receipt == NULL)
    {
      if (!begin_looking (&st))
        return cis_stored_in_flight (CIS_ITEM (episode), "Another request has the archive hashed just now.");
      receipt = examine (stage, layout, episode, fd, damage, cancellable, &error);
      end_looking (&st);
      if (receipt == NULL)
        return error != NULL ? cis_outcome_failed (g_steal_pointer (&error)) : cis_outcome_passed ();
    }
  sha256 = cis_json_get_string (receipt, "sha256");
  if (g_strcmp0 (sha256, cis_episode_get_sha256 (episode)) == 0)
    return duplicate (episode, g_steal_pointer (&receipt), &st);
  return cis_stored_conflict (episode, sha256);
}

CisOutcome *
cis_stored_judge (CisStage *stage, CisLayout *layout, CisEpisode *episode, char **intent, CisDamage **damage,
                  GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *name = cis_layout_archive_name (cis_episode_get_name (episode));
  g_autofree char *path = g_build_filename (cis_episode_get_host (episode), name, NULL);
  int fd = cis_file_open (layout->store, path, O_RDONLY | O_NOFOLLOW, NULL, &error);
  CisOutcome *outcome;

  *intent = NULL;
  *damage = NULL;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY))
    return cis_outcome_passed ();
  if (fd < 0)
    {
      g_prefix_error (&error, "store: ");
      return cis_outcome_failed (g_steal_pointer (&error));
    }
  outcome = judge_archive (stage, layout, episode, fd, intent, damage, cancellable);
  g_close (fd, NULL);
  return outcome;
}
