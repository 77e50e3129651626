/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-256 of an upload, computed on the way. A small one is hashed inline; from about 1 MiB on a second
 * thread does it, because a worker that reads, hashes and writes in turn gets half of what the machine can
 * take. */

#include "cis490.h"

typedef struct _CisHashing CisHashing;

/* A buffer, with @length of @size bytes filled. */
typedef struct
{
  gsize length;
  gsize size;
  guint8 data[];
} CisChunk;

/* For as much of @size as is handled at once; full, by g_free(). */
CisChunk *cis_chunk_new (guint64 size);

/* @size: how many bytes will come. */
CisHashing *cis_hashing_new (guint64 size);
void cis_hashing_free (CisHashing *self);
/* An empty buffer to fill; waits until the hash has caught up. */
CisChunk *cis_hashing_take (CisHashing *self);
/* Hands the filled (or unused) buffer over. The bytes must not be touched any more. */
void cis_hashing_give (CisHashing *self, CisChunk *chunk);
/* 64 hex of all that was given, once; full. */
char *cis_hashing_finish (CisHashing *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisHashing, cis_hashing_free)
