/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An alert that writes down what it is told, or hangs over it. */

#include "record.h"

typedef struct
{
  CisAlert parent;
  char *record;
  gboolean hang;
} CisTestNotice;

typedef CisAlertClass CisTestNoticeClass;

GType cis_test_notice_get_type (void);
G_DEFINE_TYPE (CisTestNotice, cis_test_notice, CIS_TYPE_ALERT)

static gboolean
cis_test_notice_tell_finding (CisAlert *alert, CisFinding *finding, CisFindingChange change, CisItem *item,
                              GCancellable *cancellable, GError **error)
{
  static const char *const changes[] = { "raised", "replaced", "cleared", "event" };
  CisTestNotice *self = (CisTestNotice *) alert;

  record (self->record, "tell %s %s %s", cis_finding_get_id (finding), cis_finding_get_subject (finding),
          changes[change]);
  /* Deaf to its cancellable, as a library in a system call is. */
  while (self->hang)
    g_usleep (G_USEC_PER_SEC);
  return TRUE;
}

static void
cis_test_notice_class_init (CisAlertClass *klass)
{
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  klass->tell_finding = cis_test_notice_tell_finding;
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestNotice, record),
                             g_param_spec_string ("record", NULL, "Where it writes what it is told.", NULL,
                                                  CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestNotice, hang),
                             g_param_spec_boolean ("hang", NULL, "Never comes back.", FALSE,
                                                   CIS_PARAM_OPTION));
}

static void
cis_test_notice_init (CisTestNotice *self)
{
}

CIS_PLUGIN ("test/notice", "Writes down what it is told.", CisTestNotice, cis_test_notice, CisAlert)
