/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "commits.h"

G_BEGIN_DECLS

/**
 * CisSavedWindow: the file with the last good window, so that a restart of receiver and forge at once still
 * has one. Of one thread at a time.
 */
typedef struct _CisSavedWindow CisSavedWindow;

/* @of: what the window is of; a file of something else is passed over. @max_age: older ones too; µs. */
CisSavedWindow *cis_saved_window_new (const char *path, const char *of, gint64 max_age);
void cis_saved_window_free (CisSavedWindow *self);
const char *cis_saved_window_get_path (CisSavedWindow *self);

/* At most @n commits; %NULL without error where there is none that counts. full. */
CisWindow *cis_saved_window_load (CisSavedWindow *self, guint n, GError **error);
/* Writes it durably where it changed, or was written a day ago. What the first source gave is not replaced by
 * a fallback's. */
gboolean cis_saved_window_store (CisSavedWindow *self, CisWindow *window, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisSavedWindow, cis_saved_window_free)

G_END_DECLS
