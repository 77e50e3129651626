/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ships archives to a receiver over HTTP(S) or a Unix socket.
 *
 * It believes only a 2xx whose receipt repeats the episode, digest and size, and stores that receipt durably
 * before it says passed. A large archive is preceded by a question without a body, so that a refusal costs
 * one round trip; the answer says how much of it an upload that was cut has left there, and only the rest
 * goes out. What an answer means stands in answer.c, how it travels in client.c. */

#include "client.h"
#include "credentials.h"
#include "outlook.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  CisStage parent;
  /* Options. */
  char *state_path;
  CisPeer peer;
  gint64 timeout;
  guint64 ask_above;
  gint64 forecast_interval;
  gint64 forecast_warning;
  /* Immutable after open(). */
  CisHostState *state;
  /* Thread-safe: connections that no worker uses at the moment. */
  GAsyncQueue *idle;
  /* Episodes whose last upload got no answer, and the lock of that set. */
  GMutex lock;
  GHashTable *cut;
} CisHttp;
typedef CisStageClass CisHttpClass;

GType cis_http_get_type (void);
G_DEFINE_TYPE (CisHttp, cis_http, CIS_TYPE_STAGE)

/* One item on its way; of one worker. */
typedef struct
{
  CisHttp *stage;
  CisEpisode *episode;
  CisHttpClient *client;
  GCancellable *cancellable;
  int fd;
  gboolean acknowledged; /* there is a receipt for these very bytes */
  gboolean asked;        /* what the receiver has of it already */
  gboolean stale;        /* see CisAnswer */
} Ship;

static gboolean
cis_http_validate (CisPart *part, GError **error)
{
  CisHttp *self = (CisHttp *) part;

  if (!cis_http_url_check (self->peer.url, error))
    return FALSE;
  if (!cis_name_is_valid (self->peer.host, CIS_HOST_NAME_MAX))
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                   "host=%s is no host's name: letters, digits, \".\", \"_\" and \"-\", at most %d",
                   self->peer.host, CIS_HOST_NAME_MAX);
      return FALSE;
    }
  return cis_credentials_check (&self->peer, error);
}

static gboolean
cis_http_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisHttp *self = (CisHttp *) part;

  self->idle = g_async_queue_new_full ((GDestroyNotify) cis_http_client_free);
  self->cut = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  self->state = cis_host_state_open (self->state_path, error);
  return self->state != NULL;
}

static void
cis_http_close (CisPart *part)
{
  CisHttp *self = (CisHttp *) part;

  g_clear_pointer (&self->idle, g_async_queue_unref);
  g_clear_pointer (&self->cut, g_hash_table_unref);
  g_clear_object (&self->state);
}

static gboolean
was_cut (CisHttp *self, const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return g_hash_table_contains (self->cut, name);
}

static void
remember_cut (CisHttp *self, const char *name, gboolean cut)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (cut)
    g_hash_table_add (self->cut, g_strdup (name));
  else
    g_hash_table_remove (self->cut, name);
}

static void
report_progress (guint64 done, gpointer user_data)
{
  Ship *ship = user_data;

  cis_stage_progress (CIS_STAGE (ship->stage), CIS_ITEM (ship->episode), done,
                      cis_episode_get_size (ship->episode));
}

/* Sends one request and judges the answer. FALSE: cancelled, or our own side is not in order. */
static gboolean
ask (Ship *ship, CisAsked asked, guint64 offset, CisJudgement *judgement, GError **error)
{
  CisHttpRequest request = { asked, ship->episode, ship->fd,    report_progress,
                             ship,  offset,        ship->asked, ship->acknowledged };
  g_auto (CisAnswer) answer = { 0 };

  if (!cis_http_client_send (ship->client, &request, &answer, ship->cancellable, error))
    return FALSE;
  ship->stale = answer.stale;
  cis_answer_judge (&answer, asked, ship->episode, &ship->stage->peer, judgement);
  return TRUE;
}

static CisOutcome *
outcome_of_error (CisHttp *self, GError *error)
{
  g_autoptr (GError) owned = error;

  if (owned->domain == CIS_CREDENTIALS_ERROR)
    return cis_outcome_deferred (CIS_SCOPE_STAGE, 0, cis_credentials_finding (&self->peer, owned));
  return cis_outcome_failed (g_steal_pointer (&owned));
}

/* Does what the judgement asks for. */
static CisOutcome *
conclude (Ship *ship, CisJudgement *judgement)
{
  CisHttp *self = ship->stage;
  const char *name = cis_episode_get_name (ship->episode);
  GError *error = NULL;

  remember_cut (self, name, judgement->ask);
  if (cis_outcome_get_verdict (judgement->outcome) == CIS_VERDICT_REJECTED)
    cis_code_version_complete_fix (ship->episode, cis_outcome_get_finding (judgement->outcome));
  if (judgement->repack && !cis_host_state_drop_archive (self->state, ship->episode, &error))
    return cis_outcome_failed (error);
  if (judgement->receipt != NULL)
    {
      if (!cis_host_state_store_receipt (self->state, ship->episode, judgement->receipt, &error))
        return cis_outcome_failed (error);
      cis_episode_set_receipt (ship->episode, judgement->receipt);
    }
  return g_steal_pointer (&judgement->outcome);
}

static gboolean
send_archive (Ship *ship, CisJudgement *judgement, GError **error)
{
  guint64 offset = judgement->offset;

  if (offset > 0)
    {
      cis_part_log (CIS_PART (ship->stage), CIS_ITEM (ship->episode), G_LOG_LEVEL_INFO, NULL,
                    "The receiver has %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                    " bytes already: only the rest is sent",
                    offset, cis_episode_get_size (ship->episode));
      report_progress (offset, ship);
      if (!ask (ship, CIS_ASKED_REST, offset, judgement, error))
        return FALSE;
      if (!judgement->whole)
        return TRUE;
      cis_judgement_clear (judgement);
    }
  return ask (ship, CIS_ASKED_UPLOAD, 0, judgement, error);
}

/* @first: a question, after which an upload goes on where the receiver is. */
static gboolean
ask_and_send (Ship *ship, gboolean first, CisJudgement *judgement, GError **error)
{
  ship->asked = FALSE;
  if (first && !ask (ship, CIS_ASKED_QUESTION, 0, judgement, error))
    return FALSE;
  ship->asked = first;
  return judgement->outcome != NULL || send_archive (ship, judgement, error);
}

static CisOutcome *
ship_archive (Ship *ship)
{
  CisHttp *self = ship->stage;
  const char *name = cis_episode_get_name (ship->episode);
  gboolean first = cis_episode_get_size (ship->episode) > self->ask_above || was_cut (self, name);
  g_auto (CisJudgement) judgement = { NULL };
  GError *error = NULL;

  gboolean sent = ask_and_send (ship, first, &judgement, &error);

  if (sent && ship->asked && ship->stale)
    {
      cis_judgement_clear (&judgement);
      sent = ask_and_send (ship, TRUE, &judgement, &error);
    }
  return sent ? conclude (ship, &judgement) : outcome_of_error (self, error);
}

/* Opens the archive; one that is not as long as its description says would hang the upload. */
static int
open_archive (CisHttp *self, CisEpisode *episode, GError **error)
{
  const char *path = cis_episode_get_archive (episode);
  struct stat info;
  int fd;

  if (path == NULL)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s has no archive", cis_episode_get_name (episode));
      return -1;
    }
  fd = cis_file_open (AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, &info, error);
  if (fd < 0 || (guint64) info.st_size == cis_episode_get_size (episode))
    return fd;
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s is not as long as when it was packed", path);
  close (fd);
  return -1;
}

/* A connection; full. It goes back to the idle ones. */
static CisHttpClient *
take_client (CisHttp *self)
{
  CisHttpClient *client = g_async_queue_try_pop (self->idle);

  return client != NULL ? client : cis_http_client_new (&self->peer, self->timeout);
}

/* Whether the receiver had looked what it has before it refused. Other refusals, as of a size that it takes
 * no more, come first and say nothing of that. */
static gboolean
had_looked (CisOutcome *refused)
{
  static const char *const statuses[] = { "409", "412", NULL };
  const char *status = cis_finding_get_detail (cis_outcome_get_finding (refused), "answer_status");

  return status != NULL && g_strv_contains (statuses, status);
}

/* The question that precedes an upload, for its own sake. */
static CisOutcome *
cis_http_ask (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisHttp *self = (CisHttp *) stage;
  Ship ship = { self, CIS_EPISODE (item), NULL, cancellable, -1 };
  g_auto (CisJudgement) judgement = { NULL };
  GError *error = NULL;
  gboolean answered;

  /* Under another name of this host it would be another episode. */
  if (!cis_receipt_matches (cis_episode_get_receipt (ship.episode), ship.episode, self->peer.host, &error))
    return cis_outcome_failed (error);
  ship.client = take_client (self);
  answered = ask (&ship, CIS_ASKED_QUESTION, 0, &judgement, &error);
  g_async_queue_push (self->idle, ship.client);
  if (!answered)
    return outcome_of_error (self, error);
  if (judgement.outcome == NULL)
    return cis_outcome_passed ();
  if (cis_outcome_get_verdict (judgement.outcome) == CIS_VERDICT_REJECTED && !had_looked (judgement.outcome))
    return cis_outcome_deferred (CIS_SCOPE_ITEM, 0,
                                 g_object_ref (cis_outcome_get_finding (judgement.outcome)));
  if (judgement.receipt == NULL)
    return g_steal_pointer (&judgement.outcome);
  cis_episode_set_receipt (ship.episode, judgement.receipt);
  return cis_outcome_done ();
}

static CisOutcome *
cis_http_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisHttp *self = (CisHttp *) stage;
  Ship ship = { self, CIS_EPISODE (item), NULL, cancellable, -1 };
  GError *error = NULL;
  CisOutcome *outcome;

  if (cis_episode_get_receipt (ship.episode) != NULL)
    return cis_outcome_passed ();
  ship.acknowledged = cis_host_state_is_acknowledged (self->state, ship.episode);
  ship.fd = open_archive (self, ship.episode, &error);
  if (ship.fd < 0)
    return cis_outcome_failed (error);
  ship.client = take_client (self);
  outcome = ship_archive (&ship);
  g_async_queue_push (self->idle, ship.client);
  close (ship.fd);
  return outcome;
}

/* Asks whether we are welcome, and (where @commit is not NULL) how long code of that commit is. The finding
 * (full) says what is wrong; where there is none, *@told is what the receiver said, or cancelled. @state:
 * nullable; how it is, from "; " on, full. */
static CisFinding *
ping (CisHttp *self, const char *commit, JsonObject **told, char **state, GCancellable *cancellable)
{
  g_autoptr (CisHttpClient) client = cis_http_client_new (&self->peer, self->timeout);
  CisHttpRequest request = { .asked = CIS_ASKED_PING, .fd = -1, .commit = commit };
  g_auto (CisAnswer) answer = { 0 };
  g_auto (CisJudgement) judgement = { NULL };
  g_autoptr (GError) error = NULL;

  *told = NULL;
  if (!cis_http_validate (CIS_PART (self), &error))
    return cis_finding_new ("receiver-not-found", CIS_SEVERITY_ERROR, self->peer.url, "%s", error->message);
  if (!cis_http_client_send (client, &request, &answer, cancellable, &error))
    return error->domain == CIS_CREDENTIALS_ERROR ? cis_credentials_finding (&self->peer, error) : NULL;
  cis_answer_judge (&answer, CIS_ASKED_PING, NULL, &self->peer, &judgement);
  if (judgement.outcome != NULL)
    return g_object_ref (cis_outcome_get_finding (judgement.outcome));
  *told = cis_json_parse (g_bytes_get_data (answer.body, NULL), g_bytes_get_size (answer.body), NULL);
  if (state != NULL)
    *state = cis_outlook_describe_receiver (&answer, *told);
  return NULL;
}

static void
cis_http_look (CisPart *part, GPtrArray *findings)
{
  cis_credentials_look (&((CisHttp *) part)->peer, findings);
}

static void
cis_http_check (CisPart *part, GPtrArray *findings, GCancellable *cancellable)
{
  CisHttp *self = (CisHttp *) part;
  gint64 start = g_get_monotonic_time ();
  guint n_waiting, n_shipped;
  g_autoptr (JsonObject) waiting = cis_outlook_find_meta (self->state_path, "episodes", &n_waiting, NULL);
  /* Where nothing waits, what was shipped last says what code runs here. */
  g_autoptr (JsonObject) shipped =
      waiting == NULL ? cis_outlook_find_meta (self->state_path, "shipped", &n_shipped, NULL) : NULL;
  CisCodeVersion version = cis_code_version_read (waiting != NULL ? waiting : shipped);
  g_autoptr (JsonObject) told = NULL;
  g_autofree char *outlook = NULL, *state = NULL;
  CisFinding *finding = ping (self, version.commit, &told, &state, cancellable);

  if (finding == NULL && told == NULL)
    return;
  outlook = told != NULL ? cis_outlook_describe (told) : NULL;
  if (finding == NULL)
    finding = cis_finding_new ("receiver-ok", CIS_SEVERITY_INFO, self->peer.url,
                               "%s accepts host %s; %" G_GINT64_FORMAT " ms%s%s%s", self->peer.url,
                               self->peer.host, (g_get_monotonic_time () - start + 500) / 1000,
                               outlook != NULL ? "; " : "", outlook != NULL ? outlook : "", state);
  g_ptr_array_add (findings, finding);
  finding = told != NULL && waiting != NULL
                ? cis_outlook_find (told, self->peer.url, &version, n_waiting, self->forecast_warning)
                : NULL;
  if (finding != NULL)
    g_ptr_array_add (findings, finding);
}

/* Tells while there is still time to ship what waits. No answer says nothing new: shipping raises that. */
static gint64
cis_http_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisHttp *self = (CisHttp *) part;
  guint n_waiting = 0;
  GError *reason = NULL;
  g_autoptr (JsonObject) meta =
      self->forecast_interval > 0 ? cis_outlook_find_meta (self->state_path, "episodes", &n_waiting, &reason)
                                  : NULL;
  CisCodeVersion version = cis_code_version_read (meta);
  g_autoptr (JsonObject) told = NULL;
  g_autoptr (CisFinding) trouble =
      meta != NULL ? ping (self, version.commit, &told, NULL, cancellable) : NULL;
  CisFinding *finding =
      told != NULL ? cis_outlook_find (told, self->peer.url, &version, n_waiting, self->forecast_warning)
                   : NULL;

  if (reason != NULL)
    {
      /* Whether anything waits is not known. */
      g_propagate_error (error, reason);
      return -1;
    }
  if (finding != NULL)
    cis_part_raise (part, finding);
  else if (told != NULL || meta == NULL)
    cis_part_clear_unless (part, "commit-leaves-window", NULL, NULL);
  return self->forecast_interval;
}

static void
cis_http_finalize (GObject *object)
{
  g_mutex_clear (&((CisHttp *) object)->lock);
  G_OBJECT_CLASS (cis_http_parent_class)->finalize (object);
}

static void
add_file_option (CisPartClass *klass, gsize offset, const char *name, const char *blurb, const char *fallback,
                 int flags)
{
  cis_part_class_add_option (klass, offset,
                             g_param_spec_string (name, NULL, blurb, fallback,
                                                  CIS_PARAM_OPTION | CIS_PARAM_FILE | flags));
}

static void
add_options (CisPartClass *klass)
{
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisHttp, state_path),
                             g_param_spec_string ("state", NULL, "The host's state folder.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisHttp, peer.url),
                             g_param_spec_string ("url", NULL,
                                                  "The receiver: https://receiver.example, or unix:/path.",
                                                  "${receiver-url}", CIS_PARAM_OPTION));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisHttp, peer.host),
                             g_param_spec_string ("host", NULL,
                                                  "The name that this host's episodes go under.",
                                                  "${host-id}", CIS_PARAM_OPTION));
  add_file_option (klass, G_STRUCT_OFFSET (CisHttp, peer.token_file), "token-file",
                   "Holds the bearer token; read for each request.", "${token-file}", CIS_PARAM_SECRET);
  add_file_option (klass, G_STRUCT_OFFSET (CisHttp, peer.certificate_file), "certificate-file",
                   "The client certificate, PEM; read anew when it changes.", "${certificate-file:-}", 0);
  add_file_option (klass, G_STRUCT_OFFSET (CisHttp, peer.key_file), "key-file",
                   "Its private key, PEM; not needed where the certificate's file holds it too.",
                   "${key-file:-}", CIS_PARAM_SECRET);
  add_file_option (klass, G_STRUCT_OFFSET (CisHttp, peer.ca_file), "ca-file",
                   "The authority that signed the receiver's certificate, PEM; else the system's.",
                   "${ca-file:-}", 0);
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisHttp, timeout),
      g_param_spec_int64 (
          "timeout", NULL,
          "How long connecting may take, and then the whole answer; over that time an upload has to "
          "move by 1 KiB/s.",
          G_USEC_PER_SEC, G_TIME_SPAN_DAY, 60 * G_USEC_PER_SEC, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisHttp, ask_above),
      g_param_spec_uint64 ("ask-above", NULL,
                           "Archives larger than this are asked about before they are sent.", 0, G_MAXUINT64,
                           1024 * 1024, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisHttp, forecast_interval),
      g_param_spec_int64 (
          "forecast-interval", NULL,
          "How often the receiver is asked how long the code of what waits is welcome; 0: never.", 0,
          G_TIME_SPAN_DAY, 10 * G_TIME_SPAN_MINUTE, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisHttp, forecast_warning),
                             g_param_spec_int64 ("forecast-warning", NULL,
                                                 "How long before that ends it is told.", 0,
                                                 365 * G_TIME_SPAN_DAY, G_TIME_SPAN_DAY,
                                                 CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}

static void
cis_http_class_init (CisHttpClass *klass)
{
  static const char *const needs[] = { "archive", NULL };
  static const char *const provides[] = { "receipt", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cis_http_finalize;
  part_class->validate = cis_http_validate;
  part_class->open = cis_http_open;
  part_class->close = cis_http_close;
  part_class->look = cis_http_look;
  part_class->check = cis_http_check;
  part_class->maintain = cis_http_maintain;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->needs = needs;
  stage_class->provides = provides;
  stage_class->process = cis_http_process;
  stage_class->ask = cis_http_ask;
  add_options (part_class);
}

static void
cis_http_init (CisHttp *self)
{
  g_mutex_init (&self->lock);
}

CIS_PLUGIN ("transport/http", "Ships archives to a receiver over HTTP, and brings back its receipts.",
            CisHttp, cis_http, CisStage)
