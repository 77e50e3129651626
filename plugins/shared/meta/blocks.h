/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The blocks of a tar, looked at as they come, for what readers differ in: where libarchive is lenient, GNU
 * tar gives up, and a header that one of them passes over gives a file another name for the other. See tar(5)
 * and pax(1). */

#include "meta-error.h"

typedef struct _CisTarBlocks CisTarBlocks;

/* @max_header: so many bytes of records may describe one entry. */
CisTarBlocks *cis_tar_blocks_new (guint64 max_header);
void cis_tar_blocks_free (CisTarBlocks *self);
/* The next bytes, however many. CIS_META_ERROR says what is wrong; that they end says nothing. */
gboolean cis_tar_blocks_feed (CisTarBlocks *self, const void *data, gsize length, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisTarBlocks, cis_tar_blocks_free)
