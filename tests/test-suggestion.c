/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-suggestion.h"

static const struct
{
  const char *line, *wrong, *right, *mended;
} words[] = {
  { "stages=scan;stamp-check;chek;chek2", "check", "x", "stages=scan;stamp-check;chek;chek2" },
  { "stages=scan;stamp-chek;chek;chek2", "chek", "check", "stages=scan;stamp-chek;check;chek2" },
  { "stages = chek ; scan", "chek", "check", "stages = check ; scan" },
  { "stages=scan;chek\r", "chek", "check", "stages=scan;check\r" },
  { "[chek]", "chek", "check", "[check]" },
  { "  levle = levle", "levle", "level", "  level = levle" },
  { "url=${url:-${ur}}", "ur", "receiver-url", "url=${url:-${receiver-url}}" },
  { "url=${ur:-unix:/x}/v1", "ur", "receiver-url", "url=${receiver-url:-unix:/x}/v1" },
  { "a=axb;a.b", "a.b", "a-b", "a=axb;a-b" },
};

/* Pasted, it changes that word and no other that only has it in it. */
static void
test_word (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    {
      g_autoptr (TestTree) tree = test_tree_new ();
      g_autofree char *text = g_strdup_printf ("%s\n%s\n", words[i].wrong, words[i].line);
      g_autofree char *expected = g_strdup_printf ("%s\n%s\n", words[i].wrong, words[i].mended);
      g_autofree char *where = g_strconcat (tree, "/it's.ini:2", NULL);
      g_autoptr (CisFinding) finding = cis_finding_new ("x", CIS_SEVERITY_ERROR, where, "x");
      g_autoptr (GError) error = NULL;
      g_autofree char *mended = NULL;
      const char *argv[] = { "sh", "-ec", NULL, NULL };
      int status;

      test_write (tree, "it's.ini", text);
      cis_finding_suggest_word (finding, words[i].wrong, words[i].right);
      argv[2] = cis_finding_get_fix (finding);
      g_assert_nonnull (argv[2]);
      g_test_message ("%s", argv[2]);
      g_spawn_sync (tree, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error);
      g_assert_no_error (error);
      g_assert_cmpint (status, ==, 0);
      mended = test_read (tree, "it's.ini");
      g_assert_cmpstr (mended, ==, expected);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/suggestion/word", test_word);
  return g_test_run ();
}
