/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "answer.h"

/**
 * CisHttpClient: one connection to the receiver, kept alive between requests. Of one thread at a time.
 *
 * The token is read for each request. The certificates are read again once their files changed, and after any
 * failure, so that a renewed one needs no restart.
 */
typedef struct _CisHttpClient CisHttpClient;

typedef struct
{
  CisAsked asked;
  CisEpisode *episode; /* none, nullable (ping) */
  int fd;              /* the archive, for an upload */
  void (*progress) (guint64 done, gpointer user_data);
  gpointer user_data;
  guint64 offset;        /* of CIS_ASKED_REST: where it begins */
  gboolean resumable;    /* an upload that is not sent twice from its beginning: the caller asks anew */
  gboolean acknowledged; /* of an upload: there is a receipt for these bytes, so that they were lost there */
  const char *commit;    /* of CIS_ASKED_PING: whose outlook is wanted; nullable */
} CisHttpRequest;

/* Whether @url is one we can talk to; CIS_ERROR_CONFIG. */
gboolean cis_http_url_check (const char *url, GError **error);
/* @peer: what it points to must outlive the client. @timeout: µs without a byte moving. */
CisHttpClient *cis_http_client_new (const CisPeer *peer, gint64 timeout);
void cis_http_client_free (CisHttpClient *self);
/* Sends and reads the answer; that none came is an answer too. What went into a kept connection that its
 * server had closed is sent once more, but where @request is resumable. Errors: cancelled, or
 * CIS_CREDENTIALS_ERROR. */
gboolean cis_http_client_send (CisHttpClient *self, const CisHttpRequest *request, CisAnswer *answer,
                               GCancellable *cancellable, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisHttpClient, cis_http_client_free)
