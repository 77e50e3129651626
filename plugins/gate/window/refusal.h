/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisRefusal: the 412 and the 400, and what the person on the host is told to do.
 * @remedy_file: nullable; read for each refusal, so that an edit needs no reload. @grants_file: nullable.
 */
typedef struct _CisRefusal CisRefusal;

CisRefusal *cis_refusal_new (CisPart *part, const char *branch, guint window, const char *repository,
                             const char *remedy, const char *remedy_file, const char *grants_file);
void cis_refusal_free (CisRefusal *self);
/* The 400: there is no commit, or (not %NULL) none that can be one. full. On any thread. */
CisFinding *cis_refusal_describe_header (CisRefusal *self, CisItem *item, const char *commit);
/* full. On any thread. */
CisFinding *cis_refusal_describe (CisRefusal *self, CisItem *item, const char *commit, const char *head);
/* Its stamp was replaced; @first: what it was stamped with before, 40 hex or %CIS_RESTAMPED_UNKNOWN. full. On
 * any thread. */
CisFinding *cis_refusal_describe_restamped (CisRefusal *self, CisItem *item, const char *commit,
                                            const char *first);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisRefusal, cis_refusal_free)

/* How long the file with the remedy may be, in bytes. */
#define CIS_REMEDY_MAX (16 * 1024)
/* The finding that it cannot be used; full. */
CisFinding *cis_refusal_describe_unreadable (const char *path, const GError *error);

G_END_DECLS
