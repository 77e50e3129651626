/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was no whole row at the index's end, and whether it had been one. */

#include "harness.h"

#include "../plugins/store/index/rows.h"

#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define UNENDED(episode) "{\"host\":\"lab-1\",\"episode\":\"" episode "\"}"
#define ROW(episode)     UNENDED (episode) "\n"

static CisRowsCut
reopen (const char *tree)
{
  CisRowsCut cut = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (CisRows) rows = cis_rows_open (tree, "index.jsonl", &cut, NULL, &error);

  g_assert_no_error (error);
  return cut;
}

/* @damaged: what is there at the next start after two rows were there at a clean end. */
static void
assert_cut (const char *damaged, const char *after, gboolean was_clean)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "index.jsonl", NULL);
  g_autofree char *text = NULL;
  FILE *file;
  CisRowsCut cut;

  test_write (tree, "index.jsonl", ROW ("a") ROW ("b"));
  reopen (tree);
  file = fopen (path, "r+"); /* which leaves the mark of the clean end */
  g_assert_cmpint (fputs (damaged, file), >=, 0);
  g_assert_no_errno (ftruncate (fileno (file), strlen (damaged)));
  fclose (file);
  cut = reopen (tree);
  text = test_read (tree, "index.jsonl");
  g_assert_cmpstr (text, ==, after);
  g_assert_cmpuint (cut.n_bytes, ==,
                    strlen (damaged) > strlen (after) ? strlen (damaged) - strlen (after) : 0);
  g_assert_cmpint (cut.was_clean, ==, was_clean);
}

static void
test_cut (void)
{
  assert_cut (ROW ("a") ROW ("b") "{\"host\":", ROW ("a") ROW ("b"), FALSE);
  assert_cut (ROW ("a") ROW ("b") "no JSON\n", ROW ("a") ROW ("b"), FALSE);
  assert_cut (ROW ("a") ROW ("b") UNENDED ("c"), ROW ("a") ROW ("b") ROW ("c"), FALSE);
  assert_cut (ROW ("a") UNENDED ("b"), ROW ("a") ROW ("b"), FALSE);
  assert_cut (ROW ("a") "{\"host\":\"lab-1\"", ROW ("a"), TRUE);
  assert_cut (ROW ("a") "{\"host\":\"lab-1\",\"episode\":b}\n", ROW ("a"), TRUE);
  assert_cut ("{\"host\":", "", TRUE);
}

/* An editor's blank lines, byte order mark and CRLF are no damage, however many; what a crash tore behind
 * them is. */
static void
test_edited (void)
{
  assert_cut (ROW ("a") ROW ("b") "\n", ROW ("a") ROW ("b") "\n", FALSE);
  assert_cut (ROW ("a") "\n\n" ROW ("b") "\r\n \n\n", ROW ("a") "\n\n" ROW ("b") "\r\n \n\n", FALSE);
  assert_cut ("\xef\xbb\xbf" ROW ("a") ROW ("b"), "\xef\xbb\xbf" ROW ("a") ROW ("b"), FALSE);
  assert_cut (ROW ("a") UNENDED ("b") "  \r\n", ROW ("a") UNENDED ("b") "  \r\n", FALSE);
  assert_cut (ROW ("a") ROW ("b") "\n{\"host\":", ROW ("a") ROW ("b") "\n", FALSE);
}

/* What comes in the place of what is gone is not on disk for that. */
static void
test_mark (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "index.jsonl", NULL);
  g_autoptr (CisRows) rows = NULL;
  g_autofree char *mark = g_malloc0 (32);
  CisRowsCut cut;

  test_write (tree, "index.jsonl", ROW ("a") ROW ("b"));
  reopen (tree);
  g_assert_no_errno (truncate (path, strlen (ROW ("a"))));
  rows = cis_rows_open (tree, "index.jsonl", &cut, NULL, NULL);
  g_assert_cmpuint (cut.n_bytes, ==, 0);
  g_assert_true (cut.was_clean);
  g_assert_cmpint (getxattr (path, "user.cis490.clean", mark, 31), >, 0);
  g_assert_cmpuint (g_ascii_strtoull (mark, NULL, 10), ==, strlen (ROW ("a")));
}

/* Whoever shortens it while it is in use takes rows that were acknowledged: that is told at the next one. */
static void
test_shortened (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "index.jsonl", NULL);
  g_autoptr (GError) error = NULL;
  CisRowsCut cut;
  g_autoptr (CisRows) rows = cis_rows_open (tree, "index.jsonl", &cut, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (cis_rows_append (rows, UNENDED ("a"), NULL, &error));
  g_assert_no_errno (truncate (path, 0));
  g_assert_false (cis_rows_append (rows, UNENDED ("b"), NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_FATAL);
  g_assert_nonnull (strstr (error->message, "became shorter"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/rows/cut", test_cut);
  g_test_add_func ("/rows/edited", test_edited);
  g_test_add_func ("/rows/mark", test_mark);
  g_test_add_func ("/rows/shortened", test_shortened);
  return g_test_run ();
}
