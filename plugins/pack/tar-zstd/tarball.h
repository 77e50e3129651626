/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

#include <sys/stat.h>

/**
 * CisTarball: tar → zstd → file, with SHA-256 in the same pass. Used by one thread; memory does not grow with
 * what is written.
 *
 * The same entries give the same bytes: owner 0, no names of users, nine permission bits, no times but the
 * recorded mtime, no device or inode numbers, no sparse maps.
 */
typedef struct _CisTarball CisTarball;

/* What the bytes depend on beside the entries, in words; full */
char *cis_tarball_parameters (int level);
/* @fd: stays the caller's. @binary: whether a path has bytes beyond ASCII; they are kept as they are. */
CisTarball *cis_tarball_new (int fd, int level, gboolean binary, GError **error);
void cis_tarball_free (CisTarball *self);
/* Begins a folder or regular file; of a file exactly stat->st_size bytes must follow. */
gboolean cis_tarball_add (CisTarball *self, const char *path, const struct stat *stat, GError **error);
gboolean cis_tarball_write (CisTarball *self, const void *data, gsize length, GError **error);
/* @sha256 (full) and @size: of the compressed file. */
gboolean cis_tarball_finish (CisTarball *self, char **sha256, guint64 *size, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisTarball, cis_tarball_free)
