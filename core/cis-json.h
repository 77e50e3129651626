/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* Whether @bytes are one JSON object by RFC 8259, to the letter, that json-glib is soon done with.
 * CIS_ERROR_INVALID says where it is not. @large (of gsize) gets the offset behind each integer that is none
 * of 64 bits. */
gboolean cis_json_check (const char *bytes, gsize length, GArray *large, GError **error);

/* Where a value is in a text; an empty one is nowhere. */
typedef struct
{
  gsize begin;
  gsize length;
} CisJsonSpan;

/* The same, with any number of members, and where the values of those of the object's own are that @members
 * (NULL-terminated) names. @spans: one for each, empty. */
CIS_API gboolean cis_json_find (const char *bytes, gsize length, const char *const *members,
                                CisJsonSpan *spans, GError **error);
