/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"

static void
run_command (const char *folder, const char *command)
{
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  const char *argv[] = { "sh", "-c", command, NULL };
  int status;

  g_spawn_sync (folder, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error);
  g_assert_no_error (error);
  if (status != 0)
    g_test_message ("%s\n%s%s", command, out, err);
  g_assert_cmpint (status, ==, 0);
}

/* An authority, the server's certificate, and a client's. */
#define NEW_KEY "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
#define SIGN(NAME)                                                                                           \
  "openssl x509 -req -days 2 -CA ca.pem -CAkey ca.key -CAcreateserial -in " NAME ".csr -out " NAME ".pem "

static void
make_client (const char *folder, const char *name)
{
  g_autofree char *command = g_strdup_printf (NEW_KEY "-subj /CN=%s -keyout new.key -out new.csr && " SIGN (
                                                  "new") " && "
                                                         "mv new.key client.key && mv new.pem client.pem",
                                              name);

  run_command (folder, command);
}

static void
make_authority (const char *folder)
{
  run_command (folder, NEW_KEY "-x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem");
  run_command (folder, NEW_KEY "-subj /CN=receiver -keyout server.key -out server.csr && "
                               "echo subjectAltName=IP:127.0.0.1 >san && " SIGN ("server") " -extfile san");
}

static void
test_mutual_tls (void)
{
  g_autoptr (TestTree) pki = test_tree_new ();
  g_autofree char *ca = g_build_filename (pki, "ca.pem", NULL);
  g_autofree char *pem = g_build_filename (pki, "server.pem", NULL);
  g_autofree char *key = g_build_filename (pki, "server.key", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autoptr (GTlsDatabase) authorities = NULL;
  g_autoptr (Peer) peer = NULL;
  g_auto (Fixture) fixture = { NULL };
  g_autofree char *copy = NULL;

  make_authority (pki);
  certificate = g_tls_certificate_new_from_files (pem, key, &error);
  g_assert_no_error (error);
  authorities = g_tls_file_database_new (ca, NULL);
  peer = peer_new (certificate, authorities, NULL);
  fixture = fixture_new (peer->url, 0, ca);

  fixture_expect (&fixture, CIS_VERDICT_DEFERRED, "certificate-unreadable");
  copy = g_strdup_printf ("cp %s/ca.pem %s/ca.key .", pki, pki);
  run_command (fixture.tree, copy);
  make_client (fixture.tree, "lab-7");
  peer_say (peer, 200, NULL, "{\"status\": \"welcome\", \"offset\": 0}");
  peer_say (peer, 201, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer->names->pdata[0], ==, "CN=lab-7");

  /* Renewed: no restart is needed. */
  make_client (fixture.tree, "lab-7-renewed");
  peer_say (peer, 200, NULL, NULL);
  fixture_expect (&fixture, CIS_VERDICT_PASSED, NULL);
  g_assert_cmpstr (peer->names->pdata[2], ==, "CN=lab-7-renewed");
}

/* The receiver's certificate is not of our authority: no byte of ours, token included, goes there. */
static void
test_untrusted (void)
{
  g_autoptr (TestTree) pki = test_tree_new ();
  g_autoptr (TestTree) other = test_tree_new ();
  g_autofree char *ca = g_build_filename (other, "ca.pem", NULL);
  g_autofree char *pem = g_build_filename (pki, "server.pem", NULL);
  g_autofree char *key = g_build_filename (pki, "server.key", NULL);
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autoptr (GTlsDatabase) authorities = NULL;
  g_autoptr (Peer) peer = NULL;
  g_auto (Fixture) fixture = { NULL };
  g_autoptr (CisOutcome) outcome = NULL;
  g_autofree char *copy = NULL;

  make_authority (pki);
  make_authority (other);
  certificate = g_tls_certificate_new_from_files (pem, key, NULL);
  authorities = g_tls_file_database_new (ca, NULL);
  peer = peer_new (certificate, authorities, NULL);
  fixture = fixture_new (peer->url, 0, ca);
  copy = g_strdup_printf ("cp %s/ca.pem %s/ca.key .", pki, pki);
  run_command (fixture.tree, copy);
  make_client (fixture.tree, "lab-7");

  outcome = fixture_ship (&fixture, CIS_VERDICT_DEFERRED, "receiver-unreachable");
  g_assert_nonnull (strstr (cis_finding_get_fix (cis_outcome_get_finding (outcome)), ca));
  g_assert_nonnull (strstr (cis_finding_get_summary (cis_outcome_get_finding (outcome)),
                            "its certificate is signed by an authority (CN=authority), whom "));
  g_assert_null (peer_seen (peer, 0));
}

static GTlsCertificate *
make_server (const char *tree, const char *name, const char *from, const char *until)
{
  g_autofree char *command =
      g_strdup_printf ("printf "
                       "'[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\nserial=serial\\nnew_certs_dir=."
                       "\\ndefault_md=sha256\\n"
                       "policy=p\\nunique_subject=no\\nx509_extensions=x\\n[p]\\ncommonName=supplied\\n[x]"
                       "\\nsubjectAltName=%s\\n' >ca.cnf && "
                       ": >index.txt && openssl rand -hex 8 >serial && " NEW_KEY
                       "-subj /CN=odd -keyout odd.key -out odd.csr && "
                       "openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -startdate %s "
                       "-enddate %s -in odd.csr -out odd.pem",
                       name, from, until);
  g_autofree char *pem = g_build_filename (tree, "odd.pem", NULL),
                  *key = g_build_filename (tree, "odd.key", NULL);
  g_autoptr (GError) error = NULL;
  GTlsCertificate *certificate;

  run_command (tree, command);
  certificate = g_tls_certificate_new_from_files (pem, key, &error);
  g_assert_no_error (error);
  return certificate;
}

/* What is wrong with the receiver's certificate, and by whose clock. */
static void
test_distrust (void)
{
  static const struct
  {
    const char *name, *from, *until, *said;
  } cases[] = {
    { "IP:127.0.0.1", "20010101000000Z", "20020304000000Z",
      "its certificate expired at 2002-03-0?T*Z, while this host's clock says 20*Z" },
    { "IP:127.0.0.1", "20900101000000Z", "20910101000000Z",
      "its certificate is not valid before 2090-01-0?T*Z, while this host's clock says 20*Z" },
    { "DNS:elsewhere.example", "20010101000000Z", "20910101000000Z",
      "its certificate is for elsewhere.example, not for *" },
    { "DNS:elsewhere.example", "20010101000000Z", "20020101000000Z",
      "its certificate expired *; and it is for elsewhere.example, not for *" },
  };
  g_autoptr (TestTree) pki = test_tree_new ();
  g_autofree char *ca = g_build_filename (pki, "ca.pem", NULL);

  make_authority (pki);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GTlsCertificate) certificate =
          make_server (pki, cases[i].name, cases[i].from, cases[i].until);
      g_autoptr (Peer) peer = peer_new (certificate, NULL, NULL);
      g_auto (Fixture) fixture = fixture_new (peer->url, 0, ca);
      g_autofree char *copy = g_strdup_printf ("cp %s/ca.pem %s/ca.key .", pki, pki);
      g_autofree char *pattern = g_strdup_printf ("*: %s*", cases[i].said);
      g_autoptr (CisOutcome) outcome = NULL;
      const char *summary;

      run_command (fixture.tree, copy);
      make_client (fixture.tree, "lab-7");
      outcome = fixture_ship (&fixture, CIS_VERDICT_DEFERRED, "receiver-unreachable");
      summary = cis_finding_get_summary (cis_outcome_get_finding (outcome));
      g_test_message ("%s", summary);
      g_assert_true (g_pattern_match_simple (pattern, summary));
      g_assert_null (peer_seen (peer, 0));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/http-tls/mutual-tls", test_mutual_tls);
  g_test_add_func ("/http-tls/untrusted", test_untrusted);
  g_test_add_func ("/http-tls/distrust", test_distrust);
  return g_test_run ();
}
