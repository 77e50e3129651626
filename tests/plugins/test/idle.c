/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A source that has nothing, and if it had, then no episodes. */

#include "cis490.h"

typedef CisSource CisTestIdle;
typedef CisSourceClass CisTestIdleClass;

GType cis_test_idle_get_type (void);
G_DEFINE_TYPE (CisTestIdle, cis_test_idle, CIS_TYPE_SOURCE)

static gboolean
cis_test_idle_run (CisSource *source, GCancellable *cancellable, GError **error)
{
  return TRUE;
}

static void
cis_test_idle_class_init (CisTestIdleClass *klass)
{
  klass->item_types[0] = CIS_TYPE_ITEM;
  klass->run = cis_test_idle_run;
}

static void
cis_test_idle_init (CisTestIdle *self)
{
}

CIS_PLUGIN ("test/idle", "Has nothing.", CisTestIdle, cis_test_idle, CisSource)
