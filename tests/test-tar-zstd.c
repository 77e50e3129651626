/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
state_of (const char *tree)
{
  return g_build_filename (tree, "state", NULL);
}

static CisStage *
pack_new (const char *tree, int level)
{
  g_autofree char *state = state_of (tree);
  g_autoptr (GError) error = NULL;
  CisStage *pack =
      test_part_new ("pack/tar-zstd", "state", state, "level", level, "free-space", (guint64) 0, NULL);

  cis_part_open (CIS_PART (pack), NULL, &error);
  g_assert_no_error (error);
  return pack;
}

static void
pack_end (CisStage *pack)
{
  cis_part_close (CIS_PART (pack));
  g_object_unref (pack);
}

static CisEpisode *
episode_new (const char *tree, const char *name)
{
  CisEpisode *episode = cis_episode_new (NULL, name, NULL);
  g_autofree char *directory = g_build_filename (tree, "state/episodes", name, NULL);

  cis_episode_set_directory (episode, directory);
  return episode;
}

/* Packs and expects @verdict with the finding @id (nullable); returns the digest where it passed; full. */
static char *
pack_expect (CisStage *pack, const char *tree, const char *name, CisVerdict verdict, const char *id)
{
  g_autoptr (CisEpisode) episode = episode_new (tree, name);
  g_autoptr (CisOutcome) outcome = NULL;
  CisVerdict got = test_process (pack, episode, &outcome);
  CisFinding *finding = cis_outcome_get_finding (outcome);

  if (cis_outcome_get_error (outcome) != NULL)
    g_test_message ("%s", cis_outcome_get_error (outcome)->message);
  g_assert_cmpstr (cis_verdict_to_string (got), ==, cis_verdict_to_string (verdict));
  g_assert_cmpstr (finding != NULL ? cis_finding_get_id (finding) : NULL, ==, id);
  if (finding != NULL)
    g_assert_true (g_utf8_validate (cis_finding_get_summary (finding), -1, NULL));
  return g_strdup (cis_episode_get_sha256 (episode));
}

static void
run_command (const char *format, ...)
{
  g_autofree char *command = NULL, *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  char *argv[] = { "sh", "-c", NULL, NULL };
  int status;
  va_list args;

  va_start (args, format);
  command = g_strdup_vprintf (format, args);
  va_end (args);
  argv[2] = command;
  g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error);
  g_assert_no_error (error);
  if (status != 0)
    g_test_message ("%s\n%s%s", command, out, err);
  g_assert_cmpint (status, ==, 0);
}

/* Not by test_write(), whose temporary file needs a longer name. */
static void
write_file (const char *tree, const char *folder, const char *name, const char *text, gint64 seconds,
            long nanoseconds)
{
  g_autofree char *file = g_build_filename (tree, folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (file);
  struct timespec times[2] = { { 1, 0 }, { seconds, nanoseconds } };
  int fd;

  g_assert_no_errno (g_mkdir_with_parents (parent, 0750));
  fd = open (file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, text, strlen (text)), ==, strlen (text));
  g_assert_no_errno (futimens (fd, times));
  g_assert_no_errno (close (fd));
}

static void
make_sparse (const char *tree, const char *path, off_t size)
{
  g_autofree char *file = g_build_filename (tree, path, NULL);
  g_autofree char *folder = g_path_get_dirname (file);
  int fd;

  g_assert_no_errno (g_mkdir_with_parents (folder, 0750));
  fd = open (file, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
  g_assert_cmpint (fd, >=, 0);
  g_assert_no_errno (ftruncate (fd, size));
  g_assert_cmpint (pwrite (fd, "end", 3, size - 3), ==, 3);
  g_assert_no_errno (close (fd));
}

/* What system tar and zstd unpack is what was packed: content, names of any bytes, modes, mtimes to the
 * nanosecond. */
static void
test_round_trip (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);
  const char *folder = "state/episodes/e1";
  g_autofree char *ascii255 = g_strnfill (255, 'n');
  g_autofree char *latin255 = g_strnfill (255, '\xe9');
  g_autofree char *empty = g_build_filename (tree, folder, "empty/in/empty", NULL);
  g_autofree char *file = g_build_filename (tree, folder, "mode", NULL);
  g_autofree char *sha256 = NULL;

  test_make_episode (tree, folder, 'a');
  write_file (tree, folder, ascii255, "255", 1700000000, 123456789);
  write_file (tree, folder, latin255, "not UTF-8", 1700000001, 1);
  write_file (tree, folder, "a\nnew\nline", "odd", -5, 0);
  write_file (tree, folder, "m\xc3\xbcller \xed\xa0\x81\xed\xb0\x80", "surrogates stay as they are", 1, 0);
  write_file (tree, folder, "-rf ' $(x)\\", "", 4102444800, 5);
  write_file (tree, folder, "mode", "executable", 1700000002, 2);
  g_assert_no_errno (g_chmod (file, 0751));
  g_assert_no_errno (g_mkdir_with_parents (empty, 0700));
  make_sparse (tree, "state/episodes/e1/sparse", 32 * 1024 * 1024);

  sha256 = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  run_command ("cd %s && mkdir out && tar -C out -I zstd -xpf state/outbox/e1.tar.zst 2>/dev/null"
               " && diff -r --no-dereference out/e1 state/episodes/e1"
               " && (cd out/e1 && find . -printf '%%P %%m %%T@\\0' | sort -z) >got"
               " && (cd state/episodes/e1 && find . -printf '%%P %%m %%T@\\0' | sed -z 's/ 2\\(... [^ "
               "]*\\)$/ \\1/' | sort -z) >want"
               " && cmp got want",
               tree);
  run_command ("cd %s && echo '%s  state/outbox/e1.tar.zst' | sha256sum -c --quiet && zstd -tq "
               "state/outbox/e1.tar.zst",
               tree, sha256);
  pack_end (pack);
}

/* Names in ASCII need no charset record, of which GNU tar would warn for each entry. */
static void
test_quiet (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);
  g_autofree char *sha256 = NULL;

  test_make_episode (tree, "state/episodes/e1", 'a');
  sha256 = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  run_command (
      "cd %s && test -z \"$(tar -I zstd -tf state/outbox/e1.tar.zst 2>&1 >/dev/null)\""
      " && tar -I zstd --numeric-owner -tvf state/outbox/e1.tar.zst | awk '$2 != \"0/0\" { exit 1 }'",
      tree);
  pack_end (pack);
}

static char *
pack_in_order (gboolean backwards)
{
  static const char *const names[] = { "b", "a", "A", "a.b", "sub/x", "sub.y", "\xff" };
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *sub = g_build_filename (tree, "state/episodes/e1/sub", NULL);
  g_autofree char *top = g_build_filename (tree, "state/episodes/e1", NULL);
  struct timespec times[2] = { { 7, 0 }, { 1700000000, 42 } };
  CisStage *pack = pack_new (tree, 3);
  char *sha256;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    write_file (tree, "state/episodes/e1", names[backwards ? G_N_ELEMENTS (names) - 1 - i : i], "same",
                1700000000, 500);
  g_assert_no_errno (utimensat (AT_FDCWD, sub, times, 0));
  g_assert_no_errno (utimensat (AT_FDCWD, top, times, 0));
  sha256 = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  /* A file system may give the same order whatever the files' history. */
  run_command ("cd %s && printf "
               "'e1/\\ne1/A\\ne1/a\\ne1/a.b\\ne1/b\\ne1/sub/\\ne1/sub/x\\ne1/sub.y\\ne1/\\\\377\\n' >want"
               " && LC_ALL=C tar -I zstd -tf state/outbox/e1.tar.zst 2>/dev/null >got && cmp got want",
               tree);
  pack_end (pack);
  return sha256;
}

static void
test_deterministic (void)
{
  g_autofree char *first = pack_in_order (FALSE);
  g_autofree char *second = pack_in_order (TRUE);

  g_assert_cmpstr (first, ==, second);
}

static guint64
inode_of (const char *tree, const char *path)
{
  g_autofree char *file = g_build_filename (tree, path, NULL);
  struct stat info;

  g_assert_no_errno (stat (file, &info));
  return info.st_ino;
}

static void
test_reuse (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);
  CisStage *harder = pack_new (tree, 9);
  g_autofree char *json = g_build_filename (tree, "state/outbox/e1.json", NULL);
  g_autofree char *tarball = g_build_filename (tree, "state/outbox/e1.tar.zst", NULL);
  g_autofree char *first = NULL, *again = NULL, *anew = NULL, *cut = NULL, *changed = NULL, *level9 = NULL,
                  *listed = NULL;
  guint64 inode;

  test_make_episode (tree, "state/episodes/e1", 'a');
  first = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  inode = inode_of (tree, "state/outbox/e1.tar.zst");
  /* Another name keeps the inode taken, so that a new file cannot have its number. */
  run_command ("ln %s %s.kept", tarball, tarball);

  again = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (again, ==, first);
  g_assert_cmpuint (inode_of (tree, "state/outbox/e1.tar.zst"), ==, inode);

  g_assert_no_errno (g_unlink (json));
  anew = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (anew, ==, first);
  g_assert_cmpuint (inode_of (tree, "state/outbox/e1.tar.zst"), !=, inode);

  g_assert_no_errno (truncate (tarball, 10));
  cut = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (cut, ==, first);

  level9 = pack_expect (harder, tree, "e1", CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (level9, ==, first); /* other bytes would conflict with what may be stored */
  test_write (tree, "state/episodes/e1/log.txt", "something else\n");
  changed = pack_expect (harder, tree, "e1", CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (changed, !=, level9);

  listed = test_list (tree, "state/outbox");
  g_assert_cmpstr (listed, ==, "e1.json e1.tar.zst e1.tar.zst.kept");
  pack_end (pack);
  pack_end (harder);
}

static void
test_unsupported (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);
  static const char *const commands[] = {
    "ln -s /etc/passwd link",
    "ln -s .. \"$(printf 'li\\nn\\377k')\"",
    "mkfifo pipe",
    "ln -s nowhere sub",
    "python3 -c 'import socket; socket.socket (socket.AF_UNIX).bind (\"socket\")'",
  };
  g_autofree char *left = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      g_autofree char *name = g_strdup_printf ("e%u", i);
      g_autofree char *folder = g_build_filename ("state/episodes", name, NULL);

      test_make_episode (tree, folder, 'a');
      run_command ("cd %s/%s && %s", tree, folder, commands[i]);
      g_assert_null (pack_expect (pack, tree, name, CIS_VERDICT_REJECTED, "unsupported-file"));
    }
  run_command ("cd %s/state/episodes && ln -s e0 linked", tree);
  g_assert_null (pack_expect (pack, tree, "linked", CIS_VERDICT_REJECTED, "unsupported-file"));
  left = test_list (tree, "state/outbox");
  g_assert_cmpstr (left, ==, "");
  pack_end (pack);
}

static void
test_gone (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);

  g_assert_null (pack_expect (pack, tree, "e1", CIS_VERDICT_NONE, NULL));
  pack_end (pack);
}

typedef struct
{
  const char *tree;
  const char *command;
} Meddler;

/* Once packing has begun, something else writes to the episode. */
static gpointer
meddle (gpointer data)
{
  Meddler *meddler = data;

  test_wait_for (test_exists (meddler->tree, "state/outbox/e1.tar.zst.partial"));
  run_command ("cd %s/state/episodes/e1 && %s", meddler->tree, meddler->command);
  return NULL;
}

static void
test_changes (void)
{
  /* "big" takes long enough to pack that "a" is packed by then, and "z" is not. Should that fail, both count
   * as changed all the same. */
  static const char *const commands[] = { "echo more >>a",  "rm z",   "echo more >>z",
                                          ": >z",           "mv z y", "rm z && ln -s /etc/passwd z",
                                          "echo more >>big" };

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      g_autoptr (TestTree) tree = test_tree_new ();
      CisStage *pack = pack_new (tree, 3);
      Meddler meddler = { tree, commands[i] };
      g_autofree char *left = NULL;
      GThread *thread;

      test_write (tree, "state/episodes/e1/a", "first");
      make_sparse (tree, "state/episodes/e1/big", 256 * 1024 * 1024);
      test_write (tree, "state/episodes/e1/z", "last");
      thread = g_thread_new ("meddler", meddle, &meddler);
      g_assert_null (pack_expect (pack, tree, "e1", CIS_VERDICT_DEFERRED, "changed-while-packing"));
      g_thread_join (thread);
      left = test_list (tree, "state/outbox");
      g_assert_cmpstr (left, ==, "");
      pack_end (pack);
    }
}

static void
test_changed_since_scan (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);
  g_autoptr (CisEpisode) episode = episode_new (tree, "e1");
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *fingerprint = cis_digest_bytes ("earlier", 7);

  test_make_episode (tree, "state/episodes/e1", 'a');
  cis_episode_set_fingerprint (episode, fingerprint);
  g_assert_cmpint (test_process (pack, episode, &outcome), ==, CIS_VERDICT_DEFERRED);
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, CIS_SCOPE_ITEM);
  pack_end (pack);
}

static gpointer
cancel_once_begun (gpointer data)
{
  gpointer *pair = data;

  test_wait_for (test_exists (pair[0], "state/outbox/e1.tar.zst.partial"));
  g_cancellable_cancel (pair[1]);
  return NULL;
}

static void
test_cancel (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);
  g_autoptr (CisEpisode) episode = episode_new (tree, "e1");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (CisOutcome) outcome = NULL;
  gpointer pair[] = { tree, cancellable };
  g_autofree char *left = NULL;
  GThread *thread;

  /* Far more than there is time for. */
  make_sparse (tree, "state/episodes/e1/huge", (off_t) 1 << 42);
  thread = g_thread_new ("cancel", cancel_once_begun, pair);
  outcome = cis_stage_process (pack, CIS_ITEM (episode), cancellable);
  g_thread_join (thread);
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_NONE);
  left = test_list (tree, "state/outbox");
  g_assert_cmpstr (left, ==, "");
  pack_end (pack);
}

/* Of an episode that was shipped before. */
static void
test_receipt (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);
  g_autoptr (CisEpisode) episode = episode_new (tree, "e1");
  g_autoptr (JsonObject) receipt = json_object_new ();

  cis_episode_set_receipt (episode, receipt);
  g_assert_cmpint (test_process (pack, episode, NULL), ==, CIS_VERDICT_PASSED);
  g_assert_null (cis_episode_get_archive (episode));
  pack_end (pack);
}

static void
test_flat_subprocess (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  CisStage *pack = pack_new (tree, 3);
  g_autofree char *sha256 = NULL, *status = NULL;

  make_sparse (tree, "state/episodes/e1/capture", (off_t) 4 << 30);
  sha256 = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  run_command ("tar -I zstd -tvf %s/state/outbox/e1.tar.zst | grep -q '4294967296 .* e1/capture$'", tree);
  /* In KiB. Not by getrusage(), whose peak is that of whoever forked us, too: valgrind's. */
  g_assert_true (g_file_get_contents ("/proc/self/status", &status, NULL, NULL));
#ifndef __SANITIZE_ADDRESS__
  g_assert_cmpint (g_ascii_strtoll (strstr (status, "VmHWM:") + strlen ("VmHWM:"), NULL, 10), <, 64 * 1024);
#endif
  pack_end (pack);
}

/* A peak that other cases would share is measured in a process of its own. */
static void
test_flat (void)
{
  g_test_trap_subprocess ("/tar-zstd/flat/subprocess", 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

/* In a mount namespace of its own, so that nothing is left behind whatever happens. */
static void
test_full_subprocess (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *state = state_of (tree);
  g_autofree char *filler = g_build_filename (tree, "filler", NULL);
  g_autofree guint8 *noise = g_malloc (512 * 1024);
  g_autofree char *left = NULL, *sha256 = NULL;
  GRand *random = g_rand_new_with_seed (1);
  CisStage *pack;

  test_enter_namespace ();
  g_assert_no_errno (g_mkdir (state, 0750));
  g_assert_no_errno (mount ("tmpfs", state, "tmpfs", 0, "size=1m"));
  pack = pack_new (tree, 3);
  for (guint i = 0; i < 512 * 1024; i++)
    noise[i] = (guint8) g_rand_int (random);
  test_make_episode (tree, "state/episodes/e1", 'a');
  g_assert_true (g_file_set_contents (filler, (char *) noise, 512 * 1024, NULL));
  run_command ("head -c 256K %s >%s/episodes/e1/a && tail -c 256K %s >%s/episodes/e1/b", filler, state,
               filler, state);

  g_assert_null (pack_expect (pack, tree, "e1", CIS_VERDICT_DEFERRED, "outbox-full"));
  left = test_list (tree, "state/outbox");
  g_assert_cmpstr (left, ==, "");

  run_command ("rm %s/episodes/e1/b", state);
  sha256 = pack_expect (pack, tree, "e1", CIS_VERDICT_PASSED, NULL);
  pack_end (pack);
  g_rand_free (random);
  g_assert_no_errno (umount2 (state, MNT_DETACH));
}

static void
test_full (void)
{
  g_test_trap_subprocess ("/tar-zstd/full/subprocess", 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

int
main (int argc, char **argv)
{
  /* Where a hole is read without filling pages, as one of 4 GiB is. */
  g_setenv ("TMPDIR", "/dev/shm", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tar-zstd/round-trip", test_round_trip);
  g_test_add_func ("/tar-zstd/quiet", test_quiet);
  g_test_add_func ("/tar-zstd/deterministic", test_deterministic);
  g_test_add_func ("/tar-zstd/reuse", test_reuse);
  g_test_add_func ("/tar-zstd/unsupported", test_unsupported);
  g_test_add_func ("/tar-zstd/gone", test_gone);
  g_test_add_func ("/tar-zstd/changes", test_changes);
  g_test_add_func ("/tar-zstd/changed-since-scan", test_changed_since_scan);
  g_test_add_func ("/tar-zstd/cancel", test_cancel);
  g_test_add_func ("/tar-zstd/receipt", test_receipt);
  g_test_add_func ("/tar-zstd/flat", test_flat);
  g_test_add_func ("/tar-zstd/flat/subprocess", test_flat_subprocess);
  g_test_add_func ("/tar-zstd/full", test_full);
  g_test_add_func ("/tar-zstd/full/subprocess", test_full_subprocess);
  return g_test_run ();
}
