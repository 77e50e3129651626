/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-json.h"

#include <math.h>

/* json-glib reads 18446744073709551615 as -1: as a fraction it is read as what it nearly is. */
static GString *
make_fractions (const char *data, gsize length, GArray *large)
{
  GString *text = g_string_sized_new (length + 2 * large->len);
  gsize from = 0;

  for (guint i = 0; i < large->len; i++)
    {
      gsize end = g_array_index (large, gsize, i);

      g_string_append_len (text, data + from, end - from);
      g_string_append (text, ".0");
      from = end;
    }
  return g_string_append_len (text, data + from, length - from);
}

JsonObject *
cis_json_parse (const char *data, gsize length, GError **error)
{
  g_autoptr (GArray) large = g_array_new (FALSE, FALSE, sizeof (gsize));
  g_autoptr (GString) text = NULL;
  g_autoptr (JsonParser) parser = NULL;
  g_autoptr (GError) cause = NULL;

  if (!cis_json_check (data, length, large, error))
    return NULL;
  if (large->len > 0)
    text = make_fractions (data, length, large);

  parser = json_parser_new ();
  if (!json_parser_load_from_data (parser, text != NULL ? text->str : data, text != NULL ? text->len : length,
                                   &cause))
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "Not JSON: %s", cause->message);
      return NULL;
    }
  return json_object_ref (json_node_get_object (json_parser_get_root (parser)));
}

JsonObject *
cis_json_load (int dirfd, const char *name, gsize max, GError **error)
{
  g_autoptr (GBytes) bytes = cis_file_read (dirfd, name, max, error);

  return bytes != NULL ? cis_json_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error)
                       : NULL;
}

static void
append_string (GString *line, const char *text)
{
  /* A file name on disk may be any bytes; a line with such a name must be JSON that we read back. */
  g_autofree char *valid = g_utf8_validate (text, -1, NULL) ? NULL : g_utf8_make_valid (text, -1);

  g_string_append_c (line, '"');
  for (const char *c = valid != NULL ? valid : text; *c != '\0'; c++)
    switch (*c)
      {
      case '"':
      case '\\':
        g_string_append_c (line, '\\');
        g_string_append_c (line, *c);
        break;
      case '\n':
        g_string_append (line, "\\n");
        break;
      case '\t':
        g_string_append (line, "\\t");
        break;
      default:
        if ((guchar) *c < 0x20 || *c == 0x7f)
          g_string_append_printf (line, "\\u%04x", (guint) *c);
        else
          g_string_append_c (line, *c);
      }
  g_string_append_c (line, '"');
}

JsonObject *
cis_json_parse_members (const char *data, gsize length, const char *const *members, GError **error)
{
  g_autofree CisJsonSpan *spans = g_new0 (CisJsonSpan, g_strv_length ((char **) members));
  g_autoptr (GString) text = g_string_new ("{");

  if (!cis_json_find (data, length, members, spans, error))
    return NULL;
  for (guint i = 0; members[i] != NULL; i++)
    if (spans[i].length > 0)
      {
        g_string_append (text, text->len > 1 ? "," : "");
        append_string (text, members[i]);
        g_string_append_c (text, ':');
        g_string_append_len (text, data + spans[i].begin, spans[i].length);
      }
  g_string_append_c (text, '}');
  return cis_json_parse (text->str, text->len, error);
}

static void
append_double (GString *line, double number)
{
  char digits[G_ASCII_DTOSTR_BUF_SIZE];

  if (!isfinite (number))
    {
      g_string_append (line, "null"); /* JSON has no word for it */
      return;
    }
  /* 0.1 and not 0.10000000000000001, where that is read back as the same. */
  g_ascii_formatd (digits, sizeof digits, "%.15g", number);
  if (g_ascii_strtod (digits, NULL) != number)
    g_ascii_dtostr (digits, sizeof digits, number);
  g_string_append (line, digits);
  if (strpbrk (digits, ".e") == NULL)
    g_string_append (line, ".0"); /* still no integer when it is read back */
}

static void
append_value (GString *line, JsonNode *node)
{
  GType type = json_node_get_value_type (node);

  if (type == G_TYPE_STRING)
    append_string (line, json_node_get_string (node));
  else if (type == G_TYPE_INT64)
    g_string_append_printf (line, "%" G_GINT64_FORMAT, json_node_get_int (node));
  else if (type == G_TYPE_BOOLEAN)
    g_string_append (line, json_node_get_boolean (node) ? "true" : "false");
  else
    append_double (line, json_node_get_double (node));
}

static void append_object (GString *line, JsonObject *object);

static void
append_node (GString *line, JsonNode *node)
{
  JsonArray *array;

  switch (json_node_get_node_type (node))
    {
    case JSON_NODE_OBJECT:
      append_object (line, json_node_get_object (node));
      break;
    case JSON_NODE_ARRAY:
      array = json_node_get_array (node);
      g_string_append_c (line, '[');
      for (guint i = 0; i < json_array_get_length (array); i++)
        {
          g_string_append (line, i > 0 ? "," : "");
          append_node (line, json_array_get_element (array, i));
        }
      g_string_append_c (line, ']');
      break;
    case JSON_NODE_VALUE:
      append_value (line, node);
      break;
    case JSON_NODE_NULL:
      g_string_append (line, "null");
      break;
    }
}

static void
append_object (GString *line, JsonObject *object)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;
  gboolean first = TRUE;

  json_object_iter_init_ordered (&iter, object);
  g_string_append_c (line, '{');
  for (; json_object_iter_next_ordered (&iter, &name, &node); first = FALSE)
    {
      g_string_append (line, first ? "" : ",");
      append_string (line, name);
      g_string_append_c (line, ':');
      append_node (line, node);
    }
  g_string_append_c (line, '}');
}

/* json-glib's generator writes 1e21 as 1e+21.0 and infinity as inf, which is no JSON, and takes five times as
 * long. */
char *
cis_json_to_line (JsonObject *object)
{
  GString *line = g_string_new (NULL);

  append_object (line, object);
  return g_string_free (line, FALSE);
}

static JsonNode *
get_value (JsonObject *object, const char *member, GType type)
{
  JsonNode *node = json_object_get_member (object, member);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type ? node
                                                                                                 : NULL;
}

const char *
cis_json_get_string (JsonObject *object, const char *member)
{
  JsonNode *node = get_value (object, member, G_TYPE_STRING);

  return node != NULL ? json_node_get_string (node) : NULL;
}

gint64
cis_json_get_size (JsonObject *object, const char *member, gint64 fallback)
{
  JsonNode *node = get_value (object, member, G_TYPE_INT64);
  gint64 value = node != NULL ? json_node_get_int (node) : -1;

  return value >= 0 ? value : fallback;
}
