/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many bytes each host has in store/ and incoming/: looked up once, when the host is first heard of, and
 * counted in memory from there on. Locked. */

#include "layout.h"

typedef struct _CisQuota CisQuota;

/* @bytes: each host's; 0: nothing is limited, nor counted. @layout: none, must outlive it. */
CisQuota *cis_quota_new (CisLayout *layout, guint64 bytes);
void cis_quota_free (CisQuota *self);
/* What @episode is turned away for (full) where its host is to have @more bytes than now; else %NULL, and
 * with
 * @take they are counted. */
CisOutcome *cis_quota_admit (CisQuota *self, CisEpisode *episode, gint64 more, gboolean take);
/* @more bytes than were counted; mostly fewer. */
void cis_quota_add (CisQuota *self, const char *host, gint64 more);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisQuota, cis_quota_free)
