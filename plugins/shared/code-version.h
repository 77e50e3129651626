/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* What a request says @restamped in. */
#define CIS_RESTAMPED_HEADER "x-cis490-code-restamped"
/* A replaced stamp that named no commit of 40 digits. */
#define CIS_RESTAMPED_UNKNOWN "unknown"

/**
 * CisCodeVersion: which code made an episode, by the member "code_version" of its meta.json.
 * @commit: 40 lower-case hex.
 * @repository: the checkout's absolute path; @remote: where that fetches from. Foreign text, but without
 *   control characters.
 * @restamped: the commit that it was stamped with first, where that stamp was replaced; or "unknown".
 *
 * Each %NULL where meta.json does not say it. All belong to the JSON that they were read from.
 */
typedef struct
{
  const char *commit;
  const char *repository;
  const char *remote;
  const char *restamped;
} CisCodeVersion;

/* @meta: nullable. */
CisCodeVersion cis_code_version_read (JsonObject *meta);

/* @text, which a receiver sent, with {repository} and {remote} filled in, quoted for a shell; what is not
 * known stays a word in capitals. full. */
char *cis_code_version_fill (const CisCodeVersion *self, const char *text);
/* The same in what a receiver says is to be done about @episode, whose folder is here. */
void cis_code_version_complete_fix (CisEpisode *episode, CisFinding *finding);

G_END_DECLS
