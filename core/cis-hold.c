/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-hold.h"

gint64
cis_backoff_get (const CisBackoff *self, guint n_tries)
{
  gint64 delay = MIN (self->first, self->last);

  while (n_tries-- > 0 && delay < self->last)
    delay = MIN (delay * 2, self->last);
  return delay;
}

/* One that takes the other's place among those that stand. */
static gboolean
is_same (CisFinding *a, CisFinding *b)
{
  return g_str_equal (cis_finding_get_id (a), cis_finding_get_id (b)) &&
         g_str_equal (cis_finding_get_subject (a), cis_finding_get_subject (b));
}

gboolean
cis_hold_begin (CisHold *self, const CisBackoff *backoff, guint step, gint64 now, gint64 retry_after,
                CisFinding *finding)
{
  gboolean news = !self->held || self->step != step || (self->finding == NULL) != (finding == NULL) ||
                  (finding != NULL && !is_same (finding, self->finding));
  gint64 delay;

  if (!self->held || self->step != step)
    self->n_probes = 0;
  /* Before the hold is over, it is one of those that were on their way when it began, and says nothing new:
   * many workers must not make a long pause of one short outage. */
  else if (now >= self->until)
    self->n_probes++;
  delay = cis_backoff_get (backoff, self->n_probes);
  /* Up to a quarter of jitter, so that a hundred hosts do not come back in the same second. */
  self->until = now + MAX (delay, retry_after) + (gint64) (g_random_double () * (double) delay / 4);
  self->held = TRUE;
  self->step = step;
  if (news)
    g_set_object (&self->finding, finding);
  return news;
}

CisFinding *
cis_hold_end (CisHold *self)
{
  self->held = FALSE;
  return g_steal_pointer (&self->finding);
}
