/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate/window: only episodes of recent code pass: their commit is one of the last `window` of `branch`.
 *
 * A refusal is final for an episode (the host quarantines it), so the gate refuses only what the first-listed
 * source denies in an answer fetched after the request came. Whenever it cannot know that, it defers, and the
 * host tries again.
 */
#include "../../shared/code-version.h"
#include "amnesty.h"
#include "branch.h"
#include "forecast.h"
#include "look.h"
#include "refresher.h"
#include "refusal.h"

#define COMMIT_HEADER "x-cis490-code-commit"

/* The state is immutable after open(), but for the refresher, the refusal and the amnesty, which lock. */
typedef struct
{
  CisStage parent;
  char *repository;
  char *forgejo_url;
  char *forgejo_repository;
  char *forgejo_token_file;
  char *forgejo_ca_file;
  gint64 timeout; /* µs */
  char *branch;
  guint window;
  gint64 ttl;  /* µs */
  gint64 wait; /* µs */
  GStrv sources;
  char *save_file;
  gint64 saved_max_age; /* µs */
  gboolean enabled;
  gboolean refuse_restamped;
  char *remedy;
  char *remedy_file;
  char *grants_file;
  /* Between open() and close(), where enabled. */
  CisRefresher *refresher;
  CisRefusal *refusal;
  CisAmnesty *amnesty; /* NULL: no grants */
} CisGateWindow;

typedef CisStageClass CisGateWindowClass;
GType cis_gate_window_get_type (void);
G_DEFINE_TYPE (CisGateWindow, cis_gate_window, CIS_TYPE_STAGE)

static const char *
or_null (const char *option)
{
  return cis_window_option_is_set (option) ? option : NULL;
}

static CisWindowSetup
get_setup (CisGateWindow *self)
{
  return (CisWindowSetup){
    (const char *const *) self->sources,
    self->repository,
    self->forgejo_url,
    self->forgejo_repository,
    self->forgejo_token_file,
    self->forgejo_ca_file,
    self->timeout,
  };
}

static GPtrArray *
make_sources (CisGateWindow *self, GError **error)
{
  const CisWindowSetup setup = get_setup (self);

  return cis_window_sources_new (&setup, error);
}

static CisSavedWindow *
make_saved (CisGateWindow *self)
{
  g_autofree char *of = NULL;

  if (or_null (self->save_file) == NULL)
    return NULL;
  of = g_strjoin (" ", self->branch, self->repository, or_null (self->forgejo_url),
                  or_null (self->forgejo_repository), NULL);
  return cis_saved_window_new (self->save_file, of, self->saved_max_age);
}

static CisFinding *
describe_disabled (CisGateWindow *self)
{
  const char *name = cis_part_get_name (CIS_PART (self));
  CisFinding *finding =
      cis_finding_new ("gate-disabled", CIS_SEVERITY_WARNING, name,
                       "The version gate is off: episodes of any code are collected, and marked.");

  cis_finding_set_fix (finding,
                       "# take enabled=false out of [%s] of the receiver's pipeline and its drop-ins, then\n"
                       "systemctl reload cis490-receiver",
                       name);
  return finding;
}

static gboolean
cis_gate_window_validate (CisPart *part, GError **error)
{
  CisGateWindow *self = (CisGateWindow *) part;
  const CisWindowSetup setup = get_setup (self);

  /* Outside a pipeline nobody has expanded the default. */
  if (!g_str_has_prefix (self->branch, "${") && !cis_branch_check (self->branch, error))
    return FALSE;
  return cis_window_sources_check (&setup, error);
}

/* What stood before a reload, and cannot with these options. */
static void
forget (CisGateWindow *self)
{
  static const char *const windows[] = { "window-unavailable", "window-fallback", "window-cut" };
  CisPart *part = CIS_PART (self);

  for (guint i = 0; i < G_N_ELEMENTS (windows) && !self->enabled; i++)
    cis_part_clear_unless (part, windows[i], NULL, NULL);
  if (!self->enabled || or_null (self->save_file) == NULL)
    cis_part_clear_unless (part, "window-not-saved", NULL, NULL);
  if (!self->enabled || or_null (self->remedy_file) == NULL)
    cis_part_clear_unless (part, "remedy-unreadable", NULL, NULL);
  if (!self->enabled || or_null (self->grants_file) == NULL)
    {
      cis_part_clear_unless (part, "grants-unreadable", NULL, NULL);
      cis_part_clear_unless (part, "grant-expired", NULL, NULL);
    }
}

static gboolean
cis_gate_window_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisGateWindow *self = (CisGateWindow *) part;
  g_autoptr (GPtrArray) sources = make_sources (self, error);

  if (sources == NULL)
    return FALSE;
  forget (self);
  if (!self->enabled)
    {
      cis_part_raise (part, describe_disabled (self));
      return TRUE;
    }
  cis_part_clear (part, "gate-disabled", cis_part_get_name (part));
  self->refusal = cis_refusal_new (part, self->branch, self->window, self->repository, self->remedy,
                                   or_null (self->remedy_file), or_null (self->grants_file));
  if (or_null (self->grants_file) != NULL)
    {
      self->amnesty = cis_amnesty_new (part, self->grants_file, self->repository);
      cis_amnesty_refresh (self->amnesty);
    }
  self->refresher = cis_refresher_new (part, sources, self->branch, self->window, self->ttl,
                                       self->saved_max_age, make_saved (self));
  return TRUE;
}

static void
cis_gate_window_close (CisPart *part)
{
  CisGateWindow *self = (CisGateWindow *) part;

  g_clear_pointer (&self->refresher, cis_refresher_free);
  g_clear_pointer (&self->refusal, cis_refusal_free);
  g_clear_pointer (&self->amnesty, cis_amnesty_free);
}

/* An edited file of grants counts within a second. */
static gint64
cis_gate_window_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisGateWindow *self = (CisGateWindow *) part;

  if (self->amnesty == NULL)
    return 0;
  cis_amnesty_refresh (self->amnesty);
  return G_TIME_SPAN_SECOND;
}

static void
cis_gate_window_look (CisPart *part, GPtrArray *findings)
{
  CisGateWindow *self = (CisGateWindow *) part;
  CisWindowSetup setup = get_setup (self);

  setup.forgejo_token_file = or_null (self->forgejo_token_file);
  setup.forgejo_ca_file = or_null (self->forgejo_ca_file);
  if (self->enabled)
    cis_window_look (&setup, self->branch, self->window, cis_part_get_name (part),
                     or_null (self->grants_file), or_null (self->remedy_file), findings);
}

static void
cis_gate_window_check (CisPart *part, GPtrArray *findings, GCancellable *cancellable)
{
  CisGateWindow *self = (CisGateWindow *) part;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) sources = make_sources (self, &error);

  if (!self->enabled)
    g_ptr_array_add (findings, describe_disabled (self));
  if (sources == NULL)
    {
      g_ptr_array_add (findings, cis_finding_new ("window-unavailable", CIS_SEVERITY_ERROR,
                                                  cis_part_get_name (part), "%s.", error->message));
      return;
    }
  for (guint i = 0; i < sources->len; i++)
    cis_window_check (sources->pdata[i], self->branch, self->window, cis_part_get_name (part), findings,
                      cancellable);
  if (or_null (self->grants_file) != NULL)
    cis_amnesty_check (self->grants_file, self->repository, findings);
}

/* Of the severity that no alert tells: the refresher or the amnesty has raised why, once, and this comes with
 * each attempt. */
static CisOutcome *
defer (CisGateWindow *self, CisItem *item, const char *commit, CisScope scope, gboolean knows_grants)
{
  CisFinding *finding =
      cis_finding_new ("window-unavailable", CIS_SEVERITY_INFO, cis_item_get_id (item),
                       knows_grants
                           ? "Whether commit %.12s is recent cannot be told at the moment."
                           : "Commit %.12s is not recent, and the receiver's grants are just being edited, "
                             "or cannot all be read.",
                       commit);

  cis_finding_set_fix (finding,
                       "# nothing on this host, which tries again; on the receiver:\n"
                       "journalctl -u cis490-receiver --grep '%s'",
                       knows_grants ? "window-" : "grants-");
  return cis_outcome_deferred (scope, self->ttl, finding);
}

/* @whole: whether there can be no other; %FALSE forbids a refusal. */
static char *
find_grant (CisGateWindow *self, CisItem *item, const char *commit, gboolean *whole)
{
  CisRequest *request = cis_item_get_request (item);
  const char *host = request != NULL ? cis_request_get_identity (request) : NULL;

  *whole = TRUE;
  if (self->amnesty == NULL)
    return NULL;
  return cis_amnesty_find (self->amnesty, commit, host != NULL ? host : "", whole);
}

static void
set_number (CisItem *item, const char *key, gint64 number)
{
  g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, number);

  cis_item_set_mark (item, key, text);
}

/* What a ping learns: where its code stands, and for how long. Marks, as it is no episode and has no row. */
static void
forecast (CisGateWindow *self, CisItem *item, const char *commit, GCancellable *cancellable)
{
  static const char *const answers[] = {
    [CIS_REFRESHER_INSIDE] = "in", [CIS_REFRESHER_OUTSIDE] = "out", [CIS_REFRESHER_UNKNOWN] = "unknown"
  };
  gboolean whole = TRUE;
  g_autofree char *grant =
      cis_refresher_knows (self->refresher, commit) ? NULL : find_grant (self, item, commit, &whole);
  g_autofree char *source = NULL;
  g_autoptr (CisWindow) window = NULL;
  CisRefresherAnswer answer = cis_refresher_ask (self->refresher, commit, self->wait, &window, cancellable);

  if (answer == CIS_REFRESHER_OUTSIDE && !whole)
    answer = CIS_REFRESHER_UNKNOWN;
  cis_item_set_mark (item, "window", answers[answer]);
  if (grant != NULL)
    cis_item_set_mark (item, "grant", grant);
  if (window == NULL)
    return;
  source = cis_window_describe_source (window);
  cis_item_set_mark (item, "source", source);
  set_number (item, "size", self->window);
  if (answer == CIS_REFRESHER_INSIDE)
    {
      gint64 position = cis_window_get_position (window, commit);
      gint64 seconds =
          cis_forecast_leaves_in (window, position, self->window, g_get_real_time () / G_USEC_PER_SEC);

      set_number (item, "position", position + 1);
      if (seconds >= 0)
        set_number (item, "leaves_in_seconds", seconds);
    }
}

/* Once more stamped with newer code, as it were: @first is what it was stamped with before. */
static CisOutcome *
judge_restamped (CisGateWindow *self, CisItem *item, const char *commit, const char *first)
{
  gboolean whole;
  g_autofree char *grant = find_grant (self, item, first, &whole);

  if (grant == NULL && !whole)
    return defer (self, item, first, CIS_SCOPE_ITEM, FALSE);
  if (grant == NULL)
    return cis_outcome_rejected (cis_refusal_describe_restamped (self->refusal, item, commit, first));
  cis_item_set_mark (item, "grant", grant);
  return cis_outcome_passed ();
}

/* What the episode was stamped with before its stamp was replaced, which its row says, too; none, %NULL for
 * nearly all. */
static const char *
note_restamped (CisItem *item)
{
  CisRequest *request = cis_item_get_request (item);
  const char *first = request != NULL ? cis_request_get_header (request, CIS_RESTAMPED_HEADER) : NULL;

  if (first != NULL)
    cis_item_set_mark (item, "restamped",
                       cis_hex_is_valid (first, CIS_COMMIT_LENGTH) ? first : CIS_RESTAMPED_UNKNOWN);
  return cis_item_get_mark (item, "restamped");
}

static CisOutcome *
judge (CisGateWindow *self, CisItem *item, const char *commit, const char *first, GCancellable *cancellable)
{
  gboolean whole;
  g_autofree char *grant = NULL;
  g_autoptr (CisWindow) window = NULL;
  CisRefresherAnswer answer;

  if (first != NULL && self->refuse_restamped && !g_str_equal (first, commit))
    return judge_restamped (self, item, commit, first);
  if (cis_refresher_knows (self->refresher, commit))
    return cis_outcome_passed ();
  /* Looked for before the question that may refuse: the window may move in between. */
  grant = find_grant (self, item, commit, &whole);
  if (grant != NULL)
    {
      cis_item_set_mark (item, "grant", grant);
      return cis_outcome_passed ();
    }
  answer = cis_refresher_ask (self->refresher, commit, self->wait, &window, cancellable);
  if (answer == CIS_REFRESHER_INSIDE)
    return cis_outcome_passed ();
  if (g_cancellable_is_cancelled (cancellable))
    return cis_outcome_none ();
  /* Of other commits more may be known, unless there is no window at all. */
  if (answer == CIS_REFRESHER_UNKNOWN || !whole)
    return defer (self, item, commit, window != NULL ? CIS_SCOPE_ITEM : CIS_SCOPE_STAGE,
                  answer == CIS_REFRESHER_UNKNOWN);
  return cis_outcome_rejected (
      cis_refusal_describe (self->refusal, item, commit, cis_window_get_head (window)));
}

static CisOutcome *
cis_gate_window_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisGateWindow *self = (CisGateWindow *) stage;
  CisRequest *request = cis_item_get_request (item);
  const char *commit = request != NULL ? cis_request_get_header (request, COMMIT_HEADER) : NULL;
  gboolean is_episode = CIS_IS_EPISODE (item);
  const char *first;
  gboolean valid;

  /* It passed here when its bytes came, and is in the store or about to be: were it refused now, its host
   * would put aside what is not lost. */
  if (is_episode && cis_item_get_mark (item, "recovered") != NULL)
    return cis_outcome_passed ();
  first = is_episode ? note_restamped (item) : NULL;
  if (!self->enabled)
    {
      if (is_episode || commit != NULL)
        cis_item_set_mark (item, "gate", "disabled");
      return cis_outcome_passed ();
    }
  if (commit == NULL && is_episode)
    commit = cis_episode_get_commit (CIS_EPISODE (item));
  valid = commit != NULL && cis_hex_is_valid (commit, CIS_COMMIT_LENGTH);
  if (is_episode)
    return valid ? judge (self, item, commit, first, cancellable)
                 : cis_outcome_rejected (cis_refusal_describe_header (self->refusal, item, commit));
  /* Nothing but episodes is ever refused: a host that runs stale code must be able to say so. */
  if (valid)
    forecast (self, item, commit, cancellable);
  return cis_outcome_passed ();
}

static void
add_source_options (CisPartClass *part_class)
{
#define OPTION(field, pspec)                                                                                 \
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisGateWindow, field), pspec)
  OPTION (sources,
          g_param_spec_boxed ("sources", NULL,
                              "Who is asked for the window, in this order: only the first may refuse; unset "
                              "is forgejo;git with a forgejo-url, else git.",
                              G_TYPE_STRV, CIS_PARAM_OPTION));
  OPTION (forgejo_url,
          g_param_spec_string ("forgejo-url", NULL, "The Forgejo (or Gitea) that the source forgejo asks.",
                               "${forgejo-url:-}", CIS_PARAM_OPTION));
  OPTION (forgejo_repository,
          g_param_spec_string ("forgejo-repository", NULL, "The repository there, as owner/name.",
                               "${forgejo-repository:-}", CIS_PARAM_OPTION));
  OPTION (forgejo_token_file, g_param_spec_string ("forgejo-token-file", NULL,
                                                   "Holds a token that may read it; read for each fetch.",
                                                   "${forgejo-token-file:-}",
                                                   CIS_PARAM_OPTION | CIS_PARAM_FILE | CIS_PARAM_SECRET));
  OPTION (forgejo_ca_file,
          g_param_spec_string (
              "forgejo-ca-file", NULL,
              "The authorities (PEM) that its certificate is checked against, instead of the system's.",
              "${forgejo-ca-file:-}", CIS_PARAM_OPTION | CIS_PARAM_FILE));
  OPTION (timeout,
          g_param_spec_int64 ("timeout", NULL, "How long each of its answers may take, to the last byte.",
                              100 * G_TIME_SPAN_MILLISECOND, G_TIME_SPAN_MINUTE, 5 * G_TIME_SPAN_SECOND,
                              CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  OPTION (repository,
          g_param_spec_string ("repository", NULL, "The local repository that the source git reads.",
                               "${repository:-/opt/cis490}", CIS_PARAM_OPTION));
  OPTION (save_file,
          g_param_spec_string ("save-file", NULL,
                               "Where the last good window is kept for the next start; it admits commits and "
                               "refuses none.",
                               "${STATE_DIRECTORY}/window.json", CIS_PARAM_OPTION));
  OPTION (saved_max_age,
          g_param_spec_int64 (
              "saved-max-age", NULL,
              "How old a window may be to count: the kept one, and one in memory that no source renews.", 0,
              3650 * G_TIME_SPAN_DAY, 30 * G_TIME_SPAN_DAY, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}

static void
cis_gate_window_class_init (CisGateWindowClass *klass)
{
  static const char *const needs[] = { "identity", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  part_class->validate = cis_gate_window_validate;
  part_class->open = cis_gate_window_open;
  part_class->close = cis_gate_window_close;
  part_class->look = cis_gate_window_look;
  part_class->check = cis_gate_window_check;
  part_class->maintain = cis_gate_window_maintain;
  klass->needs = needs;
  klass->process = cis_gate_window_process;

  add_source_options (part_class);
  OPTION (branch, g_param_spec_string ("branch", NULL, "The branch whose last commits count as recent.",
                                       "${branch:-main}", CIS_PARAM_OPTION));
  OPTION (window, g_param_spec_uint ("window", NULL, "How many of the branch's last commits count as recent.",
                                     1, 100000, 100, CIS_PARAM_OPTION));
  OPTION (ttl, g_param_spec_int64 ("ttl", NULL, "How often the window is fetched anew.",
                                   100 * G_TIME_SPAN_MILLISECOND, G_TIME_SPAN_DAY, 5 * G_TIME_SPAN_SECOND,
                                   CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  OPTION (wait, g_param_spec_int64 ("wait", NULL,
                                    "How long an unknown commit waits for a fetch that began after it came.",
                                    500 * G_TIME_SPAN_MILLISECOND, G_TIME_SPAN_MINUTE, 2 * G_TIME_SPAN_SECOND,
                                    CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  OPTION (enabled,
          g_param_spec_boolean ("enabled", NULL, "Off: every commit passes, and each index row is marked.",
                                TRUE, CIS_PARAM_OPTION));
  OPTION (
      refuse_restamped,
      g_param_spec_boolean ("refuse-restamped", NULL,
                            "Whether an episode whose stamp was replaced is refused, unless a grant names "
                            "its first commit; its index row is marked in any case.",
                            FALSE, CIS_PARAM_OPTION));
  OPTION (
      remedy,
      g_param_spec_string (
          "remedy", NULL,
          "What the operator of a refused host is told to do; {your_commit}, {head_commit}, {branch}, {host} "
          "and {episode} are filled in, and by the host {repository} and {remote}.",
          "git -C {repository} pull --ff-only", CIS_PARAM_OPTION | CIS_PARAM_PROSE));
  OPTION (remedy_file,
          g_param_spec_string ("remedy-file", NULL, "A file with the remedy instead, of several lines.", NULL,
                               CIS_PARAM_OPTION | CIS_PARAM_FILE));
  OPTION (grants_file, g_param_spec_string (
                           "grants-file", NULL,
                           "Lines of NAME COMMIT|COMMIT..COMMIT HOST|* UNTIL: old commits that are admitted.",
                           "${grants-file:-}", CIS_PARAM_OPTION | CIS_PARAM_FILE));
#undef OPTION
}

static void
cis_gate_window_init (CisGateWindow *self)
{
}

CIS_PLUGIN ("gate/window", "Refuses episodes of code that is not among a branch's last commits.",
            CisGateWindow, cis_gate_window, CisStage)
