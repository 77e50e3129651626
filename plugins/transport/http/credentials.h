/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "answer.h"

/**
 * CisCredentialsError: what is wrong on our side, before anything is sent.
 */
typedef enum
{
  CIS_CREDENTIALS_ERROR_TOKEN,
  CIS_CREDENTIALS_ERROR_CERTIFICATE,
} CisCredentialsError;

#define CIS_CREDENTIALS_ERROR (cis_credentials_error_quark ())
GQuark cis_credentials_error_quark (void);

/* Changes when one of the certificates' files is replaced or rewritten; full. */
char *cis_credentials_stamp (const CisPeer *peer);
/* Whether what the options name can go together, as far as their files can be read; else CIS_ERROR_CONFIG. */
gboolean cis_credentials_check (const CisPeer *peer, GError **error);
/* Both full, and NULL where the peer names no such file. */
gboolean cis_credentials_load (const CisPeer *peer, GTlsCertificate **certificate, GTlsDatabase **authorities,
                               GError **error);
/* Adds the finding of each that could not be used now: unreadable, expired, or of another key. */
void cis_credentials_look (const CisPeer *peer, GPtrArray *findings);
/* The token in @file, one line; full. */
char *cis_credentials_read_token (const char *file, GError **error);
/* What our own clock finds wrong with @certificate (nullable), as half a sentence; NULL: nothing. full. */
char *cis_credentials_fault (GTlsCertificate *certificate, const CisPeer *peer);
/* The finding of a CIS_CREDENTIALS_ERROR; full. */
CisFinding *cis_credentials_finding (const CisPeer *peer, const GError *error);
