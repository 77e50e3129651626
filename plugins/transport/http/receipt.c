/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "receipt.h"

gboolean
cis_http_receipt_is_whole (JsonObject *receipt, CisEpisode *episode, const char *host, GError **error)
{
  const char *status = cis_json_get_string (receipt, "status");
  const char *time = cis_json_get_string (receipt, "received_at");
  g_autoptr (GDateTime) date = time != NULL ? g_date_time_new_from_iso8601 (time, NULL) : NULL;

  if (!cis_receipt_matches (receipt, episode, host, error))
    return FALSE;
  if ((g_strcmp0 (status, "stored") == 0 || g_strcmp0 (status, "duplicate") == 0) && date != NULL)
    return TRUE;
  g_set_error_literal (error, CIS_ERROR, CIS_ERROR_INVALID,
                       "the receipt does not say whether it was stored, or when");
  return FALSE;
}
