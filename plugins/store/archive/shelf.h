/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One host's two folders, open, and the flushes that concurrent uploads share. */

#include "layout.h"

typedef struct
{
  char *host;
  int incoming;
  int store;
  CisGroupCommit *incoming_commit;
  CisGroupCommit *store_commit;
} CisShelf;

typedef struct _CisShelves CisShelves;

/* @layout: none, must outlive it. */
CisShelves *cis_shelves_new (CisLayout *layout);
void cis_shelves_free (CisShelves *self);
/* The host's, made and synced into its parents where it is new; none, for as long as the shelves live. On any
 * thread. */
CisShelf *cis_shelves_get (CisShelves *self, const char *host, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisShelves, cis_shelves_free)
