/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-plugin.h"

#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER_USER 65534

/* A folder of plugins like an installed one, with copies of the fixtures in its family "broken". */
typedef struct
{
  TestTree *tree;
} Fixture;

static char *
get_path (Fixture *fixture, const char *flaw)
{
  return g_strdup_printf ("%s/broken/%s.so", fixture->tree, flaw);
}

static void
copy (Fixture *fixture, const char *flaw)
{
  g_autofree char *name = g_strconcat (flaw, ".so", NULL);
  g_autofree char *from = g_test_build_filename (G_TEST_BUILT, "plugins", name, NULL);
  g_autofree char *to = get_path (fixture, flaw);
  g_autoptr (GFile) source = g_file_new_for_path (from);
  g_autoptr (GFile) target = g_file_new_for_path (to);
  g_autoptr (GError) error = NULL;

  g_file_copy (source, target, G_FILE_COPY_OVERWRITE, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_no_errno (g_chmod (to, 0755));
}

static void
set_up (Fixture *fixture, gconstpointer flaw)
{
  g_autofree char *folder = NULL;

  fixture->tree = test_tree_new ();
  folder = g_build_filename (fixture->tree, "broken", NULL);
  g_assert_no_errno (g_mkdir (folder, 0755));
  g_setenv ("CIS490_PLUGIN_PATH", fixture->tree, TRUE);
  if (flaw != NULL)
    copy (fixture, flaw);
}

static void
tear_down (Fixture *fixture, gconstpointer flaw)
{
  test_tree_remove (fixture->tree);
}

/* The plugin does not load, and the message names its path and holds @reason. */
static void
assert_refused (Fixture *fixture, const char *flaw, const char *reason)
{
  g_autofree char *name = g_strconcat ("broken/", flaw, NULL);
  g_autofree char *path = get_path (fixture, flaw);
  g_autoptr (GError) error = NULL;
  const CisPlugin *plugin = cis_plugin_load (name, &error);

  g_assert_null (plugin);
  g_assert_error (error, CIS_ERROR, CIS_ERROR_PLUGIN);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (strstr (error->message, reason));
  g_assert_cmpint (cis_error_exit_status (error), ==, 78);
}

static const struct
{
  const char *flaw;
  const char *reason;
} flaws[] = {
  { "no-symbol", "has no symbol “cis490_plugin”" },
  { "wrong-magic", "wrong magic number" },
  { "wrong-abi", "was built for plugin ABI 3, this program has 2" },
  { "wrong-class-size", "was built with another CisStageClass" },
  { "wrong-name", "says that it is “broken/another-name”, not “broken/wrong-name”" },
  { "wrong-parent", "its type TestBroken-wrong-parent is not a CisSource" },
  { "not-a-part", "derives from GObject, which is none of" },
  { "missing-library", "does not load: libcis490-vanished.so: cannot open shared object file" },
};

static void
test_flaw (Fixture *fixture, gconstpointer flaw)
{
  for (guint i = 0; i < G_N_ELEMENTS (flaws); i++)
    if (g_str_equal (flaws[i].flaw, flaw))
      assert_refused (fixture, flaw, flaws[i].reason);
}

/* Also after a plugin was refused once: what was corrected meanwhile loads. */
static void
test_corrected (Fixture *fixture, gconstpointer flaw)
{
  g_autofree char *path = get_path (fixture, flaw);
  g_autoptr (GError) error = NULL;
  const CisPlugin *plugin;

  g_assert_no_errno (g_chmod (path, 0757));
  assert_refused (fixture, flaw, "is writable by everybody");
  g_assert_no_errno (g_chmod (path, 0755));
  plugin = cis_plugin_load ("broken/sound", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (plugin->descriptor->summary, ==, "Passes everything.");
  g_assert_true (g_type_is_a (plugin->type, CIS_TYPE_STAGE));
  g_assert_true (cis_plugin_load ("broken/sound", &error) == plugin);

  copy (fixture, "sound-twin");
  assert_refused (fixture, "sound-twin", "its type TestBrokenSound is registered already");
}

static void
test_writable (Fixture *fixture, gconstpointer flaw)
{
  static const mode_t modes[] = { 0757, 0666, 0777, 01777 };
  g_autofree char *path = get_path (fixture, flaw);

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_assert_no_errno (g_chmod (path, modes[i]));
      assert_refused (fixture, flaw, "is writable by everybody; chmod o-w");
    }
}

static void
assert_refused_anyhow (const char *name, const char *reason)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (cis_plugin_load (name, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_PLUGIN);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, reason));
}

static void
test_writable_folder (Fixture *fixture, gconstpointer flaw)
{
  g_autofree char *family = g_build_filename (fixture->tree, "broken", NULL);
  g_autofree char *expected = g_strdup_printf ("%s: is writable by everybody", family);
  g_autofree char *expected_above = g_strdup_printf ("%s: is writable by everybody", fixture->tree);

  g_assert_no_errno (g_chmod (family, 0777));
  assert_refused_anyhow ("broken/wrong-abi", expected);
  g_assert_no_errno (g_chmod (family, 0755));
  g_assert_no_errno (g_chmod (fixture->tree, 0777));
  assert_refused_anyhow ("broken/wrong-abi", expected_above);
}

/* Only root can give a file away, so only root has this test. */
static void
test_other_owner (Fixture *fixture, gconstpointer flaw)
{
  g_autofree char *path = get_path (fixture, flaw);
  g_autofree char *family = g_build_filename (fixture->tree, "broken", NULL);

  g_assert_no_errno (chown (path, OTHER_USER, -1));
  assert_refused (fixture, flaw, "is owned by user 65534");
  g_assert_no_errno (chown (path, 0, OTHER_USER));
  g_assert_no_errno (g_chmod (path, 0775));
  assert_refused (fixture, flaw, "is writable by group 65534");
  g_assert_no_errno (chown (path, 0, 0));
  g_assert_no_errno (chown (family, OTHER_USER, -1));
  assert_refused_anyhow ("broken/wrong-abi", "broken: is owned by user 65534");
}

/* Our own group may have others in it, such as those who write episodes. */
static void
test_own_group (Fixture *fixture, gconstpointer flaw)
{
  g_autofree char *family = g_build_filename (fixture->tree, "broken", NULL);

  g_assert_no_errno (chown (family, 0, OTHER_USER)); /* nobody's is nogroup */
  g_assert_no_errno (g_chmod (family, 0775));
  g_assert_no_errno (setegid (OTHER_USER));
  assert_refused_anyhow ("broken/wrong-abi", "broken: is writable by group 65534; chmod g-w ");
  g_assert_no_errno (setegid (0));
  g_assert_no_errno (chown (family, 0, 0));
  assert_refused (fixture, flaw, "was built for plugin ABI 3");
}

/* Whoever may rename a folder far above, or a link on the way, brings another one. */
static void
test_ancestors (Fixture *fixture, gconstpointer flaw)
{
  g_autofree char *open = g_build_filename (fixture->tree, "open", NULL);
  g_autofree char *deep = g_build_filename (open, "some", "where", NULL);
  g_autofree char *family = g_build_filename (deep, "broken", NULL);
  g_autofree char *link = g_build_filename (open, "link", NULL);
  g_autofree char *there = get_path (fixture, flaw),
                  *moved = g_strdup_printf ("%s/%s.so", family, (char *) flaw);
  g_autofree char *writable = g_strdup_printf ("%s: is writable by everybody", open);
  g_autofree char *owned = g_strdup_printf ("%s: is owned by user 65534", link);
  const char *ways[] = { deep, link };

  g_assert_cmpint (g_mkdir_with_parents (family, 0755), ==, 0);
  g_assert_no_errno (rename (there, moved));
  g_assert_no_errno (symlink ("some/../some/./where", link));
  for (guint i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      g_setenv ("CIS490_PLUGIN_PATH", ways[i], TRUE);
      g_assert_no_errno (g_chmod (open, 0777));
      assert_refused_anyhow ("broken/wrong-abi", writable);
      g_assert_no_errno (g_chmod (open, 01777));
      assert_refused_anyhow ("broken/wrong-abi", "was built for plugin ABI 3");
    }
  if (geteuid () == 0)
    {
      g_assert_no_errno (lchown (link, OTHER_USER, -1));
      assert_refused_anyhow ("broken/wrong-abi", owned);
    }
}

/* What lies in such folders: it is looked at, and neither waited for nor mapped. */
static void
test_not_a_library (Fixture *fixture, gconstpointer flaw)
{
  static const struct
  {
    const char *name, *reason;
  } cases[] = {
    { "text", "is no shared library: it has 16 bytes" },
    { "long", "is no shared library: its first bytes are not those of an ELF file" },
    { "empty", "is empty; install it again" },
    { "folder", "is a folder, not a regular file" },
    { "pipe", "is a FIFO, not a regular file" },
    { "socket", "is a socket, not a regular file" },
    { "device", "is a device, not a regular file" },
    { "dangling", "is a symbolic link to nowhere.so, which is not there" },
    { "loop", "Too many levels of symbolic links" },
  };
  g_autofree char *family = g_build_filename (fixture->tree, "broken", NULL);
  g_autofree char *text = g_strnfill (5000, 'x');
  int dirfd = test_tree_open (family);

  test_write (family, "text.so", "This is a text.\n");
  test_write (family, "long.so", text);
  test_write (family, "empty.so", "");
  g_assert_no_errno (mkdirat (dirfd, "folder.so", 0755));
  g_assert_no_errno (mkfifoat (dirfd, "pipe.so", 0600));
  g_assert_no_errno (mknodat (dirfd, "socket.so", S_IFSOCK | 0600, 0));
  g_assert_no_errno (symlinkat ("/dev/null", dirfd, "device.so"));
  g_assert_no_errno (symlinkat ("nowhere.so", dirfd, "dangling.so"));
  g_assert_no_errno (symlinkat ("loop.so", dirfd, "loop.so"));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused (fixture, cases[i].name, cases[i].reason);
  g_assert_no_errno (close (dirfd));
}

/* The linker maps what is not there any more, and the first look at it is a SIGBUS. */
static void
test_cut (Fixture *fixture, gconstpointer flaw)
{
  g_autofree char *path = get_path (fixture, flaw);
  struct stat info;

  g_assert_no_errno (g_stat (path, &info));
  for (goffset length = info.st_size - 1; length > 64; length -= 997)
    {
      g_assert_no_errno (truncate (path, length));
      assert_refused (fixture, flaw, "is not whole: it was cut after");
    }
  g_assert_no_errno (truncate (path, 40));
  assert_refused (fixture, flaw, "is no shared library: it has 40 bytes");
}

static void
test_unknown (Fixture *fixture, gconstpointer flaw)
{
  static const char *const names[] = { "",
                                       "/",
                                       "sound",
                                       "broken/",
                                       "/sound",
                                       "broken/sound/more",
                                       "broken/../broken/sound",
                                       "../broken/sound",
                                       "broken/sound.so\n" };

  test_write (fixture->tree, "store/archive.so", "");
  assert_refused_anyhow ("store/arxive", "did you mean “store/archive”?");
  assert_refused_anyhow ("broken/nothing", "there is no plugin “broken/nothing”");
  assert_refused_anyhow ("broken/nothing", fixture->tree);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    assert_refused_anyhow (names[i], "there is no plugin");
}

/* The first folder that has it wins, and its flaw counts, not a sound one further behind. */
static void
test_search_path (Fixture *fixture, gconstpointer flaw)
{
  g_autofree char *path =
      g_strdup_printf ("%s/absent:%s:%s/second", fixture->tree, fixture->tree, fixture->tree);
  g_auto (GStrv) names = NULL;
  g_autofree char *all = NULL;

  test_write (fixture->tree, "second/broken/wrong-abi.so", "");
  test_write (fixture->tree, "store/one.so", "");
  test_write (fixture->tree, "second/store/one.so", "");
  test_write (fixture->tree, "second/alert/two.so", "");
  test_write (fixture->tree, "second/alert/README.md", "");
  g_setenv ("CIS490_PLUGIN_PATH", path, TRUE);
  assert_refused (fixture, flaw, "was built for plugin ABI 3");
  names = cis_plugin_list ();
  all = g_strjoinv (" ", names);
  g_assert_cmpstr (all, ==, "alert/two store/one");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_log_writer_default_set_use_stderr (TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (flaws); i++)
    {
      g_autofree char *path = g_strconcat ("/plugin/", flaws[i].flaw, NULL);

      g_test_add (path, Fixture, flaws[i].flaw, set_up, test_flaw, tear_down);
    }
  g_test_add ("/plugin/cut", Fixture, "wrong-abi", set_up, test_cut, tear_down);
  g_test_add ("/plugin/corrected", Fixture, "sound", set_up, test_corrected, tear_down);
  g_test_add ("/plugin/writable", Fixture, "wrong-abi", set_up, test_writable, tear_down);
  g_test_add ("/plugin/writable-folder", Fixture, "wrong-abi", set_up, test_writable_folder, tear_down);
  if (geteuid () == 0)
    {
      g_test_add ("/plugin/other-owner", Fixture, "wrong-abi", set_up, test_other_owner, tear_down);
      g_test_add ("/plugin/own-group", Fixture, "wrong-abi", set_up, test_own_group, tear_down);
    }
  g_test_add ("/plugin/ancestors", Fixture, "wrong-abi", set_up, test_ancestors, tear_down);
  g_test_add ("/plugin/not-a-library", Fixture, NULL, set_up, test_not_a_library, tear_down);
  g_test_add ("/plugin/unknown", Fixture, NULL, set_up, test_unknown, tear_down);
  g_test_add ("/plugin/search-path", Fixture, "wrong-abi", set_up, test_search_path, tear_down);
  return g_test_run ();
}
