/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "source.h"

G_BEGIN_DECLS

/* What `cis490 check` looks at: the local repository and the files, but no forge. Adds a finding (of subject
 * @name, where it is about the window) for each that could not be worked with. @grants_file and @remedy_file:
 * nullable. */
void cis_window_look (const CisWindowSetup *setup, const char *branch, guint n, const char *name,
                      const char *grants_file, const char *remedy_file, GPtrArray *findings);

/* Asks the source, and adds the finding of what it gives. */
void cis_window_check (CisWindowSource *source, const char *branch, guint n, const char *name,
                       GPtrArray *findings, GCancellable *cancellable);

G_END_DECLS
