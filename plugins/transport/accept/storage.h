/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisStorage: the file system that archives go to, looked at before one is let in. Locked.
 */
typedef struct _CisStorage CisStorage;

/* @free_space: bytes that must be left. @part, @directory: none, must outlive it. */
CisStorage *cis_storage_new (CisPart *part, const char *directory, guint64 free_space);
void cis_storage_free (CisStorage *self);
/* How many bytes there is room for; as many as there are where nobody can tell. */
guint64 cis_storage_get_room (CisStorage *self);

/* What an archive of @size is refused for, beside what is promised to others; %NULL where there is room.
 * full. People are told of an archive that is too large only where it is @known whose it is: anybody can
 * announce one. */
CisFinding *cis_storage_check (CisStorage *self, guint64 size, gboolean known);
/* The same of one whose it is known, to whom the room is promised where it is there. */
CisFinding *cis_storage_promise (CisStorage *self, guint64 size);
/* So much of what was promised has come, or will not. */
void cis_storage_redeem (CisStorage *self, guint64 size);

G_END_DECLS
