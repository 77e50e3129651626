/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* SipHash-2-4. */
CIS_API guint64 cis_siphash (const guint64 key[2], const void *data, gsize length);
