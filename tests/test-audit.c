/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "../plugins/store/quarantine/audit.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define RELEASE(episode, reason) "{\"episode\":\"" episode "\",\"verb\":\"release\",\"reason\":" reason "}\n"
#define STAY(time)               "{\"quarantined_at\":\"" time "\",\"first_seen\":\"2026-01-01T00:00:00Z\"}"

typedef struct
{
  char *tree;
  int dirfd;
  Audit *audit;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->tree = test_tree_new ();
  f->dirfd = open (f->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  f->audit = audit_new (f->dirfd, f->tree);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  audit_free (f->audit);
  close (f->dirfd);
  test_tree_remove (f->tree);
}

static void
append (Fixture *f, const char *text)
{
  g_autofree char *before = test_read (f->tree, "audit.jsonl");
  g_autofree char *after = g_strconcat (before != NULL ? before : "", text, NULL);
  g_autofree char *path = g_build_filename (f->tree, "audit.jsonl", NULL);

  g_assert_true (g_file_set_contents_full (path, after, -1, G_FILE_SET_CONTENTS_NONE, 0640, NULL));
}

/* A line counts for its episode if it tells of a release; one that a cut release left twice counts once. */
static void
test_counts (Fixture *f, gconstpointer data)
{
  g_autofree char *first_seen = NULL, *none = NULL;

  g_assert_cmpuint (audit_count_releases (f->audit, "run", NULL), ==, 0);
  append (f, RELEASE ("run", STAY ("2026-01-02T00:00:00Z")) RELEASE ("run", STAY ("2026-01-02T00:00:00Z")));
  append (f, RELEASE ("run", STAY ("2026-01-03T00:00:00Z")) RELEASE ("other", STAY ("2026-01-02T00:00:00Z")));
  append (
      f,
      "{\"episode\":\"run\",\"verb\":\"purge\",\"user\":\"release\"}\n{\"verb\":\"release\"}\n\"release\n");
  g_assert_cmpuint (audit_count_releases (f->audit, "run", &first_seen), ==, 2);
  g_assert_cmpstr (first_seen, ==, "2026-01-01T00:00:00Z");
  /* Released without a reason, or with what is none. */
  append (f, RELEASE ("bare", "7") RELEASE ("bare", "{}") "{\"episode\":\"bare\",\"verb\":\"release\"}\n");
  g_assert_cmpuint (audit_count_releases (f->audit, "bare", &none), ==, 3);
  g_assert_null (none);
}

/* A line that is not whole yet counts once it is; what was rotated away still holds. */
static void
test_reads_on (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->tree, "audit.jsonl", NULL);

  append (f, RELEASE ("run", STAY ("2026-01-02T00:00:00Z")) "{\"episode\":\"run\",\"verb\"");
  g_assert_cmpuint (audit_count_releases (f->audit, "run", NULL), ==, 1);
  append (f, ":\"release\"}\n");
  g_assert_cmpuint (audit_count_releases (f->audit, "run", NULL), ==, 2);
  g_assert_no_errno (truncate (path, 0));
  g_assert_cmpuint (audit_count_releases (f->audit, "run", NULL), ==, 2);
  append (f, RELEASE ("run", STAY ("2026-01-05T00:00:00Z")));
  g_assert_cmpuint (audit_count_releases (f->audit, "run", NULL), ==, 3);
}

static glong
get_peak_kib (void)
{
  struct rusage usage;

  g_assert_no_errno (getrusage (RUSAGE_SELF, &usage));
  return usage.ru_maxrss;
}

/* Nothing ever shortens the file, and the shipper reads it while it runs. */
static void
test_large (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->tree, "audit.jsonl", NULL);
  g_autofree char *line = g_strnfill (1023, 'x');
  g_autoptr (GString) lines = g_string_new (NULL);
  FILE *file = fopen (path, "w");
  glong before;

  for (guint i = 0; i < 1024; i++)
    g_string_append_printf (lines, "%s\n", line);
  for (guint i = 0; i < 64; i++)
    g_assert_cmpuint (fwrite (lines->str, lines->len, 1, file), ==, 1);
  g_assert_cmpint (fputs (RELEASE ("run", STAY ("2026-01-02T00:00:00Z")), file), >=, 0);
  g_assert_no_errno (fclose (file));
  before = get_peak_kib ();
  g_assert_cmpuint (audit_count_releases (f->audit, "run", NULL), ==, 1);
  g_assert_cmpint (get_peak_kib () - before, <, 16 * 1024);
}

/* A FIFO that nobody writes to must not hold the shipper. */
static void
test_no_file (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->tree, "audit.jsonl", NULL);

  g_assert_no_errno (mkfifo (path, 0640));
  g_assert_cmpuint (audit_count_releases (f->audit, "run", NULL), ==, 0);
}

static void
assert_user (Fixture *f, const char *sudo_user, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  g_autoptr (JsonObject) line = NULL;
  g_auto (GStrv) lines = NULL;

  if (sudo_user != NULL)
    g_setenv ("SUDO_USER", sudo_user, TRUE);
  else
    g_unsetenv ("SUDO_USER");
  g_assert_true (audit_append (f->audit, "purge", "run-2", "run", NULL, &error));
  text = test_read (f->tree, "audit.jsonl");
  lines = g_strsplit (text, "\n", -1);
  line = cis_json_parse (lines[g_strv_length (lines) - 2], strlen (lines[g_strv_length (lines) - 2]), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (cis_json_get_string (line, "user"), ==, expected);
  g_assert_cmpstr (cis_json_get_string (line, "episode"), ==, "run");
  g_assert_cmpstr (cis_json_get_string (line, "id"), ==, "run-2");
  g_assert_false (json_object_has_member (line, "reason"));
}

/* Whom sudo(8) was called by, but only root may say so. */
static void
test_user (Fixture *f, gconstpointer data)
{
  assert_user (f, NULL, g_get_user_name ());
  assert_user (f, "", g_get_user_name ());
  assert_user (f, "alice", geteuid () == 0 ? "alice" : g_get_user_name ());
  g_unsetenv ("SUDO_USER");
}

/* What a power cut tore spoils no other line. */
static void
test_torn (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  append (f, "{\"ts\":\"2026");
  g_assert_true (audit_append (f->audit, "release", "run", "run", NULL, &error));
  text = test_read (f->tree, "audit.jsonl");
  g_assert_true (g_str_has_prefix (text, "{\"ts\":\"2026\n{\"ts\":"));
  g_assert_cmpuint (audit_count_releases (f->audit, "run", NULL), ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/audit/counts", Fixture, NULL, set_up, test_counts, tear_down);
  g_test_add ("/audit/reads-on", Fixture, NULL, set_up, test_reads_on, tear_down);
  g_test_add ("/audit/large", Fixture, NULL, set_up, test_large, tear_down);
  g_test_add ("/audit/no-file", Fixture, NULL, set_up, test_no_file, tear_down);
  g_test_add ("/audit/user", Fixture, NULL, set_up, test_user, tear_down);
  g_test_add ("/audit/torn", Fixture, NULL, set_up, test_torn, tear_down);
  return g_test_run ();
}
