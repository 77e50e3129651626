/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The paths of an archive's entries: whether one can be made beside those before it. */

#include "meta-error.h"

typedef struct _CisEntryNames CisEntryNames;

/* @max: how many files and folders there may be, those included that are only part of a path. @portable: none
 * may differ from another by case or by Unicode's normal form only, as some file systems take these for one.
 */
CisEntryNames *cis_entry_names_new (guint max, gboolean portable);
void cis_entry_names_free (CisEntryNames *self);
/* CIS_META_ERROR_FOREIGN where @path is taken by what cannot be both, or differs too little from another one.
 */
gboolean cis_entry_names_add (CisEntryNames *self, const char *path, gboolean is_folder, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisEntryNames, cis_entry_names_free)
