/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "retry-after.h"

#include <libsoup/soup.h>

gint64
cis_retry_after_parse (const char *value)
{
  g_autoptr (GDateTime) date = NULL, now = NULL;
  guint64 seconds;

  if (g_ascii_string_to_unsigned (value, 10, 0, G_MAXUINT32, &seconds, NULL))
    return MIN ((gint64) seconds * G_USEC_PER_SEC, CIS_RETRY_AFTER_MAX);
  date = soup_date_time_new_from_http_string (value);
  now = g_date_time_new_now_utc ();
  return date != NULL ? CLAMP (g_date_time_difference (date, now), 0, CIS_RETRY_AFTER_MAX) : 0;
}
