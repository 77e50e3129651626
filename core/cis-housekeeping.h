/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisHousekeeping: one thread with a main context of its own, for what is due later: maintain(), second
 * tries.
 */
typedef struct _CisHousekeeping CisHousekeeping;

CisHousekeeping *cis_housekeeping_new (void);
/* What is due later is forgotten; what runs is waited for. */
void cis_housekeeping_free (CisHousekeeping *self);
/* Runs @function (@data) once in @delay µs, on the thread. It must return G_SOURCE_REMOVE. */
void cis_housekeeping_add (CisHousekeeping *self, gint64 delay, GSourceFunc function, gpointer data);

G_END_DECLS
