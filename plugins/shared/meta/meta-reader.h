/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an archive's meta.json says, read out of the compressed bytes: nothing is written to disk, and nothing
 * that the bytes claim of themselves is believed. */

#include "meta-error.h"

/* What a look at an archive may cost. A field each, as they are options of the stages that read. */
typedef struct
{
  guint64 max_inflated; /* bytes */
  guint max_ratio;      /* inflated to compressed; counts beyond 1 GiB only. 0: any */
  guint max_entries;
  gint64 max_time;    /* of a processor, µs */
  guint64 max_header; /* bytes of what describes one entry */
  gboolean portable_names;
} CisMetaLimits;

/* The defaults of the options. */
#define CIS_META_LIMITS                                                                                      \
  {                                                                                                          \
    (guint64) 1 << 40, 0, 1000000, G_TIME_SPAN_HOUR, 64 * 1024, FALSE                                        \
  }

/* Adds max-inflated, max-ratio and so on; the struct lives at @offset of the instance. */
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
 * "<episode>/meta.json" says as code_version, episode and id; full. CIS_META_ERROR says what speaks against
 * it: that it is no tar with zstd, is cut, makes anything but plain files and folders below "<episode>/",
 * goes beyond
 * @limits, or has no or no proper meta.json. */
JsonObject *cis_meta_read (int fd, const char *episode, const CisMetaLimits *limits, CisMetaExtent extent,
                           CisMetaProgress progress, gpointer user_data, GCancellable *cancellable,
                           GError **error);
