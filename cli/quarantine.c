/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 quarantine list|show|release|purge: what was rejected, and how it comes back. */
#include "quarantine.h"

#include "options.h"
#include "verbs.h"

#include <glib/gi18n.h>
#include <sysexits.h>

typedef struct
{
  char *state;
  char *reason;
  char *older_than;
  char *as;
  gboolean all, each, json, yes, force;
  gint64 age; /* of older_than */
} Options;

static void
options_clear (Options *options)
{
  g_free (options->state);
  g_free (options->reason);
  g_free (options->older_than);
  g_free (options->as);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

#define STATE_ENTRY                                                                                          \
  {                                                                                                          \
    "state", 0, 0, G_OPTION_ARG_FILENAME, &options.state,                                                    \
        N_ ("The host's state folder (default: $STATE_DIRECTORY, else /var/lib/cis490)"), N_ ("DIR")         \
  }
#define REASON_ENTRY                                                                                         \
  {                                                                                                          \
    "reason", 0, 0, G_OPTION_ARG_STRING, &options.reason,                                                    \
        N_ ("Only those with this finding as their reason"), N_ ("FINDING")                                  \
  }

/* Where the pipelines' ${STATE_DIRECTORY} would be. */
static Quarantine *
open_quarantine (const char *state, int *status)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *usual = state == NULL ? cis_config_expand (NULL, "${STATE_DIRECTORY}", &error) : NULL;
  const char *path = state != NULL ? state : usual;
  Quarantine *quarantine =
      error == NULL && cis_become_owner (path, &error) ? quarantine_open (path, NULL, &error) : NULL;

  if (quarantine == NULL)
    {
      if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        g_printerr (_ ("cis490 quarantine: %s is no host's state folder; name it with --state\n"), path);
      else
        quarantine_complain (error);
      *status = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ? EX_UNAVAILABLE
                                                                          : cis_error_exit_status (error);
    }
  return quarantine;
}

static int
refuse (const char *message)
{
  g_printerr ("cis490 quarantine: %s\n", message);
  return EX_USAGE;
}

static int
run_list (int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  const GOptionEntry entries[] = {
    STATE_ENTRY,
    REASON_ENTRY,
    { "long", 'l', 0, G_OPTION_ARG_NONE, &options.each, N_ ("Name each episode, however many there are"),
      NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, N_ ("Print a JSON object"), NULL },
    { NULL },
  };
  g_autoptr (Quarantine) quarantine = NULL;
  int status = 0;

  if (!options_parse (&argc, &argv, "", _ ("Says what is in quarantine, by reason."), entries))
    return EX_USAGE;
  if (argc > 1)
    return refuse (_ ("list takes no name; write: cis490 quarantine show ID"));
  quarantine = open_quarantine (options.state, &status);
  return quarantine != NULL ? quarantine_verb_list (quarantine, options.reason, options.each, options.json)
                            : status;
}

static int
run_show (int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  const GOptionEntry entries[] = {
    STATE_ENTRY,
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, N_ ("Print a JSON object"), NULL },
    { NULL },
  };
  g_autoptr (Quarantine) quarantine = NULL;
  int status = 0;

  if (!options_parse (&argc, &argv, _ ("ID"), _ ("Says why an episode is in quarantine, and what to do."),
                      entries))
    return EX_USAGE;
  if (argc != 2)
    return refuse (_ ("write: cis490 quarantine show ID"));
  quarantine = open_quarantine (options.state, &status);
  return quarantine != NULL ? quarantine_verb_show (quarantine, argv[1], options.json) : status;
}

static int
run_release (int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  const GOptionEntry entries[] = {
    STATE_ENTRY,
    REASON_ENTRY,
    { "all", 0, 0, G_OPTION_ARG_NONE, &options.all, N_ ("All that are there"), NULL },
    { "force", 0, 0, G_OPTION_ARG_NONE, &options.force, N_ ("Also those that came back three times"), NULL },
    { "as", 0, 0, G_OPTION_ARG_STRING, &options.as, N_ ("Under another name"), N_ ("NAME") },
    { NULL },
  };
  g_autoptr (Quarantine) quarantine = NULL;
  QuarantineRequest request = { 0 };
  int status = 0;

  if (!options_parse (
          &argc, &argv, _ ("ID… | --reason FINDING | --all"),
          _ ("Moves episodes back to episodes/, where they are judged anew. A shipper may run meanwhile."),
          entries))
    return EX_USAGE;
  if ((argc > 1) + (options.reason != NULL) + options.all != 1)
    return refuse (_ ("say which: release ID…, or --reason FINDING, or --all"));
  if (options.as != NULL && argc != 2)
    return refuse (_ ("--as is a name for one episode"));
  if (options.as != NULL && !cis_name_is_valid (options.as, CIS_EPISODE_NAME_MAX))
    return refuse (
        _ ("--as: a name is a letter or digit, then letters, digits, “.”, “_” and “-”, at most 128 bytes, "
           "without “..”"));
  request = (QuarantineRequest){
    .ids = argv + 1, .reason = options.reason, .as = options.as, .force = options.force
  };
  quarantine = open_quarantine (options.state, &status);
  return quarantine != NULL ? quarantine_verb_release (quarantine, &request) : status;
}

/* As durations are written in an ini. */
static gboolean
parse_age (Options *options)
{
  g_autoptr (GParamSpec) pspec =
      g_param_spec_ref_sink (g_param_spec_int64 ("older-than", NULL, NULL, 0, G_MAXINT64 / 8, 0,
                                                 CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  g_autoptr (GError) error = NULL;
  g_auto (GValue) value = G_VALUE_INIT;

  if (options->older_than == NULL)
    return TRUE;
  if (!cis_option_parse (pspec, options->older_than, &value, &error))
    {
      g_printerr ("cis490 quarantine: --older-than=%s %s\n", options->older_than, error->message);
      return FALSE;
    }
  options->age = g_value_get_int64 (&value);
  return TRUE;
}

static int
run_purge (int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  const GOptionEntry entries[] = {
    STATE_ENTRY,
    REASON_ENTRY,
    { "older-than", 0, 0, G_OPTION_ARG_STRING, &options.older_than,
      N_ ("Only those that are there for so long, such as 30d"), N_ ("DURATION") },
    { "all", 0, 0, G_OPTION_ARG_NONE, &options.all, N_ ("All that are there"), NULL },
    { "yes", 'y', 0, G_OPTION_ARG_NONE, &options.yes, N_ ("Do not ask"), NULL },
    { NULL },
  };
  g_autoptr (Quarantine) quarantine = NULL;
  QuarantineRequest request = { 0 };
  int status = 0;

  if (!options_parse (&argc, &argv, _ ("ID… | --older-than DURATION | --reason FINDING | --all"),
                      _ ("Removes episodes for good."), entries) ||
      !parse_age (&options))
    return EX_USAGE;
  if ((argc > 1) + (options.reason != NULL || options.older_than != NULL) + options.all != 1)
    return refuse (_ ("say which: purge ID…, or --older-than DURATION and --reason FINDING, or --all"));
  request = (QuarantineRequest){
    .ids = argv + 1, .reason = options.reason, .age = options.age, .yes = options.yes
  };
  quarantine = open_quarantine (options.state, &status);
  return quarantine != NULL ? quarantine_verb_purge (quarantine, &request) : status;
}

static const struct
{
  const char *name, *title, *summary;
  int (*run) (int argc, char **argv);
} verbs[] = {
  { "list", "quarantine list", N_ ("What is there, by reason"), run_list },
  { "show", "quarantine show", N_ ("Why an episode is there, and what to do"), run_show },
  { "release", "quarantine release", N_ ("Back to episodes/"), run_release },
  { "purge", "quarantine purge", N_ ("Remove for good"), run_purge },
};

int
cis_verb_quarantine (int argc, char **argv)
{
  gboolean help = argc > 1 && (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h"));

  for (guint i = 0; argc > 1 && i < G_N_ELEMENTS (verbs); i++)
    if (g_str_equal (argv[1], verbs[i].name))
      {
        argv[1] = (char *) verbs[i].title; /* for the usage line */
        return verbs[i].run (argc - 1, argv + 1);
      }
  if (!help)
    {
      g_printerr (_ ("cis490 quarantine: write list, show, release or purge behind it; `cis490 quarantine "
                     "--help` tells more\n"));
      return EX_USAGE;
    }
  g_print ("%s\n  cis490 quarantine %s\n\n", _ ("Usage:"), _ ("VERB [OPTION…]"));
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    g_print ("  %-9s %s\n", verbs[i].name, _ (verbs[i].summary));
  g_print ("\n%s\n  cis490 quarantine VERB --help\n  man cis490-quarantine\n", _ ("More:"));
  return 0;
}
