/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "../plugins/store/index/row-set.h"
#include "../plugins/shared/rows/row.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static gboolean
parse (const char *line, CisRow *row)
{
  return cis_row_parse (line, strlen (line), row);
}

static void
assert_row (const char *line, const char *host, const char *episode, const char *sha256, gint64 size)
{
  CisRow row;

  g_assert_true (parse (line, &row));
  g_assert_cmpstr (row.host, ==, host);
  g_assert_cmpstr (row.episode, ==, episode);
  g_assert_cmpstr (row.sha256, ==, sha256);
  g_assert_cmpint (row.size, ==, size);
}

/* As the program writes them, and as somebody else may. */
static void
test_good (void)
{
  assert_row ("{\"ts\":\"2026\",\"host\":\"lab-1\",\"episode\":\"run\",\"sha256\":\"" SHA256
              "\",\"size\":5,\"archive\":\"store/lab-1/run.tar.zst\",\"recovered\":true}",
              "lab-1", "run", SHA256, 5);
  assert_row ("{ \"episode\" : \"run\", \"host\": \"lab-1\", \"note\": {\"host\": \"other\", \"size\": 7} }",
              "lab-1", "run", "", -1);
  assert_row ("{\"note\":\"\\\"host\\\":\\\"x\\\"\",\"host\":\"lab-1\",\"episode\":\"run\",\"size\":-3}",
              "lab-1", "run", "", -1);
  /* A flag of somebody else's; numbers that are no size; names in UTF-8, or with a DEL. */
  assert_row ("{\"host\":\"lab-1\",\"episode\":\"run\",\"good\":false,\"bad\":true,\"size\":0,\"n\":12}",
              "lab-1", "run", "", 0);
  assert_row ("{\"host\":\"lab-1\",\"episode\":\"run\",\"size\":1234567890123456789}", "lab-1", "run", "",
              1234567890123456789);
  assert_row ("{\"note\":\"\177\",\"host\":\"lab-1\",\"episode\":\"run\",\"none\":null}", "lab-1", "run", "",
              -1);
  assert_row ("{\"note\" :\"\",\"host\":\"lab-1\",\"episode\":\"run\",\"sha256\":\"" SHA256 "\"}", "lab-1",
              "run", SHA256, -1);
  assert_row ("{\"host\":\"lab\\u002d1\",\"episode\":\"run\",\"size\":1e2}", "lab-1", "run", "", -1);
}

static void
test_bad (void)
{
  static const char *const lines[] = {
    "",
    "{}",
    "null",
    "{\"host\":\"lab-1\"}",
    "{\"host\":\"lab-1\",\"episode\":5}",
    "{\"host\":\"lab-1\",\"episode\":\"../run\"}",
    "{\"host\":\"lab-1\",\"episode\":\"\"}",
    "{\"host\":\"lab-1\",\"episode\":\"run\"",
    "{\"host\":\"lab-1\",\"episode\":\"run\"}}",
    "{\"host\":\"lab-1\",\"episode\":\"run\",}",
    "{\"host\":\"lab-1\",\"episode\":\"run\",\"size\":007}",
    "{\"host\":\"lab-1\",\"episode\":\"run\",\"host\":\"lab-2\"}",
    "{\"host\":\"lab-1\",\"episode\":\"run\",\"sha256\":\"0123\"}",
    "{\"host\":\"lab-1\",\"episode\":\"run\",\"sha256\":\"" SHA256 "0\"}",
    "{\"host\": \"lab-1\",\"episode\":\"run\",\"sha256\":\"" SHA256 "0\"}",
    "{\"host\":\"lab-1\",\"episode\":\"run\",\"size\":1,\"size\":2}",
    "{\"host\":\"lab-1\",\"episode\":\"run\",\"size\":",
    "{\"host\":\"lab-1\",\"episode\":\"run\",\"size\":12345678901234567890123",
    "{\"host\":\"lab-1\",\"episode\":\"run\",\"good\":tru",
    "{\"host\":\"lab-1\",\"episode\":\"run",
    "{\"host",
    "{\"host\"",
    "{\"host\":",
    "{\"host\": \"0123456789012345678901234567890123456789012345678901234567890123\", \"episode\": \"run\"}",
    "{\"host\":\"LAB/1\",\"episode\":\"run\"}",
  };
  CisRow row;

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    if (parse (lines[i], &row))
      g_error ("taken: %s", lines[i]);
}

static void
append (int fd, const char *text)
{
  g_assert_cmpint (write (fd, text, strlen (text)), ==, strlen (text));
}

static void
count (const CisRow *row, gint64 offset, gpointer user_data)
{
  guint *counts = user_data;

  counts[row != NULL]++;
}

/* Rows lie across the blocks in which the file is read, one is longer than all of ours can be, one is
 * torn. */
static void
test_foreach (void)
{
  g_autofree char *filling = g_strnfill (3 * 1024 * 1024, 'x');
  guint counts[2] = { 0 };
  gint64 offset = 0, size;
  g_autoptr (GError) error = NULL;
  int fd = memfd_create ("rows", MFD_CLOEXEC);

  for (guint i = 0; i < 30000; i++)
    {
      g_autofree char *row =
          g_strdup_printf ("{\"host\":\"lab-1\",\"episode\":\"run-%u\",\"size\":%u}\n", i, i);

      append (fd, row);
      if (i == 20000)
        append (fd, filling);
      if (i == 20000)
        append (fd, "\n");
    }
  size = lseek (fd, 0, SEEK_CUR);
  append (fd, "{\"host\":\"lab-1\",\"episode\":\"torn\"");
  g_assert_true (cis_row_foreach (fd, &offset, lseek (fd, 0, SEEK_CUR), count, counts, NULL, &error));
  g_assert_cmpuint (counts[TRUE], ==, 30000);
  g_assert_cmpuint (counts[FALSE], ==, 1);
  g_assert_cmpint (offset, ==, size);
  append (fd, "}\n");
  g_assert_true (cis_row_foreach (fd, &offset, lseek (fd, 0, SEEK_CUR), count, counts, NULL, &error));
  g_assert_cmpuint (counts[TRUE], ==, 30001);
  g_close (fd, NULL);
}

/* As an editor leaves it, who took a row out by hand. */
static void
test_edited (void)
{
  guint counts[2] = { 0 };
  gint64 offset = 0, size;
  int fd = memfd_create ("rows", MFD_CLOEXEC);

  append (fd, "\xef\xbb\xbf{\"host\":\"lab-1\",\"episode\":\"a\"}\n\n  \t\n");
  append (fd, "{\"host\":\"lab-1\",\"episode\":\"b\"}\r\n\r\n");
  append (fd, "  {\"host\":\"lab-1\",\"episode\":\"c\"}   \n\n");
  size = lseek (fd, 0, SEEK_CUR);
  g_assert_true (cis_row_foreach (fd, &offset, size, count, counts, NULL, NULL));
  g_assert_cmpuint (counts[TRUE], ==, 3);
  g_assert_cmpuint (counts[FALSE], ==, 0);
  g_assert_cmpint (offset, ==, size);
  g_close (fd, NULL);
}

/* Who stops the program does not wait for a large index. */
static void
test_cancelled (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  guint counts[2] = { 0 };
  gint64 offset = 0;
  int fd = memfd_create ("rows", MFD_CLOEXEC);

  append (fd, "{\"host\":\"lab-1\",\"episode\":\"a\"}\n");
  g_cancellable_cancel (cancellable);
  g_assert_false (cis_row_foreach (fd, &offset, lseek (fd, 0, SEEK_CUR), count, counts, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (counts[FALSE] + counts[TRUE], ==, 0);
  g_close (fd, NULL);
}

static void
test_set (void)
{
  g_autoptr (CisRowSet) set = cis_row_set_new ();
  int fd = memfd_create ("rows", MFD_CLOEXEC);

  append (fd, "{\"host\":\"lab-1\",\"episode\":\"a\"}\n{\"host\":\"lab-1\",\"episode\":\"a\"}\nnoise\n{"
              "\"host\":\"lab-2\",\"episode\":\"b\"}\n{"
              "\"host\":\"lab-1\",");
  g_assert_true (cis_row_set_read (set, fd, NULL, NULL));
  g_assert_true (cis_row_set_has (set, "lab-1", "a"));
  g_assert_true (cis_row_set_has (set, "lab-2", "b"));
  g_assert_false (cis_row_set_has (set, "lab-1", "b"));
  g_assert_false (cis_row_set_has (set, "lab-1", "c"));
  append (fd, "\"episode\":\"c\"}\n");
  g_assert_true (cis_row_set_read (set, fd, NULL, NULL));
  g_assert_true (cis_row_set_has (set, "lab-1", "c"));
  g_close (fd, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/row/good", test_good);
  g_test_add_func ("/row/bad", test_bad);
  g_test_add_func ("/row/foreach", test_foreach);
  g_test_add_func ("/row/edited", test_edited);
  g_test_add_func ("/row/cancelled", test_cancelled);
  g_test_add_func ("/row/set", test_set);
  return g_test_run ();
}
