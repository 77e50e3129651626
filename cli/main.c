/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"
#include "terminal.h"
#include "verbs.h"

#include <glib/gi18n.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

typedef struct
{
  const char *name;
  const char *summary;
  int (*run) (int argc, char **argv);
} Verb;

static const Verb verbs[] = {
  { "run", N_ ("Run pipelines"), cis_verb_run },
  { "check", N_ ("Look for mistakes in pipelines, without running them"), cis_verb_check },
  { "inspect", N_ ("List the plugins, or tell about one"), cis_verb_inspect },
  { "graph", N_ ("Draw a pipeline"), cis_verb_graph },
  { "ping", N_ ("Ask the receiver whether it would take an episode"), cis_verb_ping },
  { "index", N_ ("Compare a receiver's index with its store, or add what it lacks"), cis_verb_index },
  { "quarantine", N_ ("See what was rejected, give it back or remove it"), cis_verb_quarantine },
  { "gate", N_ ("Explain whether the receiver takes a commit, or replay another window"), cis_verb_gate },
  { "stamp", N_ ("Write the code's commit into an episode's meta.json"), cis_verb_stamp },
  { "token", N_ ("Make a bearer token for a host"), cis_verb_token },
};

static void
print_help (void)
{
  g_print ("%s\n  cis490 %s\n\n%s\n", _ ("Usage:"), _ ("VERB [OPTION…]"), _ ("Verbs:"));
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    g_print ("  %-10s %s\n", verbs[i].name, _ (verbs[i].summary));
  g_print ("\n%s\n  cis490 VERB --help\n  man cis490\n", _ ("More:"));
}

static int
refuse (const char *name)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  const char *nearest;

  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    g_ptr_array_add (names, (gpointer) verbs[i].name);
  g_ptr_array_add (names, NULL);
  nearest = cis_nearest_name (name, (const char *const *) names->pdata);
  if (nearest != NULL)
    g_printerr (_ ("cis490: there is no verb “%s”; did you mean “%s”?\n"), name, nearest);
  else
    g_printerr (_ ("cis490: there is no verb “%s”; `cis490 --help` lists them\n"), name);
  return EX_USAGE;
}

/* How many words of @argv an option takes that stands before the verb: those that verbs share. 0: it is none.
 */
static int
count_words (int argc, char **argv)
{
  static const char *const names[] = { "--config", "-c", "--set" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (argv[0], names[i]))
      return argc > 1 ? 2 : 1;
    else if (g_str_has_prefix (argv[0], names[i]) && (argv[0][strlen (names[i])] == '=' || argv[0][1] != '-'))
      return 1;
  return 0;
}

/* `cis490 --config FILE run NAME` means what `cis490 run NAME --config FILE` does: puts the options that
 * stand before the verb behind all else, but for what "--" ends. */
static void
move_options (int argc, char **argv)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  int first = 1, n, end;

  while (first < argc && (n = count_words (argc - first, argv + first)) > 0)
    first += n;
  for (end = first; end < argc && !g_str_equal (argv[end], "--"); end++)
    g_ptr_array_add (words, argv[end]);
  for (int i = 1; i < first; i++)
    g_ptr_array_add (words, argv[i]);
  if (words->len > 0)
    memcpy (argv + 1, words->pdata, words->len * sizeof (char *));
}

static int
run_verb (int argc, char **argv)
{
  move_options (argc, argv);
  if (argc < 2)
    {
      print_help ();
      return EX_USAGE;
    }
  if (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h") || g_str_equal (argv[1], "help"))
    {
      print_help ();
      return 0;
    }
  if (g_str_equal (argv[1], "--version"))
    {
      g_print ("cis490 %s\n", CIS_VERSION);
      return 0;
    }
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (g_str_equal (argv[1], verbs[i].name))
      return verbs[i].run (argc - 1, argv + 1);
  return refuse (argv[1]);
}

/* What was printed into a full disk is gone: a token, for one, is shown once. Of a reader that has had
 * enough, as head(1), nothing is said. */
static gboolean
finish_output (void)
{
  struct stat st;

  if (fflush (stdout) == 0 && !ferror (stdout))
    return TRUE;
  if (fstat (STDOUT_FILENO, &st) != 0 || !S_ISFIFO (st.st_mode))
    g_printerr (_ ("cis490: the output could not be written whole\n"));
  return FALSE;
}

int
main (int argc, char **argv)
{
  int status;

  /* A core dump would hold the token; systemd-coredump heeds this limit, too (core(5)). */
  static const struct rlimit no_core = { 0, 0 };

  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, CIS_LOCALE_DIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  setrlimit (RLIMIT_CORE, &no_core);
  signal (SIGPIPE, SIG_IGN);
  g_set_prgname ("cis490");
  terminal_init ();
  status = run_verb (argc, argv);
  return finish_output () || status != 0 ? status : EXIT_FAILURE;
}
