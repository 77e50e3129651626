/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* Whether @data is one JSON object by RFC 8259, to the letter. CIS_ERROR_INVALID says where it is not. */
gboolean cis_json_check (const char *data, gsize length, GError **error);
