/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* store/index: one row in index.jsonl for each archive in the store, on disk before anybody is told.
 *
 * Rows of concurrent requests share one fdatasync. An item that an earlier run left behind may have its row
 * already, so for those the file is read first. One that scan/store found gets a row only where none is,
 * whoever else appends meanwhile. A flush that failed is the end: what the kernel has forgotten, only a new
 * start can write again. */

#include "../archive/stored.h"
#include "rows.h"

#define INDEX_NAME     "index.jsonl"
#define MESSAGE_STORED "3f6a1c0b9d7e4a52b8c4e19d60a7f2c1"

typedef struct
{
  CisStage parent;
  char *directory;
  CisRows *rows; /* locks itself */
} CisIndex;
typedef CisStageClass CisIndexClass;

GType cis_index_get_type (void);
G_DEFINE_TYPE (CisIndex, cis_index, CIS_TYPE_STAGE)

/* full */
static char *
describe_cut (const CisRowsCut *cut)
{
  if (cut->n_bytes == 0)
    return g_strdup (
        "Rows are gone from its end that were on disk at the last clean stop. They may be of episodes that "
        "were acknowledged.");
  return g_strdup_printf ("The last row was not %s, and %" G_GUINT64_FORMAT " bytes were cut off. %s",
                          cut->was_clean ? "whole any more" : "written to its end", cut->n_bytes,
                          cut->was_clean
                              ? "It was on disk once, and may be of an episode that was acknowledged."
                              : "Nothing that was acknowledged is lost.");
}

static CisFinding *
new_torn (CisIndex *self, const CisRowsCut *cut)
{
  g_autofree char *what = describe_cut (cut);
  CisFinding *finding =
      cis_finding_new ("index-row-torn", CIS_SEVERITY_WARNING, cis_rows_get_path (self->rows), "%s", what);

  cis_finding_set_fix (
      finding,
      cut->was_clean
          ? "# each archive is still there; to make the rows that are missing again:\n"
            "cis490 index backfill\n"
            "# to compare the index with the store; then look at who else writes to it, and at the disk:\n"
            "cis490 index verify --quick"
          : "# nothing to do after a crash or a power cut; to compare the index with the store:\n"
            "cis490 index verify --quick");
  return finding;
}

static gboolean
cis_index_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisIndex *self = (CisIndex *) part;
  CisRowsCut cut = { 0 };

  self->rows = cis_rows_open (self->directory, INDEX_NAME, &cut, cancellable, error);
  if (self->rows == NULL)
    return FALSE;
  cis_part_watch_folder (part, self->directory, cis_rows_get_folder (self->rows));
  if (cut.n_bytes == 0 && !cut.was_clean)
    cis_part_clear_unless (part, "index-row-torn", NULL, NULL);
  else
    cis_part_raise (part, new_torn (self, &cut));
  return TRUE;
}

static void
cis_index_close (CisPart *part)
{
  g_clear_pointer (&((CisIndex *) part)->rows, cis_rows_free);
}

static gboolean
is_recovered (CisItem *item)
{
  return cis_item_is_recovered (item) || cis_item_get_mark (item, "recovered") != NULL;
}

/* The host has a receipt for it, but the store had it no more, so that the index may have its row. */
static gboolean
was_acknowledged (CisItem *item)
{
  CisRequest *request = cis_item_get_request (item);

  return request != NULL && cis_request_get_header (request, "x-cis490-acknowledged") != NULL;
}

/* Found in the store, not sent: what scan/store emits. */
static gboolean
is_backfilled (CisItem *item)
{
  return cis_item_get_mark (item, "backfilled") != NULL;
}

static void
add_marks (JsonObject *row, CisItem *item)
{
  GHashTable *marks = cis_item_get_marks (item);
  g_autofree const char **keys = cis_str_keys (marks);

  for (guint i = 0; keys[i] != NULL; i++)
    if (!json_object_has_member (row, keys[i]) && !g_str_equal (keys[i], "recovered") &&
        !g_str_equal (keys[i], "backfilled"))
      json_object_set_string_member (row, keys[i], g_hash_table_lookup (marks, keys[i]));
}

static char *
make_row (CisEpisode *episode)
{
  g_autoptr (JsonObject) row = json_object_new ();
  JsonObject *receipt = cis_episode_get_receipt (episode);
  const char *received_at = receipt != NULL ? cis_json_get_string (receipt, "received_at") : NULL;
  const char *commit = cis_episode_get_commit (episode);
  g_autofree char *now = cis_time_to_string (g_get_real_time ());
  g_autofree char *archive =
      g_strdup_printf ("store/%s/%s.tar.zst", cis_episode_get_host (episode), cis_episode_get_name (episode));

  json_object_set_string_member (row, "ts", received_at != NULL ? received_at : now);
  json_object_set_string_member (row, "host", cis_episode_get_host (episode));
  json_object_set_string_member (row, "episode", cis_episode_get_name (episode));
  json_object_set_string_member (row, "sha256", cis_episode_get_sha256 (episode));
  json_object_set_int_member (row, "size", cis_episode_get_size (episode));
  if (commit != NULL)
    json_object_set_string_member (row, "commit", commit);
  json_object_set_string_member (row, "archive", archive);
  add_marks (row, CIS_ITEM (episode));
  if (is_recovered (CIS_ITEM (episode)))
    json_object_set_boolean_member (row, "recovered", TRUE);
  if (is_backfilled (CIS_ITEM (episode)))
    json_object_set_boolean_member (row, "backfilled", TRUE);
  return cis_json_to_line (row);
}

static gboolean
add_row (CisIndex *self, CisEpisode *episode, GCancellable *cancellable, GError **error)
{
  g_autofree char *row = make_row (episode);

  if (is_backfilled (CIS_ITEM (episode)) || was_acknowledged (CIS_ITEM (episode)))
    return cis_rows_append_missing (self->rows, cis_episode_get_host (episode),
                                    cis_episode_get_name (episode), row, cancellable, error) >= 0 &&
           cis_rows_flush (self->rows, error);
  if (is_recovered (CIS_ITEM (episode)))
    {
      int have = cis_rows_have (self->rows, cis_episode_get_host (episode), cis_episode_get_name (episode),
                                cancellable, error);

      if (have != 0)
        return have > 0 && cis_rows_flush (self->rows, error);
    }
  return cis_rows_append (self->rows, row, cancellable, error) && cis_rows_flush (self->rows, error);
}

static CisOutcome *
cis_index_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisIndex *self = (CisIndex *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  g_autoptr (GError) error = NULL;

  if (cis_episode_get_host (episode) == NULL || cis_episode_get_sha256 (episode) == NULL)
    return cis_outcome_failed (g_error_new (CIS_ERROR, CIS_ERROR_INVALID,
                                            "%s has no host or no digest, so there is nothing to index",
                                            cis_item_get_id (item)));
  if (!add_row (self, episode, cancellable, &error))
    return cis_stored_failed (CIS_PART (stage), item, g_steal_pointer (&error));
  if (cis_item_get_request (item) != NULL)
    cis_part_log (CIS_PART (stage), item, G_LOG_LEVEL_INFO, MESSAGE_STORED,
                  "%s is stored: %" G_GUINT64_FORMAT " bytes, sha256 %s", cis_item_get_id (item),
                  cis_episode_get_size (episode), cis_episode_get_sha256 (episode));
  return cis_outcome_passed ();
}

static void
cis_index_class_init (CisIndexClass *klass)
{
  static const char *const needs[] = { "receipt", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  part_class->open = cis_index_open;
  part_class->close = cis_index_close;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->needs = needs;
  stage_class->process = cis_index_process;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisIndex, directory),
                             g_param_spec_string ("directory", NULL,
                                                  "The receiver's state folder, with index.jsonl in it.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
}

static void
cis_index_init (CisIndex *self)
{
}

CIS_PLUGIN ("store/index", "Appends one row to index.jsonl for each archive in the store.", CisIndex,
            cis_index, CisStage)
