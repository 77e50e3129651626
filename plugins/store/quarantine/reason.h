/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* What only the quarantine knows of an episode that comes in. */
typedef struct
{
  guint attempts;         /* how often it was here before */
  char *first_seen;       /* when for the first time; nullable: now */
  char *displaced;        /* nullable: the new name of its own quarantine_reason.json */
  struct timespec folder; /* its folder's mtime, which the reason's coming and going changes */
  gint64 time;            /* now, µs since 1970 */
} ReasonContext;

void reason_context_clear (ReasonContext *context);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ReasonContext, reason_context_clear)

/* The finding's remedy for an episode that lies in quarantine/@target; full, nullable. */
char *reason_get_fix (CisFinding *finding, const char *name, const char *target);
/* The text of quarantine_reason.json; full. @fix: nullable. */
char *reason_make (CisEpisode *episode, CisFinding *finding, const char *fix, const ReasonContext *context);
/* The reason in a file, or %NULL: without error where there is no valid one, with @error where nobody knows.
 * full
 * @time: when the episode was quarantined, µs since 1970, or -1; nullable. */
JsonObject *reason_load (int dirfd, const char *file, gint64 *time, GError **error);
/* The folder's mtime as it was; FALSE where the reason does not say. */
gboolean reason_get_folder_time (JsonObject *reason, struct timespec *time);

G_END_DECLS
