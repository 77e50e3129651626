/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis-pipeline-private.h"

G_BEGIN_DECLS

/* What is found in one ini while a pipeline is made from it. */
typedef struct
{
  CisConfig *config;
  GPtrArray *findings; /* of CisFinding */
  guint n_errors;
  gboolean draft; /* the options are left alone: only its shape is wanted */
} CisBuild;

/* An error about a key, or about the group where @key is NULL. Its fix is an editor there, for the caller to
 * better; none. */
CisFinding *cis_build_complain (CisBuild *self, const char *id, const char *group, const char *key,
                                const char *format, ...) G_GNUC_PRINTF (5, 6);
/* An error about the value of an option, wherever it is written: in the ini, or in [site]. none */
CisFinding *cis_build_complain_of_value (CisBuild *self, const char *id, const char *group, GParamSpec *pspec,
                                         const char *format, ...) G_GNUC_PRINTF (5, 6);
/* A ${name} in @text, which is a value of @key or (NULL) the default of an option, has no value. */
void cis_build_complain_of_variable (CisBuild *self, const char *group, const char *key, const char *text,
                                     const char *summary);
/* An error where a comment stands behind the value @raw of "[group] key=", which begins with "#" or one of
 * @signs; whether it does. */
gboolean cis_build_find_comment (CisBuild *self, const char *where, const char *group, const char *key,
                                 const char *raw, const char *signs);
/* Keys of [site] that are misspelled, and comments behind their values. */
void cis_build_check_site (CisBuild *self);
/* A warning of anything. none */
CisFinding *cis_build_warn (CisBuild *self, const char *id, const char *where, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

/* The warning that "[group] key=" has no value, so that the default @value is in force. */
void cis_build_warn_of_empty (CisBuild *self, const char *where, const char *group, const char *key,
                              const char *value);

/* What only the whole shows: whether the stages can work with one another. */
void cis_build_check_whole (CisBuild *self, CisPipeline *pipeline);
/* Groups that @stages does not name. */
void cis_build_check_groups (CisBuild *self, const char *const *stages);

G_END_DECLS
