/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An alert that never comes back and does not listen to its cancellable, as one does that talks to a dead
 * mail server through a library without timeouts. */

#include "cis490.h"

#include <unistd.h>

typedef CisAlert CisTestHang;
typedef CisAlertClass CisTestHangClass;

GType cis_test_hang_get_type (void);
G_DEFINE_TYPE (CisTestHang, cis_test_hang, CIS_TYPE_ALERT)

static gboolean
cis_test_hang_tell_finding (CisAlert *alert, CisFinding *finding, CisFindingChange change, CisItem *item,
                            GCancellable *cancellable, GError **error)
{
  cis_part_log (CIS_PART (alert), item, G_LOG_LEVEL_MESSAGE, NULL, "hanging over %s",
                cis_finding_get_id (finding));
  for (;;)
    pause ();
  return TRUE;
}

static void
cis_test_hang_class_init (CisTestHangClass *klass)
{
  klass->tell_finding = cis_test_hang_tell_finding;
}

static void
cis_test_hang_init (CisTestHang *self)
{
}

CIS_PLUGIN ("alert/hang", "Never comes back.", CisTestHang, cis_test_hang, CisAlert)
