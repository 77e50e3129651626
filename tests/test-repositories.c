/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whatever shape a repository has: `cis490 stamp` and the version gate's window say what git says of it. */
#include "../plugins/gate/window/source.h"
#include "harness.h"

#include <string.h>

#define CLONE    "git clone -q base r 2>/dev/null; cd r; "
#define V1       "git config core.repositoryformatversion 1; git config extensions."
#define COMMITED "git add -A 2>/dev/null; git commit -q -m more; "

/* Makes "r" beside "base". */
static const struct
{
  const char *name, *script;
} shapes[] = {
  { "clone", CLONE },
  { "touched", CLONE "touch -d 2020-01-01 a" },
  { "untracked-and-ignored", CLONE "echo '*.o' >.gitignore; " COMMITED "touch x.o y" },
  { "worktree", "git clone -q base w; git -C w branch -q other; git -C w worktree add -q ../r other" },
  { "worktree-of-a-mirror", "git clone -q --mirror base m.git; git -C m.git worktree add -q ../r main" },
  { "submodule",
    CLONE "git -c protocol.file.allow=always submodule --quiet add ../base sub; git commit -q -m s" },
  { "submodule-changed", CLONE "git -c protocol.file.allow=always submodule --quiet add ../base sub; "
                               "git commit -q -m s; echo x >sub/a" },
  { "submodule-untracked", CLONE "git -c protocol.file.allow=always submodule --quiet add ../base sub; "
                                 "git commit -q -m s; echo x >sub/new" },
  { "shallow", "git clone -q --depth 2 file://$PWD/base r" },
  { "partial", "git clone -q --filter=blob:none file://$PWD/base r" },
  { "partial-and-sparse", "git clone -q --filter=blob:none --sparse file://$PWD/base r" },
  { "treeless", "git clone -q --filter=tree:0 file://$PWD/base r" },
  { "sparse-cone", CLONE "git sparse-checkout set --cone d" },
  { "sparse-no-cone", CLONE "git sparse-checkout set --no-cone '/d/' '!/d/f'" },
  { "sparse-index", CLONE "git sparse-checkout set --cone --sparse-index d" },
  { "split-index", CLONE "git update-index --split-index; echo x >a; git add a" },
  { "untracked-cache", CLONE "git update-index --force-untracked-cache; git status >/dev/null" },
  { "large-file-filter",
    CLONE "git config filter.up.clean 'tr A-Z a-z'; git config filter.up.smudge 'tr a-z A-Z'; "
          "git config filter.up.required true; echo '*.bin filter=up' >.gitattributes; "
          "echo hello >a.bin; " COMMITED "rm a.bin; git checkout -q a.bin; touch -d 2020-01-01 a.bin" },
  { "eol", CLONE "echo '* text=auto eol=crlf' >.gitattributes; " COMMITED
                 "rm a; git checkout -q a; touch -d 2020-01-01 a" },
  { "autocrlf",
    CLONE "git config core.autocrlf input; printf 'a\\r\\nb\\r\\n' >t; git -c core.safecrlf=false add t; "
          "git commit -q -m t; touch -d 2020-01-01 t" },
  { "working-tree-encoding",
    CLONE "echo '*.txt text working-tree-encoding=UTF-16LE-BOM' >.gitattributes; "
          "printf '\\377\\376a\\0\\n\\0' >u.txt; " COMMITED "touch -d 2020-01-01 u.txt" },
  { "ident", CLONE "echo 'x ident' >.gitattributes; echo '$Id$' >x; " COMMITED
                   "rm x; git checkout -q x; touch -d 2020-01-01 x" },
  { "replaced", CLONE "git replace --graft HEAD~1 HEAD~3" },
  { "replaced-and-packed", CLONE "git replace --graft HEAD~1 HEAD~3; git pack-refs --all" },
  { "grafts", CLONE "echo $(git rev-parse HEAD~1 HEAD~3) >.git/info/grafts" },
  { "alternates", "git clone -q --shared base r" },
  { "alternates-of-alternates", "git clone -q --shared base one; git clone -q --shared one r" },
  { "bare", "git clone -q --bare base r" },
  { "mirror", "git clone -q --mirror base r" },
  { "detached", CLONE "git checkout -q --detach HEAD~1" },
  { "unborn", "git init -q -b main r" },
  { "orphan", CLONE "git checkout -q --orphan other" },
  { "packed", CLONE "git pack-refs --all; git gc -q" },
  { "commit-graph",
    CLONE "git commit-graph write --reachable 2>/dev/null; git multi-pack-index write 2>/dev/null" },
  { "nested", CLONE "git init -q inner; touch inner/x" },
  { "case-and-unicode", CLONE "touch A 'ü b' \"$(printf '\\377')\"; " COMMITED "rm 'ü b'" },
  { "tag-of-the-branch's-name", CLONE "git tag main HEAD~1; git tag HEAD HEAD~2 2>/dev/null || :" },
  { "symbolic-branch", CLONE "git branch -q -m main real; git symbolic-ref refs/heads/main refs/heads/real" },
  { "monitor-and-hooks",
    CLONE "printf '#!/bin/sh\\ntouch ran\\n' >m; chmod +x m; mkdir h; cp m h/post-index-change; "
          "git config core.fsmonitor $PWD/m; git config core.hooksPath $PWD/h; touch -d 2020-01-01 a" },
  { "include", CLONE "git config --global includeIf.gitdir:$PWD/.path $PWD/more; printf "
                     "'[core]\\n\\tfileMode=false\\n' >more; "
                     "chmod +x a" },
  { "file-mode", CLONE "chmod +x a" },
  { "merge-under-way",
    CLONE "git checkout -q -b o HEAD~1; echo y >a; git commit -q -am y; git merge -q main >/dev/null || :" },
  { "relative-worktrees", CLONE V1 "relativeWorktrees true" },
  { "precious-objects", CLONE V1 "preciousObjects true" },
  { "worktree-config",
    CLONE V1 "worktreeConfig true; git config --worktree core.fileMode false; chmod +x a" },
  { "sha256", "git init -q -b main --object-format=sha256 r; git -C r commit -q --allow-empty -m 1" },
  { "separate-git-dir", "git clone -q --separate-git-dir elsewhere base r" },
  { "reached-by-link", "git clone -q base real; ln -s real r" },
  { "with-git-in-the-environment", CLONE },
};

/* What git itself says: the commit, the branch and whether files differ, then the window; "none" for neither.
 */
static const char truth[] =
    "cd r\n"
    "c=$(git rev-parse -q --verify HEAD) && s=$(git -c core.fsmonitor= status --porcelain -uno 2>/dev/null) "
    "&&\n"
    "  [ ${#c} = 40 ] &&\n"
    "  echo $c $(git symbolic-ref -q HEAD | sed s,^refs/heads/,, | grep . || echo HEAD) ${s:+dirty} |\n"
    "  sed 's/^\\([^ ]* [^ ]*\\)$/\\1 clean/' || echo none\n"
    "git rev-list --max-count=4 refs/heads/main 2>/dev/null | grep -x '.\\{40\\}' ||\n"
    "  git rev-list --max-count=4 refs/remotes/origin/main 2>/dev/null | grep -x '.\\{40\\}' || echo none\n"
    "rm -f ran\n";

static char *
run (const char *tree, const char *script)
{
  const char *argv[] = { "sh", "-c", script, NULL };
  g_autoptr (GError) error = NULL;
  char *output = NULL;

  g_spawn_sync (tree, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                &output, NULL, NULL, &error);
  g_assert_no_error (error);
  return output;
}

static char *
stamp (const char *tree)
{
  const char *argv[] = { g_getenv ("CIS490_PROGRAM"), "stamp", "--repository", "r", "episode", NULL };
  char *output = NULL;

  test_write (tree, "episode/meta.json", "{}");
  g_assert_true (g_spawn_sync (tree, (char **) argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &output,
                               NULL, NULL, NULL));
  if (output[0] != '\0')
    return output;
  g_free (output);
  return g_strdup ("none\n");
}

static char *
list_window (const char *tree)
{
  g_autofree char *path = g_build_filename (tree, "r", NULL);
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (path);
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) window = cis_window_source_fetch (source, "main", 4, NULL, &error);
  g_autofree char *fix = window == NULL ? cis_window_source_suggest (source, "main", error) : NULL;
  GString *list = g_string_new (window == NULL ? "none\n" : "");

  if (window == NULL)
    g_test_message ("%s → %s", error->message, fix);
  for (guint i = 0; window != NULL && i < cis_window_get_length (window); i++)
    g_string_append_printf (list, "%s\n", cis_window_get_commit (window, i));
  return g_string_free (list, FALSE);
}

static void
test_shape (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *expected = NULL, *stamped = NULL, *window = NULL, *found = NULL;

  g_setenv ("HOME", tree, TRUE);
  g_free (run (tree, "cp -a $BASE/base base"));
  g_free (run (tree, shapes[i].script));
  expected = run (tree, truth);
  if (g_str_equal (shapes[i].name, "with-git-in-the-environment"))
    {
      g_setenv ("GIT_DIR", "/nonexistent", TRUE);
      g_setenv ("GIT_INDEX_FILE", "/nonexistent", TRUE);
    }
  stamped = stamp (tree);
  window = list_window (tree);
  g_unsetenv ("GIT_DIR");
  g_unsetenv ("GIT_INDEX_FILE");
  found = g_strconcat (stamped, window, NULL);
  g_assert_cmpstr (found, ==, expected);
  /* Nothing of what the repository's configuration names was run. */
  g_assert_false (test_exists (tree, "r/ran"));
}

int
main (int argc, char **argv)
{
  g_autoptr (TestTree) tree = test_tree_new ();

  g_test_init (&argc, &argv, NULL);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  g_setenv ("GIT_CONFIG_NOSYSTEM", "1", TRUE);
  g_setenv ("GIT_AUTHOR_NAME", "A", TRUE);
  g_setenv ("GIT_AUTHOR_EMAIL", "a@example.org", TRUE);
  g_setenv ("GIT_COMMITTER_NAME", "A", TRUE);
  g_setenv ("GIT_COMMITTER_EMAIL", "a@example.org", TRUE);
  g_setenv ("BASE", tree, TRUE);
  g_free (run (tree, "git init -q -b main base; cd base; git config uploadpack.allowFilter true; mkdir d e\n"
                     "for i in 1 2 3 4 5; do echo $i >a; echo $i >d/f; echo $i >e/g; git add -A; "
                     "git commit -q -m $i; done"));
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
    {
      g_autofree char *path = g_strconcat ("/repositories/", shapes[i].name, NULL);

      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_shape);
    }
  return g_test_run ();
}
