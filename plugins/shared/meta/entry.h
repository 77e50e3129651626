/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What one entry of an archive makes on the disk of whoever unpacks it. */

#include "meta-error.h"

#include <archive_entry.h>

/* Where it gets: "<episode>" or a path below, without what leads nowhere ("./", "//"). %NULL with
 * CIS_META_ERROR_FOREIGN where it gets elsewhere. full. */
char *cis_entry_get_path (struct archive_entry *entry, const char *episode, GError **error);
/* Whether it is a plain file or folder, which gives nobody more rights than its nine permission bits do. */
gboolean cis_entry_check (struct archive_entry *entry, const char *path, GError **error);
/* Sets CIS_META_ERROR_FOREIGN: "its entry “@path” @why". Returns FALSE. */
gboolean cis_entry_refuse (GError **error, const char *path, const char *why);
