/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an archive's meta.json says, read out of the compressed bytes: nothing is written to disk, and nothing
 * that the bytes claim of themselves is believed. */

#include "cis490.h"

/* How much an archive may be. A field each, as they are options of the stages that read. */
typedef struct
{
  guint64 max_inflated; /* bytes */
  guint max_ratio;      /* inflated to compressed; counts beyond 1 GiB only */
  guint max_entries;
  gint64 max_time; /* of a processor, µs */
} CisMetaLimits;

/* Adds max-inflated, max-ratio, max-entries and max-time; the struct lives at @offset of the instance. */
void cis_meta_limits_add_options (CisPartClass *klass, gsize offset);

/**
 * CisMetaExtent:
 * @CIS_META_FIRST: read until meta.json is found.
 * @CIS_META_WHOLE: read to the end, so that the whole archive is known to be well formed.
 */
typedef enum
{
  CIS_META_FIRST,
  CIS_META_WHOLE
} CisMetaExtent;

/* How many of the compressed bytes are read. */
typedef void (*CisMetaProgress) (guint64 done, guint64 total, gpointer user_data);

/* Reads the archive @fd (its position does not matter and stays) of @episode and returns what
 * "<episode>/meta.json" says as code_version, episode and id. CIS_ERROR_INVALID where the archive is no tar
 * with zstd, is cut, holds anything but plain files and folders below "<episode>/", goes beyond @limits, or
 * has no or no proper meta.json. full. */
JsonObject *cis_meta_read (int fd, const char *episode, const CisMetaLimits *limits, CisMetaExtent extent,
                           CisMetaProgress progress, gpointer user_data, GCancellable *cancellable,
                           GError **error);
/* code_version.commit, where it is a commit's 40 digits; none, nullable. */
const char *cis_meta_get_commit (JsonObject *meta);
