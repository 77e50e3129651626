/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* Options: construct-only properties that live at an offset of their instance, and their form in an ini. A
 * class that has some calls cis_option_class_init() first and cis_option_finalize() from its finalize. */
void cis_option_class_init (GObjectClass *klass);
void cis_option_install (GObjectClass *klass, gsize offset, GParamSpec *pspec);
void cis_option_finalize (GObject *object);

/* The options of a class, in the order of their installation, other properties left out; container. */
CIS_API GPtrArray *cis_option_list (GObjectClass *klass);
CIS_API gboolean cis_option_has (GParamSpec *pspec, int flag);

/* What an operator typed, as a value of the option. CIS_ERROR_CONFIG says what would be right. @value:
 * zeroed. */
CIS_API gboolean cis_option_parse (GParamSpec *pspec, const char *text, GValue *value, GError **error);
CIS_API char *cis_option_describe_type (GParamSpec *pspec);    /* "duration", "size", "one of a, b"; full */
CIS_API char *cis_option_describe_range (GParamSpec *pspec);   /* "1 to 512", "at least 0", or %NULL; full */
CIS_API char *cis_option_describe_default (GParamSpec *pspec); /* as one would type it, or %NULL; full */

/* The one of @names that @name was most likely meant to be, or %NULL; none. */
CIS_API const char *cis_nearest_name (const char *name, const char *const *names);

G_END_DECLS
