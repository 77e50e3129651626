/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From outcomes and findings to HTTP: the only place that knows which status a finding has. */

#include "answer.h"

#include <libsoup/soup.h>

static const struct
{
  const char *id;
  guint status;
} statuses[] = {
  { "commit-malformed", 400 },
  { "commit-missing", 400 },
  { "digest-malformed", 400 },
  { "digest-mismatch", 400 },
  { "digest-missing", 400 },
  { "id-invalid", 400 },
  { "request-malformed", 400 },
  { "token-missing", 401 },
  { "token-unknown", 401 },
  { "not-your-host", 403 },
  { "not-found", 404 },
  { "method-not-allowed", 405 },
  { "body-too-slow", 408 },
  { "head-too-slow", 408 },
  { "episode-conflict", 409 },
  { "upload-offset-mismatch", 409 },
  { "length-required", 411 },
  { "commit-not-in-window", 412 },
  { "commit-restamped", 412 },
  { "too-large", 413 },
  { "media-type-unsupported", 415 },
  { "expectation-unknown", 417 },
  { "host-busy", 429 },
  { "head-too-large", 431 },
  { "not-identified", 500 },
  { "http-version-unsupported", 505 },
  { "host-quota-used-up", 507 },
  { "storage-full", 507 },
};

/* 0: none of its own. */
static guint
get_status (CisFinding *finding)
{
  for (guint i = 0; i < G_N_ELEMENTS (statuses); i++)
    if (g_str_equal (statuses[i].id, cis_finding_get_id (finding)))
      return statuses[i].status;
  return 0;
}

static gboolean
is_temporary (guint status)
{
  return status == 408 || status == 429 || status >= 500;
}

/* A request that is in order, for who speaks to the receiver with a program of their own; HOST/EPISODE is not
 * known where the head could not be read. */
static char *
make_request (CisFinding *finding)
{
  const char *subject = cis_finding_get_subject (finding);

  return g_strdup_printf ("curl --fail-with-body --upload-file FILE"
                          " --header \"Authorization: Bearer $(cat TOKEN-FILE)\""
                          " --header \"X-Cis490-Code-Commit: $(git rev-parse HEAD)\""
                          " --header \"X-Cis490-Sha256: $(sha256sum FILE | cut -c1-64)\""
                          " URL/v1/episodes/%s",
                          strchr (subject, '/') != NULL ? subject : "HOST/EPISODE");
}

/* No answer goes out without a remedy: whoever gets one may have nothing else to go by. */
static void
complete_fix (CisFinding *finding, guint status)
{
  g_autofree char *own = NULL;
  g_autofree char *request = NULL;

  if (cis_finding_get_fix (finding) != NULL && status != 400)
    return;
  if (is_temporary (status) && status != 505)
    {
      cis_finding_set_fix (finding, "# nothing to do: send it again in a second, as the shipper does");
      return;
    }
  own = g_strdup (cis_finding_get_fix (finding));
  request = make_request (finding);
  cis_finding_set_fix (finding, "%s%s# a whole request, for a program of one's own:\n%s",
                       own != NULL ? own : "", own != NULL ? "\n" : "", request);
}

/* Tells the host whether to hold back its other episodes, too. @scope counts where the finding has none of
 * its own. */
static void
init (CisAnswer *self, CisFinding *finding, guint status, CisScope scope)
{
  complete_fix (finding, status);
  *self = (CisAnswer){ .status = status, .body = cis_finding_to_problem (finding, status) };
  if (is_temporary (status) && cis_finding_get_detail (finding, "scope") == NULL)
    json_object_set_string_member (self->body, "scope", scope == CIS_SCOPE_ITEM ? "item" : "stage");
  self->allow = g_strdup (cis_finding_get_detail (finding, "allow"));
  self->retry_after = is_temporary (status) ? 1 : 0;
}

void
cis_answer_init_problem (CisAnswer *self, CisFinding *finding)
{
  guint status = get_status (finding);

  init (self, finding, status != 0 ? status : 503, CIS_SCOPE_STAGE);
}

static void
init_error (CisAnswer *self, guint status, const char *id, const char *summary, const char *fix)
{
  g_autoptr (CisFinding) finding = cis_finding_new (id, CIS_SEVERITY_ERROR, "request", "%s", summary);

  if (fix != NULL)
    cis_finding_set_fix (finding, "%s", fix);
  init (self, finding, status, CIS_SCOPE_STAGE);
}

/* What the stages noted for a ping, such as the version gate's forecast. */
static void
add_marks (JsonObject *body, CisItem *item)
{
  g_autofree const char **keys = cis_str_keys (cis_item_get_marks (item));

  for (guint i = 0; keys[i] != NULL; i++)
    json_object_set_string_member (body, keys[i], cis_item_get_mark (item, keys[i]));
}

static void
init_passed (CisAnswer *self, CisItem *item)
{
  CisRequest *request = cis_item_get_request (item);
  JsonObject *receipt = CIS_IS_EPISODE (item) ? cis_episode_get_receipt (CIS_EPISODE (item)) : NULL;

  if (receipt != NULL)
    {
      gboolean again = g_strcmp0 (cis_json_get_string (receipt, "status"), "duplicate") == 0;
      gboolean made = !g_str_equal (cis_request_get_method (request), "POST") && !again;

      *self = (CisAnswer){ .status = made ? 201 : 200, .body = json_object_ref (receipt) };
    }
  else if (!CIS_IS_EPISODE (item))
    {
      *self = (CisAnswer){ .status = 200, .body = json_object_new () };
      add_marks (self->body, item);
      json_object_set_string_member (self->body, "status", "ok");
      json_object_set_string_member (self->body, "host", cis_request_get_identity (request));
    }
  else if (g_str_equal (cis_request_get_method (request), "POST"))
    {
      *self = (CisAnswer){ .status = 200, .body = json_object_new () };
      json_object_set_string_member (self->body, "status", "welcome");
      json_object_set_int_member (self->body, "offset", 0);
    }
  else
    init_error (self, 500, "receiver-error", "No stage of this receiver has stored the archive",
                "# on the receiver; stages= needs a store/archive, as in pipelines/receiver.ini:\n"
                "cis490 graph receiver\n"
                "systemctl reload cis490-receiver");
}

static void
init_not_passed (CisAnswer *self, CisOutcome *outcome)
{
  CisVerdict verdict = cis_outcome_get_verdict (outcome);
  CisFinding *finding = cis_outcome_get_finding (outcome);
  guint status = finding != NULL ? get_status (finding) : 0;

  if (verdict == CIS_VERDICT_NONE)
    init_error (self, 503, "shutting-down", "The receiver is stopping or being reloaded", NULL);
  else if (finding == NULL)
    init_error (self, 503, "receiver-error", "The receiver could not do it now; its log says why",
                "# it is taken once that is mended; on the receiver:\n"
                "journalctl -u cis490-receiver --priority warning");
  else if (verdict == CIS_VERDICT_REJECTED)
    init (self, finding, status != 0 ? status : 422, CIS_SCOPE_ITEM);
  else
    init (self, finding, is_temporary (status) ? status : 503, cis_outcome_get_scope (outcome));
}

static gboolean
is_success (guint status)
{
  return status >= 200 && status < 300;
}

void
cis_answer_init_outcome (CisAnswer *self, CisItem *item, CisOutcome *outcome)
{
  CisRequest *request = cis_item_get_request (item);
  CisVerdict verdict = cis_outcome_get_verdict (outcome);
  gboolean passed = verdict == CIS_VERDICT_PASSED || verdict == CIS_VERDICT_DONE;
  guint status = cis_request_get_status (request);
  JsonObject *reply = cis_request_get_reply (request);

  if (status != 0 && (passed || !is_success (status)))
    *self = (CisAnswer){ .status = status, .body = reply != NULL ? json_object_ref (reply) : NULL };
  else if (passed)
    init_passed (self, item);
  else
    init_not_passed (self, outcome);

  if (is_success (self->status) && cis_request_get_identity (request) == NULL)
    {
      cis_answer_clear (self);
      init_error (self, 500, "not-identified", "No stage of this receiver has said whose request this is",
                  "# on the receiver; stages= needs a gate/bearer, as in pipelines/receiver.ini:\n"
                  "cis490 graph receiver\n"
                  "systemctl reload cis490-receiver");
    }
  if (is_temporary (self->status))
    self->retry_after =
        MAX (1, (cis_outcome_get_retry_after (outcome) + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC);
}

static void
append_date (GString *bytes)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *date = soup_date_time_to_string (now, SOUP_DATE_HTTP);

  g_string_append_printf (bytes, "Date: %s\r\n", date);
}

GString *
cis_answer_to_bytes (const CisAnswer *self, gboolean closing, gboolean without_body)
{
  GString *bytes = g_string_sized_new (1024);
  g_autofree char *body = self->body != NULL ? cis_json_to_line (self->body) : NULL;

  g_string_append_printf (bytes, "HTTP/1.1 %u %s\r\n", self->status, soup_status_get_phrase (self->status));
  append_date (bytes);
  if (body != NULL)
    g_string_append_printf (bytes, "Content-Type: %s\r\n",
                            self->status >= 400 ? "application/problem+json" : "application/json");
  g_string_append_printf (bytes, "Content-Length: %zu\r\n", body != NULL ? strlen (body) + 1 : 0);
  if (self->retry_after > 0)
    g_string_append_printf (bytes, "Retry-After: %" G_GINT64_FORMAT "\r\n", self->retry_after);
  if (self->status == 401)
    g_string_append (bytes, "WWW-Authenticate: Bearer\r\n");
  if (self->allow != NULL)
    g_string_append_printf (bytes, "Allow: %s\r\n", self->allow);
  if (closing)
    g_string_append (bytes, "Connection: close\r\n");
  g_string_append (bytes, "\r\n");
  if (body != NULL && !without_body)
    g_string_append_printf (bytes, "%s\n", body);
  return bytes;
}

void
cis_answer_clear (CisAnswer *self)
{
  g_clear_pointer (&self->body, json_object_unref);
  g_clear_pointer (&self->allow, g_free);
}
