/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * Audit: audit.jsonl in the state folder: a line for each thing that was done to an episode in quarantine,
 * written before it is done, so that nothing is done without. A release's line keeps the reason, which leaves
 * the episode. Whoever uses it holds the quarantine's lock.
 */
typedef struct _Audit Audit;

/* @dirfd: the state folder, which must stay open; @path: its path, for messages; none,
 * so it must stay, too. */
Audit *audit_new (int dirfd, const char *path);
void audit_free (Audit *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Audit, audit_free)

/* Appends {"ts","verb","episode","finding","user","id","reason"} and syncs it. @reason: nullable. */
gboolean audit_append (Audit *self, const char *verb, const char *id, const char *episode, JsonObject *reason,
                       GError **error);
/* Sees that there is room for some lines more, once; where there is none, or it cannot, nothing is said. */
void audit_reserve (Audit *self);
/* How often the episode was released so far. @first_seen: when it was first quarantined; nullable, full. A
 * file that cannot be read counts as an empty one. */
guint audit_count_releases (Audit *self, const char *episode, char **first_seen);

G_END_DECLS
