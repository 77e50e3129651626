/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* Whether @receipt is for just this archive, and says all that a receiver says; CIS_ERROR_INVALID. */
gboolean cis_http_receipt_is_whole (JsonObject *receipt, CisEpisode *episode, const char *host,
                                    GError **error);
