/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 index backfill|verify: what a person needs when index.jsonl and the store may not agree. */
#include "index-verify.h"
#include "options.h"
#include "progress.h"
#include "terminal.h"
#include "verbs.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sysexits.h>

#define PIPELINE      "backfill"
#define DRAW_INTERVAL 100 /* ms */
#define JOBS_MAX      256

typedef struct
{
  char *site_file;
  gboolean quick, json;
  int jobs; /* G_MAXINT: as many as there are processors */
} Options;

/* ---- backfill ---- */

typedef struct
{
  GMainLoop *loop;
  CisPipeline *pipeline;
} Backfill;

static void
on_finished (CisPipeline *pipeline, gpointer user_data)
{
  g_main_loop_quit (((Backfill *) user_data)->loop);
}

static gboolean
on_signal (gpointer user_data)
{
  cis_pipeline_cancel (((Backfill *) user_data)->pipeline);
  return G_SOURCE_REMOVE;
}

static gboolean
on_draw (gpointer user_data)
{
  g_autoptr (GPtrArray) pipelines = g_ptr_array_new ();

  g_ptr_array_add (pipelines, ((Backfill *) user_data)->pipeline);
  progress_draw (pipelines);
  return G_SOURCE_CONTINUE;
}

/* What a part has counted; 0 where it counts no such thing. */
static guint
get_count (gpointer part, const char *property)
{
  guint count = 0;

  if (g_object_class_find_property (G_OBJECT_GET_CLASS (part), property) != NULL)
    g_object_get (part, property, &count, NULL);
  return count;
}

typedef struct
{
  guint64 added, damaged, failed;
  guint present, in_flight, unreadable;
} Counts;

/* What came through the last stage has its row; what did not, anywhere, is left. */
static Counts
count (CisPipeline *pipeline)
{
  g_autoptr (GArray) steps = cis_pipeline_list_steps (pipeline);
  CisSource *source = cis_pipeline_get_source (pipeline);
  Counts counts = { .present = get_count (source, "present"), .in_flight = get_count (source, "in-flight") };

  for (guint i = 0; i < steps->len; i++)
    {
      const CisStep *step = &g_array_index (steps, CisStep, i);

      if (step->when == CIS_WHEN_AFTERWARDS)
        continue;
      counts.added = step->n_passed;
      counts.damaged += step->n_rejected;
      counts.failed += step->n_failed + step->n_deferred;
      counts.unreadable += get_count (step->stage, "unreadable");
    }
  return counts;
}

static void
print_counts (const Counts *counts, gboolean json)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *line = NULL;

  if (!json)
    {
      g_print (ngettext ("%" PRIu64 " row added, %u were there\n", "%" PRIu64 " rows added, %u were there\n",
                         counts->added),
               counts->added, counts->present);
      if (counts->unreadable > 0)
        g_print (ngettext ("%u of the archives is unreadable: its row has no commit\n",
                           "%u of the archives are unreadable: their rows have no commit\n",
                           counts->unreadable),
                 counts->unreadable);
      if (counts->in_flight > 0)
        g_print (ngettext ("%u archive is a running receiver's to index\n",
                           "%u archives are a running receiver's to index\n", counts->in_flight),
                 counts->in_flight);
      if (counts->damaged > 0)
        g_print (ngettext ("%" PRIu64 " archive is damaged, or cannot be looked through, and is left out\n",
                           "%" PRIu64
                           " archives are damaged, or cannot be looked through, and are left out\n",
                           counts->damaged),
                 counts->damaged);
      if (counts->failed > 0)
        g_print (ngettext ("%" PRIu64 " archive still has no row\n",
                           "%" PRIu64 " archives still have no row\n", counts->failed),
                 counts->failed);
      return;
    }
  json_object_set_int_member (object, "added", counts->added);
  json_object_set_int_member (object, "present", counts->present);
  json_object_set_int_member (object, "unreadable", counts->unreadable);
  json_object_set_int_member (object, "in_flight", counts->in_flight);
  json_object_set_int_member (object, "damaged", counts->damaged);
  json_object_set_int_member (object, "failed", counts->failed);
  line = cis_json_to_line (object);
  g_print ("%s\n", line);
}

static int
report_error (const GError *error)
{
  g_printerr ("cis490 index: %s\n", error->message);
  return cis_error_exit_status (error);
}

static int
run_to_end (Backfill *backfill)
{
  g_autoptr (GError) error = NULL;
  int status;

  if (!cis_pipeline_open (backfill->pipeline, &error))
    return report_error (error);
  g_unix_signal_add (SIGTERM, on_signal, backfill);
  g_unix_signal_add (SIGINT, on_signal, backfill);
  if (terminal_is_interactive ())
    g_timeout_add (DRAW_INTERVAL, on_draw, backfill);
  cis_pipeline_start (backfill->pipeline, TRUE, on_finished, backfill);
  g_main_loop_run (backfill->loop);
  if (terminal_is_interactive ())
    terminal_set_status (NULL);
  status = cis_pipeline_get_exit_status (backfill->pipeline);
  cis_pipeline_close (backfill->pipeline);
  return status;
}

/* Opening would make the folders, and an index of nothing would pass for one that agrees. */
static gboolean
find_store (CisPipeline *pipeline, GError **error)
{
  g_autofree char *directory = NULL;
  g_autofree char *store = NULL;
  struct stat st;
  gboolean seen;

  if (g_object_class_find_property (G_OBJECT_GET_CLASS (cis_pipeline_get_source (pipeline)), "directory") ==
      NULL)
    return TRUE; /* a source of somebody else's */
  g_object_get (cis_pipeline_get_source (pipeline), "directory", &directory, NULL);
  store = g_build_filename (directory, "store", NULL);
  seen = stat (store, &st) == 0;
  if (seen && S_ISDIR (st.st_mode))
    return TRUE;
  if (!seen && errno == EACCES)
    return cis_error_set_errno (error, errno, _ ("%s is for the receiver's user"), store);
  g_set_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE,
               _ ("there is no %s; set STATE_DIRECTORY to the receiver's state folder"), store);
  return FALSE;
}

static int
run_backfill (CisPipeline *pipeline, const Options *options)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Backfill backfill = { loop, pipeline };
  int status = run_to_end (&backfill);
  Counts counts = count (pipeline);

  if (status == 0 || status == EX_TEMPFAIL || status == EX_DATAERR)
    print_counts (&counts, options->json);
  return status == EX_DATAERR ? 1 : status;
}

/* ---- verify ---- */

static const char *const kinds[N_FLAWS] = { "missing",   "extra",     "differing",
                                            "duplicate", "malformed", "unreadable" };

static void
print_report (const VerifyReport *report)
{
  g_autofree char *hashed = g_format_size (report->n_hashed);

  for (guint i = 0; i < report->flaws->len; i++)
    {
      const Flaw *flaw = report->flaws->pdata[i];
      g_autofree char *kind = g_strdup_printf ("%-10s", kinds[flaw->kind]);
      g_autofree char *styled = terminal_style (TERMINAL_RED, kind);

      g_print ("%s %s%s%s\n", styled, flaw->id, flaw->id[0] != '\0' ? ": " : "", flaw->detail);
    }
  if (report->n_in_flight > 0)
    g_print (
        ngettext (
            "%" PRIu64
            " archive has no row yet; a receiver writes it when it starts or is asked for the archive\n",
            "%" PRIu64
            " archives have no row yet; a receiver writes it when it starts or is asked for the archive\n",
            report->n_in_flight),
        report->n_in_flight);
  g_print (ngettext ("%" PRIu64 " row, ", "%" PRIu64 " rows, ", report->n_rows), report->n_rows);
  g_print (ngettext ("%" PRIu64 " archive, %s hashed: ", "%" PRIu64 " archives, %s hashed: ",
                     report->n_archives),
           report->n_archives, hashed);
  if (report->flaws->len == 0 && report->n_in_flight == 0)
    g_print (_ ("index and store agree\n"));
  else
    g_print (ngettext ("%u flaw\n", "%u flaws\n", report->flaws->len), report->flaws->len);
}

/* What to do about each kind, on stderr. */
static void
print_remedies (const VerifyReport *report)
{
  static const char *const remedies[N_FLAWS] = {
    [FLAW_MISSING] =
        N_ ("missing: put the archive back from a backup; nothing in the program removes one. Or, with the "
            "receiver stopped, remove its row, and let the host ship it anew"),
    [FLAW_EXTRA] = N_ ("extra: “cis490 index backfill” adds their rows, or says which of them are damaged"),
    [FLAW_DIFFERING] = N_ (
        "differing: the disk or somebody has changed what was stored; put it back from a backup, or let the "
        "host ship what its row says again, which then takes its place; but where it is a duplicate too, "
        "look "
        "at its other row first"),
    [FLAW_DUPLICATE] = N_ ("duplicate: with the receiver stopped, remove the row whose sha256 is not the "
                           "archive's; where both have it, the later one"),
    [FLAW_MALFORMED] = N_ (
        "malformed: with the receiver stopped, remove the row; “cis490 index backfill” then makes it anew"),
    [FLAW_UNREADABLE] = N_ ("unreadable: run this as the receiver's user, and look at the disk's health"),
  };
  gboolean seen[N_FLAWS] = { FALSE };

  for (guint i = 0; i < report->flaws->len; i++)
    seen[((const Flaw *) report->flaws->pdata[i])->kind] = TRUE;
  for (guint kind = 0; kind < N_FLAWS; kind++)
    if (seen[kind])
      g_printerr ("%s\n", _ (remedies[kind]));
}

static void
print_report_json (const VerifyReport *report, gboolean quick)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *line = NULL;

  json_object_set_int_member (object, "rows", report->n_rows);
  json_object_set_int_member (object, "archives", report->n_archives);
  json_object_set_int_member (object, "in_flight", report->n_in_flight);
  json_object_set_int_member (object, "hashed", report->n_hashed);
  json_object_set_boolean_member (object, "quick", quick);
  for (guint kind = 0; kind < N_FLAWS; kind++)
    json_object_set_array_member (object, kinds[kind], json_array_new ());
  for (guint i = 0; i < report->flaws->len; i++)
    {
      const Flaw *flaw = report->flaws->pdata[i];
      JsonObject *told = json_object_new ();

      json_object_set_string_member (told, "id", flaw->id);
      json_object_set_string_member (told, "detail", flaw->detail);
      json_array_add_object_element (json_object_get_array_member (object, kinds[flaw->kind]), told);
    }
  line = cis_json_to_line (object);
  g_print ("%s\n", line);
}

static int
run_verify (CisPipeline *pipeline, const Options *options)
{
  CisSource *source = cis_pipeline_get_source (pipeline);
  guint jobs = options->jobs < G_MAXINT ? (guint) options->jobs : g_get_num_processors ();
  g_autofree char *directory = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (VerifyReport) report = { NULL };

  if (g_object_class_find_property (G_OBJECT_GET_CLASS (source), "directory") != NULL)
    g_object_get (source, "directory", &directory, NULL);
  if (directory == NULL)
    {
      g_printerr (
          _ ("cis490 index: the source of %s.ini has no directory=, so it is not told where the store is\n"),
          PIPELINE);
      return EX_CONFIG;
    }
  if (!verify_index (directory, options->quick, MIN (jobs, JOBS_MAX), &report, &error))
    return report_error (error);
  if (options->json)
    print_report_json (&report, options->quick);
  else
    {
      print_report (&report);
      print_remedies (&report);
    }
  return report.flaws->len > 0;
}

static int
refuse (const char *message)
{
  g_printerr ("cis490 index: %s\n", message);
  return EX_USAGE;
}

int
cis_verb_index (int argc, char **argv)
{
  Options options = { .jobs = G_MAXINT };
  const GOptionEntry entries[] = {
    OPTIONS_CONFIG_ENTRY (&options.site_file),
    { "quick", 'q', 0, G_OPTION_ARG_NONE, &options.quick, N_ ("verify: compare names and sizes only"), NULL },
    { "jobs", 'j', 0, G_OPTION_ARG_INT, &options.jobs, N_ ("verify: hash with N threads (one per processor)"),
      N_ ("N") },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, N_ ("Print a JSON object"), NULL },
    { NULL },
  };
  const char *names[] = { PIPELINE, NULL };
  g_autofree char *site_file = NULL;
  g_autoptr (GPtrArray) pipelines = NULL;
  g_autoptr (GError) error = NULL;
  gboolean backfill, parsed;
  int status;

  parsed = options_parse (&argc, &argv, _ ("backfill|verify"),
                          _ ("backfill adds rows to index.jsonl for the archives in the store that have "
                             "none; verify compares the two.\n"
                             "Both may run beside a receiver."),
                          entries);
  site_file = options.site_file;
  if (!parsed)
    return EX_USAGE;
  backfill = argc == 2 && g_str_equal (argv[1], "backfill");
  if (!backfill && (argc != 2 || !g_str_equal (argv[1], "verify")))
    return refuse (_ ("write: cis490 index backfill, or cis490 index verify"));
  if (backfill && (options.quick || options.jobs != G_MAXINT))
    return refuse (_ ("--quick and --jobs are for verify"));
  if (options.jobs < 1)
    return refuse (_ ("--jobs wants a number of threads, 1 or more"));
  pipelines = options_load_pipelines (names, site_file);
  if (pipelines == NULL)
    return EX_CONFIG;
  status = options_become_owner (pipelines);
  if (status != 0)
    return status;
  if (!find_store (pipelines->pdata[0], &error))
    return report_error (error);
  return backfill ? run_backfill (pipelines->pdata[0], &options) : run_verify (pipelines->pdata[0], &options);
}
