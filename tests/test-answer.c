/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "../plugins/transport/http/answer.h"

static void
test_table (void)
{
  const struct
  {
    guint status;
    const char *theirs; /* the finding of a receiver of ours; NULL: somebody else's page */
    CisVerdict verdict;
    CisScope scope;
    const char *id;
  } rows[] = {
    { 0, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-unreachable" },
    { 204, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receipt-mismatch" },
    { 301, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "proxy-refused" },
    { 400, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "proxy-refused" },
    { 400, "digest-malformed", CIS_VERDICT_REJECTED, CIS_SCOPE_ITEM, "digest-malformed" },
    { 400, "digest-missing", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "digest-missing" },
    { 400, "commit-missing", CIS_VERDICT_REJECTED, CIS_SCOPE_ITEM, "commit-missing" },
    { 400, "request-malformed", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "request-malformed" },
    { 400, "digest-mismatch", CIS_VERDICT_DEFERRED, CIS_SCOPE_ITEM, "digest-mismatch" },
    { 400, "body-cut", CIS_VERDICT_DEFERRED, CIS_SCOPE_ITEM, "body-cut" },
    { 400, "Not <kebab>", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "proxy-refused" },
    { 401, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-refused-token" },
    { 401, "token-unknown", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-refused-token" },
    { 403, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "proxy-refused" },
    { 403, "not-your-host", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-refused-host" },
    { 404, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-not-found" },
    { 405, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-not-found" },
    { 408, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-busy" },
    { 409, "episode-conflict", CIS_VERDICT_REJECTED, CIS_SCOPE_ITEM, "episode-conflict" },
    { 409, "upload-offset-mismatch", CIS_VERDICT_DEFERRED, CIS_SCOPE_ITEM, "upload-offset-mismatch" },
    { 409, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "proxy-refused" },
    { 411, "length-required", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "length-required" },
    { 412, "commit-not-in-window", CIS_VERDICT_REJECTED, CIS_SCOPE_ITEM, "commit-not-in-window" },
    { 412, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "proxy-refused" },
    { 413, "too-large", CIS_VERDICT_REJECTED, CIS_SCOPE_ITEM, "too-large" },
    { 413, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "proxy-refused" },
    { 425, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-busy" },
    { 429, "too-many", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "too-many" },
    { 500, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-busy" },
    { 502, NULL, CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "receiver-busy" },
    { 503, "in-flight", CIS_VERDICT_DEFERRED, CIS_SCOPE_ITEM, "in-flight" },
    { 503, "window-unavailable", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "window-unavailable" },
    { 507, "storage-full", CIS_VERDICT_DEFERRED, CIS_SCOPE_STAGE, "storage-full" },
  };
  CisPeer peer = { .url = "https://receiver.example", .host = "lab-7" };
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *body =
          rows[i].theirs != NULL
              ? g_strdup_printf ("{\"type\": \"urn:cis490:finding:%s\", \"detail\": \"why\"}", rows[i].theirs)
              : g_strdup ("<html>");
      g_auto (CisAnswer) answer = {
        .status = rows[i].status,
        .content_type = g_strdup (rows[i].theirs != NULL ? "application/problem+json" : "text/html"),
        .body = g_bytes_new (body, strlen (body)),
      };
      g_auto (CisJudgement) judgement = { NULL };

      cis_answer_judge (&answer, CIS_ASKED_UPLOAD, episode, &peer, &judgement);
      g_test_message ("%u %s", rows[i].status, rows[i].theirs != NULL ? rows[i].theirs : "-");
      g_assert_nonnull (judgement.outcome);
      g_assert_cmpint (cis_outcome_get_verdict (judgement.outcome), ==, rows[i].verdict);
      g_assert_cmpint (cis_outcome_get_scope (judgement.outcome), ==, rows[i].scope);
      g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (judgement.outcome)), ==, rows[i].id);
      g_assert_true (judgement.repack == (g_strcmp0 (rows[i].theirs, "digest-mismatch") == 0));
      if (rows[i].scope == CIS_SCOPE_STAGE)
        g_assert_cmpstr (cis_finding_get_subject (cis_outcome_get_finding (judgement.outcome)), ==, peer.url);
    }
}

/* Only our receiver's word makes it a matter of the episode alone, and only where it says "later". */
static void
test_scope (void)
{
  static const struct
  {
    guint status;
    const char *type, *scope;
    CisAsked asked;
    CisScope expected;
  } rows[] = {
    { 503, "urn:cis490:finding:window-unavailable", "item", CIS_ASKED_UPLOAD, CIS_SCOPE_ITEM },
    { 507, "urn:cis490:finding:storage-full", "item", CIS_ASKED_QUESTION, CIS_SCOPE_ITEM },
    { 429, "urn:cis490:finding:host-busy", "item", CIS_ASKED_REST, CIS_SCOPE_ITEM },
    { 503, "urn:cis490:finding:window-unavailable", "stage", CIS_ASKED_UPLOAD, CIS_SCOPE_STAGE },
    { 503, "urn:cis490:finding:window-unavailable", "Item", CIS_ASKED_UPLOAD, CIS_SCOPE_STAGE },
    { 503, "about:blank", "item", CIS_ASKED_UPLOAD, CIS_SCOPE_STAGE },
    { 401, "urn:cis490:finding:token-unknown", "item", CIS_ASKED_UPLOAD, CIS_SCOPE_STAGE },
    { 503, "urn:cis490:finding:window-unavailable", "item", CIS_ASKED_PING, CIS_SCOPE_STAGE },
  };
  CisPeer peer = { .url = "https://receiver.example", .host = "lab-7" };
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *body = g_strdup_printf ("{\"type\": \"%s\", \"detail\": \"why\", \"scope\": \"%s\"}",
                                               rows[i].type, rows[i].scope);
      g_auto (CisAnswer) answer = {
        .status = rows[i].status,
        .content_type = g_strdup ("application/problem+json"),
        .body = g_bytes_new (body, strlen (body)),
      };
      g_auto (CisJudgement) judgement = { NULL };
      CisFinding *finding;

      cis_answer_judge (&answer, rows[i].asked, rows[i].asked == CIS_ASKED_PING ? NULL : episode, &peer,
                        &judgement);
      g_test_message ("%u %s", rows[i].status, body);
      g_assert_cmpint (cis_outcome_get_verdict (judgement.outcome), ==, CIS_VERDICT_DEFERRED);
      g_assert_cmpint (cis_outcome_get_scope (judgement.outcome), ==, rows[i].expected);
      finding = cis_outcome_get_finding (judgement.outcome);
      if (rows[i].expected == CIS_SCOPE_ITEM)
        {
          g_assert_cmpstr (cis_finding_get_subject (finding), ==, "e1");
          g_assert_cmpint (cis_finding_get_severity (finding), ==, CIS_SEVERITY_INFO);
        }
    }
}

/* Of an episode that has one, something in between has dropped the header. */
static void
test_commit_dropped (void)
{
  static const char body[] = "{\"type\": \"urn:cis490:finding:commit-missing\", \"detail\": \"why\"}";
  CisPeer peer = { .url = "https://receiver.example", .host = "lab-7" };
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);
  g_auto (CisAnswer) answer = {
    .status = 400,
    .content_type = g_strdup ("application/problem+json"),
    .body = g_bytes_new_static (body, strlen (body)),
  };
  g_auto (CisJudgement) judgement = { NULL };

  cis_episode_set_commit (episode, "cccccccccccccccccccccccccccccccccccccccc");
  cis_answer_judge (&answer, CIS_ASKED_UPLOAD, episode, &peer, &judgement);
  g_assert_cmpint (cis_outcome_get_verdict (judgement.outcome), ==, CIS_VERDICT_DEFERRED);
  g_assert_cmpint (cis_outcome_get_scope (judgement.outcome), ==, CIS_SCOPE_STAGE);
}

/* A proxy that lets no PATCH pass may let a PUT. */
static void
test_whole (void)
{
  static const struct
  {
    guint status;
    gboolean ours;
    gboolean whole;
  } rows[] = { { 403, FALSE, TRUE },
               { 403, TRUE, FALSE },
               { 405, FALSE, TRUE },
               { 501, FALSE, TRUE },
               { 404, FALSE, FALSE } };
  CisPeer peer = { .url = "https://receiver.example", .host = "lab-7" };
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      static const char body[] = "{\"type\": \"urn:cis490:finding:not-your-host\", \"detail\": \"why\"}";
      g_auto (CisAnswer) answer = {
        .status = rows[i].status,
        .content_type = g_strdup (rows[i].ours ? "application/problem+json" : "text/html"),
        .body = g_bytes_new_static (body, strlen (body)),
      };
      g_auto (CisJudgement) judgement = { NULL };

      cis_answer_judge (&answer, CIS_ASKED_REST, episode, &peer, &judgement);
      g_assert_true (judgement.whole == rows[i].whole);
    }
}

/* Of our own archive: it says nothing of the receiver, which may have some of it. */
static void
test_unreadable (void)
{
  CisPeer peer = { .url = "https://receiver.example", .host = "lab-7" };
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "e1", NULL);
  g_auto (CisAnswer) answer = { .failure = g_strdup ("Input/output error"), .unreadable = TRUE };
  g_auto (CisJudgement) judgement = { NULL };

  cis_answer_judge (&answer, CIS_ASKED_UPLOAD, episode, &peer, &judgement);
  g_assert_cmpint (cis_outcome_get_verdict (judgement.outcome), ==, CIS_VERDICT_FAILED);
  g_assert_cmpint (cis_outcome_get_scope (judgement.outcome), ==, CIS_SCOPE_ITEM);
  g_assert_nonnull (strstr (cis_outcome_get_error (judgement.outcome)->message, answer.failure));
  g_assert_true (judgement.repack && judgement.ask);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/answer/table", test_table);
  g_test_add_func ("/answer/scope", test_scope);
  g_test_add_func ("/answer/commit-dropped", test_commit_dropped);
  g_test_add_func ("/answer/whole", test_whole);
  g_test_add_func ("/answer/unreadable", test_unreadable);
  return g_test_run ();
}
