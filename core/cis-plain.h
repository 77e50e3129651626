/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* @text as it may reach a terminal, or be pasted: whatever acts there (escapes, other control characters but
 * line feed and tab), turns the direction of writing, or does not show, becomes \uXXXX. In JSON that is the
 * same text. What is no UTF-8 becomes U+FFFD. full. */
CIS_API char *cis_plain_new (const char *text);

G_END_DECLS
