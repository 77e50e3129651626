/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/**
 * CisRoom: how much may still go into the outbox: what its budget and the file system's floor leave. Packing
 * pauses where that is nothing, while what is packed already goes out. Thread-safe.
 */
typedef struct _CisRoom CisRoom;

/* @part, @state: none, must outlive it. @outbox_max: bytes, 0: any.
 * @free_space: bytes that must stay free. */
CisRoom *cis_room_new (CisPart *part, CisHostState *state, guint64 outbox_max, guint64 free_space);
void cis_room_free (CisRoom *self);
/* Before the episode @name is packed. Where there is no more than it was too large for before:
 * G_IO_ERROR_NO_SPACE. */
gboolean cis_room_begin (CisRoom *self, const char *name, GError **error);
/* While it is packed, now and then: G_IO_ERROR_NO_SPACE where nothing is left. */
gboolean cis_room_check (CisRoom *self, const char *name, GError **error);
/* It did not fit, because of @what, and had @used so many bytes by then; people are told once. full. */
CisOutcome *cis_room_lack (CisRoom *self, const char *name, guint64 used, const char *what);
/* It is packed. */
void cis_room_suffice (CisRoom *self, const char *name);
/* Tells people that it is over, where it is: there is more room, or the episode is gone. */
void cis_room_look (CisRoom *self);
/* Forgets what is remembered of episodes that are gone. */
void cis_room_forget_gone (CisRoom *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisRoom, cis_room_free)
