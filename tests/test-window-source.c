/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-part.h"

#include "../plugins/gate/window/history.h"
#include "../plugins/gate/window/source.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define OTHER_USER 65534

static void
run (const char *tree, const char *script, char **output)
{
  const char *argv[] = { "sh", "-ec", script, NULL };
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (tree, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, output, NULL, &status, &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  g_assert_no_error (error);
}

/* A history of @n commits in tree/repository: merges of up to three parents, equal times, and clocks that go
 * wrong. */
static void
make_history (const char *tree, guint n, guint32 seed)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  g_autoptr (GString) stream = g_string_new (NULL);

  for (guint i = 1; i <= n; i++)
    {
      int skew = g_rand_int_range (rand, 0, 20) == 0 ? g_rand_int_range (rand, -5000, 5000) : 0;
      int n_merged = i > 10 ? g_rand_int_range (rand, -2, 3) : 0;

      g_string_append_printf (stream,
                              "commit refs/heads/%s\nmark :%u\ncommitter A <a@b> %d +0000\ndata 1\nx\n",
                              i == n ? "main" : "side", i, 1700000000 + (int) i / 3 * 60 + skew);
      if (i > 1)
        g_string_append_printf (stream, "from :%d\n", (int) i - g_rand_int_range (rand, 1, MIN (i, 6)));
      for (int k = 0; k < n_merged; k++)
        g_string_append_printf (stream, "merge :%d\n", (int) i - g_rand_int_range (rand, 1, 10));
      g_string_append (stream, "\n");
    }
  test_write (tree, "stream", stream->str);
  run (tree, "git init -q -b main repository; git -C repository fast-import --quiet --force < stream", NULL);
}

static CisWindow *
fetch (const char *tree, const char *path, const char *branch, guint n, GError **error)
{
  g_autofree char *repository = g_build_filename (tree, path, NULL);
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (repository);

  return cis_window_source_fetch (source, branch, n, NULL, error);
}

static void
assert_is_like_git (const char *tree, CisWindow *window, const char *path, const char *branch, guint n)
{
  g_autofree char *script = g_strdup_printf ("git -C %s rev-list --max-count=%u %s", path, n, branch);
  g_autofree char *output = NULL;
  g_auto (GStrv) commits = NULL;

  run (tree, script, &output);
  commits = g_strsplit (g_strstrip (output), "\n", -1);
  g_assert_cmpuint (cis_window_get_length (window), ==, g_strv_length (commits));
  g_assert_cmpstr (cis_window_get_head (window), ==, commits[0]);
  for (guint i = 0; commits[i] != NULL; i++)
    g_assert_cmpint (cis_window_get_position (window, commits[i]), ==, i);
}

static void
assert_like_git (const char *tree, const char *path, const char *branch, guint n)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) window = fetch (tree, path, branch, n, &error);

  g_assert_no_error (error);
  assert_is_like_git (tree, window, path, branch, n);
}

static void
test_like_git (void)
{
  static const guint lengths[] = { 1, 2, 7, 50, 100, 399, 400, 5000 };

  for (guint32 seed = 1; seed <= 5; seed++)
    {
      g_autoptr (TestTree) tree = test_tree_new ();

      make_history (tree, 400, seed);
      for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
        assert_like_git (tree, "repository", "main", lengths[i]);
    }
}

static void
test_kinds (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;

  make_history (tree, 60, 7);
  run (tree,
       "git clone -q --bare repository bare.git\n"
       "git -C repository worktree add -q ../worktree\n"
       "git clone -q repository clone; git -C clone checkout -q --detach; git -C clone branch -D -q main\n"
       "git -C repository gc -q\n",
       NULL);
  assert_like_git (tree, "bare.git", "main", 50);
  assert_like_git (tree, "worktree", "main", 50);
  assert_like_git (tree, "repository", "main", 50);
  /* A clone without the branch of its own, but with its remote's. */
  g_assert_true (test_exists (tree, "clone/.git/refs/remotes/origin") ||
                 test_exists (tree, "clone/.git/packed-refs"));
  {
    g_autoptr (CisWindow) window = fetch (tree, "clone", "main", 50, &error);
    g_autofree char *head = NULL;

    g_assert_no_error (error);
    run (tree, "git -C repository rev-parse main", &head);
    g_assert_cmpstr (cis_window_get_head (window), ==, g_strstrip (head));
  }
}

static void
test_shallow (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) full = NULL;
  g_autoptr (CisWindow) cut = NULL;

  run (tree,
       "git init -q -b main repository; cd repository\n"
       "for i in 1 2 3 4 5 6 7 8 9; do git commit -q --allow-empty -m $i; done\n"
       "git clone -q --depth 4 file://$PWD ../shallow\n",
       NULL);
  assert_like_git (tree, "shallow", "main", 3);
  assert_like_git (tree, "shallow", "main", 4);
  assert_like_git (tree, "shallow", "main", 5);
  full = fetch (tree, "shallow", "main", 4, &error);
  g_assert_no_error (error);
  g_assert_false (cis_window_is_cut (full));
  cut = fetch (tree, "shallow", "main", 5, &error);
  g_assert_no_error (error);
  g_assert_true (cis_window_is_cut (cut));
}

static void
assert_explained (const char *tree, const char *path, const char *branch, const char *message,
                  const char *fix)
{
  g_autofree char *repository = g_build_filename (tree, path, NULL);
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (repository);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) window = cis_window_source_fetch (source, branch, 10, NULL, &error);
  g_autofree char *suggestion = NULL;
  g_auto (GStrv) parts = g_strsplit (fix, "PATH", 2);
  g_autofree char *quoted = g_shell_quote (repository);
  g_autofree char *expected = g_strjoinv (quoted, parts);

  g_assert_null (window);
  g_assert_nonnull (error);
  suggestion = cis_window_source_suggest (source, branch, error);
  g_test_message ("%s → %s", error->message, suggestion);
  g_assert_nonnull (strstr (error->message, message));
  g_assert_nonnull (strstr (error->message, path));
  g_assert_true (g_str_has_prefix (suggestion, expected));
}

static void
test_errors (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  make_history (tree, 20, 3);
  run (tree, "mkdir empty-folder; git init -q -b main unborn; git -C repository tag -a -m x v1 main\n", NULL);
  assert_explained (tree, "missing", "main", "cannot open the repository",
                    "git clone --mirror ADDRESS-OF-THE-REPOSITORY PATH\n");
  assert_explained (tree, "it's missing", "main", "cannot open the repository",
                    "git clone --mirror ADDRESS-OF-THE-REPOSITORY PATH\n");
  assert_explained (tree, "empty-folder", "main", "cannot open the repository",
                    "git clone --mirror ADDRESS-OF-THE-REPOSITORY PATH\n");
  test_write (tree, "other/file", "");
  assert_explained (tree, "other", "main", "cannot open the repository", "# what is there cannot be used");
  assert_explained (tree, "unborn", "main", "no branch main in", "git -C PATH fetch origin 'main'");
  assert_explained (tree, "repository", "no-such", "no branch no-such in",
                    "git -C PATH fetch origin 'no-such'");
  assert_explained (tree, "repository", "v1", "no branch v1 in", "git -C PATH fetch");
  assert_explained (tree, "repository", "main~1", "no branch main~1 in", "git -C PATH fetch");
}

/* Pastes the fix for a branch that is not there, and returns whether it went well. */
static gboolean
paste_fix (const char *tree, const char *path, const char *branch)
{
  g_autofree char *repository = g_build_filename (tree, path, NULL);
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (repository);
  g_autoptr (GError) error = NULL;
  g_autofree char *fix = NULL;
  g_autofree char *script = NULL;
  g_autofree char *output = NULL;

  g_assert_null (cis_window_source_fetch (source, branch, 10, NULL, &error));
  fix = cis_window_source_suggest (source, branch, error);
  script = g_strdup_printf ("if (\n%s\n); then echo yes; fi", fix);
  run (tree, script, &output);
  return g_str_has_suffix (output, "yes\n");
}

static void
assert_has_head_of (const char *tree, const char *path, const char *branch)
{
  g_autofree char *script = g_strdup_printf ("git -C origin rev-parse %s", branch);
  g_autofree char *head = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) window = fetch (tree, path, branch, 10, &error);

  g_assert_no_error (error);
  run (tree, script, &head);
  g_assert_cmpstr (cis_window_get_head (window), ==, g_strstrip (head));
}

/* In each kind of clone the branch is there then, and stays as recent as the last `git fetch`. One that the
 * origin has not, breaks nothing. */
static void
test_missing_branch (void)
{
  static const char *const kinds[] = { "bare", "mirror", "no-single-branch", "single-branch" };
  g_autoptr (TestTree) tree = test_tree_new ();

  run (tree, "git init -q -b other origin; git -C origin commit -q --allow-empty -m 1", NULL);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *clone = g_strdup_printf ("git -C origin checkout -q other\n"
                                                "git clone -q --%s file://$PWD/origin %s\n"
                                                "git -C origin checkout -q -b for-%s",
                                                kinds[i], kinds[i], kinds[i]);
      g_autofree char *push =
          g_strdup_printf ("git -C origin commit -q --allow-empty -m 2; git -C %s fetch -q", kinds[i]);
      g_autofree char *branch = g_strdup_printf ("for-%s", kinds[i]);

      run (tree, clone, NULL);
      g_assert_false (paste_fix (tree, kinds[i], "gone"));
      g_assert_true (paste_fix (tree, kinds[i], branch));
      assert_has_head_of (tree, kinds[i], branch);
      run (tree, push, NULL);
      assert_has_head_of (tree, kinds[i], branch);
    }
}

/* A refused host waits for the count, so it has an end. */
static void
test_behind (void)
{
  static const struct
  {
    const char *commit;
    gint64 behind;
  } cases[] = {
    { "main", 0 }, { "main~1", 1 }, { "main~10000", 10000 }, { "main~10001", -1 }, { "side", -1 }
  };
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *repository = g_build_filename (tree, "repository", NULL);
  g_autofree char *head = NULL;

  run (tree,
       "git init -q -b main repository; cd repository\n"
       "{ for i in $(seq 10003); do\n"
       "    printf 'commit refs/heads/main\\ncommitter A <a@b> %d +0000\\ndata 0\\n\\n' $((1700000000 + i))\n"
       "  done\n"
       "} | git fast-import --quiet\n"
       "git branch side $(git commit-tree -p main~7 -m x main^{tree})\n"
       "git rev-parse main\n",
       &head);
  g_strstrip (head);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *script = g_strdup_printf ("git -C repository rev-parse %s", cases[i].commit);
      g_autofree char *commit = NULL;

      run (tree, script, &commit);
      g_assert_cmpint (cis_history_count_behind (repository, g_strstrip (commit), head), ==, cases[i].behind);
    }
}

static void
test_lost_commit (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *repository = g_build_filename (tree, "repository", NULL);
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (repository);
  g_autoptr (GError) error = NULL;
  g_autofree char *suggestion = NULL;
  g_autofree char *expected = g_strdup_printf ("git -C '%s' fsck", repository);

  run (tree,
       "git init -q -b main repository; cd repository\n"
       "for i in 1 2 3; do git commit -q --allow-empty -m $i; done\n"
       "id=$(git rev-parse main~1); rm -f "
       ".git/objects/${id%??????????????????????????????????????}/${id#??}\n",
       NULL);
  g_assert_null (cis_window_source_fetch (source, "main", 10, NULL, &error));
  g_assert_nonnull (strstr (error->message, "cannot read the commits of"));
  suggestion = cis_window_source_suggest (source, "main", error);
  g_assert_cmpstr (suggestion, ==, expected);
}

/* A branch that did not change costs a look at its head: the source would come across a commit that is lost.
 * One that is forced back and forth is walked as a whole. */
static void
test_unchanged (void)
{
  static const char *const heads[] = { "c8", "c8", "c5", "c5", "c8" };
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *repository = g_build_filename (tree, "repository", NULL);
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (repository);
  g_autoptr (CisWindow) last = NULL;
  g_autoptr (CisWindow) same = NULL;
  g_autoptr (GError) error = NULL;

  run (tree,
       "git init -q -b main repository; cd repository\n"
       "for i in 1 2 3 4 5 6 7 8; do git commit -q --allow-empty -m $i; git tag c$i; done\n",
       NULL);
  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    {
      g_autofree char *move = g_strdup_printf ("git -C repository update-ref refs/heads/main %s", heads[i]);

      run (tree, move, NULL);
      g_clear_pointer (&last, cis_window_unref);
      last = cis_window_source_fetch (source, "main", 4, NULL, &error);
      g_assert_no_error (error);
      assert_is_like_git (tree, last, "repository", "main", 4);
    }
  run (tree,
       "cd repository; id=$(git rev-parse c7)\n"
       "rm -f .git/objects/${id%??????????????????????????????????????}/${id#??}\n",
       NULL);
  same = cis_window_source_fetch (source, "main", 4, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (cis_window_equal (same, last));
  g_assert_cmpint (cis_window_get_fetched_at (same), >, cis_window_get_fetched_at (last));
  /* Another length is another question. */
  g_assert_null (cis_window_source_fetch (source, "main", 5, NULL, &error));
  g_assert_error (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_COMMIT);
}

/* Of a head whose window was cut, there may be more next time. */
static void
test_unshallowed (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *repository = g_build_filename (tree, "shallow", NULL);
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (repository);
  g_autoptr (CisWindow) cut = NULL;
  g_autoptr (CisWindow) whole = NULL;
  g_autoptr (GError) error = NULL;

  run (tree,
       "git init -q -b main repository; cd repository\n"
       "for i in 1 2 3 4 5 6; do git commit -q --allow-empty -m $i; done\n"
       "git clone -q --depth 3 file://$PWD ../shallow\n",
       NULL);
  cut = cis_window_source_fetch (source, "main", 5, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (cis_window_is_cut (cut));
  run (tree, "git -C shallow fetch -q --unshallow", NULL);
  whole = cis_window_source_fetch (source, "main", 5, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (cis_window_is_cut (whole));
  assert_is_like_git (tree, whole, "shallow", "main", 5);
}

static void
test_cancelled (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *repository = g_build_filename (tree, "repository", NULL);
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (repository);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;

  make_history (tree, 20, 3);
  g_cancellable_cancel (cancellable);
  g_assert_null (cis_window_source_fetch (source, "main", 10, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* Follows the fix that we print, in a system configuration of our own, and sees that it helps. Only root can
 * give a folder away, so only root has this test. */
static void
test_other_owner (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *config = g_build_filename (tree, "system", NULL);
  g_autofree char *trust =
      g_strdup_printf ("GIT_CONFIG_SYSTEM=%s/system/gitconfig git config --system --add safe.directory",
                       tree);
  g_autofree char *everything = g_strdup_printf ("rm system/gitconfig; %s '*'", trust);
  g_autofree char *fix = g_strdup_printf ("%s %s/repository", trust, tree);
  g_autofree char *gitconfig = g_build_filename (config, "gitconfig", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) other = NULL;
  g_autoptr (CisWindow) window = NULL;

  make_history (tree, 20, 3);
  g_assert_no_errno (g_mkdir (config, 0755));
  /* git is told by the environment, libgit2 not: what it refuses, git is asked about. */
  g_unsetenv ("GIT_CONFIG_NOSYSTEM");
  g_setenv ("GIT_CONFIG_SYSTEM", gitconfig, TRUE);
  {
    g_autofree char *script = g_strdup_printf ("chown -R %d repository", OTHER_USER);

    run (tree, script, NULL);
  }
  assert_explained (tree, "repository", "main", "no safe.directory names it",
                    "git config --system --add safe.directory PATH");
  run (tree, fix, NULL);
  window = fetch (tree, "repository", "main", 5, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (cis_window_get_length (window), ==, 5);
  run (tree, everything, NULL);
  other = fetch (tree, "repository", "main", 5, &error);
  g_assert_no_error (error);
  g_unsetenv ("GIT_CONFIG_SYSTEM");
  g_setenv ("GIT_CONFIG_NOSYSTEM", "1", TRUE);
}

/* As `cis490 gate` may be: its own sources, and those of the plugin, in one process. */
static void
test_beside_the_plugin (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *repository = g_build_filename (tree, "repository", NULL);
  g_autoptr (CisWindow) ours = NULL;
  g_autoptr (CisPart) gate = NULL;
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);

  make_history (tree, 5, 3);
  ours = fetch (tree, "repository", "main", 5, NULL);
  g_assert_nonnull (ours);
  gate = test_part_new ("gate/window", "repository", repository, "branch", "main", "window", 5u, NULL);
  cis_part_check (gate, findings, NULL);
  g_assert_cmpuint (findings->len, ==, 1);
  g_assert_cmpstr (cis_finding_get_id (findings->pdata[0]), ==, "window-available");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("HOME", "/nonexistent", TRUE);
  g_setenv ("GIT_CONFIG_NOSYSTEM", "1", TRUE);
  g_setenv ("GIT_AUTHOR_NAME", "A", TRUE);
  g_setenv ("GIT_AUTHOR_EMAIL", "a@example.org", TRUE);
  g_setenv ("GIT_COMMITTER_NAME", "A", TRUE);
  g_setenv ("GIT_COMMITTER_EMAIL", "a@example.org", TRUE);

  g_test_add_func ("/window-source/like-git", test_like_git);
  g_test_add_func ("/window-source/kinds", test_kinds);
  g_test_add_func ("/window-source/shallow", test_shallow);
  g_test_add_func ("/window-source/errors", test_errors);
  g_test_add_func ("/window-source/missing-branch", test_missing_branch);
  g_test_add_func ("/window-source/behind", test_behind);
  g_test_add_func ("/window-source/lost-commit", test_lost_commit);
  g_test_add_func ("/window-source/unchanged", test_unchanged);
  g_test_add_func ("/window-source/unshallowed", test_unshallowed);
  g_test_add_func ("/window-source/cancelled", test_cancelled);
  g_test_add_func ("/window-source/beside-the-plugin", test_beside_the_plugin);
  if (geteuid () == 0)
    g_test_add_func ("/window-source/other-owner", test_other_owner);
  return g_test_run ();
}
