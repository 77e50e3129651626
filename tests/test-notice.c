/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/store/notice.h"
#include "once.h"

#include <fcntl.h>
#include <glib/gstdio.h>

#define DAY  (G_GINT64_CONSTANT (24) * 3600 * G_USEC_PER_SEC)
#define YEAR (365 * DAY)
#define NOW  (56 * YEAR)

typedef struct
{
  char *tree;
  int fd;
} Folder;

static void
folder_set_up (Folder *folder, gconstpointer unused)
{
  g_autoptr (GError) error = NULL;

  folder->tree = test_tree_new ();
  folder->fd = cis_folder_open (AT_FDCWD, folder->tree, FALSE, &error);
  g_assert_no_error (error);
}

static void
folder_tear_down (Folder *folder, gconstpointer unused)
{
  g_close (folder->fd, NULL);
  test_tree_remove (folder->tree);
}

static gint64
pass (Folder *folder, gint64 oldest, gint64 now, gint64 period)
{
  g_autoptr (GError) error = NULL;
  gint64 by;

  notice_pass (folder->fd, oldest, now, period, &by, &error);
  g_assert_no_error (error);
  return by;
}

/* A notice that was given at @given, in a boot that is over, and after which the machine ran for @ran. */
static void
write_notice (Folder *folder, gint64 given, gint64 ran)
{
  g_autofree char *text = g_strdup_printf ("{\"given\": %" G_GINT64_FORMAT ", \"ran\": %" G_GINT64_FORMAT
                                           ", \"boot\": \"another\", \"seen\": 5000000}",
                                           given, ran);

  test_write (folder->tree, NOTICE_FILE, text);
}

static void
test_notice_second_pass (Folder *folder, gconstpointer unused)
{
  g_assert_cmpint (pass (folder, NOW - DAY, NOW, 1000), ==, NOTICE_NONE);
  g_usleep (1000);
  /* What became due since is not meant. */
  g_assert_cmpint (pass (folder, NOW - DAY, NOW + DAY, 1000), ==, NOW);
  g_assert_true (notice_stands (folder->fd));
  g_assert_true (notice_end (folder->fd, NULL));
  g_assert_cmpint (pass (folder, NOW - DAY, NOW + DAY, 1000), ==, NOTICE_NONE);
}

static void
test_notice_wall_clock_alone (Folder *folder, gconstpointer unused)
{
  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (pass (folder, 0, NOW + i * YEAR, DAY), ==, NOTICE_NONE);
}

static void
test_notice_clock_back (Folder *folder, gconstpointer unused)
{
  g_assert_cmpint (pass (folder, 0, NOW + 10 * YEAR, 0), ==, NOTICE_NONE);
  /* It was ahead. */
  g_assert_cmpint (pass (folder, 0, NOW, 0), ==, NOTICE_NONE);
  g_assert_cmpint (pass (folder, 0, NOW, 0), ==, NOW);
}

static void
test_notice_nothing_due (Folder *folder, gconstpointer unused)
{
  g_autofree char *names = NULL;

  g_assert_cmpint (pass (folder, NOW + 1, NOW, 0), ==, NOTICE_NONE);
  g_assert_cmpint (pass (folder, NOW, NOW, 0), ==, NOTICE_NONE);
  g_assert_true (notice_stands (folder->fd));
  g_assert_cmpint (pass (folder, NOW + 1, NOW, 0), ==, NOTICE_NONE);
  names = test_list (folder->tree, ".");
  g_assert_cmpstr (names, ==, "");
}

/* Each boot counts from its own beginning. */
static void
test_notice_boots (Folder *folder, gconstpointer unused)
{
  write_notice (folder, NOW, 1000 * YEAR);
  g_assert_cmpint (pass (folder, 0, NOW + DAY, 1000 * YEAR), ==, NOW);
  write_notice (folder, NOW, 999 * YEAR);
  g_assert_cmpint (pass (folder, 0, NOW + DAY, 1000 * YEAR), ==, NOTICE_NONE);
  g_assert_cmpint (pass (folder, 0, NOW + DAY, 999 * YEAR + 1), ==, NOW);
  write_notice (folder, NOW + 2 * DAY, 1000 * YEAR);
  g_assert_cmpint (pass (folder, 0, NOW + DAY, DAY), ==, NOTICE_NONE);
}

static void
test_notice_damaged (Folder *folder, gconstpointer unused)
{
  g_autofree char *large = g_strnfill (10000, ' ');
  const char *texts[] = { "",
                          "{",
                          "[]",
                          "{\"given\": 1}",
                          large,
                          "{\"given\": -1, \"ran\": 9000000000000000000, \"boot\": \"a\", \"seen\": 1}",
                          "{\"given\": 1, \"ran\": \"1\", \"boot\": \"a\", \"seen\": 1}",
                          "{\"given\": 1, \"ran\": 1, \"boot\": 7, \"seen\": 1}" };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      test_write (folder->tree, NOTICE_FILE, texts[i]);
      g_assert_cmpint (pass (folder, 0, NOW, 0), ==, NOTICE_NONE);
      g_assert_cmpint (pass (folder, 0, NOW, 0), ==, NOW);
    }
}

static void
test_notice_withdrawn (Folder *folder, gconstpointer unused)
{
  g_assert_true (notice_withdraw (folder->fd, 0, NULL));
  write_notice (folder, NOW, DAY);
  g_assert_true (notice_withdraw (folder->fd, NOW + 1, NULL));
  g_assert_true (notice_stands (folder->fd));
  g_assert_true (notice_withdraw (folder->fd, NOW, NULL));
  g_assert_false (notice_stands (folder->fd));
  /* One that cannot be read may be for it. */
  test_write (folder->tree, NOTICE_FILE, "{");
  g_assert_true (notice_withdraw (folder->fd, NOW, NULL));
  g_assert_false (notice_stands (folder->fd));
}

/* As in a state folder whose notice was given when the clock was right, and that a drain works on when it is
 * not. */
static void
test_notice_quarantined (Folder *folder, gconstpointer unused)
{
  g_autoptr (CisPipeline) pipeline = NULL;

  pipeline = once_load (folder->tree, "[pipeline]\nstages=scan;stamp;quarantine\n"
                                      "[scan]\nplugin=scan/episodes\nstate=@STATE@\nquiet=1ms\n"
                                      "[stamp]\nplugin=gate/stamp\n"
                                      "[quarantine]\nplugin=store/quarantine\nstate=@STATE@\nkeep-days=0\n");
  test_make_episode (folder->tree, "state/episodes/run-1", '\0');
  test_write (folder->tree, "state/quarantine/" NOTICE_FILE,
              "{\"given\": 4000000000000000, \"ran\": 1, \"boot\": \"a\", \"seen\": 1}");
  g_assert_cmpint (once_run (pipeline), ==, 65);
  g_assert_true (test_exists (folder->tree, "state/quarantine/run-1"));
  g_assert_false (test_exists (folder->tree, "state/quarantine/" NOTICE_FILE));
}

static void
add (const char *path, void (*func) (Folder *, gconstpointer))
{
  g_test_add (path, Folder, NULL, folder_set_up, func, folder_tear_down);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  add ("/notice/second-pass", test_notice_second_pass);
  add ("/notice/wall-clock-alone", test_notice_wall_clock_alone);
  add ("/notice/clock-back", test_notice_clock_back);
  add ("/notice/nothing-due", test_notice_nothing_due);
  add ("/notice/boots", test_notice_boots);
  add ("/notice/damaged", test_notice_damaged);
  add ("/notice/withdrawn", test_notice_withdrawn);
  add ("/notice/quarantined", test_notice_quarantined);
  return g_test_run ();
}
