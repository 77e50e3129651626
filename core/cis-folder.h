/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* Opens the folder that @path (below @dirfd, or AT_FDCWD) lies in, so that it can be synced. @name: the last
 * part of @path; full. -1 on error. */
int cis_folder_open_parent (int dirfd, const char *path, char **name, GError **error);

/* Gives the opened folder the mode and the ACL of episodes/: members of its group may make entries in it, and
 * its owner may move them. */
gboolean cis_folder_share (int fd, const char *path, GError **error);
/* The user's name, or else the number; full. */
char *cis_user_to_string (uid_t user);
