/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "http-head.h"
#include "route.h"

G_BEGIN_DECLS

/* The item of a request whose head is in order: the episode, with what the head claims of it, or the ping.
 * %NULL with a @problem (full). full. */
CisItem *cis_claim_to_item (const CisHttpHead *head, const CisRoute *route, CisFinding **problem);

G_END_DECLS
