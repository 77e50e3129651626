/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"

static void
reply_free (gpointer data)
{
  g_free (((Reply *) data)->body);
  g_free (data);
}

static char *
make_receipt (SoupServerMessage *message, const char *path)
{
  SoupMessageHeaders *headers = soup_server_message_get_request_headers (message);
  const char *size = soup_message_headers_get_one (headers, "Upload-Length");
  g_auto (GStrv) words = g_strsplit (path, "/", -1);

  if (g_strv_length (words) < 5)
    return g_strdup ("{\"status\": \"ok\", \"host\": \"lab-7\"}");
  return g_strdup_printf ("{\"episode\": \"%s\", \"host\": \"%s\", \"sha256\": \"%s\", \"size\": %s, "
                          "\"received_at\": \"2026-11-21T23:36:56.542633Z\", \"status\": \"stored\"}",
                          words[4], words[3], soup_message_headers_get_one (headers, "X-Cis490-Sha256"),
                          size != NULL ? size : soup_message_headers_get_one (headers, "Content-Length"));
}

static void
answer (SoupServer *server, SoupServerMessage *message, const char *path, GHashTable *query, gpointer data)
{
  Peer *peer = data;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&peer->lock);
  SoupMessageBody *body = soup_server_message_get_request_body (message);
  GTlsCertificate *client = soup_server_message_get_tls_peer_certificate (message);
  g_autofree char *text = g_strndup (body->data != NULL ? body->data : "", (gsize) body->length);
  Reply *reply = g_queue_pop_head (&peer->replies);
  g_autofree char *name = NULL;

  g_ptr_array_add (peer->seen,
                   g_strdup_printf ("%s %s\n%s", soup_server_message_get_method (message), path, text));
  g_ptr_array_add (peer->heads, soup_message_headers_ref (soup_server_message_get_request_headers (message)));
  if (client != NULL)
    g_object_get (client, "subject-name", &name, NULL);
  g_ptr_array_add (peer->names, g_steal_pointer (&name));
  if (reply == NULL)
    {
      soup_server_message_set_status (message, 500, "The script is at its end");
      return;
    }
  if (reply->body == NULL)
    reply->body = make_receipt (message, path);
  soup_server_message_set_status (message, reply->status, NULL);
  soup_server_message_set_response (message, reply->type != NULL ? reply->type : "application/json",
                                    SOUP_MEMORY_COPY, reply->body, strlen (reply->body));
  if (reply->header != NULL)
    soup_message_headers_append (soup_server_message_get_response_headers (message), reply->header,
                                 reply->value);
  if (reply->close)
    soup_message_headers_append (soup_server_message_get_response_headers (message), "Connection", "close");
  reply_free (reply);
}

/* Of a client's certificate that the authorities vouch for, as well as of any other, libsoup asks first. */
static gboolean
accept_certificate (SoupServerMessage *message, GTlsCertificate *certificate, GTlsCertificateFlags errors,
                    gpointer data)
{
  return errors == 0;
}

static void
watch_certificate (SoupServer *server, SoupServerMessage *message, gpointer data)
{
  g_signal_connect (message, "accept-certificate", G_CALLBACK (accept_certificate), NULL);
}

static gpointer
run_peer (gpointer data)
{
  Peer *peer = data;

  g_main_context_push_thread_default (peer->context);
  g_main_loop_run (peer->loop);
  soup_server_disconnect (peer->server);
  while (g_main_context_iteration (peer->context, FALSE))
    ;
  g_main_context_pop_thread_default (peer->context);
  return NULL;
}

static void
listen_peer (Peer *peer)
{
  g_autoptr (GError) error = NULL;
  GSList *uris;

  if (peer->socket != NULL)
    soup_server_listen_socket (peer->server, peer->socket, 0, &error);
  else
    soup_server_listen_local (peer->server, 0,
                              SOUP_SERVER_LISTEN_IPV4_ONLY |
                                  (peer->certificate != NULL ? SOUP_SERVER_LISTEN_HTTPS : 0),
                              &error);
  g_assert_no_error (error);
  if (peer->socket != NULL)
    return;
  uris = soup_server_get_uris (peer->server);
  peer->url = g_strdup_printf ("%s://127.0.0.1:%d", peer->certificate != NULL ? "https" : "http",
                               g_uri_get_port (uris->data));
  g_slist_free_full (uris, (GDestroyNotify) g_uri_unref);
}

Peer *
peer_new (GTlsCertificate *certificate, GTlsDatabase *authorities, GSocket *socket)
{
  Peer *peer = g_new0 (Peer, 1);

  g_mutex_init (&peer->lock);
  peer->seen = g_ptr_array_new_with_free_func (g_free);
  peer->heads = g_ptr_array_new_with_free_func ((GDestroyNotify) soup_message_headers_unref);
  peer->names = g_ptr_array_new_with_free_func (g_free);
  peer->certificate = certificate;
  peer->socket = socket;
  peer->context = g_main_context_new ();
  peer->loop = g_main_loop_new (peer->context, FALSE);
  g_main_context_push_thread_default (peer->context);
  peer->server =
      soup_server_new ("tls-certificate", certificate, "tls-database", authorities, "tls-auth-mode",
                       certificate != NULL ? G_TLS_AUTHENTICATION_REQUIRED : G_TLS_AUTHENTICATION_NONE, NULL);
  soup_server_add_handler (peer->server, NULL, answer, peer, NULL);
  g_signal_connect (peer->server, "request-started", G_CALLBACK (watch_certificate), NULL);
  listen_peer (peer);
  g_main_context_pop_thread_default (peer->context);
  peer->thread = g_thread_new ("peer", run_peer, peer);
  return peer;
}

static gboolean
quit_loop (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

void
peer_free (Peer *peer)
{
  g_main_context_invoke (peer->context, quit_loop, peer->loop);
  g_thread_join (peer->thread);
  g_object_unref (peer->server);
  g_main_loop_unref (peer->loop);
  g_main_context_unref (peer->context);
  g_queue_clear_full (&peer->replies, reply_free);
  g_ptr_array_unref (peer->seen);
  g_ptr_array_unref (peer->heads);
  g_ptr_array_unref (peer->names);
  g_mutex_clear (&peer->lock);
  g_free (peer->url);
  g_free (peer);
}

Reply *
peer_say (Peer *peer, guint status, const char *type, const char *body)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&peer->lock);
  Reply *reply = g_new0 (Reply, 1);

  reply->status = status;
  reply->type = type;
  reply->body = g_strdup (body);
  g_queue_push_tail (&peer->replies, reply);
  return reply;
}

void
peer_say_problem (Peer *peer, guint status, const char *id)
{
  g_autofree char *body = g_strdup_printf ("{\"type\": \"urn:cis490:finding:%s\", \"detail\": \"%s, it "
                                           "says\", \"remedy\": \"first line\\nsecond line\"}",
                                           id, id);

  peer_say (peer, status, "application/problem+json", body);
}

const char *
peer_seen (Peer *peer, guint i)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&peer->lock);

  return i < peer->seen->len ? g_ptr_array_index (peer->seen, i) : NULL;
}

const char *
peer_header (Peer *peer, guint i, const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&peer->lock);

  g_assert_cmpuint (i, <, peer->heads->len);
  return soup_message_headers_get_one (g_ptr_array_index (peer->heads, i), name);
}

void
fixture_clear (Fixture *fixture)
{
  cis_part_close (CIS_PART (fixture->stage));
  g_object_unref (fixture->stage);
  test_tree_remove (fixture->tree);
}

Fixture
fixture_new (const char *url, guint64 ask_above, const char *ca_file)
{
  char *tree = test_tree_new ();
  g_autofree char *state = g_build_filename (tree, "state", NULL);
  g_autofree char *token = g_build_filename (tree, "token", NULL);
  g_autofree char *certificate =
      ca_file != NULL ? g_build_filename (tree, "client.pem", NULL) : g_strdup ("");
  g_autofree char *key = ca_file != NULL ? g_build_filename (tree, "client.key", NULL) : g_strdup ("");
  g_autoptr (GError) error = NULL;
  CisStage *stage;

  test_write (tree, "token", "s3cret\n");
  stage = test_part_new ("transport/http", "state", state, "url", url, "host", "lab-7", "token-file", token,
                         "certificate-file", certificate, "key-file", key, "ca-file",
                         ca_file != NULL ? ca_file : "", "timeout", 20 * G_USEC_PER_SEC, "ask-above",
                         ask_above, NULL);
  cis_part_open (CIS_PART (stage), NULL, &error);
  g_assert_no_error (error);
  test_write (tree, "state/outbox/e1.tar.zst", ARCHIVE);
  test_write (tree, "state/outbox/e1.json", "{}");
  return (Fixture){ tree, stage };
}

CisEpisode *
fixture_episode (Fixture *fixture)
{
  CisEpisode *episode = cis_episode_new (NULL, "e1", NULL);
  g_autofree char *archive = g_build_filename (fixture->tree, "state/outbox/e1.tar.zst", NULL);
  g_autofree char *commit = g_strnfill (40, 'c');
  g_autofree char *sha256 = cis_digest_bytes (ARCHIVE, strlen (ARCHIVE));

  cis_episode_set_commit (episode, commit);
  cis_episode_set_archive (episode, archive, sha256, strlen (ARCHIVE));
  return episode;
}

CisOutcome *
fixture_ship (Fixture *fixture, CisVerdict verdict, const char *id)
{
  g_autoptr (CisEpisode) episode = fixture_episode (fixture);
  CisOutcome *outcome = cis_stage_process (fixture->stage, CIS_ITEM (episode), NULL);
  CisFinding *finding = cis_outcome_get_finding (outcome);

  if (cis_outcome_get_error (outcome) != NULL)
    g_test_message ("%s", cis_outcome_get_error (outcome)->message);
  if (finding != NULL)
    g_test_message ("%s", cis_finding_get_summary (finding));
  g_assert_cmpstr (cis_verdict_to_string (cis_outcome_get_verdict (outcome)), ==,
                   cis_verdict_to_string (verdict));
  g_assert_cmpstr (finding != NULL ? cis_finding_get_id (finding) : NULL, ==, id);
  g_assert_true ((cis_episode_get_receipt (episode) != NULL) == (verdict == CIS_VERDICT_PASSED));
  return outcome;
}

void
fixture_expect (Fixture *fixture, CisVerdict verdict, const char *id)
{
  cis_outcome_unref (fixture_ship (fixture, verdict, id));
}
