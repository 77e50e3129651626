/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file's zstd frames, inflated block by block, up to a limit. */

#include "cis490.h"

typedef struct _CisInflater CisInflater;

/* @fd: none; read from its beginning without moving its position.
 * @max: more than so many bytes are an error. */
CisInflater *cis_inflater_new (int fd, guint64 max, GError **error);
void cis_inflater_free (CisInflater *self);
/* The next block, the inflater's until the next call; its length, 0 at the end, -1 with @error:
 * CIS_META_ERROR where the bytes are no zstd, cut, or too many. */
gssize cis_inflater_read (CisInflater *self, const void **block, GError **error);
/* How many bytes of the file are consumed. */
guint64 cis_inflater_get_consumed (CisInflater *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisInflater, cis_inflater_free)
