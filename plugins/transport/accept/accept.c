/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* transport/accept: the receiver's source. It listens on a Unix socket, or on loopback, behind a proxy that
 * ends TLS; reads a small, strict HTTP/1.1; and emits an item for each request whose head is in order.
 * Nothing is pushed: a stage that wants the body reads it, blocking, on its worker, so that a refused
 * gigabyte costs nothing and nothing waits in memory. The answer is written when the item comes home.
 *
 * http-head.c reads heads, route.c and claim.c say what they ask for, set.c holds the idle connections,
 * queue.c says whose turn it is, proxy.c whose word counts about a certificate, busy.c why it does not come,
 * body.c gives a worker the body, and answer.c turns the outcome into HTTP. */

#include "busy.h"
#include "claim.h"
#include "exchange.h"
#include "proxy.h"
#include "storage.h"

#include <sys/resource.h>

typedef struct
{
  CisSource parent;
  /* options */
  char *listen;
  char *directory;
  guint64 free_space;
  guint64 max_body;
  guint64 max_in_flight;
  guint64 max_head;
  guint max_connections;
  guint host_requests;
  guint64 host_in_flight;
  char *client_name_header;
  char *proxy_user; /* nullable */
  gint64 head_timeout;
  gint64 idle_timeout;
  gint64 queue_timeout;
  guint64 minimum_rate;
  gint64 rate_period;
  /* from open() to close() */
  int listener; /* owned */
  CisSet *set;
  CisProxy proxy;
  CisQueueLimits limits;
  CisQueue *queue;
  CisStorage *storage;
  GCancellable *cancellable; /* none; of run(), on its thread */
} CisAccept;

typedef CisSourceClass CisAcceptClass;

GType cis_accept_get_type (void);
G_DEFINE_TYPE (CisAccept, cis_accept, CIS_TYPE_SOURCE)

/* ----------------------------------------------------------- refusing */

/* On the set's thread, so without waiting for anyone. @head: nullable. @exchange, @problem: full. */
static void
refuse (CisAccept *self, CisExchange *exchange, const CisHttpHead *head, CisFinding *problem)
{
  g_autoptr (CisFinding) finding = problem;
  g_auto (CisAnswer) answer = { 0 };
  /* Where a head could be read and says that there is no body, the next request begins right behind it. */
  gboolean keep = head != NULL && head->keep_alive && head->has_length && head->length == 0;

  cis_answer_init_problem (&answer, finding);
  cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_INFO, NULL, "Refused with %u %s: %s %.200s: %s",
                answer.status, cis_finding_get_id (finding), head != NULL ? head->method : "a request",
                head != NULL ? head->target : "of which nothing more is known",
                cis_finding_get_summary (finding));
  cis_exchange_answer (exchange, &answer, keep, head != NULL && g_str_equal (head->method, "HEAD"));
}

/* What an archive of @size, of which @coming bytes come with the request, is refused for before anybody looks
 * at whose it is. */
static CisFinding *
size_problem (CisAccept *self, guint64 size, guint64 coming)
{
  CisFinding *finding;

  if (size <= self->max_body)
    return coming > 0 ? cis_storage_check (self->storage, coming, FALSE) : NULL;
  finding = cis_finding_new ("too-large", CIS_SEVERITY_ERROR, "request",
                             "%" G_GUINT64_FORMAT " bytes are more than the %" G_GUINT64_FORMAT
                             " that are taken here",
                             size, self->max_body);
  cis_finding_set_fix (finding,
                       "# on the receiver, in pipelines/receiver.ini.d/size.ini:\n"
                       "[%s]\n"
                       "max-body=%" G_GUINT64_FORMAT "\n"
                       "# then\n"
                       "systemctl reload cis490-receiver\n"
                       "# and on the host:\n"
                       "cis490 quarantine release --reason too-large",
                       cis_part_get_name (CIS_PART (self)), size);
  return finding;
}

static CisFinding *
arrival_problem (CisAccept *self, CisArrival arrival)
{
  switch (arrival)
    {
    case CIS_ARRIVAL_TOO_LARGE:
      return cis_finding_new ("head-too-large", CIS_SEVERITY_ERROR, "request",
                              "The head is over %" G_GUINT64_FORMAT " bytes", self->max_head);
    case CIS_ARRIVAL_TOO_SLOW:
      return cis_finding_new ("head-too-slow", CIS_SEVERITY_ERROR, "request",
                              "The head took too long to come; where that goes on, look at the network");
    default:
      return cis_finding_new ("request-malformed", CIS_SEVERITY_ERROR, "request",
                              "A line of the head does not end with CR LF");
    }
}

/* One whose turn does not come, so that its body is not among what is outstanding. @item: full. */
static void
turn_away (CisAccept *self, CisItem *item, CisBusy why)
{
  g_autoptr (CisItem) owned = item;

  /* Without the head, the connection is not kept. */
  refuse (self, cis_exchange_detach (cis_item_get_request (item)), NULL,
          cis_busy_to_finding (why, CIS_PART (self), &self->limits));
}

/* ------------------------------------------------------------ arriving */

static CisItem *
read_item (CisAccept *self, const CisHttpHead *head, CisFinding **problem)
{
  g_autoptr (CisRoute) route = cis_route_find (head->method, head->target, problem);
  g_autoptr (CisItem) item = route != NULL ? cis_claim_to_item (head, route, problem) : NULL;

  if (item != NULL && CIS_IS_EPISODE (item))
    *problem = size_problem (self, cis_episode_get_size (CIS_EPISODE (item)), head->length);
  return *problem == NULL ? g_steal_pointer (&item) : NULL;
}

static void
begin_exchange (CisAccept *self, CisExchange *exchange, const CisHttpHead *head, CisItem *item)
{
  const CisBodyLimits limits = { self->minimum_rate, self->rate_period };
  CisRequest *request = cis_item_get_request (item);

  exchange->keep_alive = head->keep_alive;
  cis_request_set_client_name (request, cis_proxy_get_client_name (&self->proxy, exchange->connection, head));
  if (head->length > 0)
    {
      /* What is begun takes up room before it comes. Who announces one archive after the other, and sends
       * none, leaves the others half of it, but for one that is larger alone. */
      guint64 half = cis_storage_get_room (self->storage) / 2;

      cis_queue_limit_host (self->queue, MIN (self->host_in_flight, half));
      exchange->body = cis_body_new (exchange->connection, head->length, head->expects_continue, &limits,
                                     cis_queue_get_outstanding (self->queue), self->storage);
      cis_request_set_body (request, G_INPUT_STREAM (exchange->body), head->length);
    }
  cis_exchange_attach (exchange, request);
  if (!cis_queue_push (self->queue, item, exchange->connection->known))
    turn_away (self, item, CIS_BUSY_HOST);
}

static void
cis_accept_arrived (CisPart *part, CisConnection *connection, CisArrival arrival, gsize length)
{
  CisAccept *self = (CisAccept *) part;
  CisExchange *exchange = cis_exchange_new (self->set, connection);
  CisFinding *problem = NULL;
  g_autoptr (CisHttpHead) head = NULL;
  CisItem *item = NULL;

  if (arrival != CIS_ARRIVAL_HEAD)
    problem = arrival_problem (self, arrival);
  else
    head = cis_http_head_parse ((const char *) connection->bytes->data, length, &problem);
  if (head != NULL)
    {
      cis_connection_take (connection, NULL, length);
      item = read_item (self, head, &problem);
    }
  if (item != NULL)
    begin_exchange (self, exchange, head, item);
  else
    refuse (self, exchange, head, problem);
}

static gint64
cis_accept_turn (CisPart *part)
{
  CisAccept *self = (CisAccept *) part;
  CisItem *item;
  CisBusy why;

  while ((item = cis_queue_pop (self->queue)) != NULL)
    if (!cis_source_emit (CIS_SOURCE (self), item, self->cancellable))
      break;
  while ((item = cis_queue_expire (self->queue, g_get_monotonic_time (), &why)) != NULL)
    turn_away (self, item, why);
  return cis_queue_get_deadline (self->queue);
}

static gboolean
cis_accept_run (CisSource *source, GCancellable *cancellable, GError **error)
{
  CisAccept *self = (CisAccept *) source;
  CisItem *item;
  CisBusy why;
  gboolean ok;

  self->cancellable = cancellable;
  cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_INFO, NULL, "listening on %s", self->listen);
  ok = cis_set_run (self->set, self->listener, cancellable, error);
  /* Those whose turn never came are told so, rather than cut off. */
  while ((item = cis_queue_expire (self->queue, G_MAXINT64, &why)) != NULL)
    turn_away (self, item, CIS_BUSY_ENDING);
  return ok;
}

/* ----------------------------------------------------------- answering */

/* Where a question is welcome, whether there is room for what would come: only now it is known how much is
 * there already, or that all of it is. Of a ping, whether there is room for anything. */
static CisFinding *
welcome_problem (CisAccept *self, CisItem *item, const CisAnswer *answer)
{
  gboolean pong = answer->status == 200 && answer->body != NULL && !CIS_IS_EPISODE (item);
  gboolean good = answer->status == 200 && answer->body != NULL && CIS_IS_EPISODE (item);
  gint64 offset = good ? cis_json_get_size (answer->body, "offset", -1) : -1;
  gint64 size = good ? cis_episode_get_size (CIS_EPISODE (item)) : 0;

  if (pong)
    json_object_set_int_member (answer->body, "room",
                                (gint64) MIN (cis_storage_get_room (self->storage), G_MAXINT64));
  if (pong)
    return cis_storage_check (self->storage, 1, TRUE);
  return offset >= 0 && offset < size ? cis_storage_check (self->storage, size - offset, TRUE) : NULL;
}

static void
init_answer (CisAccept *self, CisAnswer *answer, CisItem *item, const CisExchange *exchange,
             CisOutcome *outcome)
{
  CisBodyFailure failure = exchange->body != NULL ? cis_body_get_failure (exchange->body) : CIS_BODY_FINE;
  g_autoptr (CisFinding) finding = NULL;

  cis_answer_init_outcome (answer, item, outcome);
  if (failure == CIS_BODY_NO_ROOM)
    finding = g_object_ref (cis_body_get_problem (exchange->body));
  else if (failure == CIS_BODY_TOO_SLOW)
    finding = cis_finding_new ("body-too-slow", CIS_SEVERITY_WARNING, "request",
                               "The body came too slowly; where that goes on, look at the network");
  else
    finding = welcome_problem (self, item, answer);
  if (finding == NULL)
    return;
  cis_answer_clear (answer);
  cis_answer_init_problem (answer, finding);
}

/* On a worker. */
static void
cis_accept_settled (CisSource *source, CisItem *item, CisOutcome *outcome)
{
  CisAccept *self = (CisAccept *) source;
  CisRequest *request = cis_item_get_request (item);
  CisExchange *exchange = request != NULL ? cis_exchange_detach (request) : NULL;
  g_auto (CisAnswer) answer = { 0 };
  gboolean keep, cut, another_waits;

  if (exchange == NULL) /* an item that another stage recovered */
    return;
  init_answer (self, &answer, item, exchange, outcome);
  cut = exchange->body != NULL && cis_body_get_failure (exchange->body) == CIS_BODY_CUT;
  keep = (exchange->body == NULL || cis_body_skip (exchange->body)) && exchange->keep_alive;
  /* Before it is answered: who hears the answer may want the room. */
  if (exchange->body != NULL)
    cis_body_end (exchange->body);
  exchange->connection->known |= cis_request_get_identity (request) != NULL;
  another_waits = cis_queue_release (self->queue, item,
                                     exchange->body != NULL ? cis_body_get_remaining (exchange->body) : 0);
  /* A sender that is gone in mid-body is told nothing: what a proxy makes of an answer to half a request is
   * anyone's guess. */
  if (cut)
    cis_exchange_end (exchange, CIS_AFTER_CLOSE);
  else
    cis_exchange_answer (exchange, &answer, keep, FALSE);
  if (another_waits)
    cis_set_wake (self->set);
}

/* ------------------------------------------------------------- the part */

/* How many connections there may be, with as many descriptors left for what the stages open. The soft limit
 * that a program starts with (1024) is there for select(2), which nothing here uses, and may be raised. */
static guint
reserve_descriptors (CisAccept *self)
{
  guint64 wanted = 2 * (guint64) self->max_connections;
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
    return self->max_connections;
  limit.rlim_cur = MIN (wanted, limit.rlim_max);
  if (setrlimit (RLIMIT_NOFILE, &limit) != 0)
    getrlimit (RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= wanted)
    return self->max_connections;
  cis_part_log (CIS_PART (self), NULL, G_LOG_LEVEL_WARNING, NULL,
                "max-connections=%u needs LimitNOFILE=%" G_GUINT64_FORMAT ", and %" G_GUINT64_FORMAT
                " descriptors are allowed: only half of these are for connections",
                self->max_connections, wanted, (guint64) limit.rlim_cur);
  return MAX (1, limit.rlim_cur / 2);
}

static gboolean
cis_accept_validate (CisPart *part, GError **error)
{
  CisAccept *self = (CisAccept *) part;

  if (!cis_listen_check (self->listen, error))
    g_prefix_error (error, "listen=%s: ", self->listen);
  else if (self->proxy_user == NULL || self->proxy_user[0] == '\0' ||
           g_str_has_prefix (self->listen, "unix:"))
    return TRUE;
  else
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "proxy-user=%s needs listen=unix:/path: of a TCP connection nobody knows whose it is",
                 self->proxy_user);
  return FALSE;
}

static gboolean
cis_accept_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisAccept *self = (CisAccept *) part;
  const CisSetConfig config = {
    .max_connections = reserve_descriptors (self),
    .max_head = self->max_head,
    .head_timeout = self->head_timeout,
    .idle_timeout = self->idle_timeout,
    .arrived = cis_accept_arrived,
    .turn = cis_accept_turn,
    .part = part,
  };

  if (!cis_proxy_init (&self->proxy, self->client_name_header, self->proxy_user, error))
    return FALSE;
  self->listener = cis_listen (self->listen, error);
  if (self->listener < 0)
    return FALSE;
  self->set = cis_set_new (&config, error);
  if (self->set == NULL)
    return FALSE;
  self->limits = (CisQueueLimits){
    .workers = cis_part_get_workers (part),
    .max_connections = config.max_connections,
    .max_outstanding = self->max_in_flight,
    .host_requests = self->host_requests,
    .host_outstanding = self->host_in_flight,
    .timeout = self->queue_timeout,
  };
  self->queue = cis_queue_new (&self->limits);
  self->storage = cis_storage_new (part, self->directory, self->free_space);
  return TRUE;
}

static void
cis_accept_close (CisPart *part)
{
  CisAccept *self = (CisAccept *) part;

  g_clear_pointer (&self->storage, cis_storage_free);
  g_clear_pointer (&self->queue, cis_queue_free);
  cis_proxy_clear (&self->proxy);
  g_clear_pointer (&self->set, cis_set_unref);
  if (self->listener >= 0)
    cis_unlisten (self->listen, self->listener);
  self->listener = -1;
}

static void
add_listening_options (CisPartClass *klass)
{
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisAccept, listen),
      g_param_spec_string ("listen", NULL,
                           "Where to listen: unix:/path, or a loopback address such as 127.0.0.1:8490.",
                           "${listen:-unix:${RUNTIME_DIRECTORY}/receiver.sock}", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisAccept, max_connections),
      g_param_spec_uint ("max-connections", NULL,
                         "How many connections may be open; one more ends the one "
                         "that has been unknown or slow for longest, and half may wait for a turn "
                         "unknown.",
                         1, 1000000, 1024, CIS_PARAM_OPTION));
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisAccept, host_requests),
      g_param_spec_uint ("host-requests", NULL,
                         "How many requests of one host may be there at once; more are answered 429.", 1,
                         1000000, 64, CIS_PARAM_OPTION));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, client_name_header),
                             g_param_spec_string ("client-name-header", NULL,
                                                  "Where the front proxy puts the name in the client's "
                                                  "certificate; empty: nowhere.",
                                                  "X-Cis490-Client-Name", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisAccept, proxy_user),
      g_param_spec_string ("proxy-user", NULL,
                           "The only user whose connections may bring that header, such "
                           "as www-data; empty: all who may connect.",
                           "${proxy-user:-}", CIS_PARAM_OPTION));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, max_head),
                             g_param_spec_uint64 ("max-head", NULL, "The longest request head that is read.",
                                                  256, 65536, 16384, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisAccept, head_timeout),
      g_param_spec_int64 ("head-timeout", NULL,
                          "How long a request head may take to come, and an answer to be taken.", 1000,
                          G_MAXINT64 / 2, 10 * G_USEC_PER_SEC, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, idle_timeout),
                             g_param_spec_int64 ("idle-timeout", NULL,
                                                 "How long a connection may be without a request.", 1000,
                                                 G_MAXINT64 / 2, 60 * G_USEC_PER_SEC,
                                                 CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, queue_timeout),
                             g_param_spec_int64 ("queue-timeout", NULL,
                                                 "How long a request waits for its turn before it is "
                                                 "answered 503, or 429 where its host has its share.",
                                                 1000, G_MAXINT64 / 2, 5 * G_USEC_PER_SEC,
                                                 CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}

static void
add_body_options (CisPartClass *klass)
{
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, max_body),
                             g_param_spec_uint64 ("max-body", NULL, "The largest archive that is taken.", 0,
                                                  G_MAXINT64, G_GUINT64_CONSTANT (64) << 30,
                                                  CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, max_in_flight),
                             g_param_spec_uint64 ("max-in-flight", NULL,
                                                  "How many bytes of archives may be on their way at once.",
                                                  1, G_MAXINT64, G_GUINT64_CONSTANT (256) << 30,
                                                  CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisAccept, host_in_flight),
      g_param_spec_uint64 ("host-in-flight", NULL,
                           "How many bytes of one host's archives may be on their way at once, up to half of "
                           "the room; one alone may be longer.",
                           1, G_MAXINT64, G_GUINT64_CONSTANT (64) << 30, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (
      klass, G_STRUCT_OFFSET (CisAccept, directory),
      g_param_spec_string ("directory", NULL, "The folder whose file system must have room for an archive.",
                           "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, free_space),
                             g_param_spec_uint64 ("free-space", NULL,
                                                  "How much room must be left on it behind the archive.", 0,
                                                  G_MAXINT64, 64 << 20, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, minimum_rate),
                             g_param_spec_uint64 ("minimum-rate", NULL,
                                                  "How many bytes per second a body must come with.", 1,
                                                  1 << 30, 32 << 10, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (klass, G_STRUCT_OFFSET (CisAccept, rate_period),
                             g_param_spec_int64 ("rate-period", NULL,
                                                 "Over how long a time of waiting the rate is averaged.",
                                                 G_USEC_PER_SEC / 10,
                                                 G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC,
                                                 30 * G_USEC_PER_SEC, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}

static void
cis_accept_class_init (CisAcceptClass *klass)
{
  static const char *const provides[] = { "archive", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  part_class->validate = cis_accept_validate;
  part_class->open = cis_accept_open;
  part_class->close = cis_accept_close;
  klass->item_types[0] = CIS_TYPE_EPISODE;
  klass->item_types[1] = CIS_TYPE_ITEM;
  klass->provides = provides;
  klass->endless = TRUE;
  klass->run = cis_accept_run;
  klass->settled = cis_accept_settled;
  add_listening_options (part_class);
  add_body_options (part_class);
}

static void
cis_accept_init (CisAccept *self)
{
  self->listener = -1;
}

CIS_PLUGIN ("transport/accept", "Receives archives over HTTP/1.1, behind a proxy that ends TLS.", CisAccept,
            cis_accept, CisSource)
