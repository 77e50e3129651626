/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/shared/rows/row.h"
#include "fuzz.h"

#include <string.h>

/* A row as the strict JSON reader sees it. */
static gboolean
read_row (const char *line, gsize length, CisRow *row)
{
  g_autoptr (JsonObject) object = cis_json_parse (line, length, NULL);
  const char *host = object != NULL ? cis_json_get_string (object, "host") : NULL;
  const char *episode = object != NULL ? cis_json_get_string (object, "episode") : NULL;
  const char *sha256 = object != NULL ? cis_json_get_string (object, "sha256") : NULL;

  if (host == NULL || episode == NULL || !cis_name_is_valid (host, CIS_HOST_NAME_MAX) ||
      !cis_name_is_valid (episode, CIS_EPISODE_NAME_MAX) ||
      (sha256 != NULL && sha256[0] != '\0' && !cis_hex_is_valid (sha256, 64)))
    return FALSE;
  g_strlcpy (row->host, host, sizeof row->host);
  g_strlcpy (row->episode, episode, sizeof row->episode);
  g_strlcpy (row->sha256, sha256 != NULL ? sha256 : "", sizeof row->sha256);
  row->size = cis_json_get_size (object, "size", -1);
  return TRUE;
}

/* The quick reader of rows and the strict one of JSON say the same of any line. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  CisRow quick, strict;
  gboolean taken = cis_row_parse ((const char *) data, size, &quick);

  g_assert_true (taken == read_row ((const char *) data, size, &strict));
  if (!taken)
    return 0;
  g_assert_cmpstr (quick.host, ==, strict.host);
  g_assert_cmpstr (quick.episode, ==, strict.episode);
  g_assert_cmpstr (quick.sha256, ==, strict.sha256);
  g_assert_cmpint (quick.size, ==, strict.size);
  return 0;
}
