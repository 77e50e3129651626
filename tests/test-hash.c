/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A hundred thousand strings that g_str_hash() cannot tell apart, put where strings of others go. By it each
 * table took at least half a minute of one core; a hash that its key makes another takes a tenth of a second.
 */

#include "../core/cis-findings.h"
#include "../core/cis-hash.h"
#include "../plugins/gate/window/commits.h"
#include "../plugins/scan/episodes/backlog.h"
#include "../plugins/store/archive/holds.h"
#include "../plugins/store/index/row-set.h"
#include "colliding.h"
#include "harness.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define N 100000
/* Of one core, however busy the machine is, and under valgrind. */
#define SECONDS 10

typedef void (*Put) (gpointer self, const char *name);

static void
check_cost (Put put, gpointer self)
{
  clock_t begin = clock ();

  for (guint i = 0; i < N; i++)
    {
      g_autofree char *name = colliding_name (i);

      put (self, name);
      /* Soon enough to see it, and not in half an hour. */
      if (i % 256 == 0)
        g_assert_cmpint ((clock () - begin) / CLOCKS_PER_SEC, <, SECONDS);
    }
  g_assert_cmpint ((clock () - begin) / CLOCKS_PER_SEC, <, SECONDS);
}

/* Of the paper's appendix A. */
static void
test_vectors (void)
{
  static const struct
  {
    gsize length;
    guint64 hash;
  } vectors[] = {
    { 0, G_GUINT64_CONSTANT (0x726fdb47dd0e0e31) },  { 1, G_GUINT64_CONSTANT (0x74f839c593dc67fd) },
    { 7, G_GUINT64_CONSTANT (0xab0200f58b01d137) },  { 8, G_GUINT64_CONSTANT (0x93f5f5799a932462) },
    { 15, G_GUINT64_CONSTANT (0xa129ca6149be45e5) },
  };
  guint64 key[2] = { GUINT64_TO_LE (G_GUINT64_CONSTANT (0x0706050403020100)),
                     GUINT64_TO_LE (G_GUINT64_CONSTANT (0x0f0e0d0c0b0a0908)) };
  guint8 data[16];

  for (guint8 i = 0; i < sizeof data; i++)
    data[i] = i;
  for (gsize i = 0; i < G_N_ELEMENTS (vectors); i++)
    g_assert_cmphex (cis_siphash (key, data, vectors[i].length), ==, vectors[i].hash);
}

/* The names are what they are said to be, and our hash tells them apart. */
static void
test_colliding (void)
{
  g_autofree char *first = colliding_name (0);
  guint n_alike = 0;

  for (guint i = 1; i < 1000; i++)
    {
      g_autofree char *name = colliding_name (i);

      g_assert_cmpstr (name, !=, first);
      g_assert_cmphex (g_str_hash (name), ==, g_str_hash (first));
      g_assert_true (cis_name_is_valid (name, CIS_HOST_NAME_MAX));
      n_alike += cis_str_hash (name) == cis_str_hash (first);
    }
  g_assert_cmpuint (n_alike, <, 10);
}

static void
test_keys (void)
{
  g_autoptr (GHashTable) table = g_hash_table_new (cis_str_hash, g_str_equal);
  g_autofree const char **none = cis_str_keys (table), **keys = NULL;
  g_autofree char *joined = NULL;

  g_assert_null (none[0]);
  g_hash_table_add (table, (gpointer) "b");
  g_hash_table_add (table, (gpointer) "a");
  g_hash_table_add (table, (gpointer) "");
  keys = cis_str_keys (table);
  joined = g_strjoinv (",", (char **) keys);
  g_assert_cmpstr (joined, ==, ",a,b");
}

static void
put_mark (gpointer self, const char *name)
{
  cis_item_set_mark (self, name, "");
}

static void
put_header (gpointer self, const char *name)
{
  cis_request_set_header (self, name, "");
}

static void
put_finding (gpointer self, const char *name)
{
  g_autoptr (CisFinding) finding = cis_finding_new ("x", CIS_SEVERITY_INFO, name, "It is so.");
  CisFindingChange change;

  cis_findings_raise (self, finding, "x", &change);
}

static void
put_hold (gpointer self, const char *name)
{
  g_assert_nonnull (cis_holds_take (self, name, name));
}

static void
put_episode (gpointer self, const char *name)
{
  backlog_add (self, name, 0, 0);
}

static void
put_commit (gpointer self, const char *name)
{
  cis_window_append (self, name, 0);
}

static void
put_row (gpointer self, const char *name)
{
  g_string_append_printf (self, "{\"host\":\"%s\",\"episode\":\"run\"}\n", name);
}

static void
test_tables (void)
{
  g_autoptr (CisItem) item = cis_item_new ("x", NULL);
  g_autoptr (CisRequest) request = cis_request_new ("GET", "/");
  CisFindings *findings = cis_findings_new ();
  CisEpisodeHolds *holds = cis_holds_new (1);
  Backlog *backlog = backlog_new (1, 1);
  CisWindow *window = cis_window_new ("x", 0);

  check_cost (put_mark, item);
  check_cost (put_header, request);
  check_cost (put_finding, findings);
  check_cost (put_hold, holds);
  check_cost (put_episode, backlog);
  check_cost (put_commit, window);

  cis_findings_free (findings);
  cis_holds_free (holds);
  backlog_free (backlog);
  cis_window_unref (window);
}

/* Each host of another's name, and all of them in one index. */
static void
test_rows (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (CisRowSet) rows = cis_row_set_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *last = colliding_name (N - 1), *next = colliding_name (N);
  int fd = memfd_create ("index", MFD_CLOEXEC);
  clock_t begin;

  check_cost (put_row, text);
  g_assert_cmpint (write (fd, text->str, text->len), ==, text->len);
  begin = clock ();
  g_assert_true (cis_row_set_read (rows, fd, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint ((clock () - begin) / CLOCKS_PER_SEC, <, SECONDS);
  g_assert_true (cis_row_set_has (rows, last, "run"));
  g_assert_false (cis_row_set_has (rows, next, "run"));
  close (fd);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/hash/vectors", test_vectors);
  g_test_add_func ("/hash/colliding", test_colliding);
  g_test_add_func ("/hash/keys", test_keys);
  g_test_add_func ("/hash/tables", test_tables);
  g_test_add_func ("/hash/rows", test_rows);
  return g_test_run ();
}
