/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

typedef enum
{
  CIS_ROUTE_QUESTION, /* POST /v1/episodes/<host>/<episode> */
  CIS_ROUTE_UPLOAD,   /* PUT /v1/episodes/<host>/<episode> */
  CIS_ROUTE_RESUME,   /* PATCH /v1/episodes/<host>/<episode> */
  CIS_ROUTE_PING,     /* POST /v1/ping */
} CisRouteKind;

typedef struct
{
  CisRouteKind kind;
  char *host;    /* nullable */
  char *episode; /* nullable */
} CisRoute;

/* Matches the raw @target whole, never decoded. %NULL with a @problem (full) where it is nothing that is
 * answered here; that of a wrong method has the detail "allow". full. */
CisRoute *cis_route_find (const char *method, const char *target, CisFinding **problem);
void cis_route_free (CisRoute *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisRoute, cis_route_free)

G_END_DECLS
