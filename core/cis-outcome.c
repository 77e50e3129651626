/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

struct _CisOutcome
{
  CisVerdict verdict;
  CisScope scope;
  gint64 retry_after;  /* µs */
  CisFinding *finding; /* owned, nullable */
  GError *error;       /* owned, nullable */
};

G_DEFINE_BOXED_TYPE (CisOutcome, cis_outcome, cis_outcome_ref, cis_outcome_unref)

static CisOutcome *
cis_outcome_new (CisVerdict verdict)
{
  CisOutcome *self = g_atomic_rc_box_new0 (CisOutcome);

  self->verdict = verdict;
  return self;
}

CisOutcome *
cis_outcome_passed (void)
{
  return cis_outcome_new (CIS_VERDICT_PASSED);
}

CisOutcome *
cis_outcome_done (void)
{
  return cis_outcome_new (CIS_VERDICT_DONE);
}

CisOutcome *
cis_outcome_none (void)
{
  return cis_outcome_new (CIS_VERDICT_NONE);
}

CisOutcome *
cis_outcome_rejected (CisFinding *finding)
{
  CisOutcome *self = cis_outcome_new (CIS_VERDICT_REJECTED);

  g_return_val_if_fail (CIS_IS_FINDING (finding), self);
  self->finding = finding;
  return self;
}

CisOutcome *
cis_outcome_deferred (CisScope scope, gint64 retry_after, CisFinding *finding)
{
  CisOutcome *self = cis_outcome_new (CIS_VERDICT_DEFERRED);

  self->scope = scope;
  self->retry_after = MAX (retry_after, 0);
  self->finding = finding;
  return self;
}

CisOutcome *
cis_outcome_failed (GError *error)
{
  CisOutcome *self = cis_outcome_new (CIS_VERDICT_FAILED);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
      g_error_matches (error, CIS_ERROR, CIS_ERROR_GONE))
    self->verdict = CIS_VERDICT_NONE;
  self->error = error;
  return self;
}

CisOutcome *
cis_outcome_ref (CisOutcome *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
cis_outcome_clear (gpointer data)
{
  CisOutcome *self = data;

  g_clear_object (&self->finding);
  g_clear_error (&self->error);
}

void
cis_outcome_unref (CisOutcome *self)
{
  g_atomic_rc_box_release_full (self, cis_outcome_clear);
}

CisVerdict
cis_outcome_get_verdict (const CisOutcome *self)
{
  return self->verdict;
}

CisScope
cis_outcome_get_scope (const CisOutcome *self)
{
  return self->scope;
}

gint64
cis_outcome_get_retry_after (const CisOutcome *self)
{
  return self->retry_after;
}

CisFinding *
cis_outcome_get_finding (const CisOutcome *self)
{
  return self->finding;
}

const GError *
cis_outcome_get_error (const CisOutcome *self)
{
  return self->error;
}

const char *
cis_verdict_to_string (CisVerdict verdict)
{
  static const char *const names[] = { "passed", "done", "rejected", "deferred", "failed", "none" };

  return verdict < G_N_ELEMENTS (names) ? names[verdict] : "unknown";
}
