/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reason.h"

#define REASON_MAX (1024 * 1024)

char *
reason_get_fix (CisFinding *finding, const char *name, const char *target)
{
  g_autoptr (GString) fix = NULL;
  g_autofree char *place = g_strdup_printf ("/quarantine/%s", name);
  g_autofree char *new_place = g_strdup_printf ("/quarantine/%s", target);
  g_autofree char *release = g_strdup_printf ("quarantine release %s", name);
  g_autofree char *new_release = g_strdup_printf ("quarantine release %s", target);

  if (cis_finding_get_fix (finding) == NULL)
    return NULL;
  fix = g_string_new (cis_finding_get_fix (finding));
  if (!g_str_equal (name, target))
    {
      g_string_replace (fix, place, new_place, 0);
      g_string_replace (fix, release, new_release, 0);
    }
  return g_string_free (g_steal_pointer (&fix), FALSE);
}

void
reason_context_clear (ReasonContext *context)
{
  g_clear_pointer (&context->first_seen, g_free);
  g_clear_pointer (&context->displaced, g_free);
}

/* A member that the finding came with, from the receiver perhaps, does not speak for us. */
static void
set_member (JsonObject *object, const char *member, const char *value)
{
  if (value != NULL)
    json_object_set_string_member (object, member, value);
  else if (json_object_has_member (object, member))
    json_object_remove_member (object, member);
}

/* What the server answered, where one did: the transport notes the status, and the finding came as the
 * problem that it turns into again. */
static void
set_answer (JsonObject *reason, CisFinding *finding)
{
  const char *text = cis_finding_get_detail (finding, "answer_status");
  guint64 status;
  JsonObject *answer;

  if (text == NULL || !g_ascii_string_to_unsigned (text, 10, 100, 599, &status, NULL))
    return;
  answer = cis_finding_to_problem (finding, (guint) status);
  json_object_remove_member (answer, "answer_status");
  json_object_set_int_member (answer, "status", (gint64) status);
  json_object_set_object_member (reason, "answer", answer);
  json_object_remove_member (reason, "answer_status");
}

char *
reason_make (CisEpisode *episode, CisFinding *finding, const char *fix, const ReasonContext *context)
{
  g_autoptr (JsonObject) reason = cis_finding_to_json (finding);
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *now = cis_time_to_string (context->time);
  g_autofree char *folder = g_strdup_printf ("%" G_GINT64_FORMAT ".%09ld", (gint64) context->folder.tv_sec,
                                             context->folder.tv_nsec);
  g_autofree char *text = NULL;

  set_member (reason, "fix", fix);
  set_answer (reason, finding);
  set_member (reason, "episode", cis_episode_get_name (episode));
  set_member (reason, "commit", cis_episode_get_commit (episode));
  set_member (reason, "sha256", cis_episode_get_sha256 (episode));
  set_member (reason, "stage", cis_item_get_decided_by (CIS_ITEM (episode)));
  json_object_set_int_member (reason, "attempts", context->attempts);
  set_member (reason, "first_seen", context->first_seen != NULL ? context->first_seen : now);
  set_member (reason, "quarantined_at", now);
  set_member (reason, "displaced", context->displaced);
  set_member (reason, "folder_mtime", folder);
  set_member (reason, "version", CIS_VERSION);
  json_node_set_object (root, reason);
  text = json_to_string (root, TRUE);
  return g_strconcat (text, "\n", NULL);
}

JsonObject *
reason_load (int dirfd, const char *file, gint64 *time, GError **error)
{
  g_autoptr (GError) cause = NULL;
  g_autoptr (JsonObject) reason = cis_json_load (dirfd, file, REASON_MAX, &cause);
  const char *text = reason != NULL ? cis_json_get_string (reason, "quarantined_at") : NULL;
  g_autoptr (GDateTime) date = text != NULL ? g_date_time_new_from_iso8601 (text, NULL) : NULL;
  gboolean valid = date != NULL && cis_json_get_string (reason, "finding") != NULL;

  if (cause != NULL && !g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) &&
      !g_error_matches (cause, CIS_ERROR, CIS_ERROR_INVALID))
    g_propagate_error (error, g_steal_pointer (&cause));
  if (time != NULL)
    *time = valid ? g_date_time_to_unix (date) * G_USEC_PER_SEC + g_date_time_get_microsecond (date) : -1;
  return valid ? g_steal_pointer (&reason) : NULL;
}

gboolean
reason_get_folder_time (JsonObject *reason, struct timespec *time)
{
  const char *text = cis_json_get_string (reason, "folder_mtime");
  g_auto (GStrv) parts = text != NULL ? g_strsplit (text, ".", 2) : NULL;
  gint64 seconds;
  guint64 rest;

  if (parts == NULL || g_strv_length (parts) != 2 || strlen (parts[1]) != 9 ||
      !g_ascii_string_to_signed (parts[0], 10, G_MININT64, G_MAXINT64, &seconds, NULL) ||
      !g_ascii_string_to_unsigned (parts[1], 10, 0, 999999999, &rest, NULL))
    return FALSE;
  *time = (struct timespec){ .tv_sec = seconds, .tv_nsec = (long) rest };
  return TRUE;
}
