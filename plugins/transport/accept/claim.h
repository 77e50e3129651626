/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "http-head.h"
#include "route.h"

G_BEGIN_DECLS

/* The digest that the head claims, of X-Cis490-Sha256 or Repr-Digest (RFC 9530), 64 lower-case hex; full.
 * %NULL with a @problem (full) where there is none, or one that cannot be, or two that differ. */
char *cis_claim_digest (const CisHttpHead *head, CisFinding **problem);

/* How long the archive is that the head brings or asks about. A @problem (full) where it does not say, or
 * where the request has a body that it must not have. */
gboolean cis_claim_size (const CisHttpHead *head, const CisRoute *route, guint64 *size, CisFinding **problem);

/* The item of a request whose head is in order: the episode, with what the head claims of it, or the ping.
 * %NULL with a @problem (full). full. */
CisItem *cis_claim_to_item (const CisHttpHead *head, const CisRoute *route, CisFinding **problem);

G_END_DECLS
