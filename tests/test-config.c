/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-config.h"

#include <glib/gstdio.h>

typedef struct
{
  const char *name;
  const char *text;
  gssize length; /* -1: up to the NUL */
  const char *says;
} Broken;

static const Broken broken[] = {
  { "no-equals", "[s]\na=1\n\nwhat is this\n", -1, "p.ini:4: “what is this” is no [group]" },
  { "colon", "[s]\na: 1\n", -1, "p.ini:2: “a: 1” has no “=”" },
  { "no-group", "# x\n\na=1\n", -1, "p.ini:3: “a=” stands before the first [group]" },
  { "bracket", "[s]\na=1\n[[t]\nb=1\n", -1, "p.ini:3: " },
  { "bracket-open", "[s]\na=1\n[t\nb=1\n", -1, "p.ini:3: “[t” has no closing “]”" },
  { "bracket-blanks", "[s]\n[ t ]\n", -1, "p.ini:2: “[ t ]” has blanks in its name; write [t]" },
  { "bracket-empty", "[]\na=1\n", -1, "p.ini:1: " },
  { "behind-a-group", "[s] # mine\na=1\n", -1, "p.ini:1: nothing may stand behind [s]" },
  { "group-and-key", "[s] a=1\n", -1, "p.ini:1: nothing may stand behind [s]" },
  { "no-key", "[s]\n=1\n", -1, "p.ini:2: there is nothing before “=”" },
  { "language", "[s]\na=1\nb[de]=1\n", -1, "p.ini:3: “b[de]”: a key has no languages; write “b=”" },
  { "language-of-a-group", "[s[de]]\na=1\n", -1, "p.ini:1: " },
  { "blank-in-a-key", "[s]\nset a=1\n", -1, "p.ini:2: “set a” is no key" },
  { "continued-key", "[s]\nlev\\\nel=9\n", -1, "p.ini:2: “lev\\” is no [group]" },
  { "include", "[s]\na=1\n!include other.ini\n", -1, "p.ini:3: " },
  { "key-twice", "[s]\na=1\nb=1\n a = 2\n", -1, "p.ini:4: “a” is there already, in line 2" },
  { "group-twice", "[s]\na=1\n[t]\n[s] \nb=1\n", -1, "p.ini:4: [s] is there already, in line 1" },
  { "latin-1", "[s]\na=\344\n", -1, "p.ini:2:3: this is not UTF-8" },
  { "nul", "[s]\na=1\n\0b=1\n", 13, "p.ini:3:1: this is not UTF-8" },
  { "utf-16", "\377\376[\0s\0]\0", 8, "p.ini:1:1: this is not UTF-8 text but UTF-16" },
  { "old-mac", "[s]\ra=1\r", -1, "p.ini:1:4: a carriage return" },
  { "form-feed", "[s]\n\fa=1\n", -1, "p.ini:2:1: a control character (U+000C)" },
};

typedef struct
{
  char *tree;
  char *site;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->tree = test_tree_new ();
  fixture->site = g_build_filename (fixture->tree, "cis490.ini", NULL);
  test_write (fixture->tree, "cis490.ini",
              "# ours\n[site]\nhost-id=lab-1\nloop=${loop}\nnested=${STATE_DIRECTORY}/x\n");
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  test_tree_remove (fixture->tree);
  g_free (fixture->site);
}

static CisConfig *
load (Fixture *fixture, const char *text)
{
  g_autoptr (GError) error = NULL;
  CisConfig *config;

  test_write (fixture->tree, "pipelines/p.ini", text);
  config = cis_config_load ("p", fixture->site, &error);
  g_assert_no_error (error);
  return config;
}

static char *
expand (CisConfig *config, const char *text)
{
  return cis_config_expand (config, text, NULL);
}

#define assert_expands(config, text, expected)                                                               \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    g_autofree char *value_ = expand (config, text);                                                         \
    g_assert_cmpstr (value_, ==, expected);                                                                  \
  }                                                                                                          \
  G_STMT_END

static void
test_variables (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisConfig) config = load (fixture, "[pipeline]\n");

  g_setenv ("STATE_DIRECTORY", "/state:/other", TRUE);
  g_unsetenv ("CREDENTIALS_DIRECTORY");
  assert_expands (config, "a ${host-id} b", "a lab-1 b");
  assert_expands (config, "${STATE_DIRECTORY}/y", "/state/y");
  assert_expands (config, "${nested}", "/state/x");
  assert_expands (config, "${no-such:-fall${host-id}back}!", "falllab-1back!");
  assert_expands (config, "${no-such:-}", "");
  assert_expands (config, "$x $ {}", "$x $ {}");
  g_assert_null (expand (config, "${no-such}"));
  g_assert_null (expand (config, "${CREDENTIALS_DIRECTORY}"));
  g_assert_null (expand (config, "${host-id"));
  g_assert_null (expand (config, "${loop}"));
}

/* Nine lines that would become 10⁸ words. */
static void
test_too_much (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GString) site = g_string_new ("[site]\nx7=word\n");
  g_autoptr (CisConfig) config = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 7; i++)
    {
      g_string_append_printf (site, "x%u=", i);
      for (guint j = 0; j < 10; j++)
        g_string_append_printf (site, "${x%u}", i + 1);
      g_string_append_c (site, '\n');
    }
  test_write (fixture->tree, "cis490.ini", site->str);
  config = load (fixture, "[pipeline]\n");
  assert_expands (config, "${x6}", "wordwordwordwordwordwordwordwordwordword");
  g_assert_null (cis_config_expand (config, "${x0}${x0}", &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "too much"));
}

static void
test_host_id (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisConfig) config = NULL;

  test_write (fixture->tree, "cis490.ini", "[site]\n");
  config = load (fixture, "[pipeline]\n");
  assert_expands (config, "${host-id}", g_get_host_name ());
}

static void
test_drop_ins (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisConfig) config = NULL;
  g_autofree char *a = NULL, *b = NULL, *where = NULL, *only = NULL;
  g_auto (GStrv) keys = NULL;

  test_write (fixture->tree, "pipelines/p.ini.d/20.ini", "[s]\nb=late\n");
  test_write (fixture->tree, "pipelines/p.ini.d/10.ini", "[s]\na=early\nb=early\n\n[t]\nc=1\n");
  test_write (fixture->tree, "pipelines/p.ini.d/ignored.txt", "nonsense");
  config = load (fixture, "[s]\na=base\nonly=base\n");
  a = cis_config_get (config, "s", "a", NULL);
  b = cis_config_get (config, "s", "b", NULL);
  only = cis_config_get (config, "s", "only", NULL);
  where = cis_config_where (config, "t", "c");
  keys = cis_config_get_keys (config, "s");
  g_assert_cmpstr (a, ==, "early");
  g_assert_cmpstr (b, ==, "late");
  g_assert_cmpstr (only, ==, "base");
  g_assert_true (g_str_has_suffix (where, "10.ini:6"));
  g_assert_cmpuint (g_strv_length (keys), ==, 3);
}

/* The installed pipeline stays as it is; what is changed for one machine lies where its configuration
 * lies. */
static void
test_drop_ins_elsewhere (Fixture *fixture, gconstpointer data)
{
  g_autofree char *installed = g_build_filename (fixture->tree, "installed", NULL);
  g_autoptr (CisConfig) config = NULL;
  g_autofree char *a = NULL, *b = NULL;

  g_setenv ("CIS490_PIPELINE_PATH", installed, TRUE);
  test_write (fixture->tree, "installed/p.ini", "[s]\na=installed\nb=installed\n");
  test_write (fixture->tree, "installed/p.ini.d/10.ini", "[s]\na=beside\nb=beside\n");
  test_write (fixture->tree, "pipelines/p.ini.d/05.ini", "[s]\na=ours\n");
  config = cis_config_load ("p", fixture->site, NULL);
  g_assert_nonnull (config);
  a = cis_config_get (config, "s", "a", NULL);
  b = cis_config_get (config, "s", "b", NULL);
  g_assert_cmpstr (a, ==, "ours");
  g_assert_cmpstr (b, ==, "beside");
}

static void
test_lines (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisConfig) config = load (fixture, "# a=1\n[s]\n\n  a = 1\n# b=2\nb=2\n[t]\na=3\n");
  g_autofree char *a = cis_config_where (config, "s", "a");
  g_autofree char *b = cis_config_where (config, "s", "b");
  g_autofree char *t = cis_config_where (config, "t", NULL);

  g_assert_true (g_str_has_suffix (a, "p.ini:4"));
  g_assert_true (g_str_has_suffix (b, "p.ini:6"));
  g_assert_true (g_str_has_suffix (t, "p.ini:7"));
}

static void
test_broken (gconstpointer data)
{
  const Broken *mistake = data;
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *site = g_build_filename (tree, "cis490.ini", NULL);
  g_autofree char *ini = g_build_filename (tree, "pipelines/p.ini", NULL);
  g_autoptr (GError) error = NULL;

  test_write (tree, "cis490.ini", "[site]\n");
  test_write (tree, "pipelines/p.ini", "");
  g_assert_true (g_file_set_contents (ini, mistake->text, mistake->length, NULL));
  g_assert_null (cis_config_load ("p", site, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, mistake->says));

  /* [site] is read by the same rules. */
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (site, mistake->text, mistake->length, NULL));
  g_assert_null (cis_config_load ("p", site, &error));
  g_assert_nonnull (strstr (error->message, "cis490.ini:"));
}

static void
test_byte_order_mark (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisConfig) config = load (fixture, "\357\273\277[s]\r\na=1\r\n");
  g_autofree char *a = cis_config_get (config, "s", "a", NULL);
  g_autofree char *where = cis_config_where (config, "s", "a");

  g_assert_cmpstr (a, ==, "1");
  g_assert_true (g_str_has_suffix (where, "p.ini:2"));
}

static void
test_unused (Fixture *fixture, gconstpointer data)
{
  g_auto (GStrv) unused = NULL;

  test_write (fixture->tree, "pipelines/shipper.ini", "[s]\n");
  test_write (fixture->tree, "pipelines/shipper.ini.d/a.ini", "[s]\n");
  test_write (fixture->tree, "pipelines/shiper.ini.d/a.ini", "[s]\n");
  unused = cis_config_list_unused (fixture->site);
  g_assert_cmpuint (g_strv_length (unused), ==, 1);
  g_assert_true (g_str_has_suffix (unused[0], "/pipelines/shiper.ini.d"));
}

static void
test_not_there (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  test_write (fixture->tree, "pipelines/shipper.ini", "[s]\n");
  g_assert_null (cis_config_load ("shiper", fixture->site, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "did you mean “shipper”"));
  g_clear_error (&error);
  test_write (fixture->tree, "cis490.ini", "# ours\n[siet]\nhost-id=x\n");
  g_assert_null (cis_config_load ("shipper", fixture->site, &error));
  g_assert_nonnull (strstr (error->message, "cis490.ini:2: there is no group [siet]"));
  g_clear_error (&error);
  g_assert_null (cis_config_load ("shipper", "/no/such/cis490.ini", &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
}

static void
test_site (Fixture *fixture, gconstpointer data)
{
  g_autoptr (CisConfig) config = NULL;
  g_autofree char *where = NULL, *missing = NULL, *set = NULL, *unset = NULL, *none = NULL;
  g_autoptr (GError) error = NULL;

  test_write (fixture->tree, "cis490.ini", "[site]\nmy-own=1\ntoken-file=/x\nurl=a\\q\n");
  config = load (fixture, "[s]\n");
  where = cis_config_where_site (config, "token-file");
  missing = cis_config_where_site (config, "receiver-url");
  set = cis_config_find_variable (config, "${listen:-${token-file}}${receiver-url}", TRUE);
  unset = cis_config_find_variable (config, "${listen:-${token-file}}${receiver-url}", FALSE);
  none = cis_config_find_variable (config, "${listen:-x}${STATE_DIRECTORY}", FALSE);
  g_assert_true (g_str_has_suffix (where, "cis490.ini:3"));
  g_assert_true (g_str_has_suffix (missing, "cis490.ini:1"));
  g_assert_cmpstr (set, ==, "token-file");
  g_assert_cmpstr (unset, ==, "receiver-url");
  g_assert_null (none);
  /* It is there, and no text: that is another mistake than to have forgotten it. */
  g_assert_null (cis_config_expand (config, "${url}", &error));
  g_assert_nonnull (strstr (error->message, "[site] url= has a “\\” before"));
}

static void
test_override (Fixture *fixture, gconstpointer data)
{
  static const char *const wrong[] = { "", "x", "x=1", ".x=1", "s.=1", "]s.a=1", "=s.a" };
  g_autoptr (CisConfig) config = load (fixture, "[s]\na=1\n");
  g_autofree char *a = NULL, *where = NULL;

  g_assert_true (cis_config_check_override ("s.a=2=3", NULL));
  cis_config_override (config, "s.a=2=3");
  a = cis_config_get (config, "s", "a", NULL);
  where = cis_config_where (config, "s", "a");
  g_assert_cmpstr (a, ==, "2=3");
  g_assert_cmpstr (where, ==, "--set s.a=2=3");
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    g_assert_false (cis_config_check_override (wrong[i], NULL));
}

/* Who writes an ini says what runs; so does who puts one in its place. */
static void
test_writable (Fixture *fixture, gconstpointer data)
{
  static const char *const paths[] = { "cis490.ini", "pipelines", "pipelines/p.ini", "pipelines/p.ini.d",
                                       "pipelines/p.ini.d/x.ini" };

  test_write (fixture->tree, "pipelines/p.ini", "[s]\na=1\n");
  test_write (fixture->tree, "pipelines/p.ini.d/x.ini", "[s]\na=2\n");
  for (gsize i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autofree char *path = g_build_filename (fixture->tree, paths[i], NULL);
      g_autofree char *expected = g_strdup_printf ("%s: is writable by everybody; chmod o-w", path);
      g_autoptr (GError) error = NULL;
      g_autoptr (CisConfig) config = NULL;

      g_assert_no_errno (g_chmod (path, 0777));
      g_assert_null (cis_config_load ("p", fixture->site, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      g_assert_nonnull (strstr (error->message, expected));
      g_clear_error (&error);
      g_assert_no_errno (g_chmod (path, 0755));
      config = cis_config_load ("p", fixture->site, &error);
      g_assert_no_error (error);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/config/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("variables", test_variables);
  ADD ("variables/too-much", test_too_much);
  ADD ("host-id", test_host_id);
  ADD ("drop-ins", test_drop_ins);
  ADD ("drop-ins-elsewhere", test_drop_ins_elsewhere);
  ADD ("lines", test_lines);
  ADD ("byte-order-mark", test_byte_order_mark);
  ADD ("unused", test_unused);
  ADD ("not-there", test_not_there);
  ADD ("site", test_site);
  ADD ("override", test_override);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      g_autofree char *name = g_strconcat ("/config/broken/", broken[i].name, NULL);

      g_test_add_data_func (name, &broken[i], test_broken);
    }
  g_test_add ("/config/writable", Fixture, NULL, set_up, test_writable, tear_down);
  return g_test_run ();
}
