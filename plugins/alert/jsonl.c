/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * alert/jsonl: appends each finding to a file, as one line of JSON.
 *
 * The file is opened for each line, so that it can be moved away or removed at any time, and locked, so that
 * several pipelines can share it. It is for reading, not a store: nothing is flushed to the disk.
 */
#include "../shared/lines/lines.h"

#include <errno.h>
#include <glib/gstdio.h>

/* The state is immutable after construction. */
typedef struct
{
  CisAlert parent;
  char *file;
  guint64 max_size; /* bytes; 0: no limit */
} CisAlertJsonl;

typedef CisAlertClass CisAlertJsonlClass;
GType cis_alert_jsonl_get_type (void);
G_DEFINE_TYPE (CisAlertJsonl, cis_alert_jsonl, CIS_TYPE_ALERT)

/* @line: NULL to try only. */
static gboolean
append (CisAlertJsonl *self, const char *line, GCancellable *cancellable, GError **error)
{
  const Lines how = { .follow = TRUE, .max_size = self->max_size, .keep = 1 };

  return lines_append_to (self->file, &how, line, cancellable, error);
}

static char *
make_line (CisFinding *finding, CisFindingChange change, CisItem *item)
{
  g_autoptr (JsonObject) line = json_object_new ();
  g_autoptr (JsonObject) about = cis_finding_to_json (finding);
  g_autoptr (GList) members = json_object_get_members (about);
  g_autofree char *now = cis_time_to_string (g_get_real_time ());

  json_object_set_string_member (line, "ts", now);
  json_object_set_string_member (line, "change", cis_finding_change_to_string (change));
  for (GList *l = members; l != NULL; l = l->next)
    json_object_set_member (line, l->data, json_object_dup_member (about, l->data));
  if (CIS_IS_EPISODE (item))
    {
      const char *host = cis_episode_get_host (CIS_EPISODE (item));

      json_object_set_string_member (line, "episode", cis_episode_get_name (CIS_EPISODE (item)));
      if (host != NULL)
        json_object_set_string_member (line, "host", host);
    }
  return cis_json_to_line (line);
}

static gboolean
cis_alert_jsonl_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisAlertJsonl *self = (CisAlertJsonl *) part;
  g_autofree char *folder = g_path_get_dirname (self->file);
  g_autoptr (GError) problem = NULL;

  if (g_mkdir_with_parents (folder, 0750) < 0)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "file: cannot make the folder %s: %s", folder,
                   g_strerror (errno));
      return FALSE;
    }
  if (!append (self, NULL, cancellable, &problem))
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "file: %s", problem->message);
      return FALSE;
    }
  return TRUE;
}

static gboolean
cis_alert_jsonl_tell_finding (CisAlert *alert, CisFinding *finding, CisFindingChange change, CisItem *item,
                              GCancellable *cancellable, GError **error)
{
  g_autofree char *line = make_line (finding, change, item);

  return append ((CisAlertJsonl *) alert, line, cancellable, error);
}

static void
cis_alert_jsonl_class_init (CisAlertJsonlClass *klass)
{
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  part_class->open = cis_alert_jsonl_open;
  klass->tell_finding = cis_alert_jsonl_tell_finding;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisAlertJsonl, file),
                             g_param_spec_string ("file", NULL, "The file that the lines are appended to.",
                                                  "${STATE_DIRECTORY}/findings.jsonl", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisAlertJsonl, max_size),
      g_param_spec_uint64 ("max-size", NULL,
                           "A file that would grow beyond this is renamed to FILE.1 first; 0 lets it grow.",
                           0, G_MAXINT64, 16 * 1024 * 1024, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
}

static void
cis_alert_jsonl_init (CisAlertJsonl *self)
{
}

CIS_PLUGIN ("alert/jsonl", "Appends each finding to a file as one line of JSON.", CisAlertJsonl,
            cis_alert_jsonl, CisAlert)
