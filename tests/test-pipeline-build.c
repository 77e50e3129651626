/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each mistake that one can make in an ini, and the one message that it gets:
 * with file, line and what to do. */

#include "harness.h"

#include "cis-pipeline.h"

#include <glib/gstdio.h>

static const char *const good = "[pipeline]\n"
                                "stages=count;a;notice\n"
                                "[count]\n"
                                "plugin=test/count\n"
                                "items=5\n"
                                "[a]\n"
                                "plugin=test/script\n"
                                "record=\n"
                                "[notice]\n"
                                "plugin=test/notice\n";

/* @from in the good one becomes @to. */
typedef struct
{
  const char *name, *from, *to;
  const char *id;    /* NULL: no finding at all */
  const char *where; /* how the subject ends */
  const char *says;
} Mistake;

static const Mistake mistakes[] = {
  { "none", "", "", NULL, NULL, NULL },
  { "unknown-key", "items=5", "itmes=5", "config-unknown-key", "p.ini:5", "did you mean “items”?" },
  { "unknown-key-far", "items=5", "elephant=5", "config-unknown-key", "p.ini:5", "there are: items, record" },
  { "bad-number", "items=5", "items=five", "config-bad-value", "p.ini:5",
    "items=five is not a whole number" },
  { "out-of-range", "items=5", "items=1000001", "config-bad-value", "p.ini:5", "0 to 1000000" },
  { "unset-variable", "items=5", "items=${how-many}", "config-bad-value", "p.ini:5",
    "${how-many} is not set" },
  { "pipeline-key", "[pipeline]\n", "[pipeline]\nworker=1\n", "config-unknown-key", "p.ini:2",
    "did you mean “workers”?" },
  { "no-stages", "stages=count;a;notice", "", "config-missing-key", "p.ini:1", "stages=SOURCE;STAGE" },
  { "only-source", "stages=count;a;notice", "stages=count", "config-missing-key", "p.ini:2",
    "stages=SOURCE;STAGE" },
  { "twice", "stages=count;a;notice", "stages=count;a;a", "stage-order", "p.ini:2", "names “a” twice" },
  { "unknown-stage", "stages=count;a;notice", "stages=count;a;notise", "config-missing-key", "p.ini:2",
    "did you mean “notice”?" },
  { "misspelt-group", "[notice]", "[notise]", "config-missing-key", "p.ini:2", "did you mean “notise”?" },
  { "no-plugin", "plugin=test/script\n", "", "config-missing-key", "p.ini:6", "needs “plugin=family/name”" },
  { "unknown-plugin", "test/script", "test/skript", "plugin-not-loaded", "p.ini:7",
    "there is no plugin “test/skript”" },
  { "near-plugin", "test/script", "alert/json1", "plugin-not-loaded", "p.ini:7",
    "did you mean “alert/jsonl”?" },
  { "bare-plugin", "test/script", "jsonl", "plugin-not-loaded", "p.ini:7", "did you mean “alert/jsonl”?" },
  { "evil-plugin", "test/script", "../../etc/x", "plugin-not-loaded", "p.ini:7", "there is no plugin" },
  { "no-source", "stages=count;a;notice", "stages=a;notice", "stage-order", "p.ini:2", "which is no source" },
  { "two-sources", "plugin=test/script", "plugin=test/count", "stage-order", "p.ini:2",
    "only the first of stages= can be one" },
  { "when", "record=\n", "when=rejectd\n", "config-bad-value", "p.ini:8", "did you mean “rejected”?" },
  { "when-escape", "record=\n", "when=passed\\q\n", "config-bad-value", "p.ini:8",
    "a backslash itself is written “\\\\”" },
  { "source-when", "items=5", "when=passed", "config-unknown-key", "p.ini:5", "it has no “when”" },
  { "needs", "plugin=test/script\nrecord=\n", "plugin=store/retire\n", "stage-order", "p.ini:2",
    "needs an item's receipt" },
  { "unused", "stages=count;a;notice", "stages=count;a", "group-unused", "p.ini:9", "is not in stages=" },
  { "required", "plugin=test/script\nrecord=\n", "plugin=transport/directory\n", "config-missing-key",
    "p.ini:6", "[a] needs “directory=…”" },
  { "no-site", "plugin=test/script\nrecord=\n", "plugin=transport/http\n", "config-missing-key", "p.ini:6",
    "add “receiver-url=…” to [site]" },
};

static char *
make_ini (const Mistake *mistake)
{
  GString *ini = g_string_new (good);

  if (mistake->from[0] != '\0')
    g_assert_cmpuint (g_string_replace (ini, mistake->from, mistake->to, 1), ==, 1);
  return g_string_free (ini, FALSE);
}

static CisFinding *
find (GPtrArray *findings, const char *id)
{
  for (guint i = 0; i < findings->len; i++)
    {
      g_test_message ("%s: %s: %s", cis_finding_get_subject (findings->pdata[i]),
                      cis_finding_get_id (findings->pdata[i]), cis_finding_get_summary (findings->pdata[i]));
      if (g_str_equal (cis_finding_get_id (findings->pdata[i]), id))
        return findings->pdata[i];
    }
  return NULL;
}

static CisPipeline *
build (const char *tree, GPtrArray *findings)
{
  g_autofree char *site = g_build_filename (tree, "cis490.ini", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisConfig) config = cis_config_load ("p", site, &error);

  g_assert_no_error (error);
  return cis_pipeline_new (config, findings);
}

static void
test_mistake (gconstpointer data)
{
  const Mistake *mistake = data;
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *ini = make_ini (mistake);
  g_autoptr (CisPipeline) pipeline = NULL;
  CisFinding *finding;

  test_write (tree, "cis490.ini", "[site]\n");
  test_write (tree, "pipelines/p.ini", ini);
  pipeline = build (tree, findings);
  if (mistake->id == NULL)
    {
      g_assert_cmpuint (findings->len, ==, 0);
      g_assert_nonnull (pipeline);
      return;
    }
  finding = find (findings, mistake->id);
  g_assert_nonnull (finding);
  g_assert_true (g_str_has_suffix (cis_finding_get_subject (finding), mistake->where));
  g_assert_nonnull (strstr (cis_finding_get_summary (finding), mistake->says));
  /* A warning lets it run. */
  g_assert_true ((pipeline == NULL) == (cis_finding_get_severity (finding) == CIS_SEVERITY_ERROR));
}

/* A host's pipeline; what is wrong shows only where all stages are seen together. */
static const struct
{
  const char *name, *from, *to;
  const char *id, *where, *says, *fix;
} hosts[] = {
  { "good", "", "", NULL, NULL, NULL, NULL },
  { "another-state", "[ship]\n", "[ship]\nstate=/elsewhere\n", "config-bad-value", "p.ini:10",
    "[ship] state=/elsewhere, but [scan] state=/s", "p.ini" },
  { "same-state", "[ship]\n", "[ship]\nstate=/s/\n", NULL, NULL, NULL, NULL },
  { "scan-elsewhere", "[scan]\n", "[scan]\nstate=/elsewhere\n", "config-bad-value", "p.ini:8",
    "[pack] state=/s, but [scan] state=/elsewhere", "p.ini" },
  { "no-lock", "[scan]\n", "[scan]\nlock=false\n", "config-bad-value", "p.ini:4", "[scan] lock=false is for",
    "p.ini" },
  { "drain", "stages=scan;stamp;pack;ship;retire;quarantine\n[scan]\n",
    "stages=scan;stamp;quarantine\n[scan]\nlock=false\n", "group-unused", "p.ini:8",
    "is not in stages=", "p.ini" },
  { "no-quarantine", ";quarantine\n", "\n", "quarantine-missing", "p.ini:2", "stays where it is",
    "plugin=store/quarantine" },
  { "no-url", "receiver-url=https://x.example\n", "", "config-missing-key", "p.ini:9",
    "add “receiver-url=…” to [site]", "+1 " },
  { "no-url-said", "[ship]\n", "[ship]\nclient=${forgejo-url}\n", "config-unknown-key", "p.ini:10",
    "no key “client”", "p.ini" },
  { "no-variable", "[ship]\n", "[ship]\nurl=${forgejo-url}\n", "config-bad-value", "p.ini:10",
    "add “forgejo-url=…” to [site]", "cis490.ini" },
  { "variable-misspelled", "[ship]\n", "[ship]\nurl=${reciever-url}\n", "config-bad-value", "p.ini:10",
    "did you mean ${receiver-url}?", "receiver-url" },
  { "url-misspelled", "receiver-url=", "reciever-url=", "config-unknown-key", "cis490.ini:2",
    "did you mean “receiver-url”?", "receiver-url" },
  { "url-bad", "https://x.example", "x.example", "config-bad-value", "cis490.ini:2", "[ship] url=x.example",
    "+2 " },
  { "url-empty", "https://x.example", "", "config-missing-key", "p.ini:9", "add “receiver-url=…” to [site]",
    "+2 " },
  { "site-asks-for-more", "plugin=transport/http\n", "plugin=transport/http\ntimeout=${window}\n",
    "config-bad-value", "p.ini:11", "add “window=…” to [site]", "“window=”" },
  { "token-not-there", "/token\n", "/no-token\n", "file-unreadable", "cis490.ini:3",
    "/no-token cannot be read", "/no-token" },
};

static void
test_host (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *token = g_build_filename (tree, "token", NULL);
  g_autoptr (GString) site = g_string_new ("[site]\nreceiver-url=https://x.example\n");
  g_autoptr (GString) ini = g_string_new ("[pipeline]\nstages=scan;stamp;pack;ship;retire;quarantine\n"
                                          "[scan]\nplugin=scan/episodes\n"
                                          "[stamp]\nplugin=gate/stamp\n"
                                          "[pack]\nplugin=pack/tar-zstd\n"
                                          "[ship]\nplugin=transport/http\n"
                                          "[retire]\nplugin=store/retire\n"
                                          "[quarantine]\nplugin=store/quarantine\n");
  g_autoptr (CisPipeline) pipeline = NULL;
  CisFinding *finding;

  g_setenv ("STATE_DIRECTORY", "/s", TRUE);
  test_write (tree, "token", "x\n");
  g_assert_no_errno (g_chmod (token, 0600));
  g_string_append_printf (site, "token-file=%s\n", token);
  if (hosts[i].from[0] != '\0')
    g_assert_cmpuint (g_string_replace (ini, hosts[i].from, hosts[i].to, 1) +
                          g_string_replace (site, hosts[i].from, hosts[i].to, 1),
                      ==, 1);
  test_write (tree, "cis490.ini", site->str);
  test_write (tree, "pipelines/p.ini", ini->str);
  pipeline = build (tree, findings);
  if (hosts[i].id == NULL)
    {
      g_assert_cmpuint (findings->len, ==, 0);
      g_assert_nonnull (pipeline);
      return;
    }
  finding = find (findings, hosts[i].id);
  g_assert_nonnull (finding);
  g_assert_true (g_str_has_suffix (cis_finding_get_subject (finding), hosts[i].where));
  g_assert_nonnull (strstr (cis_finding_get_summary (finding), hosts[i].says));
  g_assert_nonnull (cis_finding_get_fix (finding));
  g_test_message ("%s", cis_finding_get_fix (finding));
  g_assert_nonnull (strstr (cis_finding_get_fix (finding), hosts[i].fix));
  g_assert_true ((pipeline == NULL) == (cis_finding_get_severity (finding) == CIS_SEVERITY_ERROR));
}

/* Its shape needs no values: neither [site] nor anything else. */
static void
test_draft (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *site = g_build_filename (tree, "cis490.ini", NULL);
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (CisConfig) config = NULL;
  g_autoptr (CisPipeline) pipeline = NULL;
  g_autoptr (GArray) steps = NULL;

  test_write (tree, "cis490.ini", "[site]\nreciever-url=x\n");
  test_write (tree, "pipelines/p.ini",
              "[pipeline]\nstages=scan;ship;retire\n[scan]\nplugin=scan/episodes\nquiet=soon\n"
              "[ship]\nplugin=transport/http\n[retire]\nplugin=store/retire\nwhen=rejected\n");
  config = cis_config_load ("p", site, NULL);
  pipeline = cis_pipeline_new_draft (config, findings);
  g_assert_nonnull (pipeline);
  g_assert_cmpuint (findings->len, ==, 0);
  steps = cis_pipeline_list_steps (pipeline);
  g_assert_cmpuint (steps->len, ==, 2);
  g_assert_cmpint (g_array_index (steps, CisStep, 1).when, ==, CIS_WHEN_REJECTED);
}

/* All at once: an operator mends a file in one go. */
static void
test_several (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);

  test_write (tree, "cis490.ini", "[site]\nlistn=x\n");
  test_write (
      tree, "pipelines/p.ini",
      "[pipeline]\nstages=count;a\nworkers=0\n[count]\nplugin=test/count\nitems=x\n[a]\nplugin=no/such\n");
  g_assert_null (build (tree, findings));
  g_assert_cmpuint (findings->len, ==, 4);
}

static void
test_secret (void)
{
  static const struct
  {
    mode_t mode, folder;
    const char *id;
  } cases[] = { { 0600, 0755, NULL },
                { 0640, 01777, NULL },
                { 0644, 0755, "secret-exposed" },
                { 0602, 0755, "secret-exposed" },
                { 0660, 0755, "secret-exposed" },
                { 0600, 0777, "secret-exposed" } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TestTree) tree = test_tree_new ();
      g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
      g_autofree char *token = g_build_filename (tree, "secrets", "token", NULL);
      g_autofree char *folder = g_path_get_dirname (token);
      g_autofree char *site = g_strdup_printf ("[site]\nreceiver-url=unix:/x\ntoken-file=%s\n", token);
      g_autoptr (CisPipeline) pipeline = NULL;

      test_write (tree, "secrets/token", "x\n");
      g_assert_no_errno (g_chmod (token, cases[i].mode));
      g_assert_no_errno (g_chmod (folder, cases[i].folder));
      test_write (tree, "cis490.ini", site);
      test_write (tree, "pipelines/p.ini",
                  "[pipeline]\nstages=count;p;a\n[count]\nplugin=test/count\n[p]\nplugin=pack/"
                  "tar-zstd\nstate=/x\n[a]\nplugin=transport/http\nstate=/x\n");
      pipeline = build (tree, findings);
      g_assert_true ((pipeline != NULL) == (cases[i].id == NULL));
      g_assert_true (cases[i].id == NULL || find (findings, cases[i].id) != NULL);
    }
}

int
main (int argc, char **argv)
{
  g_autofree char *fixtures = NULL;
  g_autofree char *path = NULL;

  g_test_init (&argc, &argv, NULL);
  fixtures = g_test_build_filename (G_TEST_BUILT, "plugins", NULL);
  path = g_strconcat (fixtures, ":", g_getenv ("CIS490_PLUGIN_PATH"), NULL);
  g_setenv ("CIS490_PLUGIN_PATH", path, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      g_autofree char *name = g_strconcat ("/pipeline-build/", mistakes[i].name, NULL);

      g_test_add_data_func (name, &mistakes[i], test_mistake);
    }
  for (guint i = 0; i < G_N_ELEMENTS (hosts); i++)
    {
      g_autofree char *name = g_strconcat ("/pipeline-build/host/", hosts[i].name, NULL);

      g_test_add_data_func (name, GUINT_TO_POINTER (i), test_host);
    }
  g_test_add_func ("/pipeline-build/draft", test_draft);
  g_test_add_func ("/pipeline-build/several", test_several);
  g_test_add_func ("/pipeline-build/secret", test_secret);
  return g_test_run ();
}
