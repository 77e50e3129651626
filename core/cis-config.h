/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisConfig: the ini of one pipeline as the operator sees it: the first <name>.ini on the search path, its
 * drop-ins <name>.ini.d/\*.ini over it, and the [site] of cis490.ini for the ${variables}. It knows file and
 * line of each key, for messages.
 */
typedef struct _CisConfig CisConfig;

/* @name: a pipeline, or the path of an ini. @site_file: nullable: <sysconfdir>/cis490/cis490.ini where that
 * is there. full. */
CIS_API CisConfig *cis_config_load (const char *name, const char *site_file, GError **error);
/* Whether it is a "STAGE.KEY=VALUE"; G_OPTION_ERROR. */
CIS_API gboolean cis_config_check_override (const char *assignment, GError **error);
/* Lets one that is win over all files; whether there are such a stage and such a key turns out when the
 * pipeline is made. */
CIS_API void cis_config_override (CisConfig *self, const char *assignment);
CIS_API void cis_config_free (CisConfig *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisConfig, cis_config_free)

CIS_API const char *cis_config_get_name (CisConfig *self);
CIS_API GStrv cis_config_get_groups (CisConfig *self); /* full */
CIS_API GStrv cis_config_get_keys (CisConfig *self,
                                   const char *group); /* full; empty where there is no such group */
/* The value as it is written; %NULL where there is none; full. */
CIS_API char *cis_config_get_raw (CisConfig *self, const char *group, const char *key);
/* The value with its ${variables} expanded; %NULL without error where there is none; full. */
CIS_API char *cis_config_get (CisConfig *self, const char *group, const char *key, GError **error);
/* ${name} and ${name:-value} in @text: a systemd directory variable or a key of [site] (none where @self is
 * %NULL). CIS_ERROR_CONFIG. full. */
CIS_API char *cis_config_expand (CisConfig *self, const char *text, GError **error);
/* "file:line" of a key, or of the group where @key is %NULL; full. */
CIS_API char *cis_config_where (CisConfig *self, const char *group, const char *key);
CIS_API GStrv cis_config_get_site_keys (CisConfig *self); /* full, nullable */
/* The value of one of them as it is written; full. */
CIS_API char *cis_config_get_site_raw (CisConfig *self, const char *key);
/* "file:line" of a key of [site], or of where it is to go; full. */
CIS_API char *cis_config_where_site (CisConfig *self, const char *key);
/* The first ${name} in @text that takes its value from [site], or (not @is_set) that has no value; %NULL:
 * none. full. */
CIS_API char *cis_config_find_variable (CisConfig *self, const char *text, gboolean is_set);

/* The names of all pipelines on the search path, sorted; full. */
CIS_API GStrv cis_config_list (const char *site_file);
/* The folders of drop-ins for a pipeline that is not there; full. */
CIS_API GStrv cis_config_list_unused (const char *site_file);

G_END_DECLS
