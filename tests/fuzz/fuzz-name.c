/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/store/archive/layout.h"
#include "../../plugins/transport/accept/route.h"
#include "fuzz.h"

#include <string.h>

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

/* The rule as DESIGN words it, read by another reader: [A-Za-z0-9][A-Za-z0-9._-]* without "..". */
static gboolean
is_name (const char *text, gsize max)
{
  const char *letters = G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS;

  return text[0] != '\0' && strchr (letters, text[0]) != NULL && strlen (text) <= max &&
         strspn (text, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-") == strlen (text) &&
         strstr (text, "..") == NULL;
}

/* Only the target that its names spell again is taken, so nothing is decoded, cut or resolved. */
static void
route (const char *target)
{
  CisFinding *problem = NULL;
  g_autoptr (CisRoute) found = cis_route_find ("PUT", target, &problem);
  g_auto (GStrv) words = g_strsplit (target, "/", -1);
  gboolean right = g_strv_length (words) == 5 && g_str_has_prefix (target, "/v1/episodes/") &&
                   is_name (words[3], CIS_HOST_NAME_MAX) && is_name (words[4], CIS_EPISODE_NAME_MAX);
  g_autofree char *again = NULL;

  g_assert_true ((found != NULL) == right);
  g_assert_true ((found == NULL) == (problem != NULL));
  g_clear_object (&problem);
  if (found == NULL)
    return;
  again = g_strdup_printf ("/v1/episodes/%s/%s", found->host, found->episode);
  g_assert_cmpstr (again, ==, target);
}

/* The name that was read is written the same. */
static void
part (const char *name)
{
  g_autoptr (CisPartName) parsed = cis_part_name_parse (name);
  g_autoptr (CisEpisode) episode = NULL;
  g_autofree char *again = NULL;

  if (parsed == NULL)
    return;
  g_assert_true (is_name (parsed->episode, CIS_EPISODE_NAME_MAX));
  episode = cis_episode_new ("lab-1", parsed->episode, NULL);
  cis_episode_set_archive (episode, NULL, parsed->sha256, 0);
  if (parsed->commit != NULL)
    cis_episode_set_commit (episode, parsed->commit);
  again = cis_layout_part_name (episode);
  g_assert_cmpstr (again, ==, name);
}

/* And what is written is read the same. */
static void
episode (const char *name)
{
  g_autoptr (CisEpisode) written = cis_episode_new ("lab-1", name, NULL);
  g_autofree char *file = NULL;
  g_autoptr (CisPartName) parsed = NULL;

  cis_episode_set_archive (written, NULL, SHA256, 0);
  cis_episode_set_commit (written, COMMIT);
  file = cis_layout_part_name (written);
  parsed = cis_part_name_parse (file);
  g_assert_nonnull (parsed);
  g_assert_cmpstr (parsed->episode, ==, name);
  g_assert_cmpstr (parsed->sha256, ==, SHA256);
  g_assert_cmpstr (parsed->commit, ==, COMMIT);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);

  g_assert_true (cis_name_is_valid (text, CIS_HOST_NAME_MAX) == is_name (text, CIS_HOST_NAME_MAX));
  g_assert_true (cis_name_is_valid (text, CIS_EPISODE_NAME_MAX) == is_name (text, CIS_EPISODE_NAME_MAX));
  if (is_name (text, CIS_EPISODE_NAME_MAX))
    episode (text);
  route (text);
  part (text);
  return 0;
}
