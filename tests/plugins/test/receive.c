/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one stage behind transport/accept in its test. The request says in X-Test what it should do; without
 * that it reads the body and says "stored". Its identity is whatever the bearer token says. */

#include "cis490.h"

#include <string.h>

typedef CisStage CisTestReceive;
typedef CisStageClass CisTestReceiveClass;

GType cis_test_receive_get_type (void);
G_DEFINE_TYPE (CisTestReceive, cis_test_receive, CIS_TYPE_STAGE)

static CisOutcome *
reject (const char *id)
{
  CisFinding *finding = cis_finding_new (id, CIS_SEVERITY_ERROR, "test", "refused by the test");

  cis_finding_set_fix (finding, "ask otherwise");
  cis_finding_set_detail (finding, "your_commit", "abc");
  return cis_outcome_rejected (finding);
}

static CisOutcome *
hold (const char *path, GCancellable *cancellable)
{
  while (!g_file_test (path, G_FILE_TEST_EXISTS) && !g_cancellable_is_cancelled (cancellable))
    g_usleep (1000);
  return g_cancellable_is_cancelled (cancellable) ? cis_outcome_none () : cis_outcome_passed ();
}

static CisOutcome *
store (CisItem *item, GCancellable *cancellable)
{
  CisRequest *request = cis_item_get_request (item);
  g_autoptr (CisDigest) digest = cis_digest_new ();
  g_autofree char *buffer = g_malloc (65536);
  g_autofree char *sha256 = NULL;
  g_autoptr (JsonObject) receipt = NULL;
  GError *error = NULL;
  gssize n;

  while ((n = g_input_stream_read (cis_request_get_body (request), buffer, 65536, cancellable, &error)) > 0)
    cis_digest_update (digest, buffer, n);
  if (n < 0)
    return cis_outcome_failed (error);
  sha256 = cis_digest_finish (digest);
  if (strcmp (sha256, cis_episode_get_sha256 (CIS_EPISODE (item))) != 0)
    return reject ("digest-mismatch");
  receipt = cis_receipt_new (CIS_EPISODE (item), cis_episode_get_host (CIS_EPISODE (item)), "stored", NULL);
  cis_episode_set_receipt (CIS_EPISODE (item), receipt);
  return cis_outcome_passed ();
}

static CisOutcome *
cis_test_receive_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisRequest *request = cis_item_get_request (item);
  const char *authorization = cis_request_get_header (request, "authorization");
  const char *what = cis_request_get_header (request, "x-test");

  if (authorization != NULL && g_str_has_prefix (authorization, "Bearer "))
    cis_request_identify (request, authorization + strlen ("Bearer "));
  if (what == NULL)
    what = "";
  if (g_str_has_prefix (what, "reject "))
    return reject (what + strlen ("reject "));
  if (g_str_equal (what, "fail"))
    return cis_outcome_failed (g_error_new (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "cannot write /secret/path"));
  if (g_str_equal (what, "reply-and-fail"))
    {
      cis_request_set_reply (request, 201, json_object_new ());
      return cis_outcome_failed (g_error_new (G_IO_ERROR, G_IO_ERROR_NO_SPACE, "cannot write /secret/path"));
    }
  if (g_str_equal (what, "defer"))
    return cis_outcome_deferred (CIS_SCOPE_ITEM, 2500 * 1000, NULL);
  if (g_str_has_prefix (what, "hold "))
    {
      g_autoptr (CisOutcome) outcome = hold (what + strlen ("hold "), cancellable);

      if (cis_outcome_get_verdict (outcome) != CIS_VERDICT_PASSED)
        return g_steal_pointer (&outcome);
    }
  return cis_request_get_body (request) != NULL && !g_str_equal (what, "ignore") ? store (item, cancellable)
                                                                                 : cis_outcome_passed ();
}

static void
cis_test_receive_class_init (CisTestReceiveClass *klass)
{
  klass->process = cis_test_receive_process;
}

static void
cis_test_receive_init (CisTestReceive *self)
{
}

CIS_PLUGIN ("test/receive", "Does what the request says.", CisTestReceive, cis_test_receive, CisStage)
