/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* Durations in µs and sizes in bytes, as an operator writes them. */
typedef enum
{
  CIS_QUANTITY_DURATION,
  CIS_QUANTITY_SIZE
} CisQuantity;

/* CIS_ERROR_CONFIG says what would be right. */
gboolean cis_quantity_parse (const char *text, CisQuantity kind, guint64 *quantity, GError **error);
/* With the largest unit that divides it; full. */
char *cis_quantity_format (guint64 quantity, CisQuantity kind);

G_END_DECLS
