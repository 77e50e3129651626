/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* store/archive: puts an archive into the store, exactly once.
 *
 * The body is streamed into incoming/<host>/<episode>.<sha256>.<commit>.part, hashed on the way and synced; a
 * hard link to store/<host>/<episode>.tar.zst is the commit point, because it never replaces anything. The
 * .part stays as the intent until the item is home: an archive with a .part beside it may lack its index row,
 * one without has it. What a crash leaves is therefore found by looking, and finished before the receiver
 * says that it is ready.
 *
 * The .part of an upload that was cut stays too. The question tells how long it is, and a PATCH appends the
 * rest; whatever happened to it meanwhile, the digest covers the whole. */

#include "holds.h"
#include "layout.h"
#include "leftovers.h"
#include "partial.h"
#include "quota.h"
#include "set-aside.h"
#include "shelf.h"
#include "stored.h"
#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>

#define HOLD_KEY        "cis490-archive-hold"
#define EXPIRY_INTERVAL (G_TIME_SPAN_HOUR)

typedef struct
{
  CisStage parent;
  char *directory;
  gint64 stalled_after; /* µs */
  gint64 resume_keep;   /* µs */
  guint64 host_quota;
  /* From open() on immutable; holds, shelves and quota lock themselves. */
  CisLayout layout;
  int lock;
  CisEpisodeHolds *holds;
  CisShelves *shelves;
  CisQuota *quota;
  CisLeftovers *leftovers; /* the housekeeping thread's */
} CisArchive;
typedef CisStageClass CisArchiveClass;

GType cis_archive_get_type (void);
G_DEFINE_TYPE (CisArchive, cis_archive, CIS_TYPE_STAGE)

/* Uploads are held in memory, so a second receiver on the same folders would write into the first one's. */
static gboolean
lock_folders (CisArchive *self, GError **error)
{
  g_autofree char *what = g_build_filename (self->directory, "incoming", ".lock", NULL);

  self->lock = cis_lock_open (self->layout.incoming, ".lock", error);
  return self->lock >= 0 && cis_file_lock (self->lock, FALSE, what, NULL, error);
}

static void
recover (CisEpisode *episode, const char *part, gpointer user_data)
{
  CisArchive *self = user_data;
  CisItem *item = CIS_ITEM (episode);
  CisEpisodeHold *hold =
      cis_holds_take (self->holds, cis_item_get_id (item), cis_episode_get_sha256 (episode));

  if (hold == NULL)
    {
      g_object_unref (episode);
      return;
    }
  hold->part = g_strdup (part);
  hold->linked = TRUE;
  g_object_set_data (G_OBJECT (item), HOLD_KEY, hold);
  cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_MESSAGE, NULL,
                "%s is in the store, but was not brought home by an earlier run: finishing it",
                cis_item_get_id (item));
  cis_stage_recover (CIS_STAGE (self), item);
}

static gboolean
recover_all (CisArchive *self, GError **error)
{
  g_autoptr (GPtrArray) odd = g_ptr_array_new_with_free_func (g_free);

  if (!cis_leftovers_recover (&self->layout, self->shelves, recover, self, odd, error))
    return FALSE;
  for (guint i = 0; i < odd->len; i++)
    cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_WARNING, NULL, "%s",
                  (const char *) g_ptr_array_index (odd, i));
  return TRUE;
}

static gboolean
cis_archive_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisArchive *self = (CisArchive *) part;
  g_autofree char *incoming = g_build_filename (self->directory, "incoming", NULL);
  g_autofree char *store = g_build_filename (self->directory, "store", NULL);

  if (!cis_layout_open (&self->layout, self->directory, error) ||
      !cis_folder_probe (self->layout.incoming, incoming, error) ||
      !cis_folder_probe (self->layout.store, store, error) || !lock_folders (self, error))
    return FALSE;
  cis_part_watch_folder (part, incoming, self->layout.incoming);
  cis_part_watch_folder (part, store, self->layout.store);
  self->holds = cis_holds_new (self->stalled_after);
  self->shelves = cis_shelves_new (&self->layout);
  self->quota = cis_quota_new (&self->layout, self->host_quota);
  self->leftovers =
      cis_leftovers_new (self->directory, &self->layout, self->holds, self->quota, self->resume_keep);
  return recover_all (self, error);
}

static void
cis_archive_close (CisPart *part)
{
  CisArchive *self = (CisArchive *) part;

  g_clear_pointer (&self->leftovers, cis_leftovers_free);
  g_clear_pointer (&self->quota, cis_quota_free);
  g_clear_pointer (&self->shelves, cis_shelves_free);
  g_clear_pointer (&self->holds, cis_holds_free);
  if (self->lock >= 0)
    g_close (self->lock, NULL);
  self->lock = -1;
  cis_layout_close (&self->layout);
}

/* What was set aside, until a person has seen it. */
static gboolean
is_there (gpointer user_data, const char *path)
{
  return faccessat (AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static gint64
cis_archive_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisArchive *self = (CisArchive *) part;
  int n_expired = cis_leftovers_expire (self->leftovers, cis_leftovers_now (), error);

  if (n_expired < 0)
    return -1;
  cis_part_clear_unless (part, "archive-damaged", is_there, NULL);
  if (n_expired > 0)
    cis_part_log (part, NULL, G_LOG_LEVEL_MESSAGE, NULL,
                  "Removed %d uploads that were cut and not gone on with for too long", n_expired);
  return CLAMP (self->resume_keep, G_USEC_PER_SEC, EXPIRY_INTERVAL);
}

/* What becomes part of a path is checked here too, however well the source did it. */
static gboolean
claim_is_whole (CisEpisode *episode)
{
  const char *host = cis_episode_get_host (episode);

  return host != NULL && cis_name_is_valid (host, CIS_HOST_NAME_MAX) &&
         cis_name_is_valid (cis_episode_get_name (episode), CIS_EPISODE_NAME_MAX) &&
         cis_hex_is_valid (cis_episode_get_sha256 (episode), 64) &&
         (cis_episode_get_commit (episode) == NULL ||
          cis_hex_is_valid (cis_episode_get_commit (episode), 40));
}

/* How much of the episode's upload is there, as long as nobody is at it. */
static guint64
get_part_size (CisArchive *self, CisEpisode *episode)
{
  g_autofree char *name = cis_layout_part_name (episode);
  g_autofree char *path = g_build_filename (cis_episode_get_host (episode), name, NULL);

  return cis_partial_get_size (self->layout.incoming, path);
}

static guint64
get_offset (CisArchive *self, CisEpisode *episode)
{
  guint64 size = get_part_size (self, episode);

  return size <= cis_episode_get_size (episode) ? size : 0;
}

/* What the episode has in incoming/ is replaced by it, or becomes its beginning. */
static gint64
get_growth (CisArchive *self, CisEpisode *episode)
{
  return (gint64) cis_episode_get_size (episode) - (gint64) get_part_size (self, episode);
}

/* Whether a PUT would be taken, and how much of it is there. */
static CisOutcome *
answer_question (CisArchive *self, CisEpisode *episode)
{
  CisOutcome *refused = cis_quota_admit (self->quota, episode, get_growth (self, episode), FALSE);
  JsonObject *welcome;

  if (refused != NULL)
    return refused;
  welcome = json_object_new ();
  json_object_set_string_member (welcome, "status", "welcome");
  json_object_set_int_member (welcome, "offset", get_offset (self, episode));
  cis_request_set_reply (cis_item_get_request (CIS_ITEM (episode)), 200, welcome);
  return cis_outcome_done ();
}

/* The sender knows something that is not so any more. Nothing is wrong with the episode, so it is not
 * rejected; the status is that of the IETF's draft. */
static CisOutcome *
offset_mismatch (CisEpisode *episode, guint64 offset)
{
  CisItem *item = CIS_ITEM (episode);
  g_autofree char *there = g_strdup_printf ("%" G_GUINT64_FORMAT, offset);
  CisFinding *finding = cis_finding_new ("upload-offset-mismatch", CIS_SEVERITY_INFO, cis_item_get_id (item),
                                         "The upload can be gone on with at byte %s only.", there);

  cis_finding_set_fix (
      finding,
      "# nothing to do: the shipper asks again and sends the rest; a PUT of the whole is taken, too");
  cis_finding_set_detail (finding, "offset", there);
  cis_request_set_reply (cis_item_get_request (item), 409, cis_finding_to_problem (finding, 409));
  return cis_outcome_deferred (CIS_SCOPE_ITEM, 0, finding);
}

/* %NULL: all is well. */
static CisOutcome *
begin_upload (CisArchive *self, CisUpload *upload)
{
  CisEpisode *episode = upload->episode;
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));
  const char *offset = cis_request_get_header (request, "upload-offset");
  gint64 growth = get_growth (self, episode);
  CisOutcome *refused;

  upload->resumed = g_str_equal (cis_request_get_method (request), "PATCH");
  if (upload->resumed &&
      (offset == NULL || !g_ascii_string_to_unsigned (offset, 10, 0, G_MAXINT64, &upload->offset, NULL) ||
       upload->offset != get_offset (self, episode)))
    return offset_mismatch (episode, get_offset (self, episode));
  refused = cis_quota_admit (self->quota, episode, growth, TRUE);
  if (refused == NULL)
    upload->hold->charged = (gint64) cis_episode_get_size (episode);
  return refused;
}

static gboolean
is_question (CisItem *item)
{
  return g_str_equal (cis_request_get_method (cis_item_get_request (item)), "POST");
}

static CisOutcome *
receive (CisArchive *self, CisUpload *upload)
{
  CisOutcome *outcome = cis_upload_receive (upload);

  if (upload->aside != NULL && upload->hold->linked)
    {
      g_autofree char *path = g_build_filename (self->directory, upload->aside, NULL);

      cis_part_raise (CIS_PART (self), cis_set_aside_describe (upload->episode, upload->damage, path));
    }
  return outcome;
}

static CisOutcome *
store (CisArchive *self, CisEpisode *episode, CisEpisodeHold *hold, GCancellable *cancellable)
{
  CisOutcome *refused;
  g_autoptr (CisOutcome) judged = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *intent = NULL;
  g_autoptr (CisShelf) shelf = NULL;
  g_auto (CisUpload) upload = { .stage = CIS_STAGE (self),
                                .episode = episode,
                                .layout = &self->layout,
                                .holds = self->holds,
                                .hold = hold,
                                .cancellable = cancellable };

  /* Now that it is held: store/known looked before, and another request may have finished in between. */
  judged = cis_stored_judge (CIS_STAGE (self), &self->layout, episode, &intent, &upload.damage, cancellable);
  if (cis_outcome_get_verdict (judged) != CIS_VERDICT_PASSED)
    return g_steal_pointer (&judged);
  if (intent == NULL && is_question (CIS_ITEM (episode)))
    return answer_question (self, episode);
  shelf = cis_shelves_get (self->shelves, cis_episode_get_host (episode), &error);
  if (shelf == NULL)
    return cis_stored_failed (CIS_PART (self), CIS_ITEM (episode), g_steal_pointer (&error));
  upload.shelf = shelf;
  if (intent != NULL)
    return cis_upload_finish (&upload, g_steal_pointer (&intent));
  refused = begin_upload (self, &upload);
  return refused != NULL ? refused : receive (self, &upload);
}

static CisOutcome *
cis_archive_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisArchive *self = (CisArchive *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  CisRequest *request = cis_item_get_request (item);
  CisEpisodeHold *hold;

  if (request == NULL || !claim_is_whole (episode))
    return cis_outcome_failed (g_error_new (CIS_ERROR, CIS_ERROR_INVALID,
                                            "%s came without a request, a host or a digest: "
                                            "store/archive works behind transport/accept only",
                                            cis_item_get_id (item)));
  /* The rest of an archive may be nothing: all of it came, but the receiver went before it was stored. */
  if (!is_question (item) &&
      (cis_episode_get_size (episode) == 0 ||
       (cis_request_get_body (request) == NULL && g_str_equal (cis_request_get_method (request), "PUT"))))
    return cis_outcome_rejected (cis_finding_new ("archive-empty", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                                                  "The request has no body, so there is no archive in it"));
  hold = cis_holds_take (self->holds, cis_item_get_id (item), cis_episode_get_sha256 (episode));
  if (hold == NULL)
    return cis_stored_in_flight (item, "This episode is just being uploaded by another request.");
  g_object_set_data (G_OBJECT (item), HOLD_KEY, hold);
  return store (self, episode, hold, cancellable);
}

/* Counted was the whole archive; what there is of it may be less. */
static void
account (CisArchive *self, CisItem *item, CisEpisodeHold *hold)
{
  CisEpisode *episode = CIS_EPISODE (item);

  if (hold->charged > 0 && !hold->linked)
    cis_quota_add (self->quota, cis_episode_get_host (episode),
                   (gint64) get_part_size (self, episode) - hold->charged);
}

static void
remove_intent (CisArchive *self, CisItem *item, CisEpisodeHold *hold)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisShelf) shelf =
      cis_shelves_get (self->shelves, cis_episode_get_host (CIS_EPISODE (item)), &error);

  if (shelf == NULL || !cis_file_remove (shelf->incoming, hold->part, &error))
    cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_WARNING, NULL,
                  "%s is stored and indexed, but its intent stays until it is asked for again: %s",
                  cis_item_get_id (item), error->message);
}

/* An item that is in the store but did not get home keeps its intent: the next request for it, or the next
 * start, finishes it. */
static void
cis_archive_settled (CisStage *stage, CisItem *item, CisOutcome *outcome)
{
  CisArchive *self = (CisArchive *) stage;
  CisEpisodeHold *hold = g_object_steal_data (G_OBJECT (item), HOLD_KEY);
  CisVerdict verdict = cis_outcome_get_verdict (outcome);

  if (hold == NULL)
    return;
  if (hold->linked && (verdict == CIS_VERDICT_PASSED || verdict == CIS_VERDICT_DONE))
    remove_intent (self, item, hold);
  account (self, item, hold);
  cis_holds_release (self->holds, hold);
}

static void
cis_archive_class_init (CisArchiveClass *klass)
{
  static const char *const needs[] = { "identity", "archive", NULL };
  static const char *const provides[] = { "receipt", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  part_class->open = cis_archive_open;
  part_class->close = cis_archive_close;
  part_class->maintain = cis_archive_maintain;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->needs = needs;
  stage_class->provides = provides;
  stage_class->process = cis_archive_process;
  stage_class->settled = cis_archive_settled;

  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisArchive, directory),
      g_param_spec_string ("directory", NULL, "The receiver's state folder, with incoming/ and store/ in it.",
                           "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisArchive, stalled_after),
      g_param_spec_int64 ("stalled-after", NULL,
                          "How long an upload may be silent before a newer one of the same bytes ends it.", 0,
                          G_TIME_SPAN_HOUR, 1 * G_USEC_PER_SEC, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisArchive, resume_keep),
                             g_param_spec_int64 ("resume-keep", NULL,
                                                 "How long an upload that was cut stays in incoming/.", 0,
                                                 365 * G_TIME_SPAN_DAY, G_TIME_SPAN_DAY,
                                                 CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisArchive, host_quota),
                             g_param_spec_uint64 ("host-quota", NULL,
                                                  "How many bytes of archives one host may have; 0: any.", 0,
                                                  G_MAXINT64, 0, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
}

static void
cis_archive_init (CisArchive *self)
{
  self->layout = (CisLayout) CIS_LAYOUT_CLOSED;
  self->lock = -1;
}

CIS_PLUGIN ("store/archive", "Puts an archive into the store by a hard link, exactly once.", CisArchive,
            cis_archive, CisStage)
