/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* The text of a meta.json with code_version=@value (a JSON value), and every other byte as it was: read and
 * written anew, the experiment's numbers would come out rounded. CIS_ERROR_INVALID where it is none. full */
char *stamp_text_set (const char *text, gsize length, const char *value, GError **error);
