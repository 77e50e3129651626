/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* Opens the folder that @path (below @dirfd, or AT_FDCWD) lies in, so that it can be synced. @name: the last
 * part of @path; full. -1 on error. */
int cis_folder_open_parent (int dirfd, const char *path, char **name, GError **error);
