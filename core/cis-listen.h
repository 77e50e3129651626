/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* Closes the sockets that nobody listens on any more, after a reload of all pipelines and at the end. A
 * client would otherwise connect and wait for ever. */
CIS_API void cis_listen_drop_unused (void);

G_END_DECLS
