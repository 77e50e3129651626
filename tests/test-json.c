/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "colliding.h"
#include "harness.h"

#include <string.h>
#include <time.h>

/* Parses from a buffer without a byte behind the text, so that a sanitizer sees who reads on. */
static JsonObject *
parse (const char *text, gssize length, GError **error)
{
  gsize size = length < 0 ? strlen (text) : (gsize) length;
  g_autofree char *exact = g_memdup2 (text, size);

  return cis_json_parse (exact, size, error);
}

static void
test_accepts (void)
{
  static const char *const texts[] = {
    "{}",
    " \t\r\n{ } \n",
    "{\"\": {}, \"b\": [[], {}, [ ]]}",
    "{\"a\": [true, false, null, \"\"]}",
    "{\"a\": [0, -0, 1, -12, 0.5, -0.25, 1e5, 1E+2, 1.5e-3, 1e21, 1E-300, 9223372036854775807]}",
    "{\"a\": \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00\xf0\x9f\x98\x80\x7f\"}",
    "{\"a\": 1, \"A\": 1, \"\\u0062\": 1}",
    "{\"a\": 18446744073709551616}",
    "{\"a\": {\"a\": {\"a\": 1}}, \"b\": {\"a\": 1}}",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonObject) object = parse (texts[i], -1, &error), again = NULL;
      g_autofree char *line = NULL;

      g_assert_no_error (error);
      line = cis_json_to_line (object);
      g_assert_null (strchr (line, '\n'));
      again = parse (line, -1, &error);
      g_assert_no_error (error);
      g_assert_nonnull (again);
    }
}

static void
test_refuses (void)
{
  static const struct
  {
    const char *text;
    const char *message;
  } cases[] = {
    { "", "*line 1, byte 1: an object must begin*" },
    { " \n ", "*line 2, byte 2: an object must begin*" },
    { "[]", "*object must begin*" },
    { "1", "*object must begin*" },
    { "// no\n{}", "*object must begin*" },
    { "{} {}", "*line 1, byte 4: something follows*" },
    { "{}]", "*something follows*" },
    { "{", "*string in double quotes is missing*" },
    { "{'a': 1}", "*string in double quotes is missing*" },
    { "{a: 1}", "*string in double quotes is missing*" },
    { "{1: 1}", "*string in double quotes is missing*" },
    { "{\"a\": 1,}", "*string in double quotes is missing*" },
    { "{\"a\" 1}", "*a colon is missing*" },
    { "{\"a\"", "*a colon is missing*" },
    { "{\"a\": 1 \"b\": 2}", "*a comma or } is missing*" },
    { "{\"a\": 1", "*a comma or } is missing*" },
    { "{\"a\": [1 2]}", "*a comma or ] is missing*" },
    { "{\"a\": [1,]}", "*a value is missing*" },
    { "{\"a\": /* no */ 1}", "*a value is missing*" },
    { "{\"a\": }", "*a value is missing*" },
    { "{\"a\": tru}", "*a value is missing*" },
    { "{\"a\": n", "*a value is missing*" },
    { "{\"a\": NaN}", "*a value is missing*" },
    { "{\"a\": -}", "*a value is missing*" },
    { "{\"a\": +1}", "*a value is missing*" },
    { "{\"a\": .5}", "*a value is missing*" },
    { "{\"a\": 01}", "*must not begin with 0*" },
    { "{\"a\": -01}", "*must not begin with 0*" },
    { "{\"a\": 0x1}", "*a comma or } is missing*" },
    { "{\"a\": 1.}", "*digits are missing after the point*" },
    { "{\"a\": 1e}", "*an exponent has no digits*" },
    { "{\"a\": 1e+", "*an exponent has no digits*" },
    { "{\"a\": 1e999}", "*out of range*" },
    { "{\"a\": -1e999}", "*out of range*" },
    { "{\"a\": 1, \"b\": 2, \"a\": 3}", "*line 1, byte 18: a key is there twice*" },
    { "{\"a\": 1, \"\\u0061\": 2}", "*a key is there twice*" },
    { "{\"a\": \"x", "*a string has no end*" },
    { "{\"a\": \"x\\", "*unknown escape*" },
    { "{\"a\": \"\\x41\"}", "*unknown escape*" },
    { "{\"a\": \"\n\"}", "*control character*" },
    { "{\"a\": \"\\u0000\"}", "*\\u0000 is not allowed*" },
    { "{\"a\": \"\\u12", "*four hexadecimal digits*" },
    { "{\"a\": \"\\u12g4\"}", "*four hexadecimal digits*" },
    { "{\"a\": \"\\ude00\"}", "*has no first*" },
    { "{\"a\": \"\\ud83d\"}", "*has no second*" },
    { "{\"a\": \"\\ud83d\\u0041\"}", "*has no second*" },
    { "{\n\"a\": \"\xff\"}", "*line 2, byte 7: a byte is NUL or not UTF-8*" },
    { "\xef\xbb\xbf{}", "*line 1, byte 1: a byte order mark; save the file as UTF-8 without one*" },
    { "{\"a\": \"\xed\xa0\x80\"}", "*not UTF-8*" },
    { "{\"a\": \"\xc0\xaf\"}", "*not UTF-8*" },
  };
  g_autoptr (GError) nul = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (parse (cases[i].text, -1, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
      if (!g_pattern_match_simple (cases[i].message, error->message))
        g_error ("%s: \"%s\" instead of \"%s\"", cases[i].text, error->message, cases[i].message);
    }
  g_assert_null (parse ("{\"a\": \"\0\"}", 10, &nul));
  g_assert_error (nul, CIS_ERROR, CIS_ERROR_INVALID);
}

/* An object that holds @depth - 1 arrays, one in the other. */
static char *
make_nested (guint depth)
{
  g_autofree char *opening = g_strnfill (depth - 1, '['), *closing = g_strnfill (depth - 1, ']');

  return g_strconcat ("{\"a\": ", opening, closing, "}", NULL);
}

static void
test_depth (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *deep = make_nested (64), *deeper = make_nested (65), *hostile = make_nested (1000000);
  g_autofree char *string = g_strconcat ("{\"a\": \"", hostile + 6, NULL);
  g_autoptr (JsonObject) object = parse (deep, -1, &error), flat = NULL;

  g_assert_no_error (error);
  g_assert_nonnull (object);
  g_assert_null (parse (deeper, -1, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "more than 64 deep"));
  g_clear_error (&error);
  g_assert_null (parse (hostile, -1, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
  g_clear_error (&error);

  /* Brackets in a string are no depth. */
  string[strlen (string) - 1] = '"';
  deep = (g_free (deep), g_strconcat (string, "}", NULL));
  flat = parse (deep, -1, &error);
  g_assert_no_error (error);
  g_assert_nonnull (flat);
}

/* As many as a tree has room for; the longest window (100,000 commits and their times) is within. */
static void
test_values (void)
{
  for (guint n = 250000; n <= 250001; n++)
    {
      g_autoptr (GString) text = g_string_new ("{\"a\":[0");
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonObject) object = NULL;

      for (guint i = 2; i < n; i++)
        g_string_append (text, ",0");
      g_string_append (text, "]}");
      object = parse (text->str, text->len, &error);
      g_assert_true ((object != NULL) == (n == 250000));
      g_assert_cmpstr (error != NULL ? strstr (error->message, "more than") : NULL, ==,
                       n == 250000 ? NULL : "more than 250000 values");
    }
}

static char *
make_object (guint n, const char *prefix)
{
  g_autofree char *members = colliding_members (n, prefix);

  return g_strconcat ("{", members, "}", NULL);
}

/* json-glib's own table has to take them, so that there are few, and fewer where each is long. */
static void
test_colliding (void)
{
  g_autofree char *most = make_object (2000, ""), *more = make_object (2001, ""),
                  *many = make_object (100000, "");
  g_autofree char *prefix = g_strnfill (6400, 'x'), *within = make_object (198, prefix),
                  *beyond = make_object (201, prefix);
  g_autofree char *twice = g_strdup_printf ("{\"a\":%s,\"b\":%s}", most, most);
  const char *refused[] = { more, many, beyond, twice };
  const char *taken[] = { most, within };
  clock_t begin = clock ();

  for (gsize i = 0; i < G_N_ELEMENTS (taken); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonObject) object = parse (taken[i], -1, &error);

      g_assert_no_error (error);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (parse (refused[i], -1, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, "too many members in its objects; one may have 2000"));
    }
  g_assert_cmpint ((clock () - begin) / CLOCKS_PER_SEC, <, 10);
}

/* Of what has any number of members, colliding ones too, those that are asked for. */
static void
test_some_members (void)
{
  static const char *const members[] = { "a", "missing", "b \n", "c", NULL };
  g_autofree char *many = make_object (100000, "");
  g_autofree char *text = g_strdup_printf ("{ \"x\": %s, \"\\u0061\" : {\"a\": [ 1, {\"c\":2} ]} ,\n"
                                           "\"b \\n\":18446744073709551615,%s",
                                           many, many + 1);
  g_autofree char *line = NULL, *again = g_strdup_printf ("{\"q\":1,%.*s,\"q\":1}", 1000 * 45 - 1, many + 1);
  g_autoptr (GError) error = NULL;
  clock_t begin = clock ();
  g_autoptr (JsonObject) object = cis_json_parse_members (text, strlen (text), members, &error);

  g_assert_no_error (error);
  line = cis_json_to_line (object);
  g_assert_cmpstr (line, ==, "{\"a\":{\"a\":[1,{\"c\":2}]},\"b \\n\":1.8446744073709552e+19}");
  g_assert_cmpint ((clock () - begin) / CLOCKS_PER_SEC, <, 10);

  g_assert_null (cis_json_parse_members (again, strlen (again), members, &error));
  g_assert_nonnull (strstr (error->message, "a key is there twice"));
}

static void
test_members (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) object =
      parse ("{\"text\": \"a\\nb\", \"size\": 12, \"zero\": 0, \"below\": -1, \"part\": 1.5, \"huge\": 1e30, "
             "\"wrapped\": 18446744073709551615, \"none\": null, \"list\": [1], \"yes\": true}",
             -1, &error);
  static const char *const no_sizes[] = { "text", "below", "part", "huge",   "wrapped",
                                          "none", "list",  "yes",  "missing" };
  static const char *const no_strings[] = { "size", "none", "list", "yes", "missing" };

  g_assert_no_error (error);
  g_assert_cmpstr (cis_json_get_string (object, "text"), ==, "a\nb");
  g_assert_cmpint (cis_json_get_size (object, "size", -1), ==, 12);
  g_assert_cmpint (cis_json_get_size (object, "zero", -1), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (no_sizes); i++)
    g_assert_cmpint (cis_json_get_size (object, no_sizes[i], -7), ==, -7);
  for (gsize i = 0; i < G_N_ELEMENTS (no_strings); i++)
    g_assert_null (cis_json_get_string (object, no_strings[i]));
}

static void
test_line (void)
{
  g_autoptr (JsonObject) object = json_object_new (), again = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *line = NULL, *broken = NULL;

  json_object_set_string_member (object, "name", "a \"b\"\n\\\x01ä");
  json_object_set_int_member (object, "size", 5);
  line = cis_json_to_line (object);
  g_assert_cmpstr (line, ==, "{\"name\":\"a \\\"b\\\"\\n\\\\\\u0001ä\",\"size\":5}");

  /* A name on disk may be no UTF-8, and what we write must still be JSON. */
  json_object_set_string_member (object, "name", "a\xff");
  broken = cis_json_to_line (object);
  again = parse (broken, -1, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (cis_json_get_string (again, "name"), ==, "a\xef\xbf\xbd");
}

/* Doubles stay doubles, and nothing is written that is no JSON. */
static void
test_numbers (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) object = parse ("{\"a\": [1, 1.0, 1e21, -0.1, 1E-300]}", -1, &error);
  g_autofree char *line = NULL;

  g_assert_no_error (error);
  json_object_set_double_member (object, "b", -g_ascii_strtod ("inf", NULL));
  json_object_set_double_member (object, "c", g_ascii_strtod ("nan", NULL));
  json_object_set_boolean_member (object, "d", TRUE);
  line = cis_json_to_line (object);
  g_assert_cmpstr (line, ==,
                   "{\"a\":[1,1.0,1e+21,-0.1,1e-300],\"b\":null,\"c\":null,"
                   "\"d\":true}");
}

/* json-glib makes -1 of the first, and 1 of the last. */
static void
test_large_integers (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) object =
      parse ("{\"a\": [18446744073709551615, 9223372036854775808, 9223372036854775807],"
             "\"size\": -18446744073709551615}",
             -1, &error);
  g_autofree char *line = NULL;

  g_assert_no_error (error);
  g_assert_cmpint (cis_json_get_size (object, "size", -7), ==, -7);
  line = cis_json_to_line (object);
  g_assert_cmpstr (line, ==,
                   "{\"a\":[1.8446744073709552e+19,9.2233720368547758e+18,9223372036854775807],"
                   "\"size\":-1.8446744073709552e+19}");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/json/accepts", test_accepts);
  g_test_add_func ("/json/refuses", test_refuses);
  g_test_add_func ("/json/depth", test_depth);
  g_test_add_func ("/json/values", test_values);
  g_test_add_func ("/json/colliding", test_colliding);
  g_test_add_func ("/json/some-members", test_some_members);
  g_test_add_func ("/json/members", test_members);
  g_test_add_func ("/json/line", test_line);
  g_test_add_func ("/json/numbers", test_numbers);
  g_test_add_func ("/json/large-integers", test_large_integers);
  return g_test_run ();
}
