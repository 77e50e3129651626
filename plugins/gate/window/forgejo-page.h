/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "commits.h"

G_BEGIN_DECLS

/* One page of Forgejo's list of commits: appends them to @window up to @n, and their parents' ids to the set
 * @parents.
 * @n_listed: how many commits the page has. G_IO_ERROR_INVALID_DATA. */
gboolean cis_forgejo_page_read (GBytes *body, CisWindow *window, guint n, GHashTable *parents,
                                guint *n_listed, GError **error);
/* That it is none, and why. Returns %FALSE. */
gboolean cis_forgejo_page_set_garbage (GError **error, const char *reason);

G_END_DECLS
