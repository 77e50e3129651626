/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* alert/say: tells each finding by a command, such as wall, which gets one sentence as its last argument. */
#include <cis490.h>

typedef struct
{
  CisAlert parent;
  GStrv command;
} AlertSay;

typedef CisAlertClass AlertSayClass;
GType alert_say_get_type (void);
G_DEFINE_TYPE (AlertSay, alert_say, CIS_TYPE_ALERT)

static gboolean
alert_say_validate (CisPart *part, GError **error)
{
  AlertSay *self = (AlertSay *) part;

  if (self->command != NULL && self->command[0] != NULL)
    return TRUE;
  g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG,
                       "command: must not be empty; write for example: command=wall");
  return FALSE;
}

static gboolean
alert_say_tell_finding (CisAlert *alert, CisFinding *finding, CisFindingChange change, CisItem *item,
                        GCancellable *cancellable, GError **error)
{
  AlertSay *self = (AlertSay *) alert;
  g_autoptr (GStrvBuilder) words = g_strv_builder_new ();
  g_autofree char *sentence =
      g_strdup_printf ("%s %s: %s", change == CIS_FINDING_CLEARED ? "No longer:" : "cis490:",
                       cis_finding_get_subject (finding), cis_finding_get_summary (finding));
  g_auto (GStrv) argv = NULL;
  g_autoptr (GSubprocess) process = NULL;

  g_strv_builder_addv (words, (const char **) self->command);
  g_strv_builder_add (words, sentence);
  argv = g_strv_builder_end (words);
  process = g_subprocess_newv ((const char *const *) argv, G_SUBPROCESS_FLAGS_NONE, error);
  return process != NULL && g_subprocess_wait_check (process, cancellable, error);
}

static void
alert_say_class_init (AlertSayClass *klass)
{
  CIS_PART_CLASS (klass)->validate = alert_say_validate;
  klass->tell_finding = alert_say_tell_finding;
  cis_part_class_add_option (CIS_PART_CLASS (klass), G_STRUCT_OFFSET (AlertSay, command),
                             g_param_spec_boxed ("command", NULL,
                                                 "The program and its arguments, with ; between them.",
                                                 G_TYPE_STRV, CIS_PARAM_OPTION | CIS_PARAM_REQUIRED));
}

static void
alert_say_init (AlertSay *self)
{
}

CIS_PLUGIN ("alert/say", "Tells each finding by a command.", AlertSay, alert_say, CisAlert)
