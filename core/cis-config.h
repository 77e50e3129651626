/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisConfig: the ini of one pipeline as the operator sees it: the first <name>.ini on the search path, its drop-ins
 * <name>.ini.d/\*.ini over it, and the [site] of cis490.ini for the ${variables}. It knows file and line of each key, for messages.
 */
typedef struct _CisConfig CisConfig;

/* @name: a pipeline, or the path of an ini. @site_file: nullable: <sysconfdir>/cis490/cis490.ini where that is there. full. */
CIS_API CisConfig *cis_config_load (const char *name, const char *site_file, GError **error);
/* Lets "STAGE.KEY=VALUE" win over all files. CIS_ERROR_CONFIG where it is none; whether there are such a stage and such a key
 * turns out when the pipeline is made. */
CIS_API gboolean cis_config_override (CisConfig *self, const char *assignment, GError **error);
CIS_API void cis_config_free (CisConfig *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisConfig, cis_config_free)

CIS_API const char *cis_config_get_name (CisConfig *self);
CIS_API GStrv cis_config_get_groups (CisConfig *self);                   /* full */
CIS_API GStrv cis_config_get_keys (CisConfig *self, const char *group);  /* full; empty where there is no such group */
/* The value as it is written; %NULL where there is none; full. */
CIS_API char *cis_config_get_raw (CisConfig *self, const char *group, const char *key);
/* The value with its ${variables} expanded; %NULL without error where there is none; full. */
CIS_API char *cis_config_get (CisConfig *self, const char *group, const char *key, GError **error);
/* ${name} and ${name:-value} in @text: a systemd directory variable or a key of [site] (none where @self is %NULL).
 * CIS_ERROR_CONFIG. full. */
CIS_API char *cis_config_expand (CisConfig *self, const char *text, GError **error);
/* "file:line" of a key, or of the group where @key is %NULL; full. */
CIS_API char *cis_config_where (CisConfig *self, const char *group, const char *key);
/* Whether @key of [site] is a misspelling: the key that was meant, or %NULL. "file:line" goes to @where. */
CIS_API const char *cis_config_find_site_mistake (CisConfig *self, char **key, char **where);

/* The names of all pipelines on the search path, sorted; full. */
CIS_API GStrv cis_config_list (const char *site_file);

G_END_DECLS
