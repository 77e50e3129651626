/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Why a request's turn does not come, and what helps. */

#include "busy.h"

#define MAX_WORKERS 512

/* @lines: of @name.ini. */
G_GNUC_PRINTF (3, 4)
static void
set_fix (CisFinding *finding, const char *name, const char *lines, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, lines);
  text = g_strdup_vprintf (lines, args);
  va_end (args);
  cis_finding_set_fix (finding,
                       "# nothing to do where it is over soon; where it is not, on the receiver, in\n"
                       "# pipelines/receiver.ini.d/%s.ini:\n"
                       "%s\n"
                       "# then\n"
                       "systemctl reload cis490-receiver",
                       name, text);
}

static guint
get_more_workers (const CisQueueLimits *limits)
{
  return MIN (2 * limits->workers, MAX_WORKERS);
}

static CisFinding *
host_busy (CisPart *part, const CisQueueLimits *limits)
{
  CisFinding *finding = cis_finding_new (
      "host-busy", CIS_SEVERITY_WARNING, "request",
      "With these credentials there are as many requests here, or bytes on their way, as one "
      "host may have: a quarter of the workers, half of the room, %u requests with those that "
      "wait, %" G_GUINT64_FORMAT " bytes; pings are counted apart",
      limits->host_requests, limits->host_outstanding);

  set_fix (finding, "host",
           "[pipeline]\nworkers=%u\n[%s]\nhost-requests=%u\nhost-in-flight=%" G_GUINT64_FORMAT,
           get_more_workers (limits), cis_part_get_name (part), 2 * limits->host_requests,
           2 * limits->host_outstanding);
  return finding;
}

static CisFinding *
workers_busy (const CisQueueLimits *limits)
{
  CisFinding *finding = cis_finding_new (
      "busy", CIS_SEVERITY_WARNING, "request",
      "None of the %u workers became free in time; one of them is for questions and pings only",
      limits->workers);

  set_fix (finding, "workers", "[pipeline]\nworkers=%u", get_more_workers (limits));
  return finding;
}

static CisFinding *
bytes_busy (CisPart *part, const CisQueueLimits *limits)
{
  CisFinding *finding = cis_finding_new (
      "busy", CIS_SEVERITY_WARNING, "request",
      "As many bytes were on their way all the time as there may be, which is %" G_GUINT64_FORMAT,
      limits->max_outstanding);

  set_fix (finding, "in-flight", "[%s]\nmax-in-flight=%" G_GUINT64_FORMAT, cis_part_get_name (part),
           2 * limits->max_outstanding);
  return finding;
}

static CisFinding *
connections_busy (CisPart *part, const CisQueueLimits *limits)
{
  CisFinding *finding = cis_finding_new ("busy", CIS_SEVERITY_WARNING, "request",
                                         "More than %u requests wait whose connections have shown no good "
                                         "credentials yet, and of these this one has waited for longest",
                                         limits->max_connections / 2);

  set_fix (finding, "connections", "[pipeline]\nworkers=%u\n[%s]\nmax-connections=%u",
           get_more_workers (limits), cis_part_get_name (part), 2 * limits->max_connections);
  return finding;
}

CisFinding *
cis_busy_to_finding (CisBusy why, CisPart *part, const CisQueueLimits *limits)
{
  switch (why)
    {
    case CIS_BUSY_HOST:
      return host_busy (part, limits);
    case CIS_BUSY_BYTES:
      return bytes_busy (part, limits);
    case CIS_BUSY_CONNECTIONS:
      return connections_busy (part, limits);
    case CIS_BUSY_ENDING:
      return cis_finding_new ("shutting-down", CIS_SEVERITY_ERROR, "request",
                              "The receiver is stopping or being reloaded, and this waited for its turn");
    default:
      return workers_busy (limits);
    }
}
