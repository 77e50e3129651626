/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/transport/accept/claim.h"
#include "../../plugins/transport/accept/http-head.h"
#include "../../plugins/transport/accept/route.h"
#include "fuzz.h"

#include <string.h>

/* How many lines begin with @name and a colon, as any other reader would see it. */
static guint
count_fields (char **lines, const char *name)
{
  guint n = 0;

  for (guint i = 1; lines[i] != NULL; i++)
    n += g_ascii_strncasecmp (lines[i], name, strlen (name)) == 0 && lines[i][strlen (name)] == ':' ? 1 : 0;
  return n;
}

static void
claim (const CisHttpHead *head)
{
  CisFinding *problem = NULL;
  g_autoptr (CisRoute) route = cis_route_find (head->method, head->target, &problem);
  g_autoptr (CisItem) item = route != NULL ? cis_claim_to_item (head, route, &problem) : NULL;

  g_assert_true ((item == NULL) == (problem != NULL));
  g_clear_object (&problem);
  if (item == NULL || !CIS_IS_EPISODE (item))
    return;
  g_assert_true (cis_name_is_valid (cis_episode_get_host (CIS_EPISODE (item)), CIS_HOST_NAME_MAX));
  g_assert_true (cis_name_is_valid (cis_episode_get_name (CIS_EPISODE (item)), CIS_EPISODE_NAME_MAX));
  g_assert_true (cis_hex_is_valid (cis_episode_get_sha256 (CIS_EPISODE (item)), 64));
}

/* A head that is taken leaves no room for a second opinion: no reader of these bytes finds another end,
 * length or host. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  CisFinding *problem = NULL;
  g_autoptr (CisHttpHead) head = cis_http_head_parse ((const char *) data, size, &problem);
  gsize scanned = 0;
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  g_assert_true ((head == NULL) == (problem != NULL));
  g_clear_object (&problem);
  if (head == NULL)
    return 0;
  g_assert_cmpint (cis_http_head_find_end (data, size, &scanned), ==, size);
  g_assert_null (memchr (data, '\0', size));
  text = g_strndup ((const char *) data, size);
  lines = g_strsplit (text, "\r\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    g_assert_null (strpbrk (lines[i], "\r\n"));
  g_assert_cmpuint (count_fields (lines, "host"), ==, 1);
  g_assert_cmpuint (count_fields (lines, "content-length"), ==, head->has_length ? 1 : 0);
  g_assert_cmpuint (count_fields (lines, "transfer-encoding"), ==, 0);
  claim (head);
  return 0;
}
