/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisIni: one ini file, with the line of each key. Its grammar is ours: "[group]", "key=value" and comments
 * on lines of their own; whatever else is in it is an error, so that nothing is passed over. In a value "\n",
 * "\t",
 * "\s" (a blank) and "\\" are escapes.
 */
typedef struct _CisIni CisIni;

/* CIS_ERROR_CONFIG, "path:line: what is wrong". full. */
CisIni *cis_ini_load (const char *path, GError **error);
/* One key that no file has; @what stands for its path. full. */
CisIni *cis_ini_new_single (const char *what, const char *group, const char *key, const char *value);
void cis_ini_free (CisIni *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisIni, cis_ini_free)

const char *cis_ini_get_path (CisIni *self);
GStrv cis_ini_get_groups (CisIni *self);                                 /* in their order; full */
GStrv cis_ini_get_keys (CisIni *self, const char *group);                /* the same; full, nullable */
gboolean cis_ini_has (CisIni *self, const char *group, const char *key); /* @key: nullable */
/* %NULL without error where it is not there. full. */
char *cis_ini_get (CisIni *self, const char *group, const char *key, GError **error);
/* The same as it is written. full. */
char *cis_ini_get_raw (CisIni *self, const char *group, const char *key);
/* "path:line" of the key, else of the group, else the path; full. */
char *cis_ini_where (CisIni *self, const char *group, const char *key);

/* Where a comment seems to begin in a value as it is written: at a "#" or one of @more behind a blank; %NULL:
 * nowhere. */
const char *cis_ini_find_comment (const char *raw, const char *more);

G_END_DECLS
