/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* store/rejections: keeps a row for each refused episode in rejected.jsonl, so that the fleet's health can
 * name the hosts whose episodes do not get in. It is a log and no promise: not synced, bounded by rotation,
 * and a row that can't be written changes no answer. */

#include "../shared/lines/lines.h"

#include <fcntl.h>
#include <glib/gstdio.h>

#define FILE_NAME "rejected.jsonl"

typedef struct
{
  CisStage parent;
  char *directory;
  guint64 max_size; /* bytes */
  guint keep;
  GMutex lock; /* one row at a time: the file's own lock is asked for again and again */
} CisRejections;
typedef CisStageClass CisRejectionsClass;

GType cis_rejections_get_type (void);
G_DEFINE_TYPE (CisRejections, cis_rejections, CIS_TYPE_STAGE)

static void
set_string (JsonObject *row, const char *key, const char *value)
{
  if (value != NULL)
    json_object_set_string_member (row, key, value);
}

static char *
make_row (CisEpisode *episode, CisFinding *finding)
{
  g_autoptr (JsonObject) row = json_object_new ();
  CisRequest *request = cis_item_get_request (CIS_ITEM (episode));
  g_autofree char *now = cis_time_to_string (g_get_real_time ());

  set_string (row, "ts", now);
  set_string (row, "host", cis_episode_get_host (episode));
  /* Whom the credentials belong to: without it, the host above is a stranger's word. */
  set_string (row, "identity", request != NULL ? cis_request_get_identity (request) : NULL);
  set_string (row, "episode", cis_episode_get_name (episode));
  set_string (row, "finding", cis_finding_get_id (finding));
  set_string (row, "summary", cis_finding_get_summary (finding));
  set_string (row, "commit", cis_episode_get_commit (episode));
  set_string (row, "sha256", cis_episode_get_sha256 (episode));
  return cis_json_to_line (row);
}

/* @row: NULL to try only. */
static gboolean
append (CisRejections *self, const char *row, GCancellable *cancellable, GError **error)
{
  const Lines how = { .max_size = self->max_size, .keep = self->keep };
  g_autofree char *file = g_build_filename (self->directory, FILE_NAME, NULL);

  return lines_append_to (file, &how, row, cancellable, error);
}

static CisOutcome *
cis_rejections_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisRejections *self = (CisRejections *) stage;
  CisOutcome *verdict = cis_item_get_outcome (item);
  CisFinding *finding = verdict != NULL ? cis_outcome_get_finding (verdict) : NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *row = NULL;
  gboolean appended;

  if (finding == NULL)
    return cis_outcome_passed ();
  row = make_row (CIS_EPISODE (item), finding);
  g_mutex_lock (&self->lock);
  appended = append (self, row, cancellable, &error);
  g_mutex_unlock (&self->lock);
  if (!appended)
    cis_part_log (CIS_PART (stage), item, G_LOG_LEVEL_WARNING, NULL, "The refusal of %s is not in %s: %s",
                  cis_item_get_id (item), FILE_NAME, error->message);
  return cis_outcome_passed ();
}

static gboolean
cis_rejections_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisRejections *self = (CisRejections *) part;
  int folder = cis_folder_open_own (self->directory, error);

  if (folder < 0)
    return FALSE;
  g_close (folder, NULL);
  return append (self, NULL, cancellable, error);
}

static void
cis_rejections_finalize (GObject *object)
{
  g_mutex_clear (&((CisRejections *) object)->lock);
  G_OBJECT_CLASS (cis_rejections_parent_class)->finalize (object);
}

static void
cis_rejections_class_init (CisRejectionsClass *klass)
{
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cis_rejections_finalize;
  part_class->open = cis_rejections_open;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->when = CIS_WHEN_REJECTED;
  stage_class->process = cis_rejections_process;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisRejections, directory),
                             g_param_spec_string ("directory", NULL,
                                                  "The receiver's state folder, with rejected.jsonl in it.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisRejections, max_size),
                             g_param_spec_uint64 ("max-size", NULL,
                                                  "How large rejected.jsonl gets before it is rotated.", 4096,
                                                  G_MAXINT64, 64 * 1024 * 1024,
                                                  CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisRejections, keep),
                             g_param_spec_uint ("keep", NULL, "How many rotated files stay.", 0, 1000, 4,
                                                CIS_PARAM_OPTION));
}

static void
cis_rejections_init (CisRejections *self)
{
  g_mutex_init (&self->lock);
}

CIS_PLUGIN ("store/rejections", "Keeps a row in rejected.jsonl for each refused episode.", CisRejections,
            cis_rejections, CisStage)
