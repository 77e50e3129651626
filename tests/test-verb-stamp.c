/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/shared/code-version.h"
#include "harness.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

typedef struct
{
  TestTree *tree;
} Fixture;

static char *
run_in (const char *folder, const char *script)
{
  const char *argv[] = { "sh", "-ec", script, NULL };
  g_autoptr (GError) error = NULL;
  char *output = NULL;
  int status;

  g_spawn_sync (folder, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, &status,
                &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  g_assert_no_error (error);
  return g_strstrip (output);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->tree = test_tree_new ();
  g_free (run_in (fixture->tree,
                  "git init -q -b trunk code; cd code; echo 1 > file; git add file; git commit -q -m 1\n"
                  "mkdir deep\n"));
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  test_tree_remove (fixture->tree);
}

/* `cis490 stamp` in tree/@folder; what it says on either channel, its exit status in *status. full. */
static char *
stamp (Fixture *fixture, const char *folder, int *status, const char *first, const char *second)
{
  g_autofree char *cwd = g_build_filename (fixture->tree, folder, NULL);
  const char *argv[] = { g_getenv ("CIS490_PROGRAM"), "stamp", "../episode", first, second, NULL };
  g_autofree char *output = NULL;
  g_autofree char *messages = NULL;
  g_autoptr (GError) error = NULL;
  int wait_status;

  g_spawn_sync (cwd, (char **) argv, NULL, 0, NULL, NULL, &output, &messages, &wait_status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (wait_status));
  *status = WEXITSTATUS (wait_status);
  return g_strconcat (output, messages, NULL);
}

static void
assert_stamped (Fixture *fixture, const char *branch, gboolean dirty)
{
  g_autofree char *head = run_in (fixture->tree, "git -C code rev-parse HEAD");
  g_autofree char *line = g_strdup_printf ("%s %s %s\n", head, branch, dirty ? "dirty" : "clean");
  g_autofree char *meta = NULL;
  g_autofree char *said = NULL;
  g_autoptr (JsonObject) object = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *version;
  int status;

  said = stamp (fixture, "code", &status, NULL, NULL);
  g_assert_cmpstr (said, ==, line);
  g_assert_cmpint (status, ==, 0);
  meta = test_read (fixture->tree, "episode/meta.json");
  object = cis_json_parse (meta, strlen (meta), &error);
  g_assert_no_error (error);
  version = json_object_get_object_member (object, "code_version");
  g_assert_cmpstr (cis_json_get_string (version, "commit"), ==, head);
  g_assert_cmpstr (cis_json_get_string (version, "branch"), ==, branch);
  g_assert_true (json_object_get_boolean_member (version, "dirty") == dirty);
}

/* A new episode of that code. */
static void
assert_new_stamped (Fixture *fixture, const char *branch, gboolean dirty)
{
  test_write (fixture->tree, "episode/meta.json", "{}");
  assert_stamped (fixture, branch, dirty);
}

static void
test_state (Fixture *fixture, gconstpointer data)
{
  assert_new_stamped (fixture, "trunk", FALSE);
  g_free (run_in (fixture->tree, "touch code/unknown"));
  assert_stamped (fixture, "trunk", FALSE);
  g_free (run_in (fixture->tree, "echo 2 > code/file"));
  assert_stamped (fixture, "trunk", TRUE);
  g_free (run_in (fixture->tree, "git -C code add file"));
  assert_stamped (fixture, "trunk", TRUE);
  g_free (run_in (fixture->tree, "git -C code commit -q -m 2; git -C code checkout -q -b fix/it"));
  assert_new_stamped (fixture, "fix/it", FALSE);
  g_free (run_in (fixture->tree, "git -C code checkout -q --detach"));
  assert_stamped (fixture, "HEAD", FALSE);
  g_free (run_in (fixture->tree, "rm code/file"));
  assert_stamped (fixture, "HEAD", TRUE);
}

/* What a stamp that was killed left would be shipped. */
static void
test_left (Fixture *fixture, gconstpointer data)
{
  g_autofree char *names = NULL;

  test_write (fixture->tree, "episode/meta.json", "{}");
  test_write (fixture->tree, "episode/.meta.json.0123abcd.tmp", "{\"ha");
  test_write (fixture->tree, "episode/.meta.json.20260302.tmp.old", "an experiment's");
  test_write (fixture->tree, "episode/.meta.json.original.tmp", "an experiment's");
  assert_stamped (fixture, "trunk", FALSE);
  names = test_list (fixture->tree, "episode");
  g_assert_cmpstr (names, ==, ".meta.json.20260302.tmp.old .meta.json.original.tmp meta.json");
}

static void
assert_becomes (Fixture *fixture, const char *before, const char *format)
{
  g_autofree char *head = run_in (fixture->tree, "git -C code rev-parse HEAD");
  g_autofree char *value =
      g_strdup_printf ("{\"commit\":\"%s\",\"branch\":\"trunk\",\"dirty\":false,\"repository\":\"%s/code\"}",
                       head, fixture->tree);
  g_auto (GStrv) parts = g_strsplit (format, "STAMP", 2);
  g_autofree char *expected = g_strjoinv (value, parts);

  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *after = NULL;

      if (i == 0)
        test_write (fixture->tree, "episode/meta.json", before);
      assert_stamped (fixture, "trunk", FALSE);
      after = test_read (fixture->tree, "episode/meta.json");
      g_assert_cmpstr (after, ==, expected);
    }
}

/* Every byte but the stamp's stays, above all numbers that no double holds. */
static void
test_kept (Fixture *fixture, gconstpointer data)
{
  assert_becomes (fixture, "{}", "{\n  \"code_version\": STAMP\n}");
  assert_becomes (fixture, "{\"seed\": 18446744073709551615}\n",
                  "{\"seed\": 18446744073709551615,\n  \"code_version\": STAMP\n}\n");
  assert_becomes (
      fixture, "{\n  \"a\": \"}\\\"{\",\n  \"b\": [{\"code_version\": 0.1}]\n}\n",
      "{\n  \"a\": \"}\\\"{\",\n  \"b\": [{\"code_version\": 0.1}],\n  \"code_version\": STAMP\n}\n");
  assert_becomes (fixture, "{\"code\\u005fversion\": 1}", "{\"code\\u005fversion\": STAMP}");
  assert_becomes (fixture, "{ \"x\": \"code_version\", \"code_version\" : { \"commit\": [] } , \"z\": -1e-7}",
                  "{ \"x\": \"code_version\", \"code_version\" : STAMP , \"z\": -1e-7}");
}

/* full */
static JsonObject *
read_meta (Fixture *fixture)
{
  g_autofree char *text = test_read (fixture->tree, "episode/meta.json");
  g_autoptr (GError) error = NULL;
  JsonObject *meta = cis_json_parse (text, strlen (text), &error);

  g_assert_no_error (error);
  return meta;
}

static void
assert_replaced (Fixture *fixture, const char *old, const char *why, guint n_earlier)
{
  g_autofree char *head = run_in (fixture->tree, "git -C code rev-parse HEAD");
  g_autofree char *said = NULL;
  g_autoptr (JsonObject) meta = NULL;
  JsonObject *version, *change;
  int status;

  said = stamp (fixture, "code", &status, "--replace", why);
  g_assert_cmpint (status, ==, 0);
  meta = read_meta (fixture);
  version = json_object_get_object_member (meta, "code_version");
  change = json_object_get_object_member (version, "restamped");
  g_assert_cmpstr (cis_json_get_string (version, "commit"), ==, head);
  g_assert_cmpstr (cis_json_get_string (change, "old"), ==, old);
  g_assert_cmpstr (cis_json_get_string (change, "new"), ==, head);
  g_assert_cmpstr (cis_json_get_string (change, "why"), ==, why);
  g_assert_true (g_str_has_prefix (cis_json_get_string (change, "when"), "20"));
  g_assert_nonnull (strchr (cis_json_get_string (change, "by"), '@'));
  g_assert_cmpuint (n_earlier > 0 ? json_array_get_length (json_object_get_array_member (change, "earlier"))
                                  : (guint) json_object_has_member (change, "earlier"),
                    ==, n_earlier);
}

/* A stamp is of the code that made the episode. Newer code takes its place for a reason only, which stays. */
static void
test_replace (Fixture *fixture, gconstpointer data)
{
  g_autofree char *first = run_in (fixture->tree, "git -C code rev-parse HEAD");
  g_autofree char *second = NULL;
  g_autofree char *before = NULL;
  g_autofree char *said = NULL;
  g_autoptr (JsonObject) meta = NULL;
  int status;

  assert_new_stamped (fixture, "trunk", FALSE);
  before = test_read (fixture->tree, "episode/meta.json");
  second = run_in (fixture->tree, "git -C code commit -q --allow-empty -m 2; git -C code rev-parse HEAD");
  said = stamp (fixture, "code", &status, NULL, NULL);
  g_assert_cmpint (status, ==, 1);
  g_assert_nonnull (strstr (said, first));
  g_assert_nonnull (strstr (said, second));
  g_assert_nonnull (strstr (said, "--replace"));
  {
    g_autofree char *after = test_read (fixture->tree, "episode/meta.json");

    g_assert_cmpstr (before, ==, after);
  }
  assert_replaced (fixture, first, "it ran from another checkout", 0);
  g_free (run_in (fixture->tree, "git -C code commit -q --allow-empty -m 3"));
  assert_replaced (fixture, second, "again", 1);
  /* The same commit once more takes nothing from that. */
  assert_stamped (fixture, "trunk", FALSE);
  meta = read_meta (fixture);
  g_assert_cmpstr (cis_code_version_read (meta).restamped, ==, first);
}

/* What counts as another stamp, and what says nothing of the code. */
static void
test_contradiction (Fixture *fixture, gconstpointer data)
{
  g_autofree char *head = run_in (fixture->tree, "git -C code rev-parse HEAD");
  static const char *const refused[] = {
    "{\"commit\":\"0123456789abcdef0123456789abcdef01234567\"}",
    "{\"commit\":\"0123456789AB\"}",
    "\"0123456789abcdef0123456789abcdef01234567\"",
    "{\"commit\":\"HEAD_COMMIT\",\"dirty\":true}",
    "{\"commit\":\"HEAD_COMMIT0\"}",
  };
  static const char *const taken[] = {
    "null",
    "\"unknown\"",
    "{}",
    "{\"commit\":\"HEAD\"}",
    "{\"commit\":\"\"}",
    "{\"commit\":\"HEAD_COMMIT\"}",
    "{\"commit\":\"HEAD_COMMIT\",\"branch\":\"other\",\"dirty\":false}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (refused) + G_N_ELEMENTS (taken); i++)
    {
      gboolean take = i >= G_N_ELEMENTS (refused);
      g_auto (GStrv) parts =
          g_strsplit (take ? taken[i - G_N_ELEMENTS (refused)] : refused[i], "HEAD_COMMIT", 2);
      g_autofree char *version = g_strjoinv (head, parts);
      g_autofree char *meta = g_strdup_printf ("{\"code_version\":%s}", version);
      g_autofree char *said = NULL;
      int status;

      g_test_message ("%s", meta);
      test_write (fixture->tree, "episode/meta.json", meta);
      said = stamp (fixture, "code", &status, NULL, NULL);
      g_assert_cmpint (status, ==, take ? 0 : 1);
    }
  /* A file that is changed while the experiment runs makes the later stamp the truer one. */
  assert_new_stamped (fixture, "trunk", FALSE);
  g_free (run_in (fixture->tree, "echo 2 > code/file"));
  assert_stamped (fixture, "trunk", TRUE);
}

static void
test_reason (Fixture *fixture, gconstpointer data)
{
  static const char *const reasons[] = { "", " ", "two\nlines", "\033[2J" };

  test_write (fixture->tree, "episode/meta.json", "{}");
  for (guint i = 0; i < G_N_ELEMENTS (reasons); i++)
    {
      int status;
      g_autofree char *said = stamp (fixture, "code", &status, "--replace", reasons[i]);

      g_assert_cmpint (status, ==, 64);
    }
}

/* Where the checkout is and where it comes from, but nobody's password. */
static void
test_origin (Fixture *fixture, gconstpointer data)
{
  static const struct
  {
    const char *url, *noted;
  } remotes[] = {
    { "https://git.example/lab/code.git", "https://git.example/lab/code.git" },
    { "https://me:secret@git.example/lab/code", "https://git.example/lab/code" },
    { "https://secret@git.example:8443/code?token=secret#x", "https://git.example:8443/code" },
    { "ssh://git:secret@git.example:22/~me/code", "ssh://git@git.example:22/~me/code" },
    { "git@git.example:lab/a@b.git", "git@git.example:lab/a@b.git" },
    { "/srv/git/a@b", "/srv/git/a@b" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (remotes); i++)
    {
      g_autofree char *quoted = g_shell_quote (remotes[i].url);
      g_autofree char *script = g_strdup_printf ("git -C code config remote.origin.url %s", quoted);
      g_autofree char *repository = g_build_filename (fixture->tree, "code", NULL);
      g_autoptr (JsonObject) meta = NULL;

      g_free (run_in (fixture->tree, script));
      assert_new_stamped (fixture, "trunk", FALSE);
      meta = read_meta (fixture);
      g_assert_cmpstr (cis_code_version_read (meta).remote, ==, remotes[i].noted);
      g_assert_cmpstr (cis_code_version_read (meta).repository, ==, repository);
    }
}

static void
test_mode (Fixture *fixture, gconstpointer data)
{
  g_autofree char *meta = g_build_filename (fixture->tree, "episode", "meta.json", NULL);
  g_autofree char *names = NULL;
  struct stat status;

  test_write (fixture->tree, "episode/meta.json", "{}");
  g_assert_no_errno (g_chmod (meta, 0664));
  assert_stamped (fixture, "trunk", FALSE);
  g_assert_no_errno (g_stat (meta, &status));
  g_assert_cmpint (status.st_mode & 07777, ==, 0664);
  names = test_list (fixture->tree, "episode");
  g_assert_cmpstr (names, ==, "meta.json");
}

static void
assert_refused (Fixture *fixture, const char *folder, const char *repository, int expected,
                const char *message)
{
  int status;
  g_autofree char *said =
      stamp (fixture, folder, &status, repository != NULL ? "--repository" : NULL, repository);

  g_test_message ("%s", said);
  g_assert_nonnull (strstr (said, message));
  g_assert_cmpint (status, ==, expected);
}

static void
test_refused (Fixture *fixture, gconstpointer data)
{
  int status;
  g_autofree char *said = NULL;

  assert_refused (fixture, "code", NULL, 1, "Cannot open the folder ../episode");
  g_free (run_in (fixture->tree, "mkdir episode empty; git init -q unborn; git clone -q --bare code bare"));
  assert_refused (fixture, "code", NULL, 1, "has no meta.json, which the experiment writes");
  test_write (fixture->tree, "episode/meta.json", "{\"a\": 1");
  assert_refused (fixture, "code", NULL, 1, "../episode/meta.json");
  test_write (fixture->tree, "episode/meta.json", "{}");
  assert_refused (fixture, "empty", NULL, 1, "is in no repository");
  assert_refused (fixture, "code", "../empty", 1, "Cannot open the repository ../empty");
  assert_refused (fixture, "code", "deep", 1, "Cannot open the repository deep");
  assert_refused (fixture, "code", "../unborn", 1, "has no commit checked out");
  assert_refused (fixture, "code", "../bare", 1, "is a bare repository");
  said = stamp (fixture, "code", &status, "another", NULL);
  g_assert_cmpint (status, ==, 64);
  {
    g_autofree char *meta = test_read (fixture->tree, "episode/meta.json");

    g_assert_cmpstr (meta, ==, "{}");
  }
}

static void
test_repository (Fixture *fixture, gconstpointer data)
{
  g_autofree char *said = NULL;
  g_autofree char *deep = NULL;
  int status;

  g_free (run_in (fixture->tree, "mkdir empty; mkdir -p code/episode"));
  test_write (fixture->tree, "episode/meta.json", "{}");
  test_write (fixture->tree, "code/episode/meta.json", "{}");
  said = stamp (fixture, "empty", &status, "--repository", "../code");
  g_assert_cmpint (status, ==, 0);
  deep = stamp (fixture, "code/deep", &status, NULL, NULL);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpstr (said, ==, deep);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("HOME", "/nonexistent", TRUE);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  g_setenv ("GIT_CONFIG_NOSYSTEM", "1", TRUE);
  g_setenv ("GIT_AUTHOR_NAME", "A", TRUE);
  g_setenv ("GIT_AUTHOR_EMAIL", "a@example.org", TRUE);
  g_setenv ("GIT_COMMITTER_NAME", "A", TRUE);
  g_setenv ("GIT_COMMITTER_EMAIL", "a@example.org", TRUE);
  g_test_add ("/verb-stamp/state", Fixture, NULL, set_up, test_state, tear_down);
  g_test_add ("/verb-stamp/kept", Fixture, NULL, set_up, test_kept, tear_down);
  g_test_add ("/verb-stamp/left", Fixture, NULL, set_up, test_left, tear_down);
  g_test_add ("/verb-stamp/replace", Fixture, NULL, set_up, test_replace, tear_down);
  g_test_add ("/verb-stamp/contradiction", Fixture, NULL, set_up, test_contradiction, tear_down);
  g_test_add ("/verb-stamp/reason", Fixture, NULL, set_up, test_reason, tear_down);
  g_test_add ("/verb-stamp/origin", Fixture, NULL, set_up, test_origin, tear_down);
  g_test_add ("/verb-stamp/mode", Fixture, NULL, set_up, test_mode, tear_down);
  g_test_add ("/verb-stamp/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add ("/verb-stamp/repository", Fixture, NULL, set_up, test_repository, tear_down);
  return g_test_run ();
}
