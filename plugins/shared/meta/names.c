/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "names.h"

#include "entry.h"

#include <string.h>

/* One file or folder, found by the folder that it is in and its name there. */
typedef struct _Node Node;
struct _Node
{
  Node *folder; /* none; %NULL for the first one */
  guint hash;   /* of all of its path */
  gboolean is_folder;
  const char
      *key;   /* by which it is found: its name, or what that is where case and form do not count; owned */
  char *name; /* owned */
};

struct _CisEntryNames
{
  guint max;
  gboolean portable;
  GHashTable *nodes; /* of Node, owned */
};

static guint
node_hash (gconstpointer node)
{
  return ((const Node *) node)->hash;
}

static gboolean
node_equal (gconstpointer a, gconstpointer b)
{
  const Node *first = a, *second = b;

  return first->folder == second->folder && g_str_equal (first->key, second->key);
}

static void
node_free (gpointer data)
{
  Node *node = data;

  if (node->key != node->name)
    g_free ((char *) node->key);
  g_free (node->name);
  g_free (node);
}

CisEntryNames *
cis_entry_names_new (guint max, gboolean portable)
{
  CisEntryNames *self = g_new0 (CisEntryNames, 1);

  self->max = max;
  self->portable = portable;
  self->nodes = g_hash_table_new_full (node_hash, node_equal, node_free, NULL);
  return self;
}

void
cis_entry_names_free (CisEntryNames *self)
{
  g_hash_table_unref (self->nodes);
  g_free (self);
}

/* Names that are no UTF-8 are compared as they are. full */
static char *
fold (const char *name)
{
  g_autofree char *folded = g_utf8_validate (name, -1, NULL) ? g_utf8_casefold (name, -1) : NULL;

  return folded != NULL ? g_utf8_normalize (folded, -1, G_NORMALIZE_ALL) : g_strdup (name);
}

/* Of the path as a whole: no mixture of equal names gives equal numbers (MurmurHash3's last step). */
static guint
mix (guint folder, guint name)
{
  guint hash = (folder ^ name) * 0x85ebca6bu;

  hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
  return hash ^ hash >> 16;
}

static gboolean
set_limit (CisEntryNames *self, GError **error)
{
  g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT,
               "it has more than the %u entries that max-entries allows it", self->max);
  return FALSE;
}

static gboolean
refuse_similar (const char *path, const char *name, GError **error)
{
  g_autofree char *shown = g_strescape (name, NULL);
  g_autofree char *why =
      g_strdup_printf ("has a name that differs from “%.200s” by case or normal form only", shown);

  return cis_entry_refuse (error, path, why);
}

/* Whether @node, which is there, can be what @name is to be, too. */
static gboolean
check_known (const Node *node, const char *name, gboolean is_folder, const char *path, GError **error)
{
  if (!g_str_equal (node->name, name))
    return refuse_similar (path, node->name, error);
  if (node->is_folder != is_folder)
    return cis_entry_refuse (error, path, "is a file and a folder");
  return is_folder || cis_entry_refuse (error, path, "is there twice");
}

/* What is called @name (full) in @folder; none. */
static Node *
step (CisEntryNames *self, Node *folder, char *name, gboolean is_folder, const char *path, GError **error)
{
  Node *node = g_new0 (Node, 1);
  Node *known;

  node->folder = folder;
  node->is_folder = is_folder;
  node->name = name;
  node->key = self->portable ? fold (name) : name;
  node->hash = mix (folder != NULL ? folder->hash : 0, cis_str_hash (node->key));
  known = g_hash_table_lookup (self->nodes, node);
  if (known == NULL && g_hash_table_size (self->nodes) < self->max)
    {
      g_hash_table_add (self->nodes, node);
      return node;
    }
  if (known == NULL)
    set_limit (self, error);
  else if (!check_known (known, name, is_folder, path, error))
    known = NULL;
  node_free (node);
  return known;
}

gboolean
cis_entry_names_add (CisEntryNames *self, const char *path, gboolean is_folder, GError **error)
{
  Node *folder = NULL;
  const char *end;

  for (const char *name = path; (end = strchr (name, '/')) != NULL; name = end + 1)
    {
      folder = step (self, folder, g_strndup (name, end - name), TRUE, path, error);
      if (folder == NULL)
        return FALSE;
    }
  return step (self, folder, g_strdup (strrchr (path, '/') != NULL ? strrchr (path, '/') + 1 : path),
               is_folder, path, error) != NULL;
}
