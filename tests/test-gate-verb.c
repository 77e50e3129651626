/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "forge.h"

#include <sys/wait.h>

/* A receiver with a window of 5 and a repository of 20 commits, a minute apart. */
typedef struct
{
  TestTree *tree;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autofree char *text = NULL;
  g_autofree char *state = NULL;

  fixture->tree = test_tree_new ();
  state = g_build_filename (fixture->tree, "state", NULL);
  forge_make_repository (fixture->tree, 20);
  text = g_strdup_printf ("[site]\nrepository=%s/repository\nwindow=5\ntokens-file=%s/tokens\n",
                          fixture->tree, fixture->tree);
  test_write (fixture->tree, "cis490.ini", text);
  test_write (fixture->tree, "tokens", "");
  g_free (forge_run (fixture->tree, "chmod 600 tokens; mkdir -p state run"));
  g_setenv ("STATE_DIRECTORY", state, TRUE);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  test_tree_remove (fixture->tree);
}

static char *
get_commit (Fixture *fixture, guint number)
{
  return forge_run (fixture->tree, "git -C repository rev-parse c%u", number);
}

/* "2026-11-21T22:51:00Z": when the commit was made, and @seconds later. */
static char *
get_time (Fixture *fixture, guint number, int seconds)
{
  g_autofree char *made = forge_run (fixture->tree, "git -C repository log -1 --format=%%ct c%u", number);

  return cis_time_to_string ((g_ascii_strtoll (made, NULL, 10) + seconds) * G_USEC_PER_SEC);
}

static JsonObject *
gate (Fixture *fixture, int expected, const char *verb, ...)
{
  g_autofree char *site = g_build_filename (fixture->tree, "cis490.ini", NULL);
  g_autoptr (GPtrArray) arguments = g_ptr_array_new ();
  g_autofree char *output = NULL;
  g_autofree char *messages = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *object;
  const char *argument;
  int status;
  va_list list;

  g_ptr_array_add (arguments, (gpointer) g_getenv ("CIS490_PROGRAM"));
  g_ptr_array_add (arguments, (gpointer) "gate");
  g_ptr_array_add (arguments, (gpointer) verb);
  va_start (list, verb);
  while ((argument = va_arg (list, const char *)) != NULL)
    g_ptr_array_add (arguments, (gpointer) argument);
  va_end (list);
  g_ptr_array_add (arguments, (gpointer) "--config");
  g_ptr_array_add (arguments, site);
  g_ptr_array_add (arguments, (gpointer) "--json");
  g_ptr_array_add (arguments, NULL);
  g_spawn_sync (NULL, (char **) arguments->pdata, NULL, 0, NULL, NULL, &output, &messages, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s%s", output, messages);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, expected);
  if (expected > 1 || output[0] == '\0')
    {
      g_assert_cmpint (expected, !=, 0);
      g_assert_cmpstr (output, ==, "");
      g_assert_cmpstr (messages, !=, "");
      return NULL;
    }
  object = cis_json_parse (output, strlen (output), &error);
  g_assert_no_error (error);
  return object;
}

/* @position: 0 where it is refused. @at: nullable. */
static void
assert_explained (Fixture *fixture, guint number, const char *at, gint64 position, gint64 behind)
{
  g_autofree char *commit = get_commit (fixture, number);
  g_autofree char *option = at != NULL ? g_strconcat ("--at=", at, NULL) : NULL;
  g_autoptr (JsonObject) object = gate (fixture, position > 0 ? 0 : 1, "explain", commit, option, NULL);

  g_assert_true (json_object_get_boolean_member (object, "passes") == (position > 0));
  g_assert_cmpint (cis_json_get_size (object, "position", 0), ==, position);
  g_assert_cmpint (cis_json_get_size (object, "behind", -1), ==, behind);
  g_assert_cmpstr (cis_json_get_string (object, "source"), ==, "git");
}

static void
test_explain (Fixture *fixture, gconstpointer data)
{
  g_autofree char *then = get_time (fixture, 10, 1);
  g_autofree char *before = get_time (fixture, 10, -1);

  assert_explained (fixture, 20, NULL, 1, 0);
  assert_explained (fixture, 16, NULL, 5, 4);
  assert_explained (fixture, 15, NULL, 0, 5);
  /* As it was then. */
  assert_explained (fixture, 10, then, 1, 0);
  assert_explained (fixture, 6, then, 5, 4);
  assert_explained (fixture, 6, before, 4, 3);
  assert_explained (fixture, 5, then, 0, 5);
  assert_explained (fixture, 10, before, 0, -1);
}

/* What the source said, and what to do about it where there is something. @fix: nullable. */
static void
assert_trouble (JsonObject *object, const char *trouble, const char *fix)
{
  const char *said = cis_json_get_string (object, "fix");

  g_assert_cmpstr (cis_json_get_string (object, "trouble"), ==, trouble);
  g_assert_true ((said != NULL) == (fix != NULL) && (fix == NULL || strstr (said, fix) != NULL));
}

static void
test_trouble (Fixture *fixture, gconstpointer data)
{
  g_autofree char *commit = get_commit (fixture, 10);
  g_autofree char *first = get_time (fixture, 1, -1);
  g_autofree char *at = g_strconcat ("--at=", first, NULL);
  g_autofree char *early = g_strdup_printf ("git: main has no commits before %s", first);
  g_autofree char *none = NULL;
  g_autoptr (JsonObject) before = gate (fixture, 1, "explain", commit, at, NULL);
  g_autoptr (JsonObject) gone = NULL;

  assert_trouble (before, early, NULL);
  g_free (forge_run (fixture->tree, "git -C repository branch -m main other"));
  gone = gate (fixture, 1, "explain", commit, NULL);
  none = g_strdup_printf ("git: no branch main in %s/repository", fixture->tree);
  assert_trouble (gone, none, "fetch origin");
}

static void
test_grant (Fixture *fixture, gconstpointer data)
{
  g_autofree char *commit = get_commit (fixture, 3);
  g_autofree char *site = test_read (fixture->tree, "cis490.ini");
  g_autofree char *text = g_strdup_printf ("%sgrants-file=%s/grants\n", site, fixture->tree);
  g_autofree char *line = g_strdup_printf ("old %s lab-1 2090-01-01\n", commit);
  g_autofree char *past =
      g_strdup_printf ("older %s lab-1 2020-01-01\nold %s lab-1 2020-01-02\n", commit, commit);
  g_autoptr (JsonObject) granted = NULL;
  g_autoptr (JsonObject) other = NULL;
  g_autoptr (JsonObject) ended = NULL;
  g_autoptr (JsonObject) never = NULL;

  test_write (fixture->tree, "cis490.ini", text);
  test_write (fixture->tree, "grants", line);
  granted = gate (fixture, 0, "explain", commit, "--host=lab-1", NULL);
  g_assert_cmpstr (cis_json_get_string (granted, "grant"), ==, "old");
  other = gate (fixture, 1, "explain", commit, "--host=lab-2", NULL);
  g_assert_null (cis_json_get_string (other, "ended_grant"));
  test_write (fixture->tree, "grants", past);
  ended = gate (fixture, 1, "explain", commit, "--host=lab-1", NULL);
  g_assert_cmpstr (cis_json_get_string (ended, "ended_grant"), ==, "old");
  g_assert_cmpstr (cis_json_get_string (ended, "ended"), ==, "2020-01-02");
  never = gate (fixture, 1, "explain", commit, "--host=lab-2", NULL);
  g_assert_null (cis_json_get_string (never, "ended_grant"));
}

static void
assert_reason (JsonObject *object, const char *beginning)
{
  g_test_message ("%s", cis_json_get_string (object, "reason"));
  g_assert_true (g_str_has_prefix (cis_json_get_string (object, "reason"), beginning));
}

/* What a line does not say, nobody knows, as it is with the gate itself. */
static void
test_mistaken_grants (Fixture *fixture, gconstpointer data)
{
  g_autofree char *good = get_commit (fixture, 3);
  g_autofree char *stale = get_commit (fixture, 4);
  g_autofree char *site = test_read (fixture->tree, "cis490.ini");
  g_autofree char *text = g_strdup_printf ("%sgrants-file=%s/grants\n", site, fixture->tree);
  g_autofree char *lines = g_strdup_printf ("bad\ngood %s * 2090-01-01\n", good);
  g_autoptr (JsonObject) granted = NULL;
  g_autoptr (JsonObject) waiting = NULL;

  test_write (fixture->tree, "cis490.ini", text);
  test_write (fixture->tree, "grants", lines);
  granted = gate (fixture, 0, "explain", good, NULL);
  g_assert_cmpstr (cis_json_get_string (granted, "grant"), ==, "good");
  waiting = gate (fixture, 1, "explain", stale, NULL);
  assert_reason (waiting, "waits: a grant");
  g_assert_nonnull (strstr (cis_json_get_string (waiting, "grants"), "grants:1:"));
}

/* By Forgejo while it is there, else by the repository, which refuses nobody then. */
static void
test_forgejo (Fixture *fixture, gconstpointer data)
{
  g_autoptr (Forge) forge = forge_new (fixture->tree, NULL);
  g_autofree char *site = test_read (fixture->tree, "cis490.ini");
  g_autofree char *text =
      g_strdup_printf ("%sforgejo-url=%s\nforgejo-repository=lab/code\n", site, forge->url);
  g_autofree char *recent = get_commit (fixture, 19);
  g_autofree char *stale = get_commit (fixture, 1);
  g_autoptr (JsonObject) there = NULL;
  g_autoptr (JsonObject) gone = NULL;
  g_autoptr (JsonObject) waiting = NULL;

  test_write (fixture->tree, "cis490.ini", text);
  there = gate (fixture, 0, "explain", recent, NULL);
  g_assert_cmpstr (cis_json_get_string (there, "source"), ==, "forgejo");
  forge_set (forge, "500");
  gone = gate (fixture, 0, "explain", recent, NULL);
  g_assert_cmpstr (cis_json_get_string (gone, "source"), ==, "git-fallback");
  waiting = gate (fixture, 1, "explain", stale, NULL);
  g_assert_true (g_str_has_prefix (cis_json_get_string (waiting, "reason"), "waits"));
}

static void
test_usage (Fixture *fixture, gconstpointer data)
{
  g_autofree char *commit = get_commit (fixture, 1);

  gate (fixture, 64, "explain", NULL);
  gate (fixture, 64, "explain", "no-such", NULL);
  gate (fixture, 64, "explain", "0123456789ab", NULL);
  gate (fixture, 64, "explain", commit, "--at=yesterday", NULL);
  gate (fixture, 64, "explain", commit, "--window=1", NULL);
  gate (fixture, 64, "explain", commit, "--index=x", NULL);
  gate (fixture, 64, "replay", "--window=-1", NULL);
  gate (fixture, 64, "replay", "--at=2026-11-21", NULL);
  gate (fixture, 64, "replay", "--host=lab-1", NULL);
  gate (fixture, 64, "repaly", NULL);
  gate (fixture, 78, "explain", commit, "--pipeline=shipper", NULL);
}

static void
append_row (Fixture *fixture, GString *rows, const char *episode, guint commit, guint then, const char *more)
{
  g_autofree char *hex = get_commit (fixture, commit);
  g_autofree char *ts = get_time (fixture, then, 1);

  g_string_append_printf (rows, "{\"ts\":\"%s\",\"host\":\"lab-1\",\"episode\":\"%s\",\"commit\":\"%s\"%s}\n",
                          ts, episode, hex, more);
}

static void
assert_replayed (Fixture *fixture, const char *window, const char *expected)
{
  g_autofree char *option = g_strconcat ("--window=", window, NULL);
  g_autoptr (JsonObject) object = gate (fixture, 0, "replay", option, NULL);
  JsonArray *refused = json_object_get_array_member (object, "refused");
  g_autoptr (GString) names = g_string_new (NULL);

  g_assert_cmpint (cis_json_get_size (object, "rows", 0), ==, 6);
  g_assert_cmpint (cis_json_get_size (object, "without_commit", 0), ==, 1);
  g_assert_cmpint (cis_json_get_size (object, "exempt", 0), ==, 1);
  for (guint i = 0; i < json_array_get_length (refused); i++)
    g_string_append (names, cis_json_get_string (json_array_get_object_element (refused, i), "episode"));
  g_assert_cmpstr (names->str, ==, expected);
}

static void
test_replay (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GString) rows =
      g_string_new ("{\"ts\":\"2026-01-01T00:00:00Z\",\"host\":\"lab-1\",\"episode\":\"old\"}\n");

  gate (fixture, 69, "replay", NULL);
  gate (fixture, 1, "replay", "--index=nowhere", NULL);
  append_row (fixture, rows, "a", 10, 10, ""); /* the head of then */
  append_row (fixture, rows, "b", 8, 10, "");  /* the third */
  append_row (fixture, rows, "c", 1, 20, "");  /* the twentieth */
  append_row (fixture, rows, "d", 12, 10, ""); /* made later, so it cannot have been there */
  append_row (fixture, rows, "e", 1, 20, ",\"grant\":\"x\"");
  test_write (fixture->tree, "state/index.jsonl", rows->str);
  assert_replayed (fixture, "1", "bcd");
  assert_replayed (fixture, "2", "bcd");
  assert_replayed (fixture, "3", "cd");
  assert_replayed (fixture, "19", "cd");
  assert_replayed (fixture, "20", "d");
  /* A receiver is writing a row. */
  g_string_append (rows, "{\"ts\":");
  test_write (fixture->tree, "state/index.jsonl", rows->str);
  assert_replayed (fixture, "20", "d");
  g_string_append (rows, "\n");
  test_write (fixture->tree, "state/index.jsonl", rows->str);
  g_assert_null (gate (fixture, 1, "replay", NULL));
}

/* What lies behind the edge of a shallow clone was not refused for that. */
static void
test_shallow (Fixture *fixture, gconstpointer data)
{
  g_autoptr (GString) rows = g_string_new (NULL);
  g_autoptr (JsonObject) object = NULL;
  JsonArray *refused;

  append_row (fixture, rows, "a", 10, 10, "");
  append_row (fixture, rows, "b", 18, 20, "");
  append_row (fixture, rows, "c", 19, 20, "");
  test_write (fixture->tree, "state/index.jsonl", rows->str);
  g_free (forge_run (fixture->tree, "git clone -q --bare --depth=3 file://$PWD/repository shallow\n"
                                    "sed -i \"s|^repository=.*|repository=$PWD/shallow|\" cis490.ini"));
  object = gate (fixture, 0, "replay", "--window=2", NULL);
  refused = json_object_get_array_member (object, "refused");
  g_assert_cmpuint (json_array_get_length (refused), ==, 1);
  g_assert_cmpstr (cis_json_get_string (json_array_get_object_element (refused, 0), "episode"), ==, "b");
  g_assert_cmpint (cis_json_get_size (object, "unknown", 0), ==, 1);
}

/* By what messages print of a commit, and by what git takes for one. */
static void
test_named (Fixture *fixture, gconstpointer data)
{
  g_autofree char *commit = get_commit (fixture, 19);
  g_autofree char *digits = g_strndup (commit, 12);
  g_autofree char *upper = g_ascii_strup (digits, -1);
  g_autofree char *old = get_commit (fixture, 3);
  g_autofree char *old_digits = g_strndup (old, 12);
  const char *const names[] = { digits, upper, "c19", "HEAD~1", "main~1", commit, old_digits, "c3" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      gboolean is_old = i >= 6;
      g_autoptr (JsonObject) object = gate (fixture, is_old ? 1 : 0, "explain", names[i], NULL);

      g_test_message ("%s", names[i]);
      g_assert_cmpstr (cis_json_get_string (object, "commit"), ==, is_old ? old : commit);
    }
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "/gate-verb/named", test_named },
    { "/gate-verb/explain", test_explain },
    { "/gate-verb/trouble", test_trouble },
    { "/gate-verb/grant", test_grant },
    { "/gate-verb/mistaken-grants", test_mistaken_grants },
    { "/gate-verb/forgejo", test_forgejo },
    { "/gate-verb/usage", test_usage },
    { "/gate-verb/replay", test_replay },
    { "/gate-verb/shallow", test_shallow },
  };

  g_test_init (&argc, &argv, NULL);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  forge_prepare ();
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
