/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "commits.h"

G_BEGIN_DECLS

/* After how many seconds the commit at @position leaves a window of @n, as the branch goes at present; -1
 * where the times of its commits are not known. @now: seconds since 1970. */
gint64 cis_forecast_leaves_in (CisWindow *window, gint64 position, guint n, gint64 now);

G_END_DECLS
