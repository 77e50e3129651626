/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* The line that closes a secret to everybody but whom the service runs as. full. */
CIS_API char *cis_fix_exposed (const char *path);
