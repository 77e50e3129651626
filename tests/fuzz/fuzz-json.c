/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

/* Another reader of the same text, of which only its order of values is known: that of the tree. */
typedef struct
{
  const char *at, *end;
} Text;

static void
skip (Text *text)
{
  while (text->at < text->end && strchr (" \t\r\n,:[]{}", *text->at) != NULL)
    text->at++;
}

/* Of a string without escapes. */
static void
read_string (Text *text, const char *expected)
{
  const char *begin = ++text->at;
  gboolean plain = TRUE;

  for (; *text->at != '"'; text->at++)
    if (*text->at == '\\')
      {
        text->at++;
        plain = FALSE;
      }
  if (plain)
    {
      g_assert_cmpuint (strlen (expected), ==, text->at - begin);
      g_assert_cmpint (memcmp (begin, expected, text->at - begin), ==, 0);
    }
  text->at++;
}

static void
read_number (Text *text, JsonNode *node)
{
  gsize length = 0;
  g_autofree char *token = NULL;

  while (strchr ("+-.0123456789eE", text->at[length]) != NULL)
    length++;
  token = g_strndup (text->at, length);
  text->at += length;
  g_assert_cmpfloat (json_node_get_double (node), ==, g_ascii_strtod (token, NULL));
}

static void read_node (Text *text, JsonNode *node, guint depth);

static void
read_members (Text *text, JsonObject *object, guint depth)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  json_object_iter_init_ordered (&iter, object);
  while (json_object_iter_next_ordered (&iter, &name, &node))
    {
      skip (text);
      read_string (text, name);
      read_node (text, node, depth);
    }
}

static void
read_node (Text *text, JsonNode *node, guint depth)
{
  g_assert_cmpuint (depth, <=, 64);
  skip (text);
  if (JSON_NODE_HOLDS_OBJECT (node))
    read_members (text, json_node_get_object (node), depth + 1);
  else if (JSON_NODE_HOLDS_ARRAY (node))
    for (guint i = 0; i < json_array_get_length (json_node_get_array (node)); i++)
      read_node (text, json_array_get_element (json_node_get_array (node), i), depth + 1);
  else if (json_node_get_value_type (node) == G_TYPE_STRING)
    read_string (text, json_node_get_string (node));
  else if (JSON_NODE_HOLDS_NULL (node) || json_node_get_value_type (node) == G_TYPE_BOOLEAN)
    text->at += strspn (text->at, "truefalsn");
  else
    read_number (text, node);
}

/* What is taken is what the text says, no deeper than allowed; and written as a line, it is taken again and
 * written the same. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *copy = g_strndup ((const char *) data, size);
  g_autoptr (JsonObject) object = cis_json_parse ((const char *) data, size, &error), again = NULL;
  g_autofree char *line = NULL, *second = NULL;
  Text text = { copy, copy + size };

  g_assert_true ((object == NULL) == (error != NULL));
  if (object == NULL)
    {
      g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
      g_assert_true (g_str_has_prefix (error->message, "Not JSON at line "));
      return 0;
    }
  skip (&text);
  read_members (&text, object, 1);
  skip (&text);
  g_assert_true (text.at == text.end);

  line = cis_json_to_line (object);
  g_assert_null (strpbrk (line, "\r\n"));
  again = cis_json_parse (line, strlen (line), &error);
  g_assert_no_error (error);
  second = cis_json_to_line (again);
  g_assert_cmpstr (line, ==, second);
  return 0;
}
