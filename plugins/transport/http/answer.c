/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The one table of what an answer means to an episode.
 *
 * Only what our own receiver says of an episode can reject it. Whatever a proxy, a captive portal or a wrong
 * address answers says something of the set-up, and the episodes wait until that is mended. */

#include "answer.h"

#include "outlook.h"
#include "receipt.h"

#include <string.h>

#define PLAIN "http://"

void
cis_answer_clear (CisAnswer *answer)
{
  g_clear_pointer (&answer->content_type, g_free);
  g_clear_pointer (&answer->body, g_bytes_unref);
  g_clear_pointer (&answer->failure, g_free);
  g_clear_pointer (&answer->fault, g_free);
  g_clear_pointer (&answer->distrust, g_free);
}

void
cis_judgement_clear (CisJudgement *judgement)
{
  g_clear_pointer (&judgement->outcome, cis_outcome_unref);
  g_clear_pointer (&judgement->receipt, json_object_unref);
}

static JsonObject *
parse_body (const CisAnswer *answer, GError **error)
{
  if (answer->body == NULL)
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_INVALID, "it has no body, or one far too long");
      return NULL;
    }
  return cis_json_parse (g_bytes_get_data (answer->body, NULL), g_bytes_get_size (answer->body), error);
}

static gboolean
is_kebab (const char *id)
{
  return *id != '\0' && strspn (id, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen (id);
}

/* What somebody elsewhere wants to be pasted here is shown as theirs. */
static void
name_source (CisFinding *finding, const char *url)
{
  g_autofree char *fix = g_strdup (cis_finding_get_fix (finding));

  if (fix != NULL)
    cis_finding_set_fix (finding, "# the receiver at %s says:\n%s", url, fix);
}

/* The finding that a receiver of ours sends, or NULL; full. */
static CisFinding *
parse_finding (const CisAnswer *answer, const char *subject, const CisPeer *peer)
{
  g_autoptr (JsonObject) problem = NULL;
  g_autoptr (CisFinding) finding = NULL;

  if (answer->content_type == NULL ||
      g_ascii_strcasecmp (answer->content_type, "application/problem+json") != 0)
    return NULL;
  problem = parse_body (answer, NULL);
  finding = problem != NULL ? cis_finding_from_problem (problem, subject) : NULL;
  if (finding != NULL)
    name_source (finding, peer->url);
  return finding != NULL && is_kebab (cis_finding_get_id (finding)) ? g_steal_pointer (&finding) : NULL;
}

static gint64
retry_after (const CisAnswer *answer)
{
  return CLAMP (answer->retry_after, 0, CIS_RETRY_AFTER_MAX);
}

/* Not now, but others may go: a note, as it comes with each attempt, and whose the trouble is was told. */
static CisOutcome *
defer_item (const CisAnswer *answer, CisFinding *finding)
{
  if (!g_str_equal (cis_finding_get_id (finding), "digest-mismatch"))
    cis_finding_set_severity (finding, CIS_SEVERITY_INFO);
  return cis_outcome_deferred (CIS_SCOPE_ITEM, retry_after (answer), finding);
}

static CisOutcome *
defer_stage (const CisAnswer *answer, CisFinding *finding)
{
  return cis_outcome_deferred (CIS_SCOPE_STAGE, retry_after (answer), finding);
}

static gboolean
is_set (const char *option)
{
  return option != NULL && *option != '\0';
}

/* An option's file for a shell, or what stands for it; full. */
static char *
quote_file (const char *option, const char *otherwise)
{
  return is_set (option) ? g_shell_quote (option) : g_strdup (otherwise);
}

/* Shows whose certificate the receiver has, and what is wrong with it. */
static void
set_trust_fix (CisFinding *finding, const CisPeer *peer)
{
  g_autoptr (GUri) uri = g_uri_parse (peer->url, G_URI_FLAGS_NONE, NULL);
  const char *host = uri != NULL ? g_uri_get_host (uri) : NULL;
  int port = uri != NULL && g_uri_get_port (uri) > 0 ? g_uri_get_port (uri) : 443;
  gboolean numeric = host != NULL && strchr (host, ':') != NULL; /* IPv6 */
  gboolean own = is_set (peer->ca_file);
  g_autofree char *authorities = quote_file (peer->ca_file, "");

  cis_finding_set_fix (finding,
                       "# is this host's clock right, and the certificate renewed? Is the name in "
                       "receiver-url= one of its names,\n"
                       "# and ca-file= in cis490.ini the authority that signed it (now: %s)?\n"
                       "date --utc\n"
                       "openssl s_client -connect %s%s%s:%d -servername %s%s%s </dev/null",
                       own ? peer->ca_file : "the system's authorities", numeric ? "[" : "",
                       host != NULL ? host : "RECEIVER", numeric ? "]" : "", port,
                       host != NULL ? host : "RECEIVER", own ? " -CAfile " : "", authorities);
}

/* Shows our own certificate. @who: of the proxies, says so by what came. */
static void
set_certificate_fix (CisFinding *finding, const CisPeer *peer, const char *who)
{
  gboolean own = is_set (peer->certificate_file);
  g_autofree char *file = quote_file (peer->certificate_file, "CERTIFICATE-FILE");

  cis_finding_set_fix (finding,
                       "# %s a client certificate that is missing, expired or of another authority\n"
                       "# (now: %s)\n"
                       "openssl x509 -noout -subject -issuer -dates -in %s",
                       who,
                       own ? peer->certificate_file
                           : "none: set certificate-file= and key-file= in cis490.ini",
                       file);
}

static CisFinding *
unreachable (const CisAnswer *answer, const CisPeer *peer)
{
  const char *failure = answer->failure != NULL ? answer->failure : "the connection was cut";
  CisFinding *finding;

  if (answer->cut_new && answer->distrust == NULL)
    {
      finding = cis_finding_new ("receiver-unreachable", CIS_SEVERITY_ERROR, peer->url,
                                 "No answer from %s: it cut the connection%s%s%s.", peer->url,
                                 answer->fault != NULL ? ", and " : " (",
                                 answer->fault != NULL ? answer->fault : failure,
                                 answer->fault != NULL ? "" : "); perhaps it does not take our certificate");
      set_certificate_fix (
          finding, peer,
          "a receiver without a proxy hangs up on TLS (receiver-url=http://...), and Caddy on");
      return finding;
    }
  finding = cis_finding_new ("receiver-unreachable", CIS_SEVERITY_ERROR, peer->url, "No answer from %s: %s.",
                             peer->url, answer->distrust != NULL ? answer->distrust : failure);
  if (answer->distrust != NULL)
    set_trust_fix (finding, peer);
  else
    cis_finding_set_fix (finding,
                         "# is receiver-url= in cis490.ini right? And on the receiver, does it run:\n"
                         "systemctl status cis490-receiver nginx caddy\n"
                         "# then, here:\n"
                         "cis490 ping");
  return finding;
}

/* A proxy's own 502 or 504; what else wants to be asked later. */
static CisFinding *
busy (const CisAnswer *answer, const CisPeer *peer)
{
  gboolean alone = answer->status == 502 || answer->status == 504;
  CisFinding *finding =
      cis_finding_new ("receiver-busy", CIS_SEVERITY_WARNING, peer->url, "%s answers %u%s.", peer->url,
                       answer->status,
                       alone ? ": a proxy runs there, and the receiver behind it does not answer"
                             : ", and is asked again later");

  cis_finding_set_fix (
      finding,
      "# on the receiver, where this lasts:\n"
      "systemctl status cis490-receiver nginx caddy%s",
      alone ? "\n# where all run: may the proxy's user (www-data, caddy) open the receiver's socket?\n"
              "ls -l /run/cis490 && id www-data"
            : "");
  return finding;
}

static CisFinding *
refused_token (const CisPeer *peer, const char *said)
{
  CisFinding *finding = cis_finding_new ("receiver-refused-token", CIS_SEVERITY_ERROR, peer->url,
                                         "%s does not take our token: %s", peer->url, said);
  g_autofree char *write = cis_fix_secret (is_set (peer->token_file) ? peer->token_file : "TOKEN-FILE");

  cis_finding_set_fix (finding,
                       "# on the receiver; add the line that it prints to tokens-file:\n"
                       "cis490 token new %s\n"
                       "# and here the token that it prints, then Ctrl-D:\n"
                       "%s",
                       peer->host, write);
  return finding;
}

static CisFinding *
refused_host (const CisPeer *peer, const char *said)
{
  CisFinding *finding =
      cis_finding_new ("receiver-refused-host", CIS_SEVERITY_ERROR, peer->url,
                       "%s does not let our credentials write as host %s: %s", peer->url, peer->host, said);
  g_autofree char *write = cis_fix_secret (is_set (peer->token_file) ? peer->token_file : "TOKEN-FILE");

  cis_finding_set_fix (
      finding,
      "# host-id= in cis490.ini (now: %s), the token, and the certificate (now: %s)\n"
      "# have to be of one host; for a token, on the receiver, add the line that it prints to tokens-file:\n"
      "cis490 token new %s\n"
      "# and here the token that it prints, then Ctrl-D:\n"
      "%s",
      peer->host, is_set (peer->certificate_file) ? peer->certificate_file : "none", peer->host, write);
  return finding;
}

static CisFinding *
not_found (const CisPeer *peer, const char *said)
{
  CisFinding *finding = cis_finding_new ("receiver-not-found", CIS_SEVERITY_ERROR, peer->url,
                                         "There is no receiver at %s: %s", peer->url, said);

  cis_finding_set_fix (finding,
                       "# in cis490.ini, the address up to and without /v1 (now: %s):\n"
                       "receiver-url=https://RECEIVER",
                       peer->url);
  return finding;
}

/* What a proxy of the usual kind means by a status of its own. */
static void
set_proxy_fix (CisFinding *finding, guint status, const CisPeer *peer)
{
  if (status == 413)
    cis_finding_set_fix (finding,
                         "# in the proxy's configuration (nginx), as the receiver has its own limit:\n"
                         "client_max_body_size 0;");
  else if (status >= 300 && status < 400)
    cis_finding_set_fix (finding,
                         "# redirects are not followed; where does it lead?\n"
                         "curl -sI %s/v1/ping\n"
                         "# and put that address into receiver-url= of cis490.ini",
                         peer->url);
  else if (status == 400 && g_str_has_prefix (peer->url, PLAIN))
    cis_finding_set_fix (finding,
                         "# in cis490.ini, as what answers there speaks TLS:\n"
                         "receiver-url=https://%s",
                         peer->url + strlen (PLAIN));
  else if (status == 400)
    set_certificate_fix (finding, peer, "nginx says 400 to");
  else
    cis_finding_set_fix (finding,
                         "# is receiver-url= in cis490.ini the receiver's address (now: %s)?\n"
                         "# its proxy's log says why it refuses",
                         peer->url);
}

/* nginx's pages are titled "The SSL certificate error" and "No required SSL certificate was sent". */
static gboolean
names_certificate (const CisAnswer *answer)
{
  gsize length = 0;
  const char *page = answer->body != NULL ? g_bytes_get_data (answer->body, &length) : NULL;

  return answer->status == 400 && page != NULL &&
         g_strstr_len (page, (gssize) length, "SSL certificate") != NULL;
}

static CisFinding *
proxy_refused (const CisAnswer *answer, const CisPeer *peer)
{
  gboolean certificate = names_certificate (answer);
  CisFinding *finding =
      cis_finding_new ("proxy-refused", CIS_SEVERITY_ERROR, peer->url,
                       "Something in front of the receiver, not the receiver itself, answers %u at %s%s%s%s.",
                       answer->status, peer->url, certificate ? ": it does not take our certificate" : "",
                       certificate && answer->fault != NULL ? ", and " : "",
                       certificate && answer->fault != NULL ? answer->fault : "");

  set_proxy_fix (finding, answer->status, peer);
  return finding;
}

/* The set-up is wrong, not the episode. @theirs: nullable; what our receiver says about it. */
static CisFinding *
set_up_finding (const CisAnswer *answer, const CisPeer *peer, CisFinding *theirs)
{
  g_autofree char *plain = g_strdup_printf ("it answers %u.", answer->status);
  const char *said = theirs != NULL ? cis_finding_get_summary (theirs) : plain;

  switch (answer->status)
    {
    case 401:
      return refused_token (peer, said);
    case 403:
      return theirs != NULL ? refused_host (peer, said) : proxy_refused (answer, peer);
    case 404:
    case 405:
      return not_found (peer, said);
    default:
      return theirs != NULL ? g_object_ref (theirs) : proxy_refused (answer, peer);
    }
}

static gboolean
is_one_of (CisFinding *finding, const char *const *ids)
{
  return finding != NULL && g_strv_contains (ids, cis_finding_get_id (finding));
}

/* Of the statuses that our receiver uses about an episode, those that no later attempt can change. What is
 * missing there and was sent, something in between drops. */
static gboolean
rejects (guint status, CisFinding *finding, CisEpisode *episode)
{
  static const char *const set_up[] = { "request-malformed", "length-required", "digest-missing", NULL };
  static const char *const commit[] = { "commit-missing", NULL };

  return finding != NULL && !is_one_of (finding, set_up) &&
         !(is_one_of (finding, commit) && cis_episode_get_commit (episode) != NULL) &&
         (status == 400 || status == 409 || status == 412 || status == 413 || status == 422);
}

static gboolean
is_for_later (guint status)
{
  return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* Whether our receiver defers just this episode. What anybody else defers is everything. */
static gboolean
is_of_item (guint status, CisFinding *finding)
{
  return finding != NULL && is_for_later (status) &&
         g_strcmp0 (cis_finding_get_detail (finding, "scope"), "item") == 0;
}

static void
judge_refusal (const CisAnswer *answer, CisAsked asked, CisEpisode *episode, const CisPeer *peer,
               CisJudgement *judgement)
{
  static const char *const repack[] = { "digest-mismatch", NULL };
  static const char *const ask[] = { "upload-offset-mismatch", "in-flight", "body-cut", NULL };
  const char *name = episode != NULL ? cis_episode_get_name (episode) : peer->url;
  g_autoptr (CisFinding) finding = parse_finding (answer, name, peer);
  guint status = answer->status;

  /* A receiver, or a proxy before it, that knows PUT only, or lets nothing else pass. */
  judgement->whole =
      asked == CIS_ASKED_REST && (status == 405 || status == 501 || (status == 403 && finding == NULL));
  judgement->repack = is_one_of (finding, repack);
  judgement->ask = is_one_of (finding, ask);
  if (judgement->repack || judgement->ask || (episode != NULL && is_of_item (status, finding)))
    judgement->outcome = defer_item (answer, g_steal_pointer (&finding));
  else if (episode != NULL && rejects (status, finding, episode))
    {
      g_autofree char *text = g_strdup_printf ("%u", status);

      cis_finding_set_detail (finding, "answer_status", text); /* for quarantine_reason.json */
      judgement->outcome = cis_outcome_rejected (g_steal_pointer (&finding));
    }
  else
    {
      g_autoptr (CisFinding) theirs = parse_finding (answer, peer->url, peer);

      judgement->outcome = defer_stage (answer, theirs == NULL && is_for_later (status)
                                                    ? busy (answer, peer)
                                                    : set_up_finding (answer, peer, theirs));
    }
}

/* More than there is to send is no offset: then it is sent whole. */
static guint64
get_offset (JsonObject *welcome, CisEpisode *episode)
{
  guint64 offset = (guint64) cis_json_get_size (welcome, "offset", 0);

  return offset <= cis_episode_get_size (episode) ? offset : 0;
}

/* Our credentials are good, but perhaps for another host only, whom they would ship for. FALSE: no receiver
 * answers so. */
static gboolean
judge_welcome (const CisAnswer *answer, JsonObject *body, const CisPeer *peer, CisJudgement *judgement,
               GError **error)
{
  const char *host = cis_json_get_string (body, "host");
  g_autofree char *said = g_strdup_printf ("they belong to the host %s.", host);

  if (g_strcmp0 (cis_json_get_string (body, "status"), "ok") != 0 || host == NULL ||
      !cis_outlook_is_whole (body))
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_INVALID,
                           "it does not say whose credentials these are, or only half of what it knows");
      return FALSE;
    }
  if (strcmp (host, peer->host) != 0)
    judgement->outcome = defer_stage (answer, refused_host (peer, said));
  return TRUE;
}

/* What a receiver of ours answers in a success, and no portal does by chance. */
static JsonObject *
parse_success (const CisAnswer *answer, GError **error)
{
  if (answer->status > 201)
    g_set_error_literal (error, CIS_ERROR, CIS_ERROR_INVALID, "no receiver has that status");
  else if (answer->content_type == NULL || g_ascii_strcasecmp (answer->content_type, "application/json") != 0)
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "it is %s instead of application/json",
                 answer->content_type != NULL ? answer->content_type : "of no type");
  else
    return parse_body (answer, error);
  return NULL;
}

static void
judge_acceptance (const CisAnswer *answer, CisAsked asked, CisEpisode *episode, const CisPeer *peer,
                  CisJudgement *judgement)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) body = parse_success (answer, &error);
  CisFinding *finding;

  if (body != NULL && asked == CIS_ASKED_PING && judge_welcome (answer, body, peer, judgement, &error))
    return;
  if (body != NULL && asked == CIS_ASKED_QUESTION &&
      g_strcmp0 (cis_json_get_string (body, "status"), "welcome") == 0 &&
      cis_json_get_size (body, "offset", -1) >= 0)
    {
      judgement->offset = get_offset (body, episode);
      return;
    }
  if (body != NULL && episode != NULL && cis_http_receipt_is_whole (body, episode, peer->host, &error))
    {
      judgement->receipt = g_steal_pointer (&body);
      judgement->outcome = cis_outcome_passed ();
      return;
    }

  finding = cis_finding_new ("receipt-mismatch", CIS_SEVERITY_ERROR, peer->url,
                             "%s answers %u, but not as a receiver does: %s.", peer->url, answer->status,
                             error->message);
  cis_finding_set_fix (finding, "# nothing was marked as shipped; what answers there?\n"
                                "cis490 ping");
  judgement->outcome = defer_stage (answer, finding);
}

static CisOutcome *
fail_unreadable (const CisAnswer *answer)
{
  return cis_outcome_failed (g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED,
                                          "Cannot read the archive, which is packed anew: %s",
                                          answer->failure));
}

void
cis_answer_judge (const CisAnswer *answer, CisAsked asked, CisEpisode *episode, const CisPeer *peer,
                  CisJudgement *judgement)
{
  *judgement = (CisJudgement){ NULL };
  if (answer->status >= 200 && answer->status < 300)
    judge_acceptance (answer, asked, episode, peer, judgement);
  else if (answer->status >= 300)
    judge_refusal (answer, asked, episode, peer, judgement);
  else
    {
      /* Perhaps the body was refused in its middle, which looks alike. */
      judgement->ask = asked != CIS_ASKED_PING;
      judgement->repack = answer->unreadable;
      judgement->outcome =
          answer->unreadable ? fail_unreadable (answer) : defer_stage (answer, unreachable (answer, peer));
    }
}
