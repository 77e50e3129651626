/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/**
 * CisMetaError: what speaks against an archive. Whatever else goes wrong says nothing about it.
 * @CIS_META_ERROR_DAMAGED: its bytes fail their own check: they are no whole zstd frames, or no whole tar.
 * @CIS_META_ERROR_FOREIGN: it is whole, but is not an episode's, or not this one's.
 * @CIS_META_ERROR_META: its meta.json cannot be understood.
 * @CIS_META_ERROR_LIMIT: to look into it would take more than is allowed; it may be a good one.
 */
typedef enum
{
  CIS_META_ERROR_DAMAGED,
  CIS_META_ERROR_FOREIGN,
  CIS_META_ERROR_META,
  CIS_META_ERROR_LIMIT,
} CisMetaError;

#define CIS_META_ERROR (cis_meta_error_quark ())
GQuark cis_meta_error_quark (void);
