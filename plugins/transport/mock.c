/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stands in for a receiver: answers by a script, sends nothing anywhere.
 *
 * The answers look as a real receiver's (or a proxy's) do, and the table of transport/http decides what they
 * mean, so that a pipeline under development meets what it will meet in the field. */

#include "../shared/lines/lines.h"
#include "http/answer.h"

#define SLICE (50 * 1000) /* µs between two looks at the progress bar */

/* A word of the script. @id: the finding that our receiver gives with it; NULL: a proxy's answer, or none at
 * all. */
typedef struct
{
  const char *word;
  guint status;
  const char *id;
  const char *summary;
  const char *fix;
} MockAnswer;

static const MockAnswer known_answers[] = {
  { "200", 200, NULL, NULL, NULL },
  { "201", 201, NULL, NULL, NULL },
  { "400", 400, "digest-malformed", "X-Cis490-Sha256 is not 64 hexadecimal digits.", "cis490 ping" },
  { "401", 401, "token-unknown", "No host has this token.", "cis490 token new HOST" },
  { "403", 403, "not-your-host", "The token belongs to another host.", "cis490 token new HOST" },
  { "404", 404, NULL, NULL, NULL },
  { "408", 408, NULL, NULL, NULL },
  { "409", 409, "episode-conflict", "Another archive is stored under this name.",
    "# give the episode another name; then\ncis490 quarantine release EPISODE" },
  { "412", 412, "commit-not-in-window", "The episode's code is older than the last 100 commits.",
    "git pull\n# and repeat the experiment" },
  { "413", 413, "too-large", "The archive is larger than the receiver takes.", "# split the episode" },
  { "422", 422, "digest-mismatch", "The bytes that came do not have the digest that was announced.", NULL },
  { "429", 429, NULL, NULL, NULL },
  { "500", 500, NULL, NULL, NULL },
  { "502", 502, NULL, NULL, NULL },
  { "503", 503, "window-unavailable", "The window of accepted commits is not known at the moment.", NULL },
  { "507", 507, "storage-full", "The receiver has too little free space.", NULL },
  { "in-flight", 503, "in-flight", "Another upload of this episode is under way.", NULL },
  { "proxy-400", 400, NULL, NULL, NULL },
  { "proxy-413", 413, NULL, NULL, NULL },
  { "timeout", 0, NULL, NULL, NULL },
  { "welcome", 200, NULL, NULL, NULL }, /* to a question: it is not there */
};

typedef struct
{
  CisStage parent;
  /* Options. */
  char *state_path;
  char *answers;
  char *asked;
  gint64 delay;
  char *record;
  char *host;
  /* Immutable after open(). */
  CisHostState *state;
  GPtrArray *script;       /* of known_answers */
  GPtrArray *asked_script; /* the same */
  /* Atomic: which answer is next, and which to a question. */
  int next, next_asked;
} CisMock;
typedef CisStageClass CisMockClass;

GType cis_mock_get_type (void);
G_DEFINE_TYPE (CisMock, cis_mock, CIS_TYPE_STAGE)

static const MockAnswer *
find_answer (const char *word)
{
  for (guint i = 0; i < G_N_ELEMENTS (known_answers); i++)
    if (g_str_equal (known_answers[i].word, word))
      return &known_answers[i];
  return NULL;
}

static gboolean
set_unknown_word (const char *option, const char *word, GError **error)
{
  g_autoptr (GString) words = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (known_answers); i++)
    g_string_append_printf (words, "%s%s", i > 0 ? ", " : "", known_answers[i].word);
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "%s= has \"%s\", which is no answer; separated by \";\", there can be: %s", option, word,
               words->str);
  return FALSE;
}

/* The script @text of @option, of MockAnswer; full. */
static GPtrArray *
parse_script (const char *option, const char *text, GError **error)
{
  g_auto (GStrv) words = g_strsplit (text, ";", -1);
  g_autoptr (GPtrArray) script = g_ptr_array_new ();

  for (guint i = 0; words[i] != NULL; i++)
    {
      const MockAnswer *answer = find_answer (g_strstrip (words[i]));

      /* An ini's list may end with its separator. */
      if (*words[i] == '\0' && i > 0 && words[i + 1] == NULL)
        break;
      if (answer == NULL)
        {
          set_unknown_word (option, words[i], error);
          return NULL;
        }
      g_ptr_array_add (script, (gpointer) answer);
    }
  if (script->len == 0)
    {
      set_unknown_word (option, "", error);
      return NULL;
    }
  return g_steal_pointer (&script);
}

static gboolean
parse_scripts (CisMock *self, GPtrArray **script, GPtrArray **asked, GError **error)
{
  *script = parse_script ("answers", self->answers, error);
  *asked = *script != NULL ? parse_script ("asked", self->asked, error) : NULL;
  return *asked != NULL;
}

static gboolean
cis_mock_validate (CisPart *part, GError **error)
{
  g_autoptr (GPtrArray) script = NULL;
  g_autoptr (GPtrArray) asked = NULL;

  return parse_scripts ((CisMock *) part, &script, &asked, error);
}

static gboolean
cis_mock_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisMock *self = (CisMock *) part;

  if (!parse_scripts (self, &self->script, &self->asked_script, error))
    return FALSE;
  self->state = cis_host_state_open (self->state_path, error);
  if (self->state == NULL)
    return FALSE;
  return self->record == NULL ||
         lines_append_to (self->record, &(Lines){ .follow = TRUE }, NULL, cancellable, error);
}

static void
cis_mock_close (CisPart *part)
{
  CisMock *self = (CisMock *) part;

  g_clear_pointer (&self->script, g_ptr_array_unref);
  g_clear_pointer (&self->asked_script, g_ptr_array_unref);
  g_clear_object (&self->state);
}

/* Takes as long as the answer is to take. FALSE: cancelled. */
static gboolean
wait_delay (CisMock *self, CisEpisode *episode, GCancellable *cancellable, GError **error)
{
  gint64 start = g_get_monotonic_time (), passed = 0;
  guint64 size = cis_episode_get_size (episode);
  GPollFD poll = { 0 };
  gboolean polls = g_cancellable_make_pollfd (cancellable, &poll);

  while (passed < self->delay && !g_cancellable_is_cancelled (cancellable))
    {
      cis_stage_progress (CIS_STAGE (self), CIS_ITEM (episode),
                          (guint64) ((double) size * passed / self->delay), size);
      g_poll (&poll, polls ? 1 : 0, (int) (MIN (SLICE, self->delay - passed) / 1000 + 1));
      passed = g_get_monotonic_time () - start;
    }
  if (polls)
    g_cancellable_release_fd (cancellable);
  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}

static gboolean
append_record (CisMock *self, CisEpisode *episode, const MockAnswer *answer, GCancellable *cancellable,
               GError **error)
{
  const Lines how = { .follow = TRUE };
  g_autoptr (JsonObject) json = json_object_new ();
  g_autofree char *now = cis_time_to_string (g_get_real_time ()), *line = NULL;

  if (self->record == NULL)
    return TRUE;
  json_object_set_string_member (json, "ts", now);
  json_object_set_string_member (json, "host", self->host);
  json_object_set_string_member (json, "episode", cis_episode_get_name (episode));
  json_object_set_string_member (json, "sha256", cis_episode_get_sha256 (episode));
  json_object_set_int_member (json, "size", (gint64) cis_episode_get_size (episode));
  json_object_set_string_member (json, "commit", cis_episode_get_commit (episode));
  json_object_set_string_member (json, "answer", answer->word);
  line = cis_json_to_line (json);
  return lines_append_to (self->record, &how, line, cancellable, error);
}

/* As it would have come over the network. */
static CisAnswer
make_answer (CisMock *self, CisEpisode *episode, const MockAnswer *answer)
{
  CisAnswer made = { .status = answer->status };
  g_autoptr (JsonObject) body = NULL;
  char *line;

  if (g_str_equal (answer->word, "welcome"))
    {
      body = json_object_new ();
      json_object_set_string_member (body, "status", answer->word);
      json_object_set_int_member (body, "offset", 0);
    }
  else if (answer->status == 200 || answer->status == 201)
    body = cis_receipt_new (episode, self->host, answer->status == 201 ? "stored" : "duplicate", NULL);
  else if (answer->id != NULL)
    {
      g_autoptr (CisFinding) finding =
          cis_finding_new (answer->id, CIS_SEVERITY_ERROR, cis_episode_get_name (episode), "%s",
                           answer->summary);

      if (answer->fix != NULL)
        cis_finding_set_fix (finding, "%s", answer->fix);
      body = cis_finding_to_problem (finding, answer->status);
    }
  if (answer->status == 0)
    made.failure = g_strdup ("the script says so");
  if (body == NULL)
    return made;
  made.content_type = g_strdup (answer->id != NULL ? "application/problem+json" : "application/json");
  line = cis_json_to_line (body);
  made.body = g_bytes_new_take (line, strlen (line));
  return made;
}

static CisOutcome *
conclude (CisMock *self, CisEpisode *episode, CisJudgement *judgement)
{
  GError *error = NULL;

  if (judgement->repack && !cis_host_state_drop_archive (self->state, episode, &error))
    return cis_outcome_failed (error);
  if (judgement->receipt != NULL)
    {
      if (!cis_host_state_store_receipt (self->state, episode, judgement->receipt, &error))
        return cis_outcome_failed (error);
      cis_episode_set_receipt (episode, judgement->receipt);
    }
  return g_steal_pointer (&judgement->outcome);
}

static const MockAnswer *
take_next (GPtrArray *script, int *next)
{
  return g_ptr_array_index (script, (guint) g_atomic_int_add (next, 1) % script->len);
}

static CisOutcome *
cis_mock_ask (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisMock *self = (CisMock *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  CisPeer peer = { .url = "mock", .host = self->host };
  g_auto (CisAnswer) answer = make_answer (self, episode, take_next (self->asked_script, &self->next_asked));
  g_auto (CisJudgement) judgement = { NULL };

  cis_answer_judge (&answer, CIS_ASKED_QUESTION, episode, &peer, &judgement);
  if (judgement.receipt == NULL)
    return judgement.outcome != NULL ? g_steal_pointer (&judgement.outcome) : cis_outcome_passed ();
  cis_episode_set_receipt (episode, judgement.receipt);
  return cis_outcome_done ();
}

static CisOutcome *
cis_mock_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisMock *self = (CisMock *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  CisPeer peer = { .url = "mock", .host = self->host };
  const MockAnswer *next;
  g_auto (CisAnswer) answer = { 0 };
  g_auto (CisJudgement) judgement = { NULL };
  GError *error = NULL;

  if (cis_episode_get_receipt (episode) != NULL)
    return cis_outcome_passed ();
  next = take_next (self->script, &self->next);
  if (!wait_delay (self, episode, cancellable, &error) ||
      !append_record (self, episode, next, cancellable, &error))
    return cis_outcome_failed (error);
  answer = make_answer (self, episode, next);
  cis_answer_judge (&answer, CIS_ASKED_UPLOAD, episode, &peer, &judgement);
  return conclude (self, episode, &judgement);
}

static void
cis_mock_check (CisPart *part, GPtrArray *findings, GCancellable *cancellable)
{
  CisMock *self = (CisMock *) part;

  g_ptr_array_add (findings, cis_finding_new ("receiver-ok", CIS_SEVERITY_INFO, "mock",
                                              "No receiver: the answers are scripted (%s)", self->answers));
}

static void
cis_mock_class_init (CisMockClass *klass)
{
  static const char *const needs[] = { "archive", NULL };
  static const char *const provides[] = { "receipt", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  part_class->validate = cis_mock_validate;
  part_class->open = cis_mock_open;
  part_class->close = cis_mock_close;
  part_class->check = cis_mock_check;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->needs = needs;
  stage_class->provides = provides;
  stage_class->process = cis_mock_process;
  stage_class->ask = cis_mock_ask;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisMock, state_path),
                             g_param_spec_string ("state", NULL, "The host's state folder.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisMock, answers),
      g_param_spec_string (
          "answers", NULL,
          "What the attempts get, one after the other and then from the first again, such as "
          "201;412;503;timeout.",
          "201", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisMock, asked),
      g_param_spec_string ("asked", NULL,
                           "What questions get about what was shipped long ago, such as 200;welcome;timeout.",
                           "200", CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisMock, delay),
                             g_param_spec_int64 ("delay", NULL, "How long each answer takes.", 0,
                                                 G_TIME_SPAN_DAY, 0, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisMock, record),
                             g_param_spec_string ("record", NULL,
                                                  "A file that gets one JSON line for each attempt.", NULL,
                                                  CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisMock, host),
                             g_param_spec_string ("host", NULL,
                                                  "The name that this host's episodes go under.",
                                                  "${host-id}", CIS_PARAM_OPTION));
}

static void
cis_mock_init (CisMock *self)
{
}

CIS_PLUGIN ("transport/mock", "Stands in for a receiver: answers by a script.", CisMock, cis_mock, CisStage)
