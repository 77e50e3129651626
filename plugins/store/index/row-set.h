/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which episodes have a row. Rows never go away, so the file is read once, and from then on only what is new
 * in it. Not locked. */

#include "cis490.h"

typedef struct _CisRowSet CisRowSet;

CisRowSet *cis_row_set_new (void);
void cis_row_set_free (CisRowSet *self);
/* Learns the whole rows that @fd has had since the last time. */
gboolean cis_row_set_read (CisRowSet *self, int fd, GCancellable *cancellable, GError **error);
gboolean cis_row_set_has (CisRowSet *self, const char *host, const char *episode);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisRowSet, cis_row_set_free)
