/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of the receiver's store share: store/archive outside a pipeline, and requests for it. */

#include "harness.h"

#define COMMIT       "0123456789abcdef0123456789abcdef01234567"
#define OTHER_COMMIT "ffffffffffffffffffffffffffffffffffffffff"

/* The stage, opened on @tree; ended by uploads_close(). */
gpointer uploads_open (const char *tree, gint64 stalled_after);
void uploads_close (gpointer archive);

/* A request for @host's episode @name, authenticated; full. */
CisEpisode *uploads_make (const char *method, const char *host, const char *name, const char *sha256,
                          gsize size, GInputStream *body);
/* A PUT of lab-1's episode @name; full. @bytes: none, must outlive it. */
CisEpisode *uploads_make_put (const char *name, const char *bytes);
/* Processes and settles, as if no stage came after. @outcome: full, nullable. */
CisVerdict uploads_put (gpointer archive, CisEpisode *episode, CisOutcome **outcome);
/* Puts "bytes" as lab-1/run into the store, without its getting home. */
void uploads_store_without_home (gpointer archive);

void uploads_assert_finding (CisOutcome *outcome, const char *id);
void uploads_assert_none_left (const char *tree);
guint uploads_count_links (const char *tree, const char *path);
