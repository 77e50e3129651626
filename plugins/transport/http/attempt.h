/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "deadline.h"

#include <libsoup/soup.h>

/**
 * CisAttempt: one sending of a request, and how far it came. It ends in time, whatever the peer does: the
 * deadline is put off only while enough of the body goes out, and once for the answer.
 */
typedef struct
{
  GCancellable *stop;                                  /* owned: of this attempt alone */
  CisDeadline *deadline;                               /* none, as what follows */
  gint64 timeout;                                      /* µs */
  GTlsCertificate *certificate;                        /* ours; nullable */
  const char *ca_file;                                 /* nullable */
  void (*progress) (guint64 done, gpointer user_data); /* nullable: without a body */
  gpointer user_data;
  guint64 begin;        /* of the archive, where the body begins */
  guint64 done;         /* how far the socket took it */
  guint64 looked;       /* and what that was when the deadline was put off last */
  guint n_interim;      /* answers of 1xx */
  gboolean sent;        /* all of the request went out */
  gboolean connected;   /* a connection was made for it */
  gboolean shook_hands; /* with TLS */
  gboolean answered;    /* something came */
  gboolean restarted;   /* libsoup would send it once more */
  char *distrust;       /* owned, nullable: why the server's certificate is not taken */
} CisAttempt;

void cis_attempt_watch (CisAttempt *self, SoupMessage *message);
/* Whether it failed because its server had closed the kept connection. */
gboolean cis_attempt_is_stale (const CisAttempt *self, const GError *reason);
gboolean cis_attempt_is_cut (const GError *reason);
/* For a person. @late: the deadline is over. full. */
char *cis_attempt_describe_failure (const CisAttempt *self, gboolean late, const GError *reason);
void cis_attempt_clear (CisAttempt *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CisAttempt, cis_attempt_clear)
