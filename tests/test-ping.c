/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a host makes of the answer to a ping: only a whole one says that all is well. */

#include "peer.h"

#include <glib/gstdio.h>

static void
ping_expect (Fixture *fixture, const char *id)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);

  CIS_PART_GET_CLASS (fixture->stage)->check (CIS_PART (fixture->stage), findings, NULL);
  g_assert_cmpuint (findings->len, ==, 1);
  g_test_message ("%s", cis_finding_get_summary (findings->pdata[0]));
  g_assert_cmpstr (cis_finding_get_id (findings->pdata[0]), ==, id);
  g_assert_cmpint (cis_finding_get_severity (findings->pdata[0]), ==,
                   g_str_equal (id, "receiver-ok") ? CIS_SEVERITY_INFO : CIS_SEVERITY_ERROR);
}

static void
test_ping (void)
{
  static const char *const halves[] = {
    "{}",
    "{\"status\":\"ok\"}",
    "{\"host\":\"lab-7\"}",
    "{\"status\":\"ok\",\"host\":\"lab-7\",\"window\":\"in\"}",
    "{\"status\":\"ok\",\"host\":\"lab-7\",\"window\":\"in\",\"position\":\"9\",\"size\":\"5\"}",
  };
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  g_autofree char *token = g_build_filename (fixture.tree, "token", NULL);

  cis_part_close (CIS_PART (fixture.stage));
  peer_say (peer, 200, NULL, NULL);
  ping_expect (&fixture, "receiver-ok");
  g_assert_cmpstr (peer_seen (peer, 0), ==, "POST /v1/ping\n");
  g_assert_cmpstr (peer_header (peer, 0, "Authorization"), ==, "Bearer s3cret");
  peer_say_problem (peer, 401, "token-unknown");
  ping_expect (&fixture, "receiver-refused-token");
  peer_say_problem (peer, 403, "not-your-host");
  ping_expect (&fixture, "receiver-refused-host");
  peer_say (peer, 404, "text/html", "nothing here");
  ping_expect (&fixture, "receiver-not-found");
  /* The token is good, and would ship for another host only. */
  peer_say (peer, 200, NULL, "{\"status\":\"ok\",\"host\":\"lab-8\"}");
  ping_expect (&fixture, "receiver-refused-host");
  peer_say (peer, 400, "text/html", "The plain HTTP request was sent to HTTPS port");
  ping_expect (&fixture, "proxy-refused");
  peer_say (peer, 200, "text/html", "<html>hotel</html>");
  ping_expect (&fixture, "receipt-mismatch");
  for (guint i = 0; i < G_N_ELEMENTS (halves); i++)
    {
      peer_say (peer, 200, NULL, halves[i]);
      ping_expect (&fixture, "receipt-mismatch");
    }
  g_assert_no_errno (g_unlink (token));
  ping_expect (&fixture, "token-unreadable");
}

/* It says how the receiver is: whether there is room, and whose clock is wrong. */
static void
test_state (void)
{
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 1024, NULL);
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);
  Reply *reply = peer_say (peer, 200, NULL, "{\"status\":\"ok\",\"host\":\"lab-7\",\"room\":12300000000}");
  const char *summary;

  reply->header = "Date";
  reply->value = "Sun, 06 Nov 1994 08:49:37 GMT";
  CIS_PART_GET_CLASS (fixture.stage)->check (CIS_PART (fixture.stage), findings, NULL);
  summary = cis_finding_get_summary (findings->pdata[0]);
  g_test_message ("%s", summary);
  g_assert_nonnull (strstr (summary, "; room for 12.3"));
  g_assert_nonnull (strstr (summary, "; its clock is "));
  g_assert_nonnull (strstr (summary, " s behind ours"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ping/answers", test_ping);
  g_test_add_func ("/ping/state", test_state);
  return g_test_run ();
}
