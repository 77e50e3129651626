/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct
{
  char *tree;
  char *file;
  gpointer bearer;
} Fixture;

static char *
make_line (const char *host, const char *token)
{
  g_autofree char *sha256 = cis_digest_bytes (token, strlen (token));

  return g_strdup_printf ("%s %s\n", host, sha256);
}

/* One token each for lab-1 and lab-2, and a shared one. */
static void
write_tokens (Fixture *f)
{
  g_autofree char *one = make_line ("lab-1", "token-1");
  g_autofree char *old = make_line ("lab-1", "token-1-old");
  g_autofree char *two = make_line ("  lab-2\t", "token-2");
  g_autofree char *shared = make_line ("*", "token-of-all");
  g_autofree char *text = g_strconcat ("# who may send\n\n", one, old, two, shared, NULL);

  test_write (f->tree, "tokens", text);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  f->tree = test_tree_new ();
  f->file = g_build_filename (f->tree, "tokens", NULL);
  write_tokens (f);
  f->bearer = test_part_new ("gate/bearer", "tokens-file", f->file, data, TRUE, NULL);
  cis_part_open (f->bearer, NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  cis_part_close (f->bearer);
  g_object_unref (f->bearer);
  g_free (f->file);
  test_tree_remove (f->tree);
}

/* The finding's id, or the identity that was set, for a request about @host's episode (%NULL: a
 * ping). full */
static char *
ask (Fixture *f, const char *host, const char *authorization, const char *client)
{
  g_autoptr (CisRequest) request = cis_request_new ("PUT", "/v1/whatever");
  g_autoptr (CisItem) item =
      host != NULL ? CIS_ITEM (cis_episode_new (host, "run", request)) : cis_item_new ("ping", request);
  g_autoptr (CisOutcome) outcome = NULL;

  if (authorization != NULL)
    cis_request_set_header (request, "authorization", authorization);
  cis_request_set_client_name (request, client);
  if (test_process (f->bearer, item, &outcome) == CIS_VERDICT_PASSED)
    return g_strconcat ("is ", cis_request_get_identity (request), NULL);
  g_assert_cmpint (cis_outcome_get_verdict (outcome), ==, CIS_VERDICT_REJECTED);
  g_assert_null (cis_request_get_identity (request));
  g_assert_nonnull (cis_finding_get_fix (cis_outcome_get_finding (outcome)));
  return g_strdup (cis_finding_get_id (cis_outcome_get_finding (outcome)));
}

#define assert_answer(f, host, authorization, client, expected)                                              \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    g_autofree char *answer_ = ask (f, host, authorization, client);                                         \
    g_assert_cmpstr (answer_, ==, expected);                                                                 \
  }                                                                                                          \
  G_STMT_END

static void
test_own (Fixture *f, gconstpointer data)
{
  assert_answer (f, "lab-1", "Bearer token-1", NULL, "is lab-1");
  assert_answer (f, "lab-1", "bearer  token-1-old", NULL, "is lab-1");
  assert_answer (f, "lab-2", "Bearer token-2", NULL, "is lab-2");
  assert_answer (f, NULL, "Bearer token-2", NULL, "is lab-2");
}

/* Where the name comes, it has to fit, required or not. */
static void
test_certificate (Fixture *f, gconstpointer data)
{
  assert_answer (f, "lab-1", "Bearer token-1", "lab-1", "is lab-1");
  assert_answer (f, NULL, "Bearer token-1", "lab-1", "is lab-1");
  assert_answer (f, "lab-1", "Bearer token-1", "lab-2", "not-your-host");
  assert_answer (f, "lab-2", "Bearer token-1", "lab-2", "not-your-host");
  assert_answer (f, "lab-2", "Bearer token-1", "lab-1", "not-your-host");
  assert_answer (f, NULL, "Bearer token-1", "lab-2", "not-your-host");
  assert_answer (f, "lab-1", "Bearer token-1", "-", "not-your-host");
  assert_answer (f, "lab-1", "Bearer token-1", "", "not-your-host");
  assert_answer (f, "lab-1", "Bearer token-1", "lab-1,lab-1", "not-your-host");
  assert_answer (f, "lab-1", "Bearer token-3", "lab-1", "token-unknown");
}

static void
test_required (Fixture *f, gconstpointer data)
{
  test_certificate (f, data);
  assert_answer (f, "lab-1", "Bearer token-1", NULL, "not-your-host");
  assert_answer (f, NULL, "Bearer token-1", NULL, "not-your-host");
  assert_answer (f, "lab-9", "Bearer token-of-all", "lab-9", "is lab-9");
  assert_answer (f, "lab-9", "Bearer token-of-all", NULL, "not-your-host");
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  assert_answer (f, "lab-1", NULL, NULL, "token-missing");
  assert_answer (f, "lab-1", "Basic token-1", NULL, "token-missing");
  assert_answer (f, "lab-1", "Bearer ", NULL, "token-missing");
  assert_answer (f, "lab-1", "Bearer token-3", NULL, "token-unknown");
  assert_answer (f, "lab-1", "Bearer token-1 ", NULL, "token-unknown");
  assert_answer (f, "lab-1", "Bearer token-2", NULL, "not-your-host");
  assert_answer (f, "lab-3", "Bearer token-2", "lab-3", "not-your-host");
  assert_answer (f, NULL, NULL, NULL, "token-missing");
  assert_answer (f, NULL, "Bearer token-3", NULL, "token-unknown");
}

/* A ping names no host; its certificate does. */
static void
test_unknown_named (Fixture *f, gconstpointer data)
{
  g_autoptr (CisRequest) request = cis_request_new ("POST", "/v1/ping");
  g_autoptr (CisItem) item = cis_item_new ("ping", request);
  g_autoptr (CisOutcome) outcome = NULL;
  CisFinding *finding;

  cis_request_set_header (request, "authorization", "Bearer token-3");
  cis_request_set_client_name (request, "lab-7");
  g_assert_cmpint (test_process (f->bearer, item, &outcome), ==, CIS_VERDICT_REJECTED);
  finding = cis_outcome_get_finding (outcome);
  g_assert_nonnull (strstr (cis_finding_get_summary (finding), "the certificate of lab-7"));
  g_assert_nonnull (strstr (cis_finding_get_fix (finding), "token new lab-7"));
}

static void
test_shared (Fixture *f, gconstpointer data)
{
  assert_answer (f, "lab-9", "Bearer token-of-all", "lab-9", "is lab-9");
  assert_answer (f, NULL, "Bearer token-of-all", "lab-9", "is lab-9");
  assert_answer (f, "lab-9", "Bearer token-of-all", NULL, "not-your-host");
  assert_answer (f, "lab-9", "Bearer token-of-all", "", "not-your-host");
  assert_answer (f, "lab-9", "Bearer token-of-all", "lab-8", "not-your-host");
  assert_answer (f, "lab-9", "Bearer token-of-all", "LAB-9", "not-your-host");
  assert_answer (f, NULL, "Bearer token-of-all", NULL, "not-your-host");
  assert_answer (f, NULL, "Bearer token-of-all", "../lab-9", "not-your-host");
}

static void
test_no_request (Fixture *f, gconstpointer data)
{
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab-1", "run", NULL);

  g_assert_cmpint (test_process (f->bearer, episode, NULL), ==, CIS_VERDICT_PASSED);
}

static gboolean
answers (Fixture *f, const char *token, const char *expected)
{
  g_autofree char *authorization = g_strconcat ("Bearer ", token, NULL);
  g_autofree char *answer = ask (f, NULL, authorization, NULL);

  return g_str_equal (answer, expected);
}

static void
test_edited (Fixture *f, gconstpointer data)
{
  g_autofree char *line = make_line ("lab-3", "token-3");
  g_autofree char *broken = g_strconcat (line, "lab-4 token-in-plain\n", NULL);

  test_write (f->tree, "tokens", line);
  test_wait_for (answers (f, "token-3", "is lab-3"));
  assert_answer (f, "lab-1", "Bearer token-1", NULL, "token-unknown");

  /* A broken edit, then no file at all: the last good one goes on. It is looked at by the first request that
   * comes a second after the one before, so that long is waited. */
  test_write (f->tree, "tokens", broken);
  g_usleep (1100 * 1000);
  assert_answer (f, "lab-3", "Bearer token-3", NULL, "is lab-3");
  g_assert_no_errno (g_unlink (f->file));
  g_usleep (1100 * 1000);
  assert_answer (f, "lab-3", "Bearer token-3", NULL, "is lab-3");
  /* As an editor leaves it on a full disk. */
  test_write (f->tree, "tokens", "");
  g_usleep (1100 * 1000);
  assert_answer (f, "lab-3", "Bearer token-3", NULL, "is lab-3");
  /* As after the last token was revoked. */
  test_write (f->tree, "tokens", "# lab-3: stolen\n");
  test_wait_for (answers (f, "token-3", "token-unknown"));

  write_tokens (f);
  test_wait_for (answers (f, "token-1", "is lab-1"));
}

/* As after a reload that failed for the broken file: what runs must not end for it. */
static void
test_opened_again (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  test_write (f->tree, "tokens", "lab-4 token-in-plain\n");
  cis_part_close (f->bearer);
  g_assert_true (cis_part_open (f->bearer, NULL, &error));
  g_assert_no_error (error);
  assert_answer (f, "lab-1", "Bearer token-1", NULL, "is lab-1");
}

static void
assert_refused (const char *text, const char *where)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *file = g_build_filename (tree, "tokens", NULL);
  gpointer bearer = test_part_new ("gate/bearer", "tokens-file", file, NULL);
  g_autoptr (GError) error = NULL;

  if (text != NULL)
    test_write (tree, "tokens", text);
  g_assert_false (cis_part_open (bearer, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, file));
  if (where != NULL)
    g_assert_nonnull (strstr (error->message, where));
  g_assert_null (strstr (error->message, "s3cret"));
  /* What to do about it, as of a file that breaks later. */
  g_assert_nonnull (strstr (error->message, "\n${EDITOR:-vi} "));
  cis_part_close (bearer);
  g_object_unref (bearer);
}

static void
test_malformed (void)
{
  g_autofree char *good = make_line ("lab-1", "token-1");
  g_autofree char *third = g_strconcat ("# comment\n", good, "lab-2 s3cret\n", NULL);
  g_autofree char *one_word = g_strconcat (good, "lab-2\n", NULL);
  g_autofree char *three_words = make_line ("lab-1 lab-2", "token");
  g_autofree char *bad_host = make_line ("../lab", "token");

  assert_refused (NULL, NULL);
  assert_refused ("\n \n", "is blank");
  assert_refused (third, ":3:");
  assert_refused (one_word, ":2:");
  assert_refused (three_words, ":1:");
  assert_refused (bad_host, ":1:");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/bearer/own", Fixture, NULL, set_up, test_own, tear_down);
  g_test_add ("/bearer/certificate", Fixture, NULL, set_up, test_certificate, tear_down);
  g_test_add ("/bearer/required", Fixture, "require-client-name", set_up, test_required, tear_down);
  g_test_add ("/bearer/unknown-named", Fixture, NULL, set_up, test_unknown_named, tear_down);
  g_test_add ("/bearer/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add ("/bearer/shared", Fixture, NULL, set_up, test_shared, tear_down);
  g_test_add ("/bearer/no-request", Fixture, NULL, set_up, test_no_request, tear_down);
  g_test_add ("/bearer/edited", Fixture, NULL, set_up, test_edited, tear_down);
  g_test_add ("/bearer/opened-again", Fixture, NULL, set_up, test_opened_again, tear_down);
  g_test_add_func ("/bearer/malformed", test_malformed);
  return g_test_run ();
}
