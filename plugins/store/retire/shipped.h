/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

#include <sys/stat.h>

/*
 * shipped/: what is home, by its name, or with "-2", "-3", … behind it where that was taken. The receipt of a
 * name is of the copy that came last: "copy" in it says which that is, where it is not the one by the name
 * itself. An older copy, whose receipt is gone, nobody vouches for.
 */

/* Durably renames episodes/@name to a name in shipped/ that is free, and returns that; full. @compared: the
 * folder whose fingerprint holds; another one that has taken its place since goes back, as CIS_ERROR_GONE.
 * @receipt: what is on the disk of it, stored anew where it has to say which copy it is of. */
char *shipped_put (CisHostState *state, CisEpisode *episode, JsonObject *receipt, const struct stat *compared,
                   GError **error);

/* The copy that @receipt is of, else another one of the name (not @vouched), else NULL without @error; full.
 * One that has a receipt by its own name is another episode. */
char *shipped_find (CisHostState *state, const char *name, JsonObject *receipt, gboolean *vouched,
                    GError **error);

/* Durably renames shipped/@copy to episodes/@name, to be shipped anew. */
gboolean shipped_return (CisHostState *state, const char *copy, const char *name, GError **error);

/* Removes shipped/@copy, and logs that for @part; not the receipt. @failed: what cannot be removed; full. */
gboolean shipped_remove (CisPart *part, CisHostState *state, const char *copy, JsonObject *receipt,
                         char **failed, GCancellable *cancellable, GError **error);

/* Removes what is left of copies of @name whose removal was cut. */
gboolean shipped_sweep (CisHostState *state, const char *name, char **failed, GCancellable *cancellable,
                        GError **error);
