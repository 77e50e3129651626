/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* Whether @bytes are one JSON object by RFC 8259, to the letter. CIS_ERROR_INVALID says where it is not.
 * @large (of gsize) gets the offset behind each integer that is none of 64 bits. */
gboolean cis_json_check (const char *bytes, gsize length, GArray *large, GError **error);
