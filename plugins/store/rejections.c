/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* store/rejections: keeps a row for each refused episode in rejected.jsonl, so that the fleet's health can
 * name the hosts whose episodes do not get in. It is a log and no promise: not synced, bounded by rotation,
 * and a row that can't be written changes no answer. */

#include "cis490.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "rejected.jsonl"

typedef struct
{
  CisStage parent;
  char *directory;
  guint64 max_size; /* bytes */
  guint keep;
  GMutex lock;
  int dirfd;  /* immutable after open() */
  int fd;     /* locked; -1: opened with the next row */
  gint64 end; /* locked */
} CisRejections;
typedef CisStageClass CisRejectionsClass;

GType cis_rejections_get_type (void);
G_DEFINE_TYPE (CisRejections, cis_rejections, CIS_TYPE_STAGE)

static void
let_go (CisRejections *self)
{
  if (self->fd >= 0)
    g_close (self->fd, NULL);
  self->fd = -1;
}

static gboolean
open_file (CisRejections *self, GError **error)
{
  struct stat st;

  if (self->fd >= 0)
    return TRUE;
  self->fd = cis_file_open (self->dirfd, FILE_NAME, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, &st, error);
  if (self->fd < 0)
    {
      g_prefix_error (error, "%s: ", self->directory);
      return FALSE;
    }
  self->end = st.st_size;
  return TRUE;
}

/* rejected.jsonl.1 is the newest of the full ones. */
static char *
get_rotated (guint number)
{
  return number == 0 ? g_strdup (FILE_NAME) : g_strdup_printf (FILE_NAME ".%u", number);
}

static gboolean
rotate (CisRejections *self, GError **error)
{
  let_go (self);
  if (self->keep == 0)
    return cis_file_remove (self->dirfd, FILE_NAME, error) && open_file (self, error);
  for (guint number = self->keep; number > 0; number--)
    {
      g_autofree char *to = get_rotated (number);
      g_autofree char *from = get_rotated (number - 1);

      if (renameat (self->dirfd, from, self->dirfd, to) < 0 && errno != ENOENT)
        return cis_error_set_errno (error, errno, "Renaming %s/%s to %s", self->directory, from, to);
    }
  return open_file (self, error);
}

static gboolean
append (CisRejections *self, const char *row, GError **error)
{
  gsize length = strlen (row);
  ssize_t written;
  int errsv;

  if (!open_file (self, error))
    return FALSE;
  if (self->end > 0 && self->end + length > self->max_size && !rotate (self, error))
    return FALSE;
  written = TEMP_FAILURE_RETRY (write (self->fd, row, length));
  errsv = written < 0 ? errno : ENOSPC;
  if (written == (ssize_t) length)
    {
      self->end += length;
      return TRUE;
    }
  /* Half a row would swallow the next one. Where it stays all the same, a reader skips what is no JSON. */
  if (written > 0 && ftruncate (self->fd, self->end) < 0)
    let_go (self);
  return cis_error_set_errno (error, errsv, "Appending to %s/%s", self->directory, FILE_NAME);
}

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
  g_autofree char *line = NULL;

  set_string (row, "ts", now);
  set_string (row, "host", cis_episode_get_host (episode));
  /* Whom the credentials belong to: without it, the host above is a stranger's word. */
  set_string (row, "identity", request != NULL ? cis_request_get_identity (request) : NULL);
  set_string (row, "episode", cis_episode_get_name (episode));
  set_string (row, "finding", cis_finding_get_id (finding));
  set_string (row, "summary", cis_finding_get_summary (finding));
  set_string (row, "commit", cis_episode_get_commit (episode));
  set_string (row, "sha256", cis_episode_get_sha256 (episode));
  line = cis_json_to_line (row);
  return g_strconcat (line, "\n", NULL);
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
  appended = append (self, row, &error);
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

  self->dirfd = cis_folder_open (AT_FDCWD, self->directory, TRUE, error);
  return self->dirfd >= 0 && open_file (self, error);
}

static void
cis_rejections_close (CisPart *part)
{
  CisRejections *self = (CisRejections *) part;

  let_go (self);
  if (self->dirfd >= 0)
    g_close (self->dirfd, NULL);
  self->dirfd = -1;
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
  part_class->close = cis_rejections_close;
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
  self->dirfd = -1;
  self->fd = -1;
}

CIS_PLUGIN ("store/rejections", "Keeps a row in rejected.jsonl for each refused episode.", CisRejections,
            cis_rejections, CisStage)
