/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisForgejoClient: one connection to a Forgejo, kept alive between requests. Of one thread at a time.
 */
typedef struct _CisForgejoClient CisForgejoClient;

typedef struct
{
  guint status;
  char *etag;   /* nullable */
  gint64 total; /* X-Total-Count; -1: not told */
  GBytes *body;
} CisForgejoAnswer;

/* @timeout: from the request to the answer's last byte, µs. @ca_file: nullable; whom to trust instead of the
 * system's. */
CisForgejoClient *cis_forgejo_client_new (gint64 timeout, const char *ca_file);
void cis_forgejo_client_free (CisForgejoClient *self);
/* @token, @etag: nullable. Whatever status comes is no error. */
gboolean cis_forgejo_client_get (CisForgejoClient *self, const char *url, const char *token, const char *etag,
                                 CisForgejoAnswer *answer, GCancellable *cancellable, GError **error);
void cis_forgejo_answer_clear (CisForgejoAnswer *answer);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CisForgejoAnswer, cis_forgejo_answer_clear)

G_END_DECLS
