/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The file that an upload is written to, incoming/<host>/<episode>.<sha256>.<commit>.part. One that was cut
 * stays there, and the rest is appended to it. For whoever holds the episode, see holds.h. */

#include "layout.h"

/* How long the .part @name (a path below @dirfd) is; 0 where there is none that may be written to. */
guint64 cis_partial_get_size (int dirfd, const char *name);
/* Begins it anew, in whatever state an earlier one is; -1 on error. @host: for messages. */
int cis_partial_create (int dirfd, const char *host, const char *name, GError **error);
/* Opens the one whose size is @offset, to append to it; -1 on error. */
int cis_partial_resume (int dirfd, const char *host, const char *name, guint64 offset, GError **error);
