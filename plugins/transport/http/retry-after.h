/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The longest that a receiver can make us wait. */
#define CIS_RETRY_AFTER_MAX (G_TIME_SPAN_HOUR)

/* The header's @value (RFC 9110, 10.2.3: seconds, or a date) in µs from now;
 * 0 where it is neither, or over. */
gint64 cis_retry_after_parse (const char *value);
