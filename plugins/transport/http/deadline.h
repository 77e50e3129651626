/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

/**
 * CisDeadline: cancels what blocks when its time is over, from a thread of its own. libsoup's time-out begins
 * anew with each byte, so that a server that drips would never meet it. All functions are called by one
 * thread.
 */
typedef struct _CisDeadline CisDeadline;

CisDeadline *cis_deadline_new (void);
void cis_deadline_free (CisDeadline *self);
/* @cancellable is cancelled @time µs from now, unless that is put off or ended. */
void cis_deadline_begin (CisDeadline *self, GCancellable *cancellable, gint64 time);
/* @time µs from now. */
void cis_deadline_put_off (CisDeadline *self, gint64 time);
/* Whether it was too late. */
gboolean cis_deadline_end (CisDeadline *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisDeadline, cis_deadline_free)
