/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

typedef struct
{
  int severity; /* CisSeverity, the lowest that is told */
} CisAlertPrivate;

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (CisAlert, cis_alert, CIS_TYPE_STAGE)

static GType
cis_severity_get_type (void)
{
  static GType type = 0;
  static const GEnumValue values[] = {
    { CIS_SEVERITY_INFO, "CIS_SEVERITY_INFO", "info" },
    { CIS_SEVERITY_WARNING, "CIS_SEVERITY_WARNING", "warning" },
    { CIS_SEVERITY_ERROR, "CIS_SEVERITY_ERROR", "error" },
    { 0, NULL, NULL },
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("CisSeverity", values));
  return type;
}

static gboolean
tell_finding (CisAlert *self, CisFinding *finding, CisFindingChange change, CisItem *item,
              GCancellable *cancellable, GError **error)
{
  CisAlertPrivate *priv = cis_alert_get_instance_private (self);

  if ((int) cis_finding_get_severity (finding) < priv->severity)
    return TRUE;
  return CIS_ALERT_GET_CLASS (self)->tell_finding (self, finding, change, item, cancellable, error);
}

static CisOutcome *
cis_alert_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisOutcome *outcome = cis_item_get_outcome (item);
  CisFinding *finding = outcome != NULL ? cis_outcome_get_finding (outcome) : NULL;
  GError *error = NULL;

  if (finding != NULL &&
      !tell_finding (CIS_ALERT (stage), finding, CIS_FINDING_EVENT, item, cancellable, &error))
    return cis_outcome_failed (error);
  return cis_outcome_passed ();
}

static gboolean
cis_alert_tell (CisStage *stage, CisFinding *finding, CisFindingChange change, GCancellable *cancellable,
                GError **error)
{
  return tell_finding (CIS_ALERT (stage), finding, change, NULL, cancellable, error);
}

static void
cis_alert_class_init (CisAlertClass *klass)
{
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  stage_class->when = CIS_WHEN_AFTERWARDS;
  stage_class->process = cis_alert_process;
  stage_class->tell = cis_alert_tell;
  /* The private data's offset is negative: it lies before the instance. */
  cis_part_class_add_option (CIS_PART_CLASS (klass),
                             (gsize) (g_type_class_get_instance_private_offset (klass) +
                                      (gssize) G_STRUCT_OFFSET (CisAlertPrivate, severity)),
                             g_param_spec_enum ("severity", NULL, "The lowest severity that is told.",
                                                cis_severity_get_type (), CIS_SEVERITY_WARNING,
                                                CIS_PARAM_OPTION));
}

static void
cis_alert_init (CisAlert *self)
{
}
