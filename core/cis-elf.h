/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* Whether the opened file of @size bytes is a library for this machine's word size, and whole. The dynamic
 * linker maps whatever it is told to: of a library that was cut, the first look at what is missing is a
 * SIGBUS. CIS_ERROR_PLUGIN says what is wrong. */
gboolean cis_elf_check (int fd, goffset size, GError **error);
