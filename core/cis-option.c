/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-option.h"

#include "cis-quantity.h"

/* A range that ends there or later has no end that anyone meant. */
#define NO_LIMIT (G_MAXINT64 / 8)

static G_DEFINE_QUARK (cis_option_offset, cis_option_offset)

static gpointer
get_field (GObject *object, GParamSpec *pspec)
{
  return G_STRUCT_MEMBER_P (object,
                            GPOINTER_TO_SIZE (g_param_spec_get_qdata (pspec, cis_option_offset_quark ())) -
                                1);
}

static void
cis_option_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  gpointer field = get_field (object, pspec);

  if (G_VALUE_HOLDS_STRING (value))
    *(char **) field = g_value_dup_string (value);
  else if (G_VALUE_HOLDS (value, G_TYPE_STRV))
    *(GStrv *) field = g_value_dup_boxed (value);
  else if (G_VALUE_HOLDS_BOOLEAN (value))
    *(gboolean *) field = g_value_get_boolean (value);
  else if (G_VALUE_HOLDS_INT (value))
    *(gint *) field = g_value_get_int (value);
  else if (G_VALUE_HOLDS_UINT (value))
    *(guint *) field = g_value_get_uint (value);
  else if (G_VALUE_HOLDS_INT64 (value))
    *(gint64 *) field = g_value_get_int64 (value);
  else if (G_VALUE_HOLDS_UINT64 (value))
    *(guint64 *) field = g_value_get_uint64 (value);
  else if (G_VALUE_HOLDS_DOUBLE (value))
    *(double *) field = g_value_get_double (value);
  else if (G_VALUE_HOLDS_ENUM (value))
    *(gint *) field = g_value_get_enum (value);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
cis_option_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  gpointer field = get_field (object, pspec);

  if (G_VALUE_HOLDS_STRING (value))
    g_value_set_string (value, *(char **) field);
  else if (G_VALUE_HOLDS (value, G_TYPE_STRV))
    g_value_set_boxed (value, *(GStrv *) field);
  else if (G_VALUE_HOLDS_BOOLEAN (value))
    g_value_set_boolean (value, *(gboolean *) field);
  else if (G_VALUE_HOLDS_INT (value))
    g_value_set_int (value, *(gint *) field);
  else if (G_VALUE_HOLDS_UINT (value))
    g_value_set_uint (value, *(guint *) field);
  else if (G_VALUE_HOLDS_INT64 (value))
    g_value_set_int64 (value, *(gint64 *) field);
  else if (G_VALUE_HOLDS_UINT64 (value))
    g_value_set_uint64 (value, *(guint64 *) field);
  else if (G_VALUE_HOLDS_DOUBLE (value))
    g_value_set_double (value, *(double *) field);
  else if (G_VALUE_HOLDS_ENUM (value))
    g_value_set_enum (value, *(gint *) field);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

void
cis_option_class_init (GObjectClass *klass)
{
  klass->set_property = cis_option_set_property;
  klass->get_property = cis_option_get_property;
}

void
cis_option_install (GObjectClass *klass, gsize offset, GParamSpec *pspec)
{
  guint n = 0;
  g_autofree GParamSpec **before = g_object_class_list_properties (klass, &n);

  /* One more than the offset, as 0 is no data at all. The accessors go by the pspec;
   * the ids keep the order. */
  g_param_spec_set_qdata (pspec, cis_option_offset_quark (), GSIZE_TO_POINTER (offset + 1));
  g_object_class_install_property (klass, n + 1, pspec);
}

gboolean
cis_option_has (GParamSpec *pspec, int flag)
{
  return ((int) pspec->flags & flag) != 0;
}

GPtrArray *
cis_option_list (GObjectClass *klass)
{
  guint n = 0;
  g_autofree GParamSpec **pspecs = g_object_class_list_properties (klass, &n);
  GPtrArray *options = g_ptr_array_new ();

  for (guint i = 0; i < n; i++)
    if (g_param_spec_get_qdata (pspecs[i], cis_option_offset_quark ()) != NULL)
      g_ptr_array_add (options, pspecs[i]);
  return options;
}

void
cis_option_finalize (GObject *object)
{
  g_autoptr (GPtrArray) options = cis_option_list (G_OBJECT_GET_CLASS (object));

  for (guint i = 0; i < options->len; i++)
    {
      GParamSpec *pspec = options->pdata[i];

      if (pspec->value_type == G_TYPE_STRING)
        g_free (*(char **) get_field (object, pspec));
      else if (pspec->value_type == G_TYPE_STRV)
        g_strfreev (*(GStrv *) get_field (object, pspec));
    }
}

static gboolean
parse_number (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  gint64 n = 0;
  guint64 u = 0;
  char *end = NULL;
  gboolean ok;

  if (G_VALUE_HOLDS_DOUBLE (value))
    {
      g_value_set_double (value, g_ascii_strtod (text, &end));
      ok = end != text && *end == '\0';
    }
  else if (G_VALUE_HOLDS_UINT64 (value))
    {
      ok = g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &u, NULL);
      g_value_set_uint64 (value, u);
    }
  else
    {
      ok = g_ascii_string_to_signed (text, 10, G_VALUE_HOLDS_INT64 (value) ? G_MININT64 : G_MININT,
                                     G_VALUE_HOLDS_INT64 (value) ? G_MAXINT64 : G_MAXINT, &n, NULL);
      if (G_VALUE_HOLDS_INT64 (value))
        g_value_set_int64 (value, n);
      else if (G_VALUE_HOLDS_INT (value))
        g_value_set_int (value, (gint) n);
      else
        {
          ok = ok && n >= 0;
          g_value_set_uint (value, (guint) n);
        }
    }
  if (!ok)
    {
      g_autofree char *range = cis_option_describe_range (pspec);

      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "is not a %s, %s",
                   G_VALUE_HOLDS_DOUBLE (value) ? "number" : "whole number", range);
    }
  return ok;
}

static gboolean
parse_enum (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  GEnumClass *klass = G_PARAM_SPEC_ENUM (pspec)->enum_class;
  GEnumValue *found = g_enum_get_value_by_nick (klass, text);
  g_autoptr (GPtrArray) nicks = g_ptr_array_new ();
  const char *nearest;

  if (found != NULL)
    {
      g_value_set_enum (value, found->value);
      return TRUE;
    }
  for (guint i = 0; i < klass->n_values; i++)
    g_ptr_array_add (nicks, (gpointer) klass->values[i].value_nick);
  g_ptr_array_add (nicks, NULL);
  nearest = cis_nearest_name (text, (const char *const *) nicks->pdata);
  if (nearest != NULL)
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "is not known; did you mean “%s”?", nearest);
  else
    {
      g_autofree char *all = g_strjoinv (", ", (char **) nicks->pdata);

      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "is not one of %s", all);
    }
  return FALSE;
}

static gboolean
parse_boolean (const char *text, GValue *value, GError **error)
{
  static const char *const words[] = { "false", "no", "off", "0", "true", "yes", "on", "1" };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_ascii_strcasecmp (words[i], text) == 0)
      {
        g_value_set_boolean (value, i >= G_N_ELEMENTS (words) / 2);
        return TRUE;
      }
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "is neither true nor false");
  return FALSE;
}

/* What no terminal shows: another kind of blank, a mark of direction, a newline that an escape made. */
static gboolean
is_invisible (gunichar c)
{
  switch (g_unichar_type (c))
    {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
    case G_UNICODE_SPACE_SEPARATOR:
      return c != ' ';
    default:
      return FALSE;
    }
}

/* Texts are names, paths and addresses: what a shell or another ini would have made of one is meant. */
static gboolean
check_text (const char *text, GError **error)
{
  gsize length = strlen (text);

  for (const char *at = text; *at != '\0'; at = g_utf8_next_char (at))
    if (is_invisible (g_utf8_get_char (at)))
      {
        g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                     "has a character that cannot be seen (U+%04X) behind “%.*s”; take it out",
                     g_utf8_get_char (at), (int) (at - text), text);
        return FALSE;
      }
  if (length >= 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0])
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "has quotes, which would belong to it; write %.*s",
                 (int) length - 2, text + 1);
  else if (g_str_has_prefix (text, "~/"))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "begins with “~”, which only a shell knows; write the whole path");
  else if (text[0] == '$' && g_ascii_isalpha (text[1]))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "is no variable; one is written ${NAME}");
  else
    return TRUE;
  return FALSE;
}

static GStrv
split_list (const char *text)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) words = g_strsplit (text, ";", -1);

  for (char **word = words; *word != NULL; word++)
    if (*g_strstrip (*word) != '\0')
      g_strv_builder_add (builder, *word);
  return g_strv_builder_end (builder);
}

gboolean
cis_option_parse (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  guint64 quantity = 0;
  gboolean ok = TRUE;

  g_value_init (value, pspec->value_type);
  if (cis_option_has (pspec, CIS_PARAM_DURATION))
    {
      ok = cis_quantity_parse (text, CIS_QUANTITY_DURATION, &quantity, error);
      g_value_set_int64 (value, (gint64) quantity);
    }
  else if (cis_option_has (pspec, CIS_PARAM_SIZE))
    {
      ok = cis_quantity_parse (text, CIS_QUANTITY_SIZE, &quantity, error);
      g_value_set_uint64 (value, quantity);
    }
  else if (G_VALUE_HOLDS_STRING (value))
    {
      ok = cis_option_has (pspec, CIS_PARAM_PROSE) || check_text (text, error);
      g_value_set_string (value, text);
    }
  else if (G_VALUE_HOLDS (value, G_TYPE_STRV))
    g_value_take_boxed (value, split_list (text));
  else if (G_VALUE_HOLDS_BOOLEAN (value))
    ok = parse_boolean (text, value, error);
  else if (G_VALUE_HOLDS_ENUM (value))
    ok = parse_enum (pspec, text, value, error);
  else
    ok = parse_number (pspec, text, value, error);

  if (ok && !g_param_value_is_valid (pspec, value))
    {
      g_autofree char *range = cis_option_describe_range (pspec);

      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "is out of range: %s",
                   range != NULL ? range : "not allowed here");
      ok = FALSE;
    }
  if (!ok)
    g_value_unset (value);
  return ok;
}

static char *
format_number (GParamSpec *pspec, const GValue *value)
{
  g_auto (GValue) text = G_VALUE_INIT;

  if (cis_option_has (pspec, CIS_PARAM_DURATION))
    return cis_quantity_format ((guint64) g_value_get_int64 (value), CIS_QUANTITY_DURATION);
  if (cis_option_has (pspec, CIS_PARAM_SIZE))
    return cis_quantity_format (g_value_get_uint64 (value), CIS_QUANTITY_SIZE);
  g_value_init (&text, G_TYPE_STRING);
  g_value_transform (value, &text);
  return g_value_dup_string (&text);
}

char *
cis_option_describe_type (GParamSpec *pspec)
{
  if (cis_option_has (pspec, CIS_PARAM_DURATION))
    return g_strdup ("duration");
  if (cis_option_has (pspec, CIS_PARAM_SIZE))
    return g_strdup ("size");
  if (cis_option_has (pspec, CIS_PARAM_FILE))
    return g_strdup (cis_option_has (pspec, CIS_PARAM_SECRET) ? "secret file" : "file");
  if (pspec->value_type == G_TYPE_STRV)
    return g_strdup ("list");
  if (pspec->value_type == G_TYPE_STRING)
    return g_strdup ("text");
  if (pspec->value_type == G_TYPE_BOOLEAN)
    return g_strdup ("true or false");
  if (pspec->value_type == G_TYPE_DOUBLE)
    return g_strdup ("number");
  if (G_IS_PARAM_SPEC_ENUM (pspec))
    {
      GEnumClass *klass = G_PARAM_SPEC_ENUM (pspec)->enum_class;
      GString *text = g_string_new ("one of");

      for (guint i = 0; i < klass->n_values; i++)
        g_string_append_printf (text, "%s %s", i > 0 ? "," : "", klass->values[i].value_nick);
      return g_string_free (text, FALSE);
    }
  return g_strdup ("whole number");
}

static gboolean
get_range (GParamSpec *pspec, GValue *low, GValue *high, gboolean *bounded)
{
  g_value_init (low, pspec->value_type);
  g_value_init (high, pspec->value_type);
#define RANGE(TYPE, type, limit)                                                                             \
  if (G_IS_PARAM_SPEC_##TYPE (pspec))                                                                        \
    {                                                                                                        \
      g_value_set_##type (low, G_PARAM_SPEC_##TYPE (pspec)->minimum);                                        \
      g_value_set_##type (high, G_PARAM_SPEC_##TYPE (pspec)->maximum);                                       \
      *bounded = G_PARAM_SPEC_##TYPE (pspec)->maximum < (limit);                                             \
      return TRUE;                                                                                           \
    }
  RANGE (INT, int, G_MAXINT)
  RANGE (UINT, uint, G_MAXUINT)
  RANGE (INT64, int64, NO_LIMIT)
  RANGE (UINT64, uint64, NO_LIMIT)
  RANGE (DOUBLE, double, G_MAXDOUBLE)
#undef RANGE
  return FALSE;
}

char *
cis_option_describe_range (GParamSpec *pspec)
{
  g_auto (GValue) low = G_VALUE_INIT;
  g_auto (GValue) high = G_VALUE_INIT;
  g_autofree char *from = NULL, *to = NULL;
  gboolean bounded = FALSE;

  if (!get_range (pspec, &low, &high, &bounded))
    return NULL;
  from = format_number (pspec, &low);
  to = format_number (pspec, &high);
  return bounded ? g_strdup_printf ("%s to %s", from, to) : g_strdup_printf ("at least %s", from);
}

char *
cis_option_describe_default (GParamSpec *pspec)
{
  const GValue *value = g_param_spec_get_default_value (pspec);

  if (cis_option_has (pspec, CIS_PARAM_REQUIRED) || pspec->value_type == G_TYPE_STRV)
    return NULL;
  if (G_VALUE_HOLDS_STRING (value))
    return g_value_dup_string (value);
  if (G_VALUE_HOLDS_BOOLEAN (value))
    return g_strdup (g_value_get_boolean (value) ? "true" : "false");
  if (G_VALUE_HOLDS_ENUM (value))
    return g_strdup (
        g_enum_get_value (G_PARAM_SPEC_ENUM (pspec)->enum_class, g_value_get_enum (value))->value_nick);
  return format_number (pspec, value);
}

/* Levenshtein's distance (Wagner and Fischer 1974), of names that are short. */
static guint
distance (const char *a, const char *b)
{
  gsize n = strlen (b);
  g_autofree guint *row = g_new (guint, n + 1);

  for (gsize j = 0; j <= n; j++)
    row[j] = j;
  for (gsize i = 1; a[i - 1] != '\0'; i++)
    {
      guint diagonal = row[0];

      row[0] = i;
      for (gsize j = 1; j <= n; j++)
        {
          guint above = row[j];

          row[j] = MIN (MIN (above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
          diagonal = above;
        }
    }
  return row[n];
}

const char *
cis_nearest_name (const char *name, const char *const *names)
{
  guint best = MAX (2, strlen (name) / 3) + 1;
  const char *nearest = NULL;

  if (strlen (name) > 64)
    return NULL;
  for (; *names != NULL; names++)
    {
      guint d = distance (name, *names);

      if (d < best && d < strlen (*names))
        {
          best = d;
          nearest = *names;
        }
    }
  return nearest;
}
