/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

#include <time.h>

static void
set_string (JsonObject *receipt, const char *member, const char *value)
{
  if (value != NULL)
    json_object_set_string_member (receipt, member, value);
}

JsonObject *
cis_receipt_new (CisEpisode *episode, const char *host, const char *status, const char *received_at)
{
  JsonObject *receipt = json_object_new ();
  g_autofree char *now = received_at == NULL ? cis_time_to_string (g_get_real_time ()) : NULL;

  set_string (receipt, "episode", cis_episode_get_name (episode));
  set_string (receipt, "host", host);
  set_string (receipt, "sha256", cis_episode_get_sha256 (episode));
  json_object_set_int_member (receipt, "size", cis_episode_get_size (episode));
  set_string (receipt, "commit", cis_episode_get_commit (episode));
  set_string (receipt, "received_at", received_at != NULL ? received_at : now);
  set_string (receipt, "status", status);
  return receipt;
}

static gboolean
member_is (JsonObject *receipt, const char *member, const char *expected, GError **error)
{
  const char *value = cis_json_get_string (receipt, member);

  if (value != NULL && g_strcmp0 (value, expected) == 0)
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "The receipt's \"%s\" is %s instead of %s", member,
               value != NULL ? value : "missing",
               expected != NULL ? expected : "anything, for nothing is known of it");
  return FALSE;
}

gboolean
cis_receipt_matches (JsonObject *receipt, CisEpisode *episode, const char *host, GError **error)
{
  gint64 size = cis_json_get_size (receipt, "size", -1);

  if (!member_is (receipt, "episode", cis_episode_get_name (episode), error) ||
      (host != NULL && !member_is (receipt, "host", host, error)) ||
      !member_is (receipt, "sha256", cis_episode_get_sha256 (episode), error))
    return FALSE;
  if (size >= 0 && (guint64) size == cis_episode_get_size (episode))
    return TRUE;
  if (size < 0)
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
                 "The receipt's \"size\" is missing or no number of bytes");
  else
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
                 "The receipt's \"size\" is %" G_GINT64_FORMAT " instead of %" G_GUINT64_FORMAT, size,
                 cis_episode_get_size (episode));
  return FALSE;
}

char *
cis_time_to_string (gint64 real_time)
{
  gint64 fraction = (real_time % G_USEC_PER_SEC + G_USEC_PER_SEC) % G_USEC_PER_SEC;
  time_t seconds = (real_time - fraction) / G_USEC_PER_SEC;
  char date[64];
  struct tm tm;

  /* No 64-bit number of µs reaches a year that gmtime_r() could not hold. */
  gmtime_r (&seconds, &tm);
  strftime (date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
  return g_strdup_printf ("%s.%06" G_GINT64_FORMAT "Z", date, fraction);
}
