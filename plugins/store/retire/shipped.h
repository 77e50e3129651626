/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

#include <sys/stat.h>

/*
 * shipped/: what is home, by its name, or with "-2", "-3", … behind it where that was taken.
 */

/* Durably renames episodes/@name to a name in shipped/ that is free, and returns that; full. @compared: the
 * folder whose fingerprint holds; another one that has taken its place since goes back, as CIS_ERROR_GONE. */
char *shipped_put (CisHostState *state, const char *name, const struct stat *compared, GError **error);

/* Removes what was shipped under @name, with its suffixed siblings, and logs each for @part; not the receipt.
 * @failed: which of them cannot be removed; full. */
gboolean shipped_remove (CisPart *part, CisHostState *state, const char *name, JsonObject *receipt,
                         char **failed, GCancellable *cancellable, GError **error);
