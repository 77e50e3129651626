/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Archives as nobody packs them. */

#include "cis490.h"

#include <archive.h>

#define TARBALL_META(commit) "{\"code_version\": {\"commit\": \"" commit "\"}}\n"

typedef struct
{
  struct archive *tar;
  GByteArray *bytes;
} Tarball;

Tarball *tarball_new (void);
void tarball_free (Tarball *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Tarball, tarball_free)
/* A file of @size bytes; @data: zeros where it is NULL. */
void tarball_add (Tarball *self, const char *path, const char *data, gsize size);
void tarball_add_text (Tarball *self, const char *path, const char *text);
/* A program of these permissions, with that extended attribute (nullable). */
void tarball_add_program (Tarball *self, const char *path, guint mode, const char *attribute);
/* An empty file with an extended attribute of @size bytes, and a file of @n bytes with a hole behind each. */
void tarball_add_attribute (Tarball *self, const char *path, gsize size);
void tarball_add_holes (Tarball *self, const char *path, guint n);
/* Only what says that a file of @size bytes follows, written at once. */
void tarball_add_header (Tarball *self, const char *path, gsize size);
/* Anything else: @type is of S_IFMT; @link: where a link leads, nullable. */
void tarball_add_special (Tarball *self, const char *path, guint type, const char *symlink,
                          const char *hardlink);
/* The tar's bytes, ended, and what zstd makes of them; full. */
GByteArray *tarball_end (Tarball *self);
GByteArray *tarball_compress (const void *data, gsize size);

/* A good one of @episode, with @meta as its meta.json; full. */
GByteArray *tarball_make (const char *episode, const char *meta);
/* A file of @n times 64 MiB of zeros, about 2 KiB each, and no more; full. */
GByteArray *tarball_make_bomb (guint n);
