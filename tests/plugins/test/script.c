/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A stage that plays its outcomes: script=item-0=failed,passed;item-1=rejected means that item-0 fails when
 * it comes for the first time and passes from then on. What no line names passes. */

#include "record.h"

#include <string.h>

typedef struct
{
  CisStage parent;
  GStrv script;
  char *record;
  char *open_error;
  char *recover;
  gint64 maintain;

  GMutex lock;
  GHashTable *tries; /* id to how often it came; under the lock */
} CisTestScript;

typedef CisStageClass CisTestScriptClass;

GType cis_test_script_get_type (void);
G_DEFINE_TYPE (CisTestScript, cis_test_script, CIS_TYPE_STAGE)

static gboolean
cis_test_script_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisTestScript *self = (CisTestScript *) part;

  record (self->record, "%s open", cis_part_get_name (part));
  if (self->open_error != NULL)
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG, self->open_error);
      return FALSE;
    }
  if (self->recover != NULL)
    cis_stage_recover (CIS_STAGE (part), CIS_ITEM (cis_episode_new (NULL, self->recover, NULL)));
  return TRUE;
}

static void
cis_test_script_close (CisPart *part)
{
  record (((CisTestScript *) part)->record, "%s close", cis_part_get_name (part));
}

/* The word for the item's present try; full. */
static char *
next_word (CisTestScript *self, const char *id)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = GPOINTER_TO_UINT (g_hash_table_lookup (self->tries, id));
  g_hash_table_replace (self->tries, g_strdup (id), GUINT_TO_POINTER (n + 1));
  g_mutex_unlock (&self->lock);

  for (char **line = self->script; line != NULL && *line != NULL; line++)
    if (g_str_has_prefix (*line, id) && (*line)[strlen (id)] == '=')
      {
        g_auto (GStrv) words = g_strsplit (*line + strlen (id) + 1, ",", -1);

        return g_strdup (words[MIN (n, g_strv_length (words) - 1)]);
      }
  return g_strdup ("passed");
}

static CisFinding *
finding (const char *id)
{
  return cis_finding_new ("played", CIS_SEVERITY_ERROR, id, "The script says so");
}

static CisOutcome *
play (const char *word, const char *id, GCancellable *cancellable)
{
  if (g_str_equal (word, "passed"))
    return cis_outcome_passed ();
  if (g_str_equal (word, "done"))
    return cis_outcome_done ();
  if (g_str_equal (word, "rejected"))
    return cis_outcome_rejected (finding (id));
  if (g_str_equal (word, "deferred"))
    return cis_outcome_deferred (CIS_SCOPE_ITEM, 0, finding (id));
  if (g_str_equal (word, "stage"))
    return cis_outcome_deferred (CIS_SCOPE_STAGE, 0, finding ("the stage"));
  if (g_str_equal (word, "failed"))
    return cis_outcome_failed (g_error_new_literal (G_IO_ERROR, G_IO_ERROR_FAILED, "The script says so"));
  if (g_str_equal (word, "fatal"))
    return cis_outcome_failed (g_error_new_literal (CIS_ERROR, CIS_ERROR_FATAL, "The script says so"));
  if (g_str_equal (word, "gone"))
    return cis_outcome_failed (g_error_new_literal (CIS_ERROR, CIS_ERROR_GONE, "The script says so"));
  g_assert_cmpstr (word, ==, "hang");
  while (!g_cancellable_is_cancelled (cancellable))
    g_usleep (1000);
  return cis_outcome_none ();
}

static CisOutcome *
cis_test_script_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisTestScript *self = (CisTestScript *) stage;
  g_autofree char *word = next_word (self, cis_item_get_id (item));

  record (self->record, "%s process %s", cis_part_get_name (CIS_PART (stage)), cis_item_get_id (item));
  cis_stage_progress (stage, item, 1, 2);
  return play (word, cis_item_get_id (item), cancellable);
}

static void
cis_test_script_settled (CisStage *stage, CisItem *item, CisOutcome *outcome)
{
  record (((CisTestScript *) stage)->record, "%s settled %s %s", cis_part_get_name (CIS_PART (stage)),
          cis_item_get_id (item), cis_verdict_to_string (cis_outcome_get_verdict (outcome)));
}

/* Takes as long as it is told, as a clean-up of many does. */
static gint64
cis_test_script_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisTestScript *self = (CisTestScript *) part;
  gint64 end = g_get_monotonic_time () + self->maintain;

  if (self->maintain == 0)
    return 0;
  while (g_get_monotonic_time () < end && !g_cancellable_is_cancelled (cancellable))
    g_usleep (1000);
  record (self->record, "%s maintain %s", cis_part_get_name (part),
          g_cancellable_is_cancelled (cancellable) ? "cancelled" : "done");
  return G_TIME_SPAN_HOUR;
}

static void
cis_test_script_finalize (GObject *object)
{
  CisTestScript *self = (CisTestScript *) object;

  g_hash_table_unref (self->tries);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (cis_test_script_parent_class)->finalize (object);
}

static void
cis_test_script_class_init (CisStageClass *klass)
{
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cis_test_script_finalize;
  part_class->open = cis_test_script_open;
  part_class->close = cis_test_script_close;
  part_class->maintain = cis_test_script_maintain;
  klass->process = cis_test_script_process;
  klass->settled = cis_test_script_settled;
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestScript, script),
                             g_param_spec_boxed ("script", NULL, "What it plays.", G_TYPE_STRV,
                                                 CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestScript, maintain),
                             g_param_spec_int64 ("maintain", NULL, "How long its clean-up takes.", 0,
                                                 G_TIME_SPAN_DAY, 0, CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestScript, record),
                             g_param_spec_string ("record", NULL, "Where it says what was asked of it.", NULL,
                                                  CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestScript, open_error),
                             g_param_spec_string ("open-error", NULL, "Why it does not open.", NULL,
                                                  CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestScript, recover),
                             g_param_spec_string ("recover", NULL, "An item that the last run left.", NULL,
                                                  CIS_PARAM_OPTION));
}

static void
cis_test_script_init (CisTestScript *self)
{
  g_mutex_init (&self->lock);
  self->tries = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

CIS_PLUGIN ("test/script", "Plays the outcomes that it is told.", CisTestScript, cis_test_script, CisStage)
