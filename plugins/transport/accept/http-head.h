/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* More header lines than any client of ours, or a proxy in front, has a reason to send. */
#define CIS_HTTP_HEAD_MAX_LINES 100

/**
 * CisHttpHead: the head of one request, as strictly read as RFC 9112 lets a recipient be.
 */
typedef struct
{
  char *method;
  char *target;        /* raw: nothing is decoded */
  GHashTable *headers; /* name in lower case to value; several of one name are joined by ", " */
  gboolean has_length;
  guint64 length; /* Content-Length, 0 where there is none */
  gboolean keep_alive;
  gboolean expects_continue;
} CisHttpHead;

/* Looks for the end of a head, from *@scanned on (kept by the caller, 0 at first), line by line. Returns the
 * length of the head with its empty line; 0 where more has to come; -1 where a line does not end with CRLF,
 * so that there will never be an end. */
gssize cis_http_head_find_end (const guint8 *data, gsize length, gsize *scanned);

/* Reads the @length bytes of a whole head, its empty line included. A pure function of these bytes. Returns
 * %NULL and a @problem (full) where the request must go no further. full. */
CisHttpHead *cis_http_head_parse (const char *data, gsize length, CisFinding **problem);
const char *cis_http_head_get (const CisHttpHead *self, const char *name); /* nullable */
void cis_http_head_free (CisHttpHead *self);

/* 1*DIGIT up to G_MAXINT64; anything else is a @problem that names @header. */
gboolean cis_http_head_parse_size (const char *header, const char *value, guint64 *size,
                                   CisFinding **problem);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisHttpHead, cis_http_head_free)

G_END_DECLS
