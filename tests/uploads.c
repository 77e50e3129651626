/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uploads.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

gpointer
uploads_open (const char *tree, gint64 stalled_after)
{
  g_autoptr (GError) error = NULL;
  gpointer archive = test_part_new ("store/archive", "directory", tree, "stalled-after", stalled_after, NULL);

  cis_part_open (archive, NULL, &error);
  g_assert_no_error (error);
  return archive;
}

void
uploads_close (gpointer archive)
{
  cis_part_close (archive);
  g_object_unref (archive);
}

CisEpisode *
uploads_make (const char *method, const char *host, const char *name, const char *sha256, gsize size,
              GInputStream *body)
{
  g_autofree char *target = g_strdup_printf ("/v1/episodes/%s/%s", host, name);
  g_autoptr (CisRequest) request = cis_request_new (method, target);
  CisEpisode *episode = cis_episode_new (host, name, request);

  cis_request_identify (request, host);
  if (body != NULL)
    cis_request_set_body (request, body, size);
  cis_episode_set_commit (episode, COMMIT);
  cis_episode_set_archive (episode, NULL, sha256, size);
  return episode;
}

CisEpisode *
uploads_make_put (const char *name, const char *bytes)
{
  g_autoptr (GInputStream) body = g_memory_input_stream_new_from_data (bytes, strlen (bytes), NULL);
  g_autofree char *sha256 = cis_digest_bytes (bytes, strlen (bytes));

  return uploads_make ("PUT", "lab-1", name, sha256, strlen (bytes), body);
}

CisVerdict
uploads_put (gpointer archive, CisEpisode *episode, CisOutcome **outcome)
{
  g_autoptr (CisOutcome) result = NULL;
  CisVerdict verdict = test_process (archive, episode, &result);

  cis_stage_settled (archive, CIS_ITEM (episode), result);
  if (outcome != NULL)
    *outcome = g_steal_pointer (&result);
  return verdict;
}

void
uploads_store_without_home (gpointer archive)
{
  g_autoptr (CisEpisode) episode = uploads_make_put ("run", "bytes");
  g_autoptr (CisOutcome) deferred = cis_outcome_deferred (CIS_SCOPE_ITEM, 0, NULL);

  cis_item_set_mark (CIS_ITEM (episode), "gate", "disabled");
  g_assert_cmpint (test_process (archive, episode, NULL), ==, CIS_VERDICT_PASSED);
  cis_stage_settled (archive, CIS_ITEM (episode), deferred);
}

void
uploads_assert_finding (CisOutcome *outcome, const char *id)
{
  g_assert_nonnull (cis_outcome_get_finding (outcome));
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, id);
}

void
uploads_assert_none_left (const char *tree)
{
  g_autofree char *incoming = test_list (tree, "incoming/lab-1");

  g_assert_cmpstr (incoming, ==, "");
}

guint
uploads_count_links (const char *tree, const char *path)
{
  g_autofree char *file = g_build_filename (tree, path, NULL);
  struct stat st;

  g_assert_no_errno (stat (file, &st));
  return st.st_nlink;
}
