/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What comes is in the file of that name, whatever others do to it. */

#include "../plugins/shared/lines/lines.h"
#include "harness.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  char *tree;
  char *file;
  int folder;
  Lines lines;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->tree = test_tree_new ();
  f->file = g_build_filename (f->tree, "a.jsonl", NULL);
  f->folder = test_tree_open (f->tree);
  f->lines = (Lines){ .folder = f->folder, .path = f->tree, .name = "a.jsonl" };
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  close (f->folder);
  g_free (f->file);
  test_tree_remove (f->tree);
}

static void
append (Fixture *f, const char *line)
{
  g_autoptr (GError) error = NULL;

  lines_append (&f->lines, line, NULL, &error);
  g_assert_no_error (error);
}

static void
assert_text (Fixture *f, const char *name, const char *expected)
{
  g_autofree char *text = test_read (f->tree, name);

  g_assert_cmpstr (text, ==, expected);
}

/* As logrotate(8) does it, and people. */
static void
test_from_outside (Fixture *f, gconstpointer data)
{
  g_autofree char *moved = g_build_filename (f->tree, "moved", NULL);

  append (f, "1");
  g_assert_no_errno (g_rename (f->file, moved));
  append (f, "2");
  assert_text (f, "moved", "1\n");
  assert_text (f, "a.jsonl", "2\n");
  g_assert_no_errno (truncate (f->file, 0));
  append (f, "3");
  assert_text (f, "a.jsonl", "3\n");
  g_assert_no_errno (g_unlink (f->file));
  append (f, "4");
  assert_text (f, "a.jsonl", "4\n");
  /* An editor writes a new file in its place, without the last newline. */
  test_write (f->tree, "new", "edited");
  g_assert_no_errno (g_rename (moved, f->file));
  test_write (f->tree, "a.jsonl", "edited");
  append (f, "5");
  assert_text (f, "a.jsonl", "edited\n5\n");
}

/* The folder, too, where it goes by a path. */
static void
test_folder_replaced (Fixture *f, gconstpointer data)
{
  g_autofree char *folder = g_build_filename (f->tree, "state", NULL);
  g_autofree char *moved = g_build_filename (f->tree, "moved", NULL);
  g_autofree char *file = g_build_filename (folder, "a.jsonl", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_no_errno (g_mkdir (folder, 0750));
  g_assert_true (lines_append_to (file, &f->lines, "1", NULL, &error));
  g_assert_no_errno (g_rename (folder, moved));
  g_assert_false (lines_append_to (file, &f->lines, "lost", NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_no_errno (g_mkdir (folder, 0750));
  g_assert_true (lines_append_to (file, &f->lines, "2", NULL, &error));
  assert_text (f, "moved/a.jsonl", "1\n");
  assert_text (f, "state/a.jsonl", "2\n");
}

static void
test_rotation (Fixture *f, gconstpointer data)
{
  f->lines.max_size = 4;
  f->lines.keep = 2;
  for (guint i = 1; i <= 9; i++)
    {
      g_autofree char *line = g_strdup_printf ("%u", i);

      append (f, line);
    }
  assert_text (f, "a.jsonl", "9\n");
  assert_text (f, "a.jsonl.1", "7\n8\n");
  assert_text (f, "a.jsonl.2", "5\n6\n");
  g_assert_false (test_exists (f->tree, "a.jsonl.3"));
  f->lines.keep = 0;
  append (f, "more than four");
  assert_text (f, "a.jsonl", "more than four\n");
  assert_text (f, "a.jsonl.1", "7\n8\n");
}

/* Half a line is cut off: the limit on a file's size plays a disk that is full. */
static void
test_full (Fixture *f, gconstpointer data)
{
  struct rlimit before, limit;
  g_autoptr (GError) error = NULL;

  append (f, "first");
  signal (SIGXFSZ, SIG_IGN);
  g_assert_no_errno (getrlimit (RLIMIT_FSIZE, &before));
  limit = before;
  limit.rlim_cur = 10;
  g_assert_no_errno (setrlimit (RLIMIT_FSIZE, &limit));
  g_assert_false (lines_append (&f->lines, "too much", NULL, &error));
  g_assert_nonnull (error);
  assert_text (f, "a.jsonl", "first\n");
  g_assert_no_errno (setrlimit (RLIMIT_FSIZE, &before));
  append (f, "then");
  assert_text (f, "a.jsonl", "first\nthen\n");
}

static void
assert_refused (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (lines_append (&f->lines, "x", NULL, &error));
  g_assert_nonnull (error);
  g_assert_no_errno (g_remove (f->file));
}

/* A file that is none holds nobody, and no link leads elsewhere, but where its owner may follow it. */
static void
test_no_file (Fixture *f, gconstpointer data)
{
  g_assert_no_errno (mkfifo (f->file, 0640));
  assert_refused (f);
  g_assert_no_errno (g_mkdir (f->file, 0750));
  assert_refused (f);
  g_assert_no_errno (symlink ("b.jsonl", f->file));
  assert_refused (f);
  g_assert_false (test_exists (f->tree, "b.jsonl"));
  g_assert_no_errno (symlink ("b.jsonl", f->file));
  f->lines.follow = TRUE;
  append (f, "1");
  assert_text (f, "b.jsonl", "1\n");
}

static gpointer
append_many (gpointer data)
{
  Fixture *f = data;

  for (guint i = 0; i < 50; i++)
    append (f, "a line of one of several writers");
  return NULL;
}

/* None is lost or torn while the file is rotated under the hands of several. */
static void
test_several (Fixture *f, gconstpointer data)
{
  g_autofree char *whole = NULL;
  GThread *threads[4];
  guint n = 0;

  f->lines.max_size = 1000;
  f->lines.keep = 100;
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("append", append_many, f);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i <= 100; i++)
    {
      g_autofree char *name = i == 0 ? g_strdup ("a.jsonl") : g_strdup_printf ("a.jsonl.%u", i);
      g_autofree char *text = test_read (f->tree, name);
      g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);

      for (char **line = lines; *line != NULL; line++)
        n += g_str_equal (*line, "a line of one of several writers");
    }
  g_assert_cmpuint (n, ==, 200);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/lines/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("from-outside", test_from_outside);
  ADD ("folder-replaced", test_folder_replaced);
  ADD ("rotation", test_rotation);
  ADD ("full", test_full);
  ADD ("no-file", test_no_file);
  ADD ("several", test_several);
  return g_test_run ();
}
