/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisGrants: named old commits that are admitted for a while, in a file that the operator edits. A line is
 *
 *     NAME COMMIT|COMMIT..COMMIT HOST|* UNTIL
 *
 * with commits of 40 hex digits, a range as `git rev-list` reads it, and UNTIL a date (to its end, UTC) or a
 * time (ISO 8601). "#" begins a comment. Thread-safe: looked up while it is read anew.
 */
typedef struct _CisGrants CisGrants;

/* @settle: how long, in µs, the file has to have been as it is before it counts as whole: who saves it in
 * place may just have emptied it. */
CisGrants *cis_grants_new (const char *path, const char *repository, gint64 settle);
void cis_grants_free (CisGrants *self);
const char *cis_grants_get_path (CisGrants *self);

/* Reads the file where it changed, or was not in order or not settled before. %FALSE: it cannot be read, or a
 * line of it is a mistake; then just what its other lines say is granted. */
gboolean cis_grants_refresh (CisGrants *self, GError **error);

/* The name of the grant that admits @commit of @host (%NULL: of whichever) at @now, µs since 1970; full,
 * %NULL where none does. *@whole: whether that was all of the file, and it has settled; else nobody knows
 * what the rest of it would have said. */
char *cis_grants_find (CisGrants *self, const char *commit, const char *host, gint64 now, gboolean *whole);
/* The one of @commit that ended last before @now, and *@until when, as it is written; both full, %NULL where
 * none did. */
char *cis_grants_find_ended (CisGrants *self, const char *commit, const char *host, gint64 now, char **until);
/* Calls @function for each grant that ended before @now. */
typedef void (*CisGrantFunc) (const char *name, const char *until, gpointer user_data);
void cis_grants_foreach_expired (CisGrants *self, gint64 now, CisGrantFunc function, gpointer user_data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisGrants, cis_grants_free)

G_END_DECLS
