/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 gate explain COMMIT: would the receiver take an episode of this commit, and why. */
#include "gate.h"

#include "options.h"
#include "terminal.h"
#include "verbs.h"

#include "../plugins/gate/window/forecast.h"
#include "../plugins/gate/window/grants.h"
#include "../plugins/gate/window/history.h"
#include "../plugins/gate/window/source.h"

#include <glib/gi18n.h>
#include <inttypes.h>
#include <sysexits.h>

/* What the verdict rests on. */
typedef struct
{
  Gate *gate;
  const char *commit;
  const char *host; /* nullable */
  gint64 time;      /* seconds since 1970 */
  gboolean at;      /* @time was given */
  gboolean json;

  CisWindow *window; /* owned; NULL: no source has one */
  char *resolved;    /* owned; which commit @commit names */
  char *trouble;     /* owned, nullable; why sources have none */
  char *fix;         /* owned, nullable; what to do about that */
  gint64 position;   /* -1: not in it */
  gint64 behind;     /* -1: not known */
  gint64 leaves_in;  /* seconds; -1: not known */
  char *grant;       /* owned, nullable */
  char *ended;       /* owned, nullable: the grant that did name it */
  char *until;       /* owned: when that ended */
  char *unread;      /* owned; why not all of the grants count; NULL where they do */
} Explanation;

static void
explanation_clear (Explanation *self)
{
  g_clear_pointer (&self->window, cis_window_unref);
  g_free (self->resolved);
  g_free (self->trouble);
  g_free (self->fix);
  g_free (self->grant);
  g_free (self->ended);
  g_free (self->until);
  g_free (self->unread);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Explanation, explanation_clear)

/* The stage is only asked for its options and never opened. */
static GObject *
find_stage (CisPipeline *pipeline, const char *type)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);

  for (guint i = 0; i < steps->len; i++)
    if (g_str_equal (G_OBJECT_TYPE_NAME (g_array_index (steps, CisStep, i).stage), type))
      return G_OBJECT (g_array_index (steps, CisStep, i).stage);
  return NULL;
}

gboolean
gate_load (Gate *gate, const char *pipeline, const char *site_file, int *status)
{
  const char *names[] = { pipeline, NULL };
  g_autofree char *directory = NULL;
  GObject *index;

  *gate = (Gate){ .pipelines = options_load_pipelines (names, site_file) };
  *status = EX_CONFIG;
  if (gate->pipelines == NULL)
    return FALSE;
  gate->stage = find_stage (gate->pipelines->pdata[0], "CisGateWindow");
  if (gate->stage == NULL)
    {
      g_printerr (_ ("cis490 gate: no stage of %s is a gate/window; name another with --pipeline\n"),
                  pipeline);
      return FALSE;
    }
  g_object_get (gate->stage, "repository", &gate->repository, "branch", &gate->branch, "window",
                &gate->window, "enabled", &gate->enabled, NULL);
  index = find_stage (gate->pipelines->pdata[0], "CisIndex");
  if (index != NULL)
    g_object_get (index, "directory", &directory, NULL);
  if (directory != NULL)
    gate->index = g_build_filename (directory, "index.jsonl", NULL);
  return TRUE;
}

void
gate_clear (Gate *gate)
{
  g_clear_pointer (&gate->pipelines, g_ptr_array_unref);
  g_free (gate->repository);
  g_free (gate->branch);
  g_free (gate->index);
}

gboolean
gate_parse_time (const char *text, gint64 *seconds)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autofree char *full =
      strchr (text, 'T') == NULL ? g_strconcat (text, "T00:00:00Z", NULL) : g_strdup (text);
  g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (full, utc);

  if (time != NULL)
    *seconds = g_date_time_to_unix (time);
  return time != NULL;
}

/* As the gate makes them; of a time that is past only the local repository knows. */
static GPtrArray *
make_sources (Explanation *self, GError **error)
{
  g_auto (GStrv) names = NULL;
  g_autofree char *url = NULL;
  g_autofree char *name = NULL;
  g_autofree char *token_file = NULL;
  g_autofree char *ca_file = NULL;
  CisWindowSetup setup = { .repository = self->gate->repository };
  GPtrArray *sources;

  if (self->at)
    {
      sources = g_ptr_array_new_with_free_func ((GDestroyNotify) cis_window_source_free);
      g_ptr_array_add (sources, cis_window_source_git_new_at (self->gate->repository, self->time));
      return sources;
    }
  g_object_get (self->gate->stage, "sources", &names, "forgejo-url", &url, "forgejo-repository", &name,
                "forgejo-token-file", &token_file, "forgejo-ca-file", &ca_file, "timeout", &setup.timeout,
                NULL);
  setup.names = (const char *const *) names;
  setup.forgejo_url = url;
  setup.forgejo_repository = name;
  setup.forgejo_token_file = token_file;
  setup.forgejo_ca_file = ca_file;
  return cis_window_sources_new (&setup, error);
}

static void
add_line (char **text, const char *between, const char *more)
{
  char *longer = *text != NULL ? g_strconcat (*text, between, more, NULL) : g_strdup (more);

  g_free (*text);
  *text = longer;
}

static void
note_trouble (Explanation *self, CisWindowSource *source, const GError *problem)
{
  g_autofree char *trouble =
      g_strdup_printf ("%s: %s", cis_window_source_get_name (source), problem->message);
  g_autofree char *fix = cis_window_source_suggest (source, self->gate->branch, problem);

  add_line (&self->trouble, "; ", trouble);
  if (!g_error_matches (problem, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_EARLY))
    add_line (&self->fix, "\n", fix);
}

static gboolean
fetch (Explanation *self, GError **error)
{
  g_autoptr (GPtrArray) sources = make_sources (self, error);

  for (guint i = 0; sources != NULL && i < sources->len && self->window == NULL; i++)
    {
      g_autoptr (GError) problem = NULL;

      self->window =
          cis_window_source_fetch (sources->pdata[i], self->gate->branch, self->gate->window, NULL, &problem);
      if (self->window != NULL && i > 0)
        cis_window_set_fallback (self->window);
      if (problem != NULL)
        note_trouble (self, sources->pdata[i], problem);
    }
  return sources != NULL;
}

static void
find_grant (Explanation *self)
{
  g_autofree char *path = NULL;
  g_autoptr (CisGrants) grants = NULL;
  g_autoptr (GError) error = NULL;
  gint64 now = self->time * G_USEC_PER_SEC;
  gboolean whole;

  g_object_get (self->gate->stage, "grants-file", &path, NULL);
  if (path == NULL || path[0] == '\0')
    return;
  grants = cis_grants_new (path, self->gate->repository, 0);
  if (!cis_grants_refresh (grants, &error))
    self->unread = g_strdup (error->message);
  self->grant = cis_grants_find (grants, self->commit, self->host, now, &whole);
  if (self->grant == NULL)
    self->ended = cis_grants_find_ended (grants, self->commit, self->host, now, &self->until);
}

/* The first digits are what messages print. The forge may know a commit that the repository has not fetched
 * yet. */
static char *
find_in_window (Explanation *self, const char *digits)
{
  const char *found = NULL;

  if (strlen (digits) < 7 || strspn (digits, "0123456789abcdef") != strlen (digits))
    return NULL;
  for (guint i = 0; self->window != NULL && i < cis_window_get_length (self->window); i++)
    if (g_str_has_prefix (cis_window_get_commit (self->window, i), digits))
      {
        if (found != NULL)
          return NULL;
        found = cis_window_get_commit (self->window, i);
      }
  return g_strdup (found);
}

/* All of its digits, where it was named by some, or as git lets one name it. */
static gboolean
resolve (Explanation *self, GError **error)
{
  g_autofree char *lower = g_ascii_strdown (self->commit, -1);

  if (cis_hex_is_valid (self->commit, CIS_COMMIT_LENGTH))
    return TRUE;
  self->resolved = find_in_window (self, lower);
  if (self->resolved == NULL)
    self->resolved = cis_history_find (self->gate->repository, self->commit, error);
  if (self->resolved == NULL)
    g_prefix_error (error, _ ("“%s” names no commit, or several: "), self->commit);
  else
    self->commit = self->resolved;
  return self->resolved != NULL;
}

static gboolean
find_out (Explanation *self, GError **error)
{
  self->position = self->behind = self->leaves_in = -1;
  if (!fetch (self, error) || !resolve (self, error))
    return FALSE;
  if (self->window != NULL)
    {
      self->position = cis_window_get_position (self->window, self->commit);
      self->behind =
          cis_history_count_behind (self->gate->repository, self->commit, cis_window_get_head (self->window));
      self->leaves_in = cis_forecast_leaves_in (self->window, self->position, self->gate->window, self->time);
    }
  if (self->position < 0)
    find_grant (self);
  return TRUE;
}

static gboolean
passes (Explanation *self)
{
  return !self->gate->enabled || self->position >= 0 || self->grant != NULL;
}

/* The first line: the verdict, and why. full */
static char *
describe (Explanation *self)
{
  gboolean may_refuse =
      self->window != NULL && !cis_window_is_fallback (self->window) && !cis_window_is_cut (self->window);

  if (!self->gate->enabled)
    return g_strdup (_ ("passes: the gate is off (enabled=false)"));
  if (self->position >= 0)
    return g_strdup_printf (_ ("passes: commit %" PRId64 " of the last %u of %s"), self->position + 1,
                            self->gate->window, self->gate->branch);
  if (self->grant != NULL)
    return g_strdup_printf (ngettext ("passes: by the grant “%s”, though not among the last %u commit of %s",
                                      "passes: by the grant “%s”, though not among the last %u commits of %s",
                                      self->gate->window),
                            self->grant, self->gate->window, self->gate->branch);
  if (may_refuse && self->unread != NULL)
    return g_strdup (_ ("waits: a grant may name it, as not all of the grants can be read"));
  if (may_refuse)
    return g_strdup_printf (ngettext ("is refused: not among the last %u commit of %s",
                                      "is refused: not among the last %u commits of %s", self->gate->window),
                            self->gate->window, self->gate->branch);
  if (self->window != NULL)
    return g_strdup (_ ("waits: it is not in the window at hand, which is no ground for a refusal"));
  return g_strdup (_ ("waits: no source has a window, unless one that the receiver keeps has this commit"));
}

static void
print_json (Explanation *self, const char *reason)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *source = self->window != NULL ? cis_window_describe_source (self->window) : NULL;
  g_autofree char *line = NULL;

  json_object_set_string_member (object, "commit", self->commit);
  json_object_set_boolean_member (object, "passes", passes (self));
  json_object_set_string_member (object, "reason", reason);
  json_object_set_int_member (object, "size", self->gate->window);
  if (self->position >= 0)
    json_object_set_int_member (object, "position", self->position + 1);
  if (self->window != NULL)
    {
      json_object_set_string_member (object, "head", cis_window_get_head (self->window));
      json_object_set_string_member (object, "source", source);
    }
  if (self->behind >= 0)
    json_object_set_int_member (object, "behind", self->behind);
  if (self->leaves_in >= 0)
    json_object_set_int_member (object, "leaves_in_seconds", self->leaves_in);
  if (self->grant != NULL)
    json_object_set_string_member (object, "grant", self->grant);
  if (self->ended != NULL)
    {
      json_object_set_string_member (object, "ended_grant", self->ended);
      json_object_set_string_member (object, "ended", self->until);
    }
  if (self->trouble != NULL)
    json_object_set_string_member (object, "trouble", self->trouble);
  if (self->fix != NULL)
    json_object_set_string_member (object, "fix", self->fix);
  if (self->unread != NULL)
    json_object_set_string_member (object, "grants", self->unread);
  line = cis_json_to_line (object);
  g_print ("%s\n", line);
}

static void
print_text (Explanation *self, const char *reason)
{
  g_print ("%s\n", reason);
  if (self->window != NULL)
    {
      g_autofree char *source = cis_window_describe_source (self->window);

      g_print (_ ("  head    %s\n"), cis_window_get_head (self->window));
      g_print (_ ("  source  %s\n"), source);
    }
  if (self->behind >= 0)
    g_print (ngettext ("  behind  %" PRId64 " commit\n", "  behind  %" PRId64 " commits\n",
                       (gulong) self->behind),
             self->behind);
  else if (self->window != NULL)
    g_print (_ ("  behind  not known: %s does not have it among %d commits below the head\n"),
             self->gate->repository, CIS_HISTORY_BEHIND_MAX);
  if (self->leaves_in >= 0)
    {
      g_autofree char *duration = terminal_format_duration (self->leaves_in);

      g_print (_ ("  leaves  in about %s, as %s goes at present\n"), duration, self->gate->branch);
    }
  if (self->ended != NULL)
    g_print (_ ("  ended   %s: the grant “%s”\n"), self->until, self->ended);
  if (self->trouble != NULL)
    g_print (_ ("  trouble %s\n"), self->trouble);
  if (self->fix != NULL)
    {
      g_auto (GStrv) lines = g_strsplit (self->fix, "\n", -1);

      for (char **line = lines; *line != NULL; line++)
        g_print ("          %s\n", *line);
    }
  if (self->unread != NULL)
    g_print (_ ("  grants  %s\n"), self->unread);
}

static int
explain (Explanation *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *reason = NULL;

  if (!find_out (self, &error))
    {
      g_printerr ("cis490 gate: %s\n", error->message);
      return g_error_matches (error, CIS_ERROR, CIS_ERROR_CONFIG) ? EX_CONFIG : EX_USAGE;
    }
  reason = describe (self);
  if (self->json)
    print_json (self, reason);
  else
    print_text (self, reason);
  return passes (self) ? 0 : 1;
}

typedef struct
{
  char *site_file, *pipeline, *at, *host, *index;
  gint window; /* G_MAXINT: as the gate has it */
  gboolean json;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->site_file);
  g_free (options->pipeline);
  g_free (options->at);
  g_free (options->host);
  g_free (options->index);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* What is wrong; none, %NULL where nothing is. @commit: %NULL for replay. @time: that of --at. */
static const char *
find_mistake (const Options *options, const char *commit, gint64 *time)
{
  if (commit == NULL && (options->at != NULL || options->host != NULL))
    return _ ("--at and --host are for explain");
  if (commit != NULL && (options->window != G_MAXINT || options->index != NULL))
    return _ ("--window and --index are for replay");
  if (options->host != NULL && !cis_name_is_valid (options->host, CIS_HOST_NAME_MAX))
    return _ ("--host: there can be no host of that name");
  if (options->at != NULL && !gate_parse_time (options->at, time))
    return _ ("--at: a time is written 2026-11-21 or 2026-11-21T22:51:00Z");
  if (options->window < 1)
    return _ ("--window: a window has at least one commit");
  return NULL;
}

static int
complain (const char *message)
{
  g_printerr ("cis490 gate: %s\n", message);
  return EX_USAGE;
}

int
cis_verb_gate (int argc, char **argv)
{
  g_auto (Options) options = { .window = G_MAXINT };
  const GOptionEntry entries[] = {
    { "at", 0, 0, G_OPTION_ARG_STRING, &options.at, N_ ("explain: as it was then, by the local repository"),
      N_ ("TIME") },
    { "host", 0, 0, G_OPTION_ARG_STRING, &options.host, N_ ("explain: look at the grants of this host only"),
      N_ ("HOST") },
    { "window", 'w', 0, G_OPTION_ARG_INT, &options.window, N_ ("replay: with a window of N commits"),
      N_ ("N") },
    { "index", 0, 0, G_OPTION_ARG_FILENAME, &options.index, N_ ("replay: another index.jsonl"), N_ ("FILE") },
    { "pipeline", 'p', 0, G_OPTION_ARG_STRING, &options.pipeline,
      N_ ("The pipeline with the gate (receiver)"), N_ ("NAME") },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, N_ ("Print a JSON object"), NULL },
    OPTIONS_CONFIG_ENTRY (&options.site_file),
    { NULL }
  };
  g_auto (Gate) gate = { NULL };
  g_auto (Explanation) explanation = { .gate = &gate, .time = g_get_real_time () / G_USEC_PER_SEC };
  const char *mistake;
  int status;

  if (!options_parse (
          &argc, &argv, _ ("explain COMMIT | replay"),
          _ ("explain: would the receiver take an episode of this commit, and why? Exits with 0 or 1.\n"
             "replay: which indexed episodes would another window have refused? Judged by the times of the\n"
             "commits, as nobody notes when they were pushed."),
          entries))
    return EX_USAGE;
  if (argc == 3 && g_str_equal (argv[1], "explain"))
    explanation.commit = argv[2];
  else if (argc != 2 || !g_str_equal (argv[1], "replay"))
    return complain (_ ("write: cis490 gate explain COMMIT, or: cis490 gate replay --window N"));
  mistake = find_mistake (&options, explanation.commit, &explanation.time);
  if (mistake != NULL)
    return complain (mistake);
  if (!gate_load (&gate, options.pipeline != NULL ? options.pipeline : "receiver", options.site_file,
                  &status))
    return status;
  if (explanation.commit == NULL)
    return gate_replay (&gate, options.window < G_MAXINT ? (guint) options.window : 0, options.index,
                        options.json);
  explanation.host = options.host;
  explanation.at = options.at != NULL;
  explanation.json = options.json;
  return explain (&explanation);
}
