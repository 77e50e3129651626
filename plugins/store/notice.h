/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* keep-days counts by the wall clock, and a wall clock may be wrong: one that jumps ten years ahead makes all
 * that is kept due. So nothing is removed by the pass that finds it due. That pass gives notice: a file that
 * says what time it was. What was due by then is removed by a later pass, after the machine has run for the
 * period of notice (CLOCK_BOOTTIME, added up over boots, so that a host which is off every night cleans up
 * too), where no pass between found the wall clock behind that time.
 *
 * What comes later and would be due by then all the same was given no notice, so whoever brings it withdraws
 * the notice first: stage and drain do so, each for itself. A notice that is damaged, or lost, is given anew.
 */

#define NOTICE_FILE ".notice"
#define NOTICE_NONE G_MININT64

/* A pass over what the folder @dirfd keeps, of which the oldest becomes due at @oldest (µs since 1970, as
 * @now). Returns in @by when what may be removed was due at the latest, or NOTICE_NONE. @period: of notice,
 * µs. */
gboolean notice_pass (int dirfd, gint64 oldest, gint64 now, gint64 period, gint64 *by, GError **error);
/* Whether nobody has withdrawn it since notice_pass(). */
gboolean notice_stands (int dirfd);
/* Before something is brought that becomes due at @due. */
gboolean notice_withdraw (int dirfd, gint64 due, GError **error);
/* Once all that it was given to is removed: what else is due is given a notice of its own. */
gboolean notice_end (int dirfd, GError **error);
