/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* The text of a meta.json with code_version=@value (a JSON value), and every other byte as it was: read and
 * written anew, the experiment's numbers would come out rounded. @meta: what cis_json_parse() made of @text.
 * full */
char *stamp_text_set (const char *text, JsonObject *meta, const char *value);
