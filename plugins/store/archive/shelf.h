/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One host's two folders, open, and the flushes that concurrent uploads share. Only those of the last few
 * hosts stay open when nobody uses them: there may be more hosts than descriptors. */

#include "layout.h"

typedef struct _CisShelves CisShelves;

typedef struct
{
  char *host;
  int incoming;
  int store;
  CisGroupCommit *incoming_commit;
  CisGroupCommit *store_commit;
  /* Theirs, under their lock: */
  CisShelves *shelves;
  guint n_users;
  GList idle; /* in the list of those without */
} CisShelf;

/* @layout: none, must outlive it. */
CisShelves *cis_shelves_new (CisLayout *layout);
void cis_shelves_free (CisShelves *self);
/* The host's, made and synced into its parents where it is new; to be released. On any thread. */
CisShelf *cis_shelves_get (CisShelves *self, const char *host, GError **error);
void cis_shelf_release (CisShelf *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisShelves, cis_shelves_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisShelf, cis_shelf_release)
