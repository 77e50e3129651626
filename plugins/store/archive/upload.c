/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "upload.h"

#include "hashing.h"
#include "partial.h"
#include "set-aside.h"
#include "stored.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* A beginning that is smaller is soon sent again. It takes a name and an inode like a large one, but of those
 * no quota counts anything: a host has so many files in incoming/ before its small ones go. */
#define SMALL_PART  (1024 * 1024)
#define N_PARTS_MAX 100

static const char *
get_id (CisUpload *self)
{
  return cis_item_get_id (CIS_ITEM (self->episode));
}

static CisOutcome *
failed (CisUpload *self, GError *error)
{
  return cis_stored_failed (CIS_PART (self->stage), CIS_ITEM (self->episode), error);
}

/* Step 1. */
static int
open_part (CisUpload *self, GError **error)
{
  self->hold->part = cis_layout_part_name (self->episode);
  if (self->resumed && self->offset > 0)
    return cis_partial_resume (self->shelf->incoming, self->shelf->host, self->hold->part, self->offset,
                               error);
  return cis_partial_create (self->shelf->incoming, self->shelf->host, self->hold->part, error);
}

static gboolean
read_chunk (CisUpload *self, CisChunk *chunk, guint64 done, guint64 size, GError **error)
{
  GInputStream *body = cis_request_get_body (cis_item_get_request (CIS_ITEM (self->episode)));
  gsize wanted = MIN (chunk->size, size - done);

  while (chunk->length < wanted)
    {
      gssize length = g_input_stream_read (body, chunk->data + chunk->length, wanted - chunk->length,
                                           self->hold->cancellable, error);

      if (length == 0)
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                     "it ended after %" G_GUINT64_FORMAT " bytes", done + chunk->length);
      if (length <= 0)
        return FALSE;
      chunk->length += length;
      cis_holds_hear (self->holds, self->hold);
      cis_stage_progress (self->stage, CIS_ITEM (self->episode), done + chunk->length, size);
    }
  return TRUE;
}

static CisOutcome *
cut (CisUpload *self, GError *error)
{
  g_autoptr (GError) owned = error;
  CisFinding *finding;

  if (g_cancellable_is_cancelled (self->cancellable))
    return cis_outcome_failed (g_steal_pointer (&owned));
  /* Not that the disk is full, but others have what room there is. */
  if (g_error_matches (owned, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
    return failed (self, g_steal_pointer (&owned));
  finding = cis_finding_new ("body-cut", CIS_SEVERITY_WARNING, get_id (self),
                             "The archive did not come whole (%" G_GUINT64_FORMAT " bytes were promised): %s",
                             cis_episode_get_size (self->episode),
                             g_cancellable_is_cancelled (self->hold->cancellable)
                                 ? "it had stalled, and a newer upload of the same bytes took over"
                                 : owned->message);
  cis_finding_set_fix (
      finding,
      "# nothing to do: send it again in a second, as the shipper does; where that goes on, look at\n"
      "# the network and at the proxy's time limits");
  return cis_outcome_deferred (CIS_SCOPE_ITEM, 0, finding);
}

/* A disk that is full for a moment does not cost what was there before this request; what came with it is
 * given back, because others, and the index, need room now. %FALSE: nothing was there, or it cannot be kept.
 */
static gboolean
give_back (CisUpload *self, int fd)
{
  return self->offset > 0 && TEMP_FAILURE_RETRY (ftruncate (fd, (off_t) self->offset)) == 0;
}

/* Of what was cut after @done bytes; the file is there already. */
static gboolean
is_worth_keeping (CisUpload *self, guint64 done)
{
  g_autoptr (GPtrArray) parts = NULL;

  if (done == 0 || done >= SMALL_PART)
    return done > 0;
  parts = cis_layout_list (self->layout->incoming, self->shelf->host, NULL);
  return parts != NULL && parts->len <= N_PARTS_MAX;
}

/* The next bytes of the body, onto the disk. Of a body that is cut too, what came is kept. %NULL: go on. */
static CisOutcome *
move_chunk (CisUpload *self, int fd, CisChunk *chunk, guint64 *done)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) failure = NULL;
  gboolean came = read_chunk (self, chunk, *done, cis_episode_get_size (self->episode), &error);

  if (!cis_file_write_all (fd, chunk->data, chunk->length, self->hold->part, &failure))
    {
      self->kept = g_error_matches (failure, G_IO_ERROR, G_IO_ERROR_NO_SPACE) && give_back (self, fd);
      return failed (self, g_steal_pointer (&failure));
    }
  *done += chunk->length;
  if (came)
    return NULL;
  self->kept = is_worth_keeping (self, *done);
  return cut (self, g_steal_pointer (&error));
}

static CisOutcome *
receive_whole (CisUpload *self, int fd, CisHashing *hashing)
{
  CisOutcome *ended = NULL;
  guint64 done = 0;

  while (ended == NULL && done < cis_episode_get_size (self->episode))
    {
      CisChunk *chunk = cis_hashing_take (hashing);

      ended = move_chunk (self, fd, chunk, &done);
      cis_hashing_give (hashing, chunk);
    }
  return ended;
}

static gboolean
read_back (CisUpload *self, int fd, CisChunk *chunk, guint64 done, GError **error)
{
  while (chunk->length < chunk->size)
    {
      gssize length =
          pread (fd, chunk->data + chunk->length, chunk->size - chunk->length, done + chunk->length);

      if (g_cancellable_set_error_if_cancelled (self->cancellable, error))
        return FALSE;
      if (length < 0 && errno == EINTR)
        continue;
      if (length < 0)
        return cis_error_set_errno (error, errno, "Reading incoming/%s/%s", self->shelf->host,
                                    self->hold->part);
      if (length == 0)
        break;
      chunk->length += length;
    }
  cis_stage_progress (CIS_STAGE (self->stage), CIS_ITEM (self->episode), done + chunk->length,
                      cis_episode_get_size (self->episode));
  return TRUE;
}

/* After a writeback that failed, the kernel goes on to show the bytes, as clean ones, and says nothing when
 * it is asked again: whoever saw the failure may have been killed before it could remove the file. So what is
 * not on the disk goes there, and what is in memory is forgotten. */
static gboolean
forget_pages (CisUpload *self, int fd, GError **error)
{
  int failure;

  if (!cis_file_sync (fd, self->hold->part, error))
    return FALSE;
  failure = posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
  return failure == 0 || cis_error_set_errno (error, failure, "Reading incoming/%s/%s anew",
                                              self->shelf->host, self->hold->part);
}

/* What an earlier request left may be anything by now, and nothing that anybody remembers of it counts: the
 * disk is asked. */
static CisOutcome *
hash_part (CisUpload *self, int fd, CisHashing *hashing)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = forget_pages (self, fd, &error);
  gsize length = 1;

  for (guint64 done = 0; ok && length > 0; done += length)
    {
      CisChunk *chunk = cis_hashing_take (hashing);

      ok = read_back (self, fd, chunk, done, &error);
      length = chunk->length;
      cis_hashing_give (hashing, chunk);
    }
  /* Where we are only stopping, the next run finds it complete. */
  self->kept = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  return ok ? NULL : failed (self, g_steal_pointer (&error));
}

/* Hashed once it is whole, and not before: a line that is cut often would have the beginning hashed each
 * time, and a sender whose first byte is not taken for long hangs up. */
static CisOutcome *
receive_rest (CisUpload *self, int fd, CisHashing *hashing)
{
  const guint64 size = cis_episode_get_size (self->episode);
  g_autofree CisChunk *chunk = cis_chunk_new (size - self->offset);
  CisOutcome *ended = NULL;
  guint64 done = self->offset;

  while (ended == NULL && done < size)
    {
      chunk->length = 0;
      ended = move_chunk (self, fd, chunk, &done);
    }
  cis_holds_heard_all (self->holds, self->hold);
  return ended != NULL ? ended : hash_part (self, fd, hashing);
}

/* Step 2, first half; %NULL where all the bytes came and are the right ones. */
static CisOutcome *
fill_part (CisUpload *self, int fd)
{
  g_autoptr (CisHashing) hashing = cis_hashing_new (cis_episode_get_size (self->episode));
  g_autofree char *sha256 = NULL;
  CisOutcome *ended;

  cis_holds_hear (self->holds, self->hold);
  ended = self->resumed ? receive_rest (self, fd, hashing) : receive_whole (self, fd, hashing);
  cis_holds_heard_all (self->holds, self->hold);
  if (ended != NULL)
    return ended;
  sha256 = cis_hashing_finish (hashing);
  if (strcmp (sha256, cis_episode_get_sha256 (self->episode)) != 0)
    return cis_stored_mismatch (self->episode, "sha256", cis_episode_get_sha256 (self->episode), sha256);
  return NULL;
}

/* Step 2, second half. The intent's name must be on disk before the archive's can be: an archive without one
 * counts as indexed. */
static gboolean
seal_part (CisUpload *self, int fd, JsonObject *receipt, GError **error)
{
  if (!cis_layout_write_receipt (fd, receipt, CIS_ITEM (self->episode)) && errno != ENOTSUP)
    cis_part_log (
        CIS_PART (self->stage), CIS_ITEM (self->episode), G_LOG_LEVEL_INFO, NULL,
        "The receipt of %s is not noted beside its archive, which will be hashed when asked for: %s",
        get_id (self), g_strerror (errno));
  return cis_file_sync (fd, self->hold->part, error) &&
         cis_group_commit_flush (self->shelf->incoming_commit, error);
}

/* Somebody else put an archive there since we looked. */
static CisOutcome *
judge_again (CisUpload *self)
{
  g_autofree char *intent = NULL;
  g_autoptr (CisDamage) damage = NULL;
  g_autoptr (CisOutcome) outcome =
      cis_stored_judge (self->stage, self->layout, self->episode, &intent, &damage, self->cancellable);

  if (cis_outcome_get_verdict (outcome) != CIS_VERDICT_PASSED)
    return g_steal_pointer (&outcome);
  return cis_stored_in_flight (CIS_ITEM (self->episode), "Somebody else is just storing this episode.");
}

/* Step 3 where a damaged archive has the name. The index may have its row, for these very bytes. */
static gboolean
take_place (CisUpload *self, GError **error)
{
  cis_item_set_mark (CIS_ITEM (self->episode), "recovered", "true");
  return cis_set_aside (self->layout, self->shelf, self->episode, self->hold->part, self->damage,
                        &self->aside, &self->hold->linked, error);
}

static gboolean
link_name (CisUpload *self, const char *name, GError **error)
{
  self->hold->linked = linkat (self->shelf->incoming, self->hold->part, self->shelf->store, name, 0) == 0;
  if (!self->hold->linked && errno == EEXIST && self->damage != NULL)
    return take_place (self, error);
  return self->hold->linked ||
         cis_error_set_errno (error, errno, "Linking store/%s/%s", self->shelf->host, name);
}

/* Step 3: the commit point. */
static CisOutcome *
link_archive (CisUpload *self, JsonObject *receipt)
{
  g_autofree char *name = cis_layout_archive_name (cis_episode_get_name (self->episode));
  g_autoptr (GError) error = NULL;

  if (!link_name (self, name, &error))
    return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_EXISTS) ? judge_again (self)
                                                                  : failed (self, g_steal_pointer (&error));
  if (!cis_group_commit_flush (self->shelf->store_commit, &error))
    return failed (self, g_steal_pointer (&error));
  cis_episode_set_receipt (self->episode, receipt);
  return cis_outcome_passed ();
}

static CisOutcome *
store_part (CisUpload *self, int fd)
{
  g_autoptr (JsonObject) receipt = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (CisOutcome) outcome = fill_part (self, fd);

  if (outcome != NULL)
    return g_steal_pointer (&outcome);
  /* After the digest: what was damaged on its way is not the archive's fault. */
  outcome = cis_episode_inspect (self->episode, fd, self->cancellable);
  if (cis_outcome_get_verdict (outcome) != CIS_VERDICT_PASSED)
    {
      /* Where nothing is said against it, as when we are only stopping, it does not have to come again. */
      self->kept = cis_outcome_get_verdict (outcome) != CIS_VERDICT_REJECTED;
      return g_steal_pointer (&outcome);
    }
  receipt = cis_receipt_new (self->episode, cis_episode_get_host (self->episode), "stored", NULL);
  if (!seal_part (self, fd, receipt, &error))
    return failed (self, g_steal_pointer (&error));
  return link_archive (self, receipt);
}

static void
cancel_hold (GCancellable *pipeline, gpointer hold_cancellable)
{
  g_cancellable_cancel (hold_cancellable);
}

static CisOutcome *
receive_chained (CisUpload *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisOutcome) outcome = NULL;
  int fd = open_part (self, &error);

  if (fd < 0)
    return failed (self, g_steal_pointer (&error));
  outcome = store_part (self, fd);
  if (!cis_file_close (&fd, self->hold->part, &error) &&
      cis_outcome_get_verdict (outcome) == CIS_VERDICT_PASSED)
    return failed (self, g_steal_pointer (&error));
  /* After a failed fsync too: the kernel shows the bytes that the disk did not take, but only until it
   * forgets them. */
  if (!self->hold->linked && !self->kept &&
      !cis_file_remove (self->shelf->incoming, self->hold->part, &error))
    cis_part_log (CIS_PART (self->stage), CIS_ITEM (self->episode), G_LOG_LEVEL_WARNING, NULL,
                  "A refused upload stays behind: %s", error->message);
  return g_steal_pointer (&outcome);
}

void
cis_upload_clear (CisUpload *self)
{
  g_clear_pointer (&self->damage, cis_damage_free);
  g_clear_pointer (&self->aside, g_free);
}

CisOutcome *
cis_upload_receive (CisUpload *self)
{
  CisRequest *request = cis_item_get_request (CIS_ITEM (self->episode));
  guint64 length = self->offset + cis_request_get_length (request);
  CisOutcome *outcome;
  gulong chain;

  if (length != cis_episode_get_size (self->episode))
    return cis_stored_wrong_length (self->episode, length);
  chain = self->cancellable == NULL
              ? 0
              : g_cancellable_connect (self->cancellable, G_CALLBACK (cancel_hold),
                                       g_object_ref (self->hold->cancellable), g_object_unref);
  outcome = receive_chained (self);
  g_cancellable_disconnect (self->cancellable, chain);
  return outcome;
}

void
cis_upload_adopt (CisEpisode *episode, int fd, const struct stat *st, const CisPartName *part)
{
  g_autoptr (JsonObject) receipt = cis_layout_read_receipt (fd, episode, CIS_ITEM (episode));

  cis_episode_set_archive (episode, NULL, part->sha256, st->st_size);
  cis_episode_set_commit (episode, part->commit);
  if (receipt == NULL)
    {
      g_autofree char *since = cis_time_to_string (st->st_mtim.tv_sec * G_USEC_PER_SEC);

      receipt = cis_receipt_new (episode, cis_episode_get_host (episode), "stored", since);
    }
  cis_episode_set_receipt (episode, receipt);
  cis_item_set_mark (CIS_ITEM (episode), "recovered", "true");
}

CisOutcome *
cis_upload_finish (CisUpload *self, char *intent)
{
  g_autofree char *owned = intent;
  g_autoptr (CisPartName) part = cis_part_name_parse (intent);
  g_autofree char *name = cis_layout_archive_name (part->episode);
  g_autoptr (GError) error = NULL;
  struct stat st;
  int fd;

  if (!cis_group_commit_flush (self->shelf->store_commit, &error))
    return failed (self, g_steal_pointer (&error));
  /* Its own bytes, or the next start, bring it home. */
  if (!cis_part_name_is_of (intent, self->episode))
    return cis_stored_conflict (self->episode, part->sha256);
  self->hold->part = g_steal_pointer (&owned);
  self->hold->linked = TRUE;
  fd = cis_file_open (self->shelf->store, name, O_RDONLY | O_NOFOLLOW, &st, &error);
  if (fd < 0)
    g_prefix_error (&error, "store/%s: ", self->shelf->host);
  else
    cis_upload_adopt (self->episode, fd, &st, part);
  cis_file_close (&fd, name, NULL);
  return error == NULL ? cis_outcome_passed () : failed (self, g_steal_pointer (&error));
}
