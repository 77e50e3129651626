/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * alert/jsonl: appends each finding to a file, as one line of JSON.
 *
 * The file is opened for each line, so that it can be moved away or removed at any time, and locked, so that
 * several pipelines can share it. It is for reading, not a store: nothing is flushed to the disk.
 */
#include "cis490.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void
close_file (int *fd)
{
  if (*fd >= 0)
    g_close (*fd, NULL);
}

typedef int File;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (File, close_file)

static int
open_file (CisAlertJsonl *self, GError **error)
{
  return cis_file_open (AT_FDCWD, self->file, O_RDWR | O_APPEND | O_CREAT, NULL, error);
}

/* The file, locked; after the wait for the lock it may be another one that bears the name. */
static int
open_locked (CisAlertJsonl *self, struct stat *status, GCancellable *cancellable, GError **error)
{
  while (TRUE)
    {
      g_auto (File) fd = open_file (self, error);
      struct stat named;

      if (fd < 0 || !cis_file_lock (fd, TRUE, self->file, cancellable, error))
        return -1;
      if (fstat (fd, status) < 0)
        {
          cis_error_set_errno (error, errno, "Cannot look at %s", self->file);
          return -1;
        }
      if (stat (self->file, &named) == 0 && named.st_ino == status->st_ino && named.st_dev == status->st_dev)
        {
          int locked = fd;

          fd = -1;
          return locked;
        }
    }
}

/* Moves a full file to FILE.1, over the one before. */
static gboolean
rotate (CisAlertJsonl *self, GError **error)
{
  g_autofree char *old = g_strconcat (self->file, ".1", NULL);

  if (rename (self->file, old) < 0)
    return cis_error_set_errno (error, errno, "Cannot rename %s to %s", self->file, old);
  return TRUE;
}

/* Whether a writer that was killed, or a full disk, left half a line at the end: ours must not be glued to
 * it. */
static gboolean
ends_in_midline (int fd, goffset size)
{
  char last = '\n';

  return size > 0 && pread (fd, &last, 1, size - 1) == 1 && last != '\n';
}

static gboolean
append (CisAlertJsonl *self, const char *line, GCancellable *cancellable, GError **error)
{
  g_auto (File) fd = -1;
  g_autofree char *text = NULL;
  struct stat status;

  while (TRUE)
    {
      fd = open_locked (self, &status, cancellable, error);
      if (fd < 0)
        return FALSE;
      if (self->max_size == 0 || status.st_size == 0 || status.st_size + strlen (line) + 1 <= self->max_size)
        break;
      if (!rotate (self, error) || !cis_file_close (&fd, self->file, error))
        return FALSE;
    }
  text = g_strconcat (ends_in_midline (fd, status.st_size) ? "\n" : "", line, "\n", NULL);
  return cis_file_write_all (fd, text, strlen (text), self->file, error) &&
         cis_file_close (&fd, self->file, error);
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
  g_auto (File) fd = -1;

  if (g_mkdir_with_parents (folder, 0750) < 0)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "file: cannot make the folder %s: %s", folder,
                   g_strerror (errno));
      return FALSE;
    }
  fd = open_file (self, &problem);
  if (fd < 0)
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
