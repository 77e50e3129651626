/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* The keys of [site] that the program knows; %NULL-terminated. */
extern const char *const cis_site_keys[];

/* All that GKeyFile can have against a value that is UTF-8. */
#define CIS_BAD_ESCAPE "has a “\\” before what needs none; a backslash itself is written “\\\\”"

/* ${name} and ${name:-value} in @text: a systemd directory variable or a key of [site] in @site, which came
 * from @path; both nullable. CIS_ERROR_CONFIG. full. */
char *cis_variables_expand (GKeyFile *site, const char *path, const char *text, GError **error);
/* The first ${name} in @text that takes its value from [site], or (not @is_set) that has no value; %NULL:
 * none. full. */
char *cis_variables_find (GKeyFile *site, const char *text, gboolean is_set);

G_END_DECLS
