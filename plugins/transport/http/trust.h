/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

/* Why @certificate, a server's, is not taken: each of @errors in words, with the dates, the names and this
 * host's clock that it is about. @name: of the server, as it was asked for. @authorities: of whom it should
 * be, nullable. Half a sentence; full. */
char *cis_trust_describe (GTlsCertificate *certificate, GTlsCertificateFlags errors, const char *name,
                          const char *authorities);
/* When the first of @certificate and of those who vouch for it ends, µs since 1970; 0: not known.
 * @certificate: nullable. */
gint64 cis_trust_get_end (GTlsCertificate *certificate);
