/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis-ini.h"

G_BEGIN_DECLS

/* The keys of [site] that the program knows; %NULL-terminated. */
extern const char *const cis_site_keys[];

/* ${name} and ${name:-value} in @text: a systemd directory variable or a key of [site] in @site, which is
 * nullable. CIS_ERROR_CONFIG. full. */
char *cis_variables_expand (CisIni *site, const char *text, GError **error);
/* The first ${name} in @text that takes its value from [site], or (not @is_set) that has no value; %NULL:
 * none. full. */
char *cis_variables_find (CisIni *site, const char *text, gboolean is_set);

G_END_DECLS
