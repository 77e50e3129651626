/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "grants.h"

G_BEGIN_DECLS

/**
 * CisAmnesty: the grants of a stage, read anew off the requests' path, and what a person has to know of them.
 * Only the thread that runs maintain() refreshes; look-ups come from any.
 */
typedef struct _CisAmnesty CisAmnesty;

/* @part: raises; outlives it. */
CisAmnesty *cis_amnesty_new (CisPart *part, const char *path, const char *repository);
void cis_amnesty_free (CisAmnesty *self);
void cis_amnesty_refresh (CisAmnesty *self);
/* The grant's name; full, %NULL where none admits @commit of @host. @whole: as cis_grants_find() has it. */
char *cis_amnesty_find (CisAmnesty *self, const char *commit, const char *host, gboolean *whole);

/* Adds that the file cannot be read, or has lines that are mistakes. */
void cis_amnesty_check (const char *path, const char *repository, GPtrArray *findings);
/* That the grant's time is over. full. */
CisFinding *cis_amnesty_describe_expired (const char *path, const char *name, const char *until);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisAmnesty, cis_amnesty_free)

G_END_DECLS
