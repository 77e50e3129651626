/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "forgejo-page.h"

gboolean
cis_forgejo_page_set_garbage (GError **error, const char *reason)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "its answer is no list of commits: %s", reason);
  return FALSE;
}

/* "2026-11-21T23:51:51+01:00" as seconds since 1970; 0 where it is something else. */
static gint64
parse_time (const char *text)
{
  g_autoptr (GDateTime) time = text != NULL ? g_date_time_new_from_iso8601 (text, NULL) : NULL;

  return time != NULL ? g_date_time_to_unix (time) : 0;
}

static JsonObject *
get_object (JsonObject *object, const char *member)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, member) : NULL;

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/* The committer's time, as git sorts by it; where that is not told, "created", which is the same. */
static gint64
get_time (JsonObject *commit)
{
  JsonObject *committer = get_object (get_object (commit, "commit"), "committer");
  const char *text = committer != NULL ? cis_json_get_string (committer, "date") : NULL;

  return parse_time (text != NULL ? text : cis_json_get_string (commit, "created"));
}

/* Whether all of them are told: a commit without parents ends a history, and one that only seems so would let
 * a part pass for the whole. */
static gboolean
note_parents (GHashTable *all, JsonObject *commit)
{
  JsonNode *node = json_object_get_member (commit, "parents");
  JsonArray *parents = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  if (parents == NULL)
    return FALSE;
  for (guint i = 0; i < json_array_get_length (parents); i++)
    {
      JsonNode *parent = json_array_get_element (parents, i);
      const char *sha =
          JSON_NODE_HOLDS_OBJECT (parent) ? cis_json_get_string (json_node_get_object (parent), "sha") : NULL;

      if (sha == NULL || !cis_hex_is_valid (sha, CIS_COMMIT_LENGTH))
        return FALSE;
      g_hash_table_add (all, g_strdup (sha));
    }
  return TRUE;
}

gboolean
cis_forgejo_page_read (GBytes *body, CisWindow *window, guint n, GHashTable *parents, guint *n_listed,
                       GError **error)
{
  /* Our strict reader takes an object, and the list is an array. */
  g_autoptr (GString) text = g_string_new ("{\"commits\":");
  g_autoptr (GError) problem = NULL;
  g_autoptr (JsonObject) object = NULL;
  JsonNode *node;
  JsonArray *list;

  g_string_append_len (text, g_bytes_get_data (body, NULL), (gssize) g_bytes_get_size (body));
  g_string_append_c (text, '}');
  object = cis_json_parse (text->str, text->len, &problem);
  if (object == NULL)
    return cis_forgejo_page_set_garbage (error, problem->message);
  node = json_object_get_member (object, "commits");
  if (node == NULL || !JSON_NODE_HOLDS_ARRAY (node))
    return cis_forgejo_page_set_garbage (error, "no array");
  list = json_node_get_array (node);
  *n_listed = json_array_get_length (list);
  for (guint i = 0; i < *n_listed && cis_window_get_length (window) < n; i++)
    {
      JsonNode *entry = json_array_get_element (list, i);
      JsonObject *commit = JSON_NODE_HOLDS_OBJECT (entry) ? json_node_get_object (entry) : NULL;
      const char *sha = commit != NULL ? cis_json_get_string (commit, "sha") : NULL;

      if (sha == NULL || !cis_hex_is_valid (sha, CIS_COMMIT_LENGTH))
        return cis_forgejo_page_set_garbage (error, "an entry has no sha of 40 hex digits");
      cis_window_append (window, sha, get_time (commit));
      if (!note_parents (parents, commit))
        return cis_forgejo_page_set_garbage (error, "an entry does not say what its parents are");
    }
  return TRUE;
}
