/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * alert/journal: writes each finding to systemd's journal, with fields to search by:
 *
 *   journalctl MESSAGE_ID=a9f0e7d4c35b4a1f8f3c0b9be2f6d413 CIS490_FINDING=commit-not-in-window
 *
 * Where no journal runs, as in a container, systemd's library drops the entry; a finding says so.
 */
#include "cis490.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define LOOK_INTERVAL  G_USEC_PER_SEC
#define MESSAGE_ID     "a9f0e7d4c35b4a1f8f3c0b9be2f6d413"

typedef struct
{
  CisAlert parent;
} CisAlertJournal;

typedef CisAlertClass CisAlertJournalClass;
GType cis_alert_journal_get_type (void);
G_DEFINE_TYPE (CisAlertJournal, cis_alert_journal, CIS_TYPE_ALERT)

static int
get_priority (CisFinding *finding, CisFindingChange change)
{
  if (change == CIS_FINDING_CLEARED)
    return LOG_INFO;
  switch (cis_finding_get_severity (finding))
    {
    case CIS_SEVERITY_ERROR:
      return LOG_ERR;
    case CIS_SEVERITY_WARNING:
      return LOG_WARNING;
    case CIS_SEVERITY_INFO:
      return LOG_INFO;
    }
  return LOG_INFO;
}

/* A field with no value is left out: the journal would keep an empty one. */
static void
add_field (GPtrArray *fields, const char *name, const char *value)
{
  if (value != NULL)
    g_ptr_array_add (fields, g_strconcat (name, "=", value, NULL));
}

static GPtrArray *
make_fields (CisPart *part, CisFinding *finding, CisFindingChange change, CisItem *item)
{
  GPtrArray *fields = g_ptr_array_new_with_free_func (g_free);
  const char *subject = cis_finding_get_subject (finding);
  g_autofree char *message = g_strdup_printf ("%s%s: %s", change == CIS_FINDING_CLEARED ? "Cleared: " : "",
                                              subject, cis_finding_get_summary (finding));
  g_autofree char *priority = g_strdup_printf ("%d", get_priority (finding, change));

  add_field (fields, "MESSAGE", message);
  add_field (fields, "MESSAGE_ID", MESSAGE_ID);
  add_field (fields, "PRIORITY", priority);
  add_field (fields, "SYSLOG_IDENTIFIER", "cis490");
  add_field (fields, "CIS490_STAGE", cis_part_get_name (part));
  add_field (fields, "CIS490_FINDING", cis_finding_get_id (finding));
  add_field (fields, "CIS490_CHANGE", cis_finding_change_to_string (change));
  add_field (fields, "CIS490_SUBJECT", subject);
  add_field (fields, "CIS490_FIX", cis_finding_get_fix (finding));
  if (CIS_IS_EPISODE (item))
    {
      add_field (fields, "CIS490_EPISODE", cis_episode_get_name (CIS_EPISODE (item)));
      add_field (fields, "CIS490_HOST", cis_episode_get_host (CIS_EPISODE (item)));
    }
  return fields;
}

static gboolean
is_listening (void)
{
  struct stat status;

  return stat (JOURNAL_SOCKET, &status) == 0 && S_ISSOCK (status.st_mode);
}

static CisFinding *
describe_absence (CisPart *part)
{
  const char *name = cis_part_get_name (part);
  CisFinding *finding =
      cis_finding_new ("journal-unavailable", CIS_SEVERITY_WARNING, name,
                       "No journal listens at %s: what alert/journal tells is lost.", JOURNAL_SOCKET);

  cis_finding_set_fix (finding,
                       "systemctl start systemd-journald.socket\n"
                       "# or take %s out of the pipeline's stages=",
                       name);
  return finding;
}

static void
cis_alert_journal_check (CisPart *part, GPtrArray *findings, GCancellable *cancellable)
{
  g_ptr_array_add (findings, is_listening () ? cis_finding_new ("journal-available", CIS_SEVERITY_INFO,
                                                                cis_part_get_name (part),
                                                                "The journal listens at %s.", JOURNAL_SOCKET)
                                             : describe_absence (part));
}

/* sd_journal_sendv(3) counts it as success when nobody listens. */
static gint64
cis_alert_journal_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  if (is_listening ())
    cis_part_clear (part, "journal-unavailable", cis_part_get_name (part));
  else
    cis_part_raise (part, describe_absence (part));
  return LOOK_INTERVAL;
}

static gboolean
cis_alert_journal_tell_finding (CisAlert *alert, CisFinding *finding, CisFindingChange change, CisItem *item,
                                GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) fields = make_fields (CIS_PART (alert), finding, change, item);
  g_autofree struct iovec *vectors = g_new0 (struct iovec, fields->len);
  int rc;

  for (guint i = 0; i < fields->len; i++)
    {
      vectors[i].iov_base = g_ptr_array_index (fields, i);
      vectors[i].iov_len = strlen (vectors[i].iov_base);
    }
  rc = sd_journal_sendv (vectors, (int) fields->len);
  return rc >= 0 ? TRUE
                 : cis_error_set_errno (error, -rc, "Cannot write to the journal at %s", JOURNAL_SOCKET);
}

static void
cis_alert_journal_class_init (CisAlertJournalClass *klass)
{
  CIS_PART_CLASS (klass)->check = cis_alert_journal_check;
  CIS_PART_CLASS (klass)->maintain = cis_alert_journal_maintain;
  klass->tell_finding = cis_alert_journal_tell_finding;
}

static void
cis_alert_journal_init (CisAlertJournal *self)
{
}

CIS_PLUGIN ("alert/journal", "Writes each finding to systemd's journal.", CisAlertJournal, cis_alert_journal,
            CisAlert)
