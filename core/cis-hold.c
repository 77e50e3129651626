/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-hold.h"

#define FIRST_DELAY (2 * G_TIME_SPAN_SECOND)
#define LAST_DELAY  (5 * G_TIME_SPAN_MINUTE)

/* One that takes the other's place among those that stand. */
static gboolean
is_same (CisFinding *a, CisFinding *b)
{
  return g_str_equal (cis_finding_get_id (a), cis_finding_get_id (b)) &&
         g_str_equal (cis_finding_get_subject (a), cis_finding_get_subject (b));
}

gboolean
cis_hold_begin (CisHold *self, guint step, gint64 now, gint64 retry_after, CisFinding *finding)
{
  gboolean news = !self->held || self->step != step || (self->finding == NULL) != (finding == NULL) ||
                  (finding != NULL && !is_same (finding, self->finding));

  if (!self->held || self->step != step)
    self->delay = FIRST_DELAY;
  /* Before the hold is over, it is one of those that were on their way when it began, and says nothing new:
   * many workers must not make a long pause of one short outage. */
  else if (now >= self->until)
    self->delay = MIN (self->delay * 2, LAST_DELAY);
  /* Up to a quarter of jitter, so that a hundred hosts do not come back in the same second. */
  self->until =
      now + MAX (self->delay, retry_after) + (gint64) (g_random_double () * (double) self->delay / 4);
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
