/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whose word counts about the client's certificate. */

#include "connection.h"
#include "http-head.h"

typedef struct
{
  char *header; /* owned; in lower case; empty: there is none */
  gint64 user;  /* the id of the only user who may send it; -1: whoever may connect */
} CisProxy;

/* @user: nullable or empty. CIS_ERROR_CONFIG where there is none of that name. */
gboolean cis_proxy_init (CisProxy *self, const char *header, const char *user, GError **error);
void cis_proxy_clear (CisProxy *self);
/* The name in the client's certificate, as the proxy passes it on; nullable. none: as long as @head. */
const char *cis_proxy_get_client_name (const CisProxy *self, const CisConnection *connection,
                                       const CisHttpHead *head);
