/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "code-version.h"

#include <fcntl.h>
#include <string.h>

#define COMMIT_LENGTH 40
#define META_MAX      (16 * 1024 * 1024)

/* It ends on a terminal: no control characters, nor others that nobody sees. */
static const char *
get_printable (JsonObject *object, const char *member)
{
  const char *text = cis_json_get_string (object, member);

  for (const char *at = text; at != NULL && *at != '\0'; at = g_utf8_next_char (at))
    if (!g_unichar_isprint (g_utf8_get_char (at)))
      return NULL;
  return text != NULL && *text != '\0' ? text : NULL;
}

static const char *
get_commit (JsonObject *object, const char *member)
{
  const char *commit = cis_json_get_string (object, member);

  return commit != NULL && cis_hex_is_valid (commit, COMMIT_LENGTH) ? commit : NULL;
}

static JsonObject *
get_object (JsonObject *object, const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/* The first of all replacements: the others are behind one another in "earlier". */
static const char *
get_restamped (JsonObject *version)
{
  JsonObject *latest = get_object (version, "restamped");
  JsonNode *node = latest != NULL ? json_object_get_member (latest, "earlier") : NULL;
  JsonArray *earlier = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  JsonNode *first =
      earlier != NULL && json_array_get_length (earlier) > 0 ? json_array_get_element (earlier, 0) : NULL;
  const char *commit = NULL;

  if (first != NULL)
    commit = JSON_NODE_HOLDS_OBJECT (first) ? get_commit (json_node_get_object (first), "old") : NULL;
  else if (latest != NULL)
    commit = get_commit (latest, "old");
  if (commit != NULL)
    return commit;
  return json_object_has_member (version, "restamped") ? CIS_RESTAMPED_UNKNOWN : NULL;
}

CisCodeVersion
cis_code_version_read (JsonObject *meta)
{
  JsonObject *version = meta != NULL ? get_object (meta, "code_version") : NULL;
  CisCodeVersion self = { NULL };

  if (version == NULL)
    return self;
  self.commit = get_commit (version, "commit");
  self.repository = get_printable (version, "repository");
  if (self.repository != NULL && !g_path_is_absolute (self.repository))
    self.repository = NULL;
  self.remote = get_printable (version, "remote");
  self.restamped = get_restamped (version);
  return self;
}

char *
cis_code_version_fill (const CisCodeVersion *self, const char *text)
{
  const struct
  {
    const char *name, *value, *otherwise;
  } placeholders[] = {
    { "{repository}", self->repository, "REPOSITORY" },
    { "{remote}", self->remote, "ADDRESS-OF-THE-REPOSITORY" },
  };
  GString *filled = g_string_new (NULL);

  /* Left to right, once: what is filled in is not looked at again. */
  while (*text != '\0')
    {
      gsize length = 0;

      for (guint i = 0; i < G_N_ELEMENTS (placeholders) && length == 0; i++)
        if (g_str_has_prefix (text, placeholders[i].name))
          {
            g_autofree char *quoted =
                placeholders[i].value != NULL ? g_shell_quote (placeholders[i].value) : NULL;

            g_string_append (filled, quoted != NULL ? quoted : placeholders[i].otherwise);
            length = strlen (placeholders[i].name);
          }
      if (length == 0)
        g_string_append_c (filled, text[length++]);
      text += length;
    }
  return g_string_free (filled, FALSE);
}

void
cis_code_version_complete_fix (CisEpisode *episode, CisFinding *finding)
{
  static const char *const members[] = { "code_version", NULL };
  const char *directory = cis_episode_get_directory (episode);
  const char *fix = cis_finding_get_fix (finding);
  g_autofree char *path = directory != NULL ? g_build_filename (directory, "meta.json", NULL) : NULL;
  g_autoptr (GBytes) bytes = path != NULL ? cis_file_read (AT_FDCWD, path, META_MAX, NULL) : NULL;
  g_autoptr (JsonObject) meta =
      bytes != NULL
          ? cis_json_parse_members (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), members, NULL)
          : NULL;
  CisCodeVersion version = cis_code_version_read (meta);
  g_autofree char *filled = fix != NULL ? cis_code_version_fill (&version, fix) : NULL;

  if (filled != NULL)
    cis_finding_set_fix (finding, "%s", filled);
}
