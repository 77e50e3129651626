/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "forge.h"

#include "../plugins/gate/window/amnesty.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccc"

static CisGrants *
grants_new (const char *tree, const char *text)
{
  g_autofree char *path = g_build_filename (tree, "grants", NULL);
  g_autofree char *repository = g_build_filename (tree, "repository", NULL);

  test_write (tree, "grants", text);
  return cis_grants_new (path, repository, 0);
}

static void
assert_granted (CisGrants *grants, const char *commit, const char *host, const char *until, const char *name)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (until, NULL);
  gboolean whole;
  g_autofree char *found =
      cis_grants_find (grants, commit, host, g_date_time_to_unix (time) * G_USEC_PER_SEC, &whole);

  g_assert_cmpstr (found, ==, name);
}

static gboolean
is_whole (CisGrants *grants)
{
  gboolean whole;

  g_free (cis_grants_find (grants, A, NULL, 0, &whole));
  return whole;
}

static void
refresh (CisGrants *grants)
{
  g_autoptr (GError) error = NULL;

  cis_grants_refresh (grants, &error);
  g_assert_no_error (error);
  g_assert_true (is_whole (grants));
}

static void
test_lines (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisGrants) grants = grants_new (tree, "# for the thesis\n"
                                                   "thesis\t" A "  lab-7 2026-12-31 # until then\r\n"
                                                   "\n"
                                                   "all " B " * 2026-12-31T12:00:00Z\n");

  refresh (grants);
  assert_granted (grants, A, "lab-7", "2026-12-31T23:59:58Z", "thesis");
  assert_granted (grants, A, "lab-7", "2027-01-01T00:00:00Z", NULL);
  assert_granted (grants, A, "lab-8", "2026-01-01T00:00:00Z", NULL);
  assert_granted (grants, A, NULL, "2026-01-01T00:00:00Z", "thesis");
  assert_granted (grants, B, "lab-8", "2026-12-31T11:59:59Z", "all");
  assert_granted (grants, B, "lab-8", "2026-12-31T12:00:01Z", NULL);
}

/* As git rev-list lists it: without its beginning; and an annotated tag is the commit that it names. */
static void
test_range (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisGrants) grants = NULL;
  g_autofree char *text = NULL;

  forge_make_repository (tree, 9);
  text = forge_run (tree, "cd repository; git tag -a -m old v1 c6\n"
                          "echo old $(git rev-parse c3)..$(git rev-parse v1) '*' 2026-12-31");
  grants = grants_new (tree, text);
  refresh (grants);
  for (guint i = 1; i <= 9; i++)
    {
      g_autofree char *commit = forge_run (tree, "git -C repository rev-parse c%u", i);

      assert_granted (grants, commit, "lab-1", "2026-12-31T00:00:00Z", i >= 4 && i <= 6 ? "old" : NULL);
    }
}

/* The lines around it count, before and after a restart. */
static void
assert_mistake (const char *line, const char *message)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisGrants) grants = grants_new (tree, "good " A " * 2026-12-31\n");
  g_autofree char *text =
      g_strconcat ("other " B " * 2026-12-31\n", line, "\nlast " C " * 2026-12-31\n", NULL);

  g_assert_false (is_whole (grants));
  refresh (grants);
  test_write (tree, "grants", text);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (CisGrants) fresh = i > 0 ? cis_grants_new (cis_grants_get_path (grants), tree, 0) : NULL;
      CisGrants *of = i > 0 ? fresh : grants;
      g_autoptr (GError) error = NULL;

      g_assert_false (cis_grants_refresh (of, &error));
      g_assert_error (error, error->domain, error->code);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, "grants:2:"));
      g_assert_nonnull (strstr (error->message, message));
      g_assert_false (is_whole (of));
      assert_granted (of, A, "lab-1", "2026-12-31T00:00:00Z", NULL);
      assert_granted (of, B, "lab-1", "2026-12-31T00:00:00Z", "other");
      assert_granted (of, C, "lab-1", "2026-12-31T00:00:00Z", "last");
    }
  /* Mended, it counts at once. */
  test_write (tree, "grants", "other " B " * 2026-12-31\n");
  refresh (grants);
  assert_granted (grants, C, "lab-1", "2026-12-31T00:00:00Z", NULL);
  assert_granted (grants, B, "lab-1", "2026-12-31T00:00:00Z", "other");
}

static void
test_mistakes (void)
{
  assert_mistake ("x " A " *", "a grant is");
  assert_mistake ("x " A " * 2026-12-31 more", "a grant is");
  assert_mistake ("x/y " A " * 2026-12-31", "the name");
  assert_mistake ("other " A " * 2026-12-31", "another grant");
  assert_mistake ("x main * 2026-12-31", "40 hex");
  assert_mistake ("x abc123 * 2026-12-31", "40 hex");
  assert_mistake ("x " A ".." B ".." A " * 2026-12-31", "40 hex");
  assert_mistake ("x " A ".."
                  " * 2026-12-31",
                  "40 hex");
  assert_mistake ("x " A " lab/7 2026-12-31", "the host");
  assert_mistake ("x " A " * 2026-13-31", "no date");
  assert_mistake ("x " A " * tomorrow", "no date");
  assert_mistake ("x " A " *\ny " A " *",
                  "a grant is NAME COMMIT|COMMIT..COMMIT HOST|* UNTIL (mistakes further down: 1)");
  /* A range that no repository knows. */
  assert_mistake ("x " A ".." B " * 2090-12-31", "repository");
}

/* It names nobody then, and says nobody may be refused. */
static void
test_gone (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisGrants) grants = grants_new (tree, "good " A " * 2026-12-31\n");
  g_autoptr (GError) error = NULL;

  refresh (grants);
  assert_granted (grants, A, "lab-1", "2026-12-31T00:00:00Z", "good");
  g_free (forge_run (tree, "rm grants"));
  g_assert_false (cis_grants_refresh (grants, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_false (is_whole (grants));
  assert_granted (grants, A, "lab-1", "2026-12-31T00:00:00Z", NULL);
  test_write (tree, "grants", "again " A " * 2026-12-31\n");
  refresh (grants);
  assert_granted (grants, A, "lab-1", "2026-12-31T00:00:00Z", "again");
}

/* What it says counts at once; that it says no more, only once it has been left alone for so long. */
static void
test_settles (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "grants", NULL);
  g_autoptr (CisGrants) grants = cis_grants_new (path, tree, G_USEC_PER_SEC / 2);
  g_autoptr (CisGrants) patient = cis_grants_new (path, tree, G_TIME_SPAN_DAY);
  g_autoptr (GError) error = NULL;

  test_write (tree, "grants", "one " A " * 2026-12-31\n");
  test_wait_for ((cis_grants_refresh (grants, NULL), is_whole (grants)));
  /* An editor has emptied it, and is about to write. */
  test_wait_for ((test_write (tree, "grants", ""), cis_grants_refresh (grants, NULL), !is_whole (grants)));
  assert_granted (grants, A, "lab-1", "2026-12-31T00:00:00Z", NULL);
  test_write (tree, "grants", "one " A " * 2026-12-31\n");
  test_wait_for ((cis_grants_refresh (grants, NULL), is_whole (grants)));
  assert_granted (grants, A, "lab-1", "2026-12-31T00:00:00Z", "one");

  g_assert_true (cis_grants_refresh (patient, &error));
  assert_granted (patient, A, "lab-1", "2026-12-31T00:00:00Z", "one");
  g_assert_false (is_whole (patient));
}

static void
append_name (const char *name, const char *until, gpointer user_data)
{
  g_string_append_printf (user_data, "%s %s;", name, until);
}

static void
test_expired (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisGrants) grants = grants_new (tree, "one " A " * 2020-01-01\ntwo " B " * 2090-01-01\n"
                                                   "past " A ".." B " * 2020-01-02\n");
  g_autoptr (GString) names = g_string_new (NULL);

  /* That no repository has its range any more is no mistake. */
  refresh (grants);
  cis_grants_foreach_expired (grants, g_get_real_time (), append_name, names);
  g_assert_cmpstr (names->str, ==, "one 2020-01-01;past 2020-01-02;");
}

/* The fix takes that one out, wherever its line begins, and no other, whatever the file is called. */
static void
test_expired_fix (void)
{
  static const char name[] = "grants of 'us'";
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, name, NULL);
  g_autoptr (CisFinding) finding = cis_amnesty_describe_expired (path, "a.b", "2020-01-01");
  g_autofree char *left = NULL;

  test_write (tree, name,
              "# a.b is over\n  a.b " A " * 2020-01-01\naxb " A " * 2090-01-01\na.b.c " B " * 2090-01-01\n");
  g_free (forge_run (tree, "%s", cis_finding_get_fix (finding)));
  left = test_read (tree, name);
  g_assert_cmpstr (left, ==, "# a.b is over\naxb " A " * 2090-01-01\na.b.c " B " * 2090-01-01\n");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  forge_prepare ();
  g_test_add_func ("/grants/lines", test_lines);
  g_test_add_func ("/grants/range", test_range);
  g_test_add_func ("/grants/mistakes", test_mistakes);
  g_test_add_func ("/grants/gone", test_gone);
  g_test_add_func ("/grants/settles", test_settles);
  g_test_add_func ("/grants/expired", test_expired);
  g_test_add_func ("/grants/expired-fix", test_expired_fix);
  return g_test_run ();
}
