/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <unistd.h>

#define BOM    "\xef\xbb\xbf"
#define NBSP   "\xc2\xa0"
#define SECRET "s3cret-#1"

typedef char *(*Reader) (const char *path, GError **error);

static char *
read_text (const char *path, GError **error)
{
  return cis_text_read (path, 64, error);
}

/* What @read makes of a file with @content, or the message without its path; full. */
static char *
read_content (Reader read, const char *content, gssize length)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "file", NULL);
  g_autofree char *prefix = g_strconcat (path, ":", NULL);
  g_autoptr (GError) error = NULL;
  char *text;

  g_assert_true (g_file_set_contents (path, content, length, NULL));
  text = read (path, &error);
  if (text != NULL)
    return text;
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
  return g_strdup (g_str_has_prefix (error->message, prefix) ? error->message + strlen (prefix)
                                                             : error->message);
}

/* As editors save it: one text. */
static void
test_text (void)
{
  static const struct
  {
    const char *content, *text;
  } cases[] = {
    { "", "" },
    { BOM, "" },
    { "Z\303\274rich\n", "Z\303\274rich\n" },
    { BOM "a\r\nb\r\n", "a\nb\n" },
    { "a\r\n" BOM "b", "a\nb" },
    { "a\r", "a" },
    { "a\tb\n\n", "a\tb\n\n" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = read_content (read_text, cases[i].content, -1);

      g_assert_cmpstr (text, ==, cases[i].text);
    }
}

static void
test_text_refused (void)
{
  static const struct
  {
    const char *content;
    gssize length;
    const char *says;
  } cases[] = {
    { "a\n\nZ\374rich\n", -1, "3:2: this is not UTF-8 text; save the file as UTF-8" },
    { "a\n\0b\n", 5, "2:1: this is not UTF-8 text; save the file as UTF-8" },
    { "\377\376a\0\n\0", 6, "1:1: this is not UTF-8 text but UTF-16; save the file as UTF-8" },
    { "\303\274\rb\r", -1, "1:2: a carriage return in the middle of a line; end the lines with a newline" },
    { "a\n\033[31mb\n", -1, "2:1: a control character (U+001B); take it out" },
    { "a\n\177\n", -1, "2:1: a control character (U+007F); take it out" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *says = read_content (read_text, cases[i].content, cases[i].length);

      g_assert_cmpstr (says, ==, cases[i].says);
    }
}

/* Whatever an editor or a web page puts round it, it is one token. */
static void
test_secret (void)
{
  static const char *const whole[] = {
    SECRET,        SECRET "\n",          SECRET "\r\n",    "  " SECRET "  \n\n", BOM SECRET "\r\n",
    "\n\n" SECRET, "\t" SECRET "\t\r\n", NBSP SECRET NBSP, "\r\n" SECRET "\r\n",
  };
  static const struct
  {
    const char *content, *says;
  } wrong[] = {
    { "", "1:1: the file is empty; it is to hold a token" },
    { BOM " \r\n\n", "1:1: the file is empty; it is to hold a token" },
    { "one\ntwo\n", "2:1: something else behind the token; the file is to hold just one" },
    { "  one  two\n", "1:8: something else behind the token; the file is to hold just one" },
    { "Z\303\274rich\n", "1:2: a character (U+00FC) that no token has" },
    { "one\xe2\x80\x8b\n", "1:4: a character (U+200B) that no token has" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (whole); i++)
    {
      g_autofree char *secret = read_content (cis_text_read_secret, whole[i], -1);

      g_assert_cmpstr (secret, ==, SECRET);
    }
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_autofree char *says = read_content (cis_text_read_secret, wrong[i].content, -1);

      g_assert_cmpstr (says, ==, wrong[i].says);
    }
}

/* A token that is not shown, and not cut: half of one is another one. */
static void
test_secret_large (void)
{
  g_autofree char *content = g_strnfill (4097, 'x');
  g_autofree char *says = read_content (cis_text_read_secret, content, -1);

  g_assert_nonnull (strstr (says, "larger than 4096 bytes"));
  g_assert_null (strstr (says, "xx"));
}

static void
test_lines (void)
{
  g_autoptr (GPtrArray) lines =
      cis_text_split ("# all of it\n\none  two\t# three\n" NBSP "\303\274 a#b" NBSP "#\n   \n#\nlast");
  const CisTextLine *first, *second, *third;

  g_assert_cmpuint (lines->len, ==, 3);
  first = lines->pdata[0];
  g_assert_cmpuint (first->number, ==, 3);
  g_assert_cmpuint (first->n_words, ==, 2);
  g_assert_true (
      g_strv_equal ((const char *const *) first->words, (const char *const[]){ "one", "two", NULL }));
  g_assert_cmpuint (first->columns[1], ==, 6);
  second = lines->pdata[1];
  g_assert_cmpuint (second->number, ==, 4);
  g_assert_true (
      g_strv_equal ((const char *const *) second->words, (const char *const[]){ "\303\274", "a#b", NULL }));
  g_assert_cmpuint (second->columns[0], ==, 2);
  g_assert_cmpuint (second->columns[1], ==, 4);
  third = lines->pdata[2];
  g_assert_cmpuint (third->number, ==, 7);
  g_assert_cmpstr (third->words[0], ==, "last");
}

/* Through a symlink, which is how configurations are often laid out. */
static void
test_link (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *link = g_build_filename (tree, "link", NULL);
  g_autofree char *text = NULL;

  test_write (tree, "file", "text\n");
  g_assert_no_errno (symlink ("file", link));
  g_assert_cmpstr (text = cis_text_read (link, 5, NULL), ==, "text\n");
  g_assert_null (cis_text_read (link, 4, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/text", test_text);
  g_test_add_func ("/text/refused", test_text_refused);
  g_test_add_func ("/text/secret", test_secret);
  g_test_add_func ("/text/secret/large", test_secret_large);
  g_test_add_func ("/text/lines", test_lines);
  g_test_add_func ("/text/link", test_link);
  return g_test_run ();
}
