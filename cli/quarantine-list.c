/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 quarantine list, and show ID. */
#include "quarantine.h"
#include "terminal.h"

#include <glib/gi18n.h>

/* So many fit on a screen; of more one wants to know the reasons first. */
#define SHORT_LIST 20

/* All entries with one finding. */
typedef struct
{
  const char *finding; /* none */
  GPtrArray *entries;  /* of Selected, none, the oldest first */
  guint64 bytes;
} Group;

static void
group_free (gpointer data)
{
  Group *group = data;

  g_ptr_array_unref (group->entries);
  g_free (group);
}

static int
compare_groups (gconstpointer a, gconstpointer b)
{
  const Group *left = *(Group *const *) a;
  const Group *right = *(Group *const *) b;

  if (left->entries->len != right->entries->len)
    return left->entries->len > right->entries->len ? -1 : 1;
  return strcmp (left->finding, right->finding);
}

/* The largest first; full, of Group. */
static GPtrArray *
group (GPtrArray *selected)
{
  g_autoptr (GHashTable) by_finding = g_hash_table_new (cis_str_hash, g_str_equal);
  GPtrArray *groups = g_ptr_array_new_with_free_func (group_free);

  for (guint i = 0; i < selected->len; i++)
    {
      Selected *one = selected->pdata[i];
      Group *its = g_hash_table_lookup (by_finding, one->finding);

      if (its == NULL)
        {
          its = g_new0 (Group, 1);
          its->finding = one->finding;
          its->entries = g_ptr_array_new ();
          g_hash_table_insert (by_finding, (gpointer) its->finding, its);
          g_ptr_array_add (groups, its);
        }
      g_ptr_array_add (its->entries, one);
      its->bytes += one->bytes;
    }
  g_ptr_array_sort (groups, compare_groups);
  return groups;
}

static void
print_row (const char *name, const char *count, guint64 bytes, gint64 time, TerminalStyle style)
{
  g_autofree char *size = quarantine_format_size (bytes);
  g_autofree char *age = quarantine_format_age (time);
  g_autofree char *padded = g_strdup_printf ("%-40s", name);
  g_autofree char *styled = terminal_style (style, padded);

  g_print ("%s %8s %10s %10s\n", styled, count, size, age);
}

static void
print_text (GPtrArray *groups, gboolean each)
{
  g_print ("%-40s %8s %10s %10s\n", _ ("REASON"), _ ("COUNT"), _ ("SIZE"), _ ("OLDEST"));
  for (guint i = 0; i < groups->len; i++)
    {
      const Group *its = groups->pdata[i];
      g_autofree char *count = g_strdup_printf ("%u", its->entries->len);

      print_row (*its->finding != '\0' ? its->finding : _ ("(no reason is there)"), count, its->bytes,
                 ((Selected *) its->entries->pdata[0])->entry->time, TERMINAL_BOLD);
      for (guint j = 0; each && j < its->entries->len; j++)
        {
          const Selected *one = its->entries->pdata[j];
          g_autofree char *name = g_strconcat ("  ", one->entry->id, NULL);

          print_row (name, "", one->bytes, one->entry->time, TERMINAL_PLAIN);
        }
    }
}

/* The reason's own members, and what the folder says. full */
static JsonObject *
describe (const Selected *one)
{
  static const char *const members[] = { "finding", "summary", "fix",      "episode",    "commit",
                                         "sha256",  "stage",   "attempts", "first_seen", "quarantined_at" };
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "id", one->entry->id);
  json_object_set_int_member (object, "bytes", (gint64) one->bytes);
  for (guint i = 0; one->entry->reason != NULL && i < G_N_ELEMENTS (members); i++)
    if (json_object_has_member (one->entry->reason, members[i]))
      json_object_set_member (object, members[i], json_object_dup_member (one->entry->reason, members[i]));
  return object;
}

static void
print_json (GPtrArray *selected, GPtrArray *groups)
{
  g_autoptr (JsonObject) object = json_object_new ();
  JsonArray *reasons = json_array_new ();
  JsonArray *entries = json_array_new ();
  g_autofree char *line = NULL;

  for (guint i = 0; i < groups->len; i++)
    {
      const Group *its = groups->pdata[i];
      gint64 oldest = ((Selected *) its->entries->pdata[0])->entry->time;
      g_autofree char *since = oldest >= 0 ? cis_time_to_string (oldest) : NULL;
      JsonObject *reason = json_object_new ();

      json_object_set_string_member (reason, "finding", its->finding);
      json_object_set_int_member (reason, "count", its->entries->len);
      json_object_set_int_member (reason, "bytes", (gint64) its->bytes);
      if (since != NULL)
        json_object_set_string_member (reason, "oldest", since);
      json_array_add_object_element (reasons, reason);
    }
  for (guint i = 0; i < selected->len; i++)
    json_array_add_object_element (entries, describe (selected->pdata[i]));
  json_object_set_int_member (object, "count", selected->len);
  json_object_set_array_member (object, "reasons", reasons);
  json_object_set_array_member (object, "entries", entries);
  line = cis_json_to_line (object);
  g_print ("%s\n", line);
}

int
quarantine_verb_list (Quarantine *quarantine, const char *reason, gboolean all, gboolean json)
{
  g_autoptr (GError) error = NULL;
  guint n_missing = 0;
  g_autoptr (GPtrArray) selected = quarantine_select (quarantine, NULL, reason, 0, TRUE, &n_missing, &error);
  g_autoptr (GPtrArray) groups = selected != NULL ? group (selected) : NULL;

  if (selected == NULL)
    {
      quarantine_complain (error);
      return cis_error_exit_status (error);
    }
  if (json)
    print_json (selected, groups);
  else if (selected->len == 0 && reason == NULL && n_missing == 0)
    g_printerr (_ ("Nothing is in quarantine.\n"));
  else if (selected->len > 0)
    {
      print_text (groups, all || selected->len <= SHORT_LIST);
      if (!all && selected->len > SHORT_LIST)
        g_printerr (_ ("`cis490 quarantine list --long` names each of them.\n"));
    }
  return n_missing > 0 ? 1 : 0;
}

/* ---- show ---- */

/* Each line of a value below the first. */
static void
print_value (const char *name, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  g_print ("%-16s %s\n", name, lines[0] != NULL ? lines[0] : "");
  for (guint i = 1; lines[0] != NULL && lines[i] != NULL; i++)
    g_print ("%-16s %s\n", "", lines[i]);
}

static void print_object (JsonObject *object, const char *prefix);

/* What an answer was is kept as it came, which is JSON in a text. */
static void
print_node (const char *name, JsonNode *node)
{
  gboolean is_text = JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING;
  const char *text = is_text ? json_node_get_string (node) : NULL;
  g_autoptr (JsonObject) held = NULL;
  g_autofree char *raw = NULL;

  if (JSON_NODE_HOLDS_OBJECT (node))
    held = json_object_ref (json_node_get_object (node));
  else if (is_text && text[0] == '{')
    held = cis_json_parse (text, strlen (text), NULL);
  if (held != NULL)
    {
      print_object (held, name);
      return;
    }
  raw = is_text ? NULL : json_to_string (node, FALSE);
  print_value (name, is_text ? text : raw);
}

static void
print_object (JsonObject *object, const char *prefix)
{
  g_autoptr (GList) members = json_object_get_members (object);

  for (GList *member = members; member != NULL; member = member->next)
    {
      g_autofree char *name = g_strjoin (".", prefix, (const char *) member->data, NULL);

      print_node (name, json_object_get_member (object, member->data));
    }
}

static void
print_member (JsonObject *object, const char *member, JsonNode *node, gpointer user_data)
{
  static const char *const apart[] = { "summary", "fix", NULL };

  if (!g_strv_contains (apart, member))
    print_node (member, node);
}

static void
print_reason (QuarantineEntry *entry)
{
  const char *summary = cis_json_get_string (entry->reason, "summary");
  const char *fix = cis_json_get_string (entry->reason, "fix");
  g_auto (GStrv) lines = fix != NULL ? g_strsplit (fix, "\n", -1) : NULL;
  g_autofree char *age = quarantine_format_age (entry->time);

  g_print ("%-16s %s\n", "id", entry->id);
  /* Whoever may write to the episode may have written this. */
  g_print ("%s\n", _ ("Its quarantine_reason.json says:"));
  json_object_foreach_member (entry->reason, print_member, NULL);
  g_print ("%-16s %s\n", _ ("age"), age);
  if (summary != NULL)
    g_print ("\n%s\n", summary);
  if (lines != NULL)
    g_print ("\n%s\n", _ ("What to do, as the same file says:"));
  for (char **line = lines; line != NULL && *line != NULL; line++)
    g_print ("    %s\n", *line);
}

int
quarantine_verb_show (Quarantine *quarantine, const char *id, gboolean json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (QuarantineEntry) entry = quarantine_load (quarantine, id, &error);
  g_autofree char *line = NULL;

  if (entry == NULL)
    {
      quarantine_complain (error);
      return 1;
    }
  if (entry->reason == NULL)
    {
      g_printerr (_ ("cis490 quarantine: no reason is there for %s\n"), id);
      return 1;
    }
  if (!json)
    print_reason (entry);
  else
    {
      json_object_set_string_member (entry->reason, "id", entry->id);
      line = cis_json_to_line (entry->reason);
      g_print ("%s\n", line);
    }
  return 0;
}
