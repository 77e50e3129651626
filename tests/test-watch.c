/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/scan/episodes/watch.h"
#include "harness.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

typedef struct
{
  char *tree;
  int folder;
  Watch *watch;
  GString *events;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer unused)
{
  fixture->tree = test_tree_new ();
  fixture->folder = open (fixture->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  fixture->watch = watch_new (fixture->folder);
  fixture->events = g_string_new (NULL);
  g_assert_cmpint (watch_get_fd (fixture->watch), >=, 0);
}

static void
tear_down (Fixture *fixture, gconstpointer unused)
{
  watch_free (fixture->watch);
  g_string_free (fixture->events, TRUE);
  close (fixture->folder);
  test_tree_remove (fixture->tree);
}

static void
on_event (const char *name, WatchEvent event, gpointer user_data)
{
  static const char marks[] = { '+', '-', '!', '?' };

  g_string_append_printf (user_data, "%c%s ", marks[event], name != NULL ? name : "");
}

static void
assert_events (Fixture *fixture, const char *expected)
{
  g_string_truncate (fixture->events, 0);
  watch_read (fixture->watch, on_event, fixture->events);
  g_assert_cmpstr (fixture->events->str, ==, expected);
}

static void
move (Fixture *fixture, const char *from, const char *to)
{
  g_assert_no_errno (renameat (fixture->folder, from, fixture->folder, to));
}

/* In place, as an experiment may. */
static void
fill (Fixture *fixture, const char *name)
{
  int fd = openat (fixture->folder, name, O_WRONLY | O_TRUNC | O_CLOEXEC);

  g_assert_no_errno (fd);
  g_assert_cmpint (write (fd, "{}", 2), ==, 2);
  g_assert_no_errno (close (fd));
}

static void
test_watch_episodes (Fixture *fixture, gconstpointer unused)
{
  assert_events (fixture, "");
  test_write (fixture->tree, "run-1/log.txt", "");
  assert_events (fixture, "+run-1 ");
  move (fixture, "run-1", "run-2");
  assert_events (fixture, "-run-1 +run-2 ");
}

static void
test_watch_unfinished (Fixture *fixture, gconstpointer unused)
{
  test_write (fixture->tree, "run-1/log.txt", "");
  watch_add_unfinished (fixture->watch, "run-1");
  watch_add_unfinished (fixture->watch, "run-1");
  watch_add_unfinished (fixture->watch, "not-there");
  assert_events (fixture, "+run-1 ");
  test_write (fixture->tree, "run-1/data/telemetry.jsonl", "");
  assert_events (fixture, "");
  test_write (fixture->tree, "run-1/meta.json", "{}");
  g_string_truncate (fixture->events, 0);
  watch_read (fixture->watch, on_event, fixture->events);
  g_assert_true (g_str_has_prefix (fixture->events->str, "!run-1 "));
  fill (fixture, "run-1/meta.json");
  assert_events (fixture, "!run-1 ");
  watch_remove_unfinished (fixture->watch, "run-1");
  test_write (fixture->tree, "run-1/meta.json", "{ }");
  assert_events (fixture, "");
}

static void
test_watch_renamed (Fixture *fixture, gconstpointer unused)
{
  test_write (fixture->tree, "run-1/log.txt", "");
  watch_add_unfinished (fixture->watch, "run-1");
  move (fixture, "run-1", "run-2");
  watch_add_unfinished (fixture->watch, "run-2");
  assert_events (fixture, "+run-1 -run-1 +run-2 ");
  test_write (fixture->tree, "run-2/meta.json", "{}");
  g_string_truncate (fixture->events, 0);
  watch_read (fixture->watch, on_event, fixture->events);
  g_assert_true (g_str_has_prefix (fixture->events->str, "!run-2 "));
}

static gboolean
is_known (gpointer user_data, const char *name)
{
  return g_str_equal (name, user_data);
}

static void
test_watch_prune (Fixture *fixture, gconstpointer unused)
{
  test_write (fixture->tree, "run-1/log.txt", "");
  test_write (fixture->tree, "run-2/log.txt", "");
  watch_add_unfinished (fixture->watch, "run-1");
  watch_add_unfinished (fixture->watch, "run-2");
  watch_prune (fixture->watch, is_known, (gpointer) "run-2");
  assert_events (fixture, "+run-1 +run-2 ");
  test_write (fixture->tree, "run-1/meta.json", "{}");
  assert_events (fixture, "");
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/watch/episodes", Fixture, NULL, set_up, test_watch_episodes, tear_down);
  g_test_add ("/watch/unfinished", Fixture, NULL, set_up, test_watch_unfinished, tear_down);
  g_test_add ("/watch/renamed", Fixture, NULL, set_up, test_watch_renamed, tear_down);
  g_test_add ("/watch/prune", Fixture, NULL, set_up, test_watch_prune, tear_down);
  return g_test_run ();
}
