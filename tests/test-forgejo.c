/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "forge.h"

#include "../plugins/gate/window/source.h"

#define TIMEOUT (30 * G_TIME_SPAN_SECOND)

static CisWindowSource *
source_new (const char *url, const char *token_file, gint64 timeout)
{
  g_autoptr (GError) error = NULL;
  const CisWindowSetup setup = {
    .forgejo_url = url, .forgejo_repository = "lab/code", .forgejo_token_file = token_file, .timeout = timeout
  };
  CisWindowSource *source = cis_window_source_forgejo_new (&setup, &error);

  g_assert_no_error (error);
  return source;
}

static CisWindow *
fetch (CisWindowSource *source, guint n)
{
  g_autoptr (GError) error = NULL;
  CisWindow *window = cis_window_source_fetch (source, "main", n, NULL, &error);

  g_assert_no_error (error);
  return window;
}

static void
assert_like_git (const char *tree, CisWindow *window, guint n)
{
  g_autofree char *output =
      forge_run (tree, "git -C repository log --max-count=%u --format='%%H %%ct' refs/heads/main", n);
  g_auto (GStrv) lines = g_strsplit (output, "\n", -1);

  g_assert_cmpuint (cis_window_get_length (window), ==, g_strv_length (lines));
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *line = g_strdup_printf ("%s %" G_GINT64_FORMAT, cis_window_get_commit (window, i),
                                               cis_window_get_time (window, i));

      g_assert_cmpstr (line, ==, lines[i]);
    }
}

/* However the server cuts its pages. */
static void
test_pages (void)
{
  static const char *const caps[] = { "--cap=1", "--cap=7", "--cap=50" };
  static const guint lengths[] = { 1, 6, 7, 8, 14, 59, 60, 61, 1000 };
  g_autoptr (TestTree) tree = test_tree_new ();

  forge_make_repository (tree, 60);
  for (guint c = 0; c < G_N_ELEMENTS (caps); c++)
    {
      g_autoptr (Forge) forge = forge_new (tree, caps[c]);
      g_autoptr (CisWindowSource) source = source_new (forge->url, NULL, TIMEOUT);

      for (guint i = c == 0 ? 4 : 0; i < G_N_ELEMENTS (lengths); i++)
        {
          g_autoptr (CisWindow) window = fetch (source, lengths[i]);

          assert_like_git (tree, window, lengths[i]);
          g_assert_false (cis_window_is_cut (window));
        }
    }
}

/* A window that did not change costs one small answer. */
static void
test_etag (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Forge) forge = NULL;
  g_autoptr (CisWindowSource) source = NULL;
  g_autoptr (CisWindow) before = NULL;
  g_autoptr (CisWindow) same = NULL;
  g_autoptr (CisWindow) longer = NULL;
  g_autoptr (CisWindow) pushed = NULL;
  g_autofree char *log = NULL;
  g_auto (GStrv) lines = NULL;

  forge_make_repository (tree, 12);
  forge = forge_new (tree, "--cap=5");
  source = source_new (forge->url, NULL, TIMEOUT);
  before = fetch (source, 10);
  same = fetch (source, 10);
  g_assert_true (cis_window_equal (before, same));
  g_assert_cmpint (cis_window_get_fetched_at (same), >, cis_window_get_fetched_at (before));
  /* Another length is another question. */
  longer = fetch (source, 11);
  assert_like_git (tree, longer, 11);
  g_free (forge_run (tree, "git -C repository commit -q --allow-empty -m more"));
  pushed = fetch (source, 11);
  assert_like_git (tree, pushed, 11);
  log = forge_get_log (forge);
  lines = g_strsplit (log, "\n", -1);
  g_assert_cmpstr (lines[0], ==, "200 1 refs/heads/main");
  g_assert_true (g_str_has_prefix (lines[1], "200 2 "));
  g_assert_cmpuint (strlen (lines[1]), ==, strlen ("200 2 ") + CIS_COMMIT_LENGTH);
  g_assert_cmpstr (lines[2], ==, "304 1 refs/heads/main");
  g_assert_cmpstr (lines[3], ==, "200 1 refs/heads/main");
}

static void
assert_asked (Forge *forge, const char *const *expected)
{
  g_autofree char *log = forge_get_log (forge);
  g_auto (GStrv) lines = g_strsplit (g_strchomp (log), "\n", -1);

  g_assert_cmpuint (g_strv_length (lines), ==, g_strv_length ((char **) expected));
  for (guint i = 0; expected[i] != NULL; i++)
    g_assert_true (g_str_has_prefix (lines[i], expected[i]));
}

/* A branch that did not change costs one page, without an ETag too; one that is forced back and forth is
 * asked for as a whole. */
static void
test_unchanged (void)
{
  static const char *const heads[] = { "c12", "c12", "c9", "c9", "c12" };
  static const char *const asked[] = { "200 1 refs", "200 2 ",     "200 1 refs", "200 1 refs", "200 2 ",
                                       "200 1 refs", "200 1 refs", "200 2 ",     NULL };
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Forge) forge = NULL;
  g_autoptr (CisWindowSource) source = NULL;
  gint64 before = 0;

  forge_make_repository (tree, 12);
  forge = forge_new (tree, "--cap=5");
  forge_set (forge, "plain");
  source = source_new (forge->url, NULL, TIMEOUT);
  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    {
      g_autoptr (CisWindow) window = NULL;

      g_free (forge_run (tree, "git -C repository update-ref refs/heads/main %s", heads[i]));
      window = fetch (source, 8);
      assert_like_git (tree, window, 8);
      g_assert_cmpint (cis_window_get_fetched_at (window), >, before);
      before = cis_window_get_fetched_at (window);
    }
  assert_asked (forge, asked);
}

/* Of a head whose window was cut, the rest is asked for again. */
static void
test_cut_is_not_kept (void)
{
  static const char *const modes[] = { "ok", "plain" };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (TestTree) tree = test_tree_new ();
      g_autoptr (Forge) forge = NULL;
      g_autoptr (CisWindowSource) source = NULL;
      g_autoptr (CisWindow) cut = NULL;
      g_autoptr (CisWindow) whole = NULL;

      forge_make_repository (tree, 12);
      forge = forge_new (tree, "--cap=5");
      source = source_new (forge->url, NULL, TIMEOUT);
      forge_set (forge, "short");
      cut = fetch (source, 10);
      g_assert_true (cis_window_is_cut (cut));
      forge_set (forge, modes[i]);
      whole = fetch (source, 10);
      g_assert_false (cis_window_is_cut (whole));
      assert_like_git (tree, whole, 10);
    }
}

/* git takes a plain name for the tag's, and the server asks git. */
static void
test_tag_of_the_same_name (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Forge) forge = NULL;
  g_autoptr (CisWindowSource) source = NULL;
  g_autoptr (CisWindow) window = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *fix = NULL;

  forge_make_repository (tree, 12);
  g_free (forge_run (tree, "git -C repository tag main c5; git -C repository tag gone c5"));
  forge = forge_new (tree, "--cap=5");
  source = source_new (forge->url, NULL, TIMEOUT);
  window = fetch (source, 10);
  assert_like_git (tree, window, 10);
  /* A tag is no branch. */
  g_assert_null (cis_window_source_fetch (source, "gone", 10, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  fix = cis_window_source_suggest (source, "gone", error);
  g_assert_nonnull (strstr (fix, "sha=refs%2Fheads%2Fgone&"));
}

static void
test_token (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *file = g_build_filename (tree, "our token", NULL);
  g_autofree char *quoted = g_shell_quote (file);
  g_autoptr (Forge) forge = NULL;
  g_autoptr (CisWindowSource) source = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *fix = NULL;
  g_autoptr (CisWindow) window = NULL;

  forge_make_repository (tree, 3);
  forge = forge_new (tree, "--token=s3cret");
  source = source_new (forge->url, file, TIMEOUT);
  g_assert_null (cis_window_source_fetch (source, "main", 3, NULL, &error));
  g_clear_error (&error);
  test_write (tree, "our token", "wrong\n");
  g_assert_null (cis_window_source_fetch (source, "main", 3, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  fix = cis_window_source_suggest (source, "main", error);
  g_assert_nonnull (strstr (fix, quoted));
  test_write (tree, "elsewhere", "s3cret\n");
  g_free (forge_run (tree, "ln -sf elsewhere 'our token'"));
  window = fetch (source, 3);
  assert_like_git (tree, window, 3);
}

/* Whatever it is, it is an error in time, with something to do about it, and no window. */
static void
assert_fails (Forge *forge, const char *mode, int code)
{
  gint64 timeout = code == G_IO_ERROR_TIMED_OUT ? G_TIME_SPAN_SECOND / 2 : TIMEOUT;
  g_autoptr (CisWindowSource) source = source_new (forge->url, NULL, timeout);
  g_autoptr (GError) error = NULL;
  g_autofree char *fix = NULL;

  forge_set (forge, mode);
  g_test_message ("%s", mode);
  g_assert_null (cis_window_source_fetch (source, "main", 30, NULL, &error));
  g_assert_error (error, G_IO_ERROR, code);
  fix = cis_window_source_suggest (source, "main", error);
  g_assert_true (g_str_has_prefix (fix, "curl "));
  forge_set (forge, "ok");
  {
    g_autoptr (CisWindowSource) patient = source_new (forge->url, NULL, TIMEOUT);
    g_autoptr (CisWindow) window = fetch (patient, 30);

    assert_like_git (forge->tree, window, 30);
  }
}

static void
test_failures (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Forge) forge = NULL;

  forge_make_repository (tree, 20);
  forge = forge_new (tree, "--cap=5");
  assert_fails (forge, "500", G_IO_ERROR_FAILED);
  assert_fails (forge, "302", G_IO_ERROR_FAILED);
  assert_fails (forge, "404", G_IO_ERROR_NOT_FOUND);
  assert_fails (forge, "hang", G_IO_ERROR_TIMED_OUT);
  assert_fails (forge, "drip", G_IO_ERROR_TIMED_OUT);
  assert_fails (forge, "head", G_IO_ERROR_TIMED_OUT);
  assert_fails (forge, "interim", G_IO_ERROR_INVALID_DATA);
  assert_fails (forge, "garbage", G_IO_ERROR_INVALID_DATA);
  assert_fails (forge, "html", G_IO_ERROR_INVALID_DATA);
  assert_fails (forge, "empty", G_IO_ERROR_INVALID_DATA);
  assert_fails (forge, "repeat", G_IO_ERROR_INVALID_DATA);
  /* Otherwise its one commit would pass for a whole history. */
  assert_fails (forge, "no-parents", G_IO_ERROR_INVALID_DATA);
  assert_fails (forge, "null-parents", G_IO_ERROR_INVALID_DATA);
  assert_fails (forge, "odd-parents", G_IO_ERROR_INVALID_DATA);
}

/* A body that ends early is no shorter window, whether libsoup calls it an error or not. */
static void
test_cut_body (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Forge) forge = NULL;
  g_autoptr (CisWindowSource) source = NULL;
  g_autoptr (GError) error = NULL;

  forge_make_repository (tree, 20);
  forge = forge_new (tree, NULL);
  source = source_new (forge->url, NULL, TIMEOUT);
  forge_set (forge, "cut");
  g_assert_null (cis_window_source_fetch (source, "main", 20, NULL, &error));
  g_assert_nonnull (error);
}

/* A list that ends before the history does refuses nobody. */
static void
test_short (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Forge) forge = NULL;
  g_autoptr (CisWindowSource) source = NULL;
  g_autoptr (CisWindow) window = NULL;

  forge_make_repository (tree, 20);
  forge = forge_new (tree, "--cap=5");
  source = source_new (forge->url, NULL, TIMEOUT);
  forge_set (forge, "short");
  window = fetch (source, 10);
  g_assert_cmpuint (cis_window_get_length (window), ==, 5);
  g_assert_true (cis_window_is_cut (window));
}

static void
test_gone (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (CisWindowSource) source = NULL;
  g_autoptr (GError) error = NULL;

  forge_make_repository (tree, 2);
  {
    g_autoptr (Forge) forge = forge_new (tree, NULL);
    g_autoptr (CisWindow) window = NULL;

    source = source_new (forge->url, NULL, TIMEOUT);
    window = fetch (source, 2);
  }
  g_assert_null (cis_window_source_fetch (source, "main", 2, NULL, &error));
  g_assert_nonnull (error);
}

static gpointer
cancel_soon (gpointer cancellable)
{
  g_usleep (20000);
  g_cancellable_cancel (cancellable);
  return NULL;
}

static void
test_cancelled (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autoptr (Forge) forge = NULL;
  g_autoptr (CisWindowSource) source = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;

  forge_make_repository (tree, 2);
  forge = forge_new (tree, NULL);
  forge_set (forge, "hang");
  source = source_new (forge->url, NULL, G_TIME_SPAN_MINUTE);
  thread = g_thread_new ("cancel", cancel_soon, cancellable);
  g_assert_null (cis_window_source_fetch (source, "main", 2, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_thread_join (thread);
}

static void
assert_malformed (const char *url, const char *repository)
{
  const CisWindowSetup setup = { .forgejo_url = url, .forgejo_repository = repository, .timeout = TIMEOUT };
  g_autoptr (GError) error = NULL;

  g_assert_null (cis_window_source_forgejo_new (&setup, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
}

static void
test_options (void)
{
  static const char *const urls[] = { NULL,
                                      "",
                                      "forge.example",
                                      "ftp://forge.example",
                                      "https://forge.example?x",
                                      "https://",
                                      "https://user@forge.example" };
  static const char *const repositories[] = { NULL,   "",      "code",    "lab/code/x",
                                              "lab/", "/code", "../code", "lab/a b" };

  for (guint i = 0; i < G_N_ELEMENTS (urls); i++)
    assert_malformed (urls[i], "lab/code");
  for (guint i = 0; i < G_N_ELEMENTS (repositories); i++)
    assert_malformed ("https://forge.example/sub/", repositories[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  forge_prepare ();
  g_test_add_func ("/forgejo/pages", test_pages);
  g_test_add_func ("/forgejo/etag", test_etag);
  g_test_add_func ("/forgejo/unchanged", test_unchanged);
  g_test_add_func ("/forgejo/cut-is-not-kept", test_cut_is_not_kept);
  g_test_add_func ("/forgejo/tag-of-the-same-name", test_tag_of_the_same_name);
  g_test_add_func ("/forgejo/token", test_token);
  g_test_add_func ("/forgejo/failures", test_failures);
  g_test_add_func ("/forgejo/cut-body", test_cut_body);
  g_test_add_func ("/forgejo/short", test_short);
  g_test_add_func ("/forgejo/gone", test_gone);
  g_test_add_func ("/forgejo/cancelled", test_cancelled);
  g_test_add_func ("/forgejo/options", test_options);
  return g_test_run ();
}
