/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

/* An episode as the receipt says it is; NULL where it does not say all that counts. full */
static CisEpisode *
make_episode (JsonObject *receipt)
{
  const char *name = cis_json_get_string (receipt, "episode");
  const char *sha256 = cis_json_get_string (receipt, "sha256");
  gint64 size = cis_json_get_size (receipt, "size", -1);
  CisEpisode *episode;

  if (name == NULL || sha256 == NULL || size < 0)
    return NULL;
  episode = cis_episode_new (NULL, name, NULL);
  cis_episode_set_archive (episode, NULL, sha256, (guint64) size);
  cis_episode_set_commit (episode, cis_json_get_string (receipt, "commit"));
  return episode;
}

/* What is written of it is read as the same, and is a receipt for it and for nothing else. */
static void
check_again (CisEpisode *episode, const char *host)
{
  g_autoptr (JsonObject) receipt = cis_receipt_new (episode, host, "stored", NULL);
  g_autofree char *line = cis_json_to_line (receipt);
  g_autoptr (JsonObject) again = cis_json_parse (line, strlen (line), NULL);
  g_autoptr (CisEpisode) other = cis_episode_new (NULL, cis_episode_get_name (episode), NULL);
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (again);
  g_assert_true (cis_receipt_matches (again, episode, host, NULL));
  cis_episode_set_archive (other, NULL, cis_episode_get_sha256 (episode), cis_episode_get_size (episode) + 1);
  g_assert_false (cis_receipt_matches (again, other, host, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr (JsonObject) receipt = cis_json_parse ((const char *) data, size, NULL);
  g_autoptr (CisEpisode) fixed = cis_episode_new (NULL, "run-1", NULL);
  g_autoptr (CisEpisode) episode = receipt != NULL ? make_episode (receipt) : NULL;
  g_autoptr (GError) error = NULL;
  const char *host;

  if (receipt == NULL)
    return 0;
  /* One of which nothing is known yet is never acknowledged. */
  g_assert_false (cis_receipt_matches (receipt, fixed, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
  if (episode == NULL)
    return 0;
  host = cis_json_get_string (receipt, "host");
  g_assert_true (cis_receipt_matches (receipt, episode, host, NULL));
  g_assert_false (cis_receipt_matches (receipt, episode, "another host", NULL) &&
                  g_strcmp0 (host, "another host") != 0);
  check_again (episode, host);
  return 0;
}
