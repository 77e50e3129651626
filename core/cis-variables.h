/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* The keys of [site] that the program knows; %NULL-terminated. */
extern const char *const cis_site_keys[];

/* ${name} and ${name:-value} in @text: a systemd directory variable or a key of [site] in @site, which came from @path; both
 * nullable. CIS_ERROR_CONFIG. full. */
char *cis_variables_expand (GKeyFile *site, const char *path, const char *text, GError **error);

G_END_DECLS
