/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Why a request's turn does not come, and what helps. */

#include "busy.h"

#define MAX_WORKERS 512

static CisFinding *
host_busy (CisPart *part, const CisQueueLimits *limits)
{
  CisFinding *finding = cis_finding_new (
      "host-busy", CIS_SEVERITY_WARNING, "request",
      "With these credentials there are as many requests here, or bytes on their way, as one "
      "host may have: a quarter of the workers, half of the room, %u requests with those that "
      "wait, %" G_GUINT64_FORMAT " bytes; pings are counted apart",
      limits->host_requests, limits->host_outstanding);

  cis_finding_set_fix (finding,
                       "# nothing to do where it is over soon; where it is not, on the receiver, in\n"
                       "# pipelines/receiver.ini.d/host.ini:\n"
                       "[pipeline]\n"
                       "workers=%u\n"
                       "[%s]\n"
                       "host-requests=%u\n"
                       "host-in-flight=%" G_GUINT64_FORMAT "\n"
                       "# then\n"
                       "systemctl reload cis490-receiver",
                       MIN (2 * limits->workers, MAX_WORKERS), cis_part_get_name (part),
                       2 * limits->host_requests, 2 * limits->host_outstanding);
  return finding;
}

CisFinding *
cis_busy_to_finding (gboolean of_host, CisPart *part, const CisQueueLimits *limits)
{
  if (of_host)
    return host_busy (part, limits);
  return cis_finding_new (
      "busy", CIS_SEVERITY_WARNING, "request",
      "No worker became free in time; where that goes on, the receiver's [pipeline] needs more workers=");
}
