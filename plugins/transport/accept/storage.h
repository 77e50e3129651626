/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisStorage: the file system that archives go to, looked at before one is let in. On one thread.
 */
typedef struct
{
  CisPart *part;         /* none */
  const char *directory; /* none */
  guint64 free_space;    /* bytes that must be left */
  gboolean looked;
  gboolean full; /* less than that is left, and people have been told */
} CisStorage;

/* What an archive of @size is refused for, while @promised bytes of others are on their way; %NULL where
 * there is room. full. */
CisFinding *cis_storage_check (CisStorage *self, guint64 promised, guint64 size);

G_END_DECLS
