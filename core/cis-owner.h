/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisOwners: who may decide what a path names.
 * @CIS_OWNERS_US: root and the user that runs this; for what is run.
 * @CIS_OWNERS_WRITER: also whom the file in the end belongs to; for what that user may well have written.
 */
typedef enum
{
  CIS_OWNERS_US,
  CIS_OWNERS_WRITER
} CisOwners;

/* Whether nobody else decides what @path names: each folder and each link on the way to it, up to the root,
 * is theirs and writable by nobody else. The message begins with the path that is not, and CIS_ERROR_CONFIG.
 * @fix: what to do, full; nullable. On the main thread. */
gboolean cis_owner_check (const char *path, CisOwners owners, char **fix, GError **error);

G_END_DECLS
