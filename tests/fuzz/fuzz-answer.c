/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/transport/http/answer.h"
#include "fuzz.h"

#include <string.h>

#define HOST    "lab-1"
#define EPISODE "run-1"
#define SHA256  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SIZE    4096

/* A whole receipt for just this archive, member by member. */
static gboolean
is_our_receipt (GBytes *body)
{
  g_autoptr (JsonObject) receipt =
      cis_json_parse (g_bytes_get_data (body, NULL), g_bytes_get_size (body), NULL);

  return receipt != NULL && g_strcmp0 (cis_json_get_string (receipt, "host"), HOST) == 0 &&
         g_strcmp0 (cis_json_get_string (receipt, "episode"), EPISODE) == 0 &&
         g_strcmp0 (cis_json_get_string (receipt, "sha256"), SHA256) == 0 &&
         cis_json_get_size (receipt, "size", -1) == SIZE;
}

static gboolean
is_our_problem (const CisAnswer *answer)
{
  g_autoptr (JsonObject) problem =
      cis_json_parse (g_bytes_get_data (answer->body, NULL), g_bytes_get_size (answer->body), NULL);
  const char *type = problem != NULL ? cis_json_get_string (problem, "type") : NULL;

  return g_ascii_strcasecmp (answer->content_type, "application/problem+json") == 0 && type != NULL &&
         g_str_has_prefix (type, "urn:cis490:finding:");
}

/* It may be shown on a terminal. */
static void
check_text (const char *text)
{
  for (const char *c = text; c != NULL && *c != '\0'; c = g_utf8_next_char (c))
    g_assert_true (!g_unichar_iscntrl (g_utf8_get_char (c)) || *c == '\n' || *c == '\t');
}

/* As JSON and as a problem it is read again, and as the problem it is the same finding. */
static void
check_finding (CisFinding *finding)
{
  g_autoptr (JsonObject) object = cis_finding_to_json (finding);
  g_autoptr (JsonObject) problem = cis_finding_to_problem (finding, 400);
  g_autofree char *line = cis_json_to_line (object), *problem_line = cis_json_to_line (problem);
  g_autoptr (JsonObject) again = cis_json_parse (line, strlen (line), NULL);
  g_autoptr (JsonObject) problem_again = cis_json_parse (problem_line, strlen (problem_line), NULL);
  g_autoptr (CisFinding) same = NULL;

  check_text (cis_finding_get_summary (finding));
  check_text (cis_finding_get_fix (finding));
  g_assert_nonnull (again);
  g_assert_nonnull (problem_again);
  same = cis_finding_from_problem (problem_again, cis_finding_get_subject (finding));
  g_assert_cmpstr (cis_finding_get_id (same), ==, cis_finding_get_id (finding));
  g_assert_cmpstr (cis_finding_get_summary (same), ==, cis_finding_get_summary (finding));
  g_assert_cmpstr (cis_finding_get_fix (same), ==, cis_finding_get_fix (finding));
}

/* Shipped only with our receipt; lost to the quarantine only by a word of our receiver; else it waits, and
 * not for ever. */
static void
check (const CisAnswer *answer, CisAsked asked, const CisJudgement *judgement)
{
  CisVerdict verdict;

  g_assert_true (judgement->offset <= SIZE);
  if (judgement->outcome == NULL)
    {
      g_assert_true (answer->status >= 200 && answer->status < 300);
      g_assert_true (asked == CIS_ASKED_QUESTION || asked == CIS_ASKED_PING);
      return;
    }
  verdict = cis_outcome_get_verdict (judgement->outcome);
  g_assert_true ((verdict == CIS_VERDICT_PASSED) == (judgement->receipt != NULL));
  if (verdict == CIS_VERDICT_PASSED)
    {
      g_assert_true (answer->status >= 200 && answer->status < 300 && is_our_receipt (answer->body));
      return;
    }
  g_assert_true (verdict == CIS_VERDICT_REJECTED || verdict == CIS_VERDICT_DEFERRED);
  if (verdict == CIS_VERDICT_REJECTED)
    g_assert_true (answer->status >= 400 && answer->status < 500 && asked != CIS_ASKED_PING &&
                   is_our_problem (answer));
  g_assert_cmpint (cis_outcome_get_retry_after (judgement->outcome), >=, 0);
  g_assert_cmpint (cis_outcome_get_retry_after (judgement->outcome), <=, CIS_RETRY_AFTER_MAX);
  check_finding (cis_outcome_get_finding (judgement->outcome));
}

static CisAsked
find_asked (const char *word)
{
  static const char *const words[] = { "ping", "question", "upload", "rest" };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_str_equal (words[i], word))
      return (CisAsked) i;
  return CIS_ASKED_UPLOAD;
}

/* "ASKED STATUS CONTENT-TYPE RETRY-AFTER", and the body. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  const CisPeer peer = { .url = "https://receiver.example", .host = HOST };
  const char *newline = size > 0 ? memchr (data, '\n', size) : NULL;
  gsize length = newline != NULL ? (gsize) (newline - (const char *) data) : size;
  g_autofree char *line = g_strndup ((const char *) data, length);
  g_auto (GStrv) words = g_strsplit (line, " ", 4);
  guint n_words = g_strv_length (words);
  CisAsked asked = n_words > 0 ? find_asked (words[0]) : CIS_ASKED_PING;
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, EPISODE, NULL);
  g_auto (CisJudgement) judgement = { NULL };
  g_auto (CisAnswer) answer = {
    .status = n_words > 1 ? g_ascii_strtoull (words[1], NULL, 10) % 600 : 0,
    .content_type = g_strdup (n_words > 2 ? words[2] : ""),
    .retry_after = n_words > 3 ? g_ascii_strtoll (words[3], NULL, 10) : 0,
    .body = newline != NULL ? g_bytes_new (newline + 1, size - length - 1) : g_bytes_new (NULL, 0),
  };

  cis_episode_set_archive (episode, NULL, SHA256, SIZE);
  cis_answer_judge (&answer, asked, asked == CIS_ASKED_PING ? NULL : episode, &peer, &judgement);
  check (&answer, asked, &judgement);
  return 0;
}
