/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a stamp may do to another stamp. It says which code made the episode, once and for all: were it
 * replaced whenever the code is newer, the receiver's version gate would let in what it is there to keep out.
 */
#include "stamp-change.h"

#include <glib/gi18n.h>
#include <string.h>

#define MEMBER "code_version"
/* Shorter digits are no commit's. */
#define ABBREVIATION_MIN 4

/* What is noted so far. All nullable, and the JSON's. */
typedef struct
{
  JsonObject *version;
  const char *commit; /* or the first digits of one, in either case */
  gboolean dirty;
  JsonNode *restamped;
} Former;

static gboolean
is_commit (const char *text)
{
  gsize length = text != NULL ? strlen (text) : 0;

  return length >= ABBREVIATION_MIN && strspn (text, "0123456789abcdefABCDEF") == length;
}

static Former
read_former (JsonObject *meta)
{
  JsonNode *node = json_object_get_member (meta, MEMBER);
  Former former = { NULL };
  JsonNode *dirty;

  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    {
      former.version = json_node_get_object (node);
      former.commit = cis_json_get_string (former.version, "commit");
      former.restamped = json_object_get_member (former.version, "restamped");
      dirty = json_object_get_member (former.version, "dirty");
      former.dirty = dirty != NULL && json_node_get_value_type (dirty) == G_TYPE_BOOLEAN &&
                     json_node_get_boolean (dirty);
    }
  else
    former.commit = cis_json_get_string (meta, MEMBER);
  /* What says nothing of a commit, such as "unknown", is not worth keeping. */
  if (!is_commit (former.commit))
    former.commit = NULL;
  return former;
}

/* A changed tree that is called clean afterwards is other code, too. */
static gboolean
contradicts (const Former *former, const StampCode *code)
{
  return former->commit != NULL &&
         (g_ascii_strncasecmp (code->commit, former->commit, strlen (former->commit)) != 0 ||
          (former->dirty && !code->dirty));
}

/* The replacements so far, the first one in front; full. */
static JsonArray *
list_earlier (JsonNode *restamped)
{
  JsonObject *latest = JSON_NODE_HOLDS_OBJECT (restamped) ? json_node_get_object (restamped) : NULL;
  JsonNode *earlier = latest != NULL ? json_object_get_member (latest, "earlier") : NULL;
  JsonArray *all = json_array_new ();

  for (guint i = 0; earlier != NULL && JSON_NODE_HOLDS_ARRAY (earlier) &&
                    i < json_array_get_length (json_node_get_array (earlier));
       i++)
    json_array_add_element (all, json_array_dup_element (json_node_get_array (earlier), i));
  restamped = json_node_copy (restamped);
  if (latest != NULL && earlier != NULL)
    json_object_remove_member (json_node_get_object (restamped), "earlier");
  json_array_add_element (all, restamped);
  return all;
}

static char *
describe_user (void)
{
  return g_strconcat (cis_get_operator (), "@", g_get_host_name (), NULL);
}

static JsonObject *
describe_change (const Former *former, const StampCode *code, const char *reason)
{
  JsonObject *change = json_object_new ();
  g_autofree char *by = describe_user ();
  g_autofree char *when = cis_time_to_string (g_get_real_time ());

  json_object_set_string_member (change, "old", former->commit);
  if (former->dirty)
    json_object_set_boolean_member (change, "old_dirty", TRUE);
  json_object_set_string_member (change, "new", code->commit);
  json_object_set_string_member (change, "by", by);
  json_object_set_string_member (change, "when", when);
  json_object_set_string_member (change, "why", reason);
  if (former->restamped != NULL)
    json_object_set_array_member (change, "earlier", list_earlier (former->restamped));
  return change;
}

static JsonObject *
describe_code (const StampCode *code)
{
  JsonObject *member = json_object_new ();

  json_object_set_string_member (member, "commit", code->commit);
  json_object_set_string_member (member, "branch", code->branch);
  json_object_set_boolean_member (member, "dirty", code->dirty);
  json_object_set_string_member (member, "repository", code->repository);
  if (code->remote != NULL)
    json_object_set_string_member (member, "remote", code->remote);
  return member;
}

JsonObject *
stamp_change_make (JsonObject *meta, const StampCode *code, const char *directory, const char *reason,
                   GError **error)
{
  Former former = read_former (meta);
  JsonObject *member;

  if (contradicts (&former, code) && reason == NULL)
    {
      g_set_error (
          error, G_IO_ERROR, G_IO_ERROR_EXISTS,
          _ ("%s is stamped already, with commit %s (%s), and checked out is %s (%s). The stamp says "
             "which code made the episode, and newer code did not. Where it is wrong, "
             "--replace 'WHY' notes the change, and the receiver marks the episode"),
          directory, former.commit, former.dirty ? "dirty" : "clean", code->commit,
          code->dirty ? "dirty" : "clean");
      return NULL;
    }
  member = describe_code (code);
  if (contradicts (&former, code))
    json_object_set_object_member (member, "restamped", describe_change (&former, code, reason));
  else if (former.restamped != NULL)
    json_object_set_member (member, "restamped", json_node_copy (former.restamped));
  return member;
}
