/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * Watch: hints by inotify(7) about episodes/ and the unfinished episodes in it. Only hints: where the kernel
 * has no watch to spare or loses an event, polling finds the same a little later. Used on one thread.
 */
typedef struct _Watch Watch;

typedef enum
{
  WATCH_APPEARED,
  WATCH_VANISHED,
  WATCH_FINISHED, /* an unfinished one got its meta.json, or it was filled */
  WATCH_LOST,     /* events were lost, name is %NULL: anything may have happened */
} WatchEvent;

typedef void (*WatchFunc) (const char *name, WatchEvent event, gpointer user_data);

/* @folder: a descriptor that must outlive the watch. */
Watch *watch_new (int folder);
void watch_free (Watch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Watch, watch_free)

int watch_get_fd (Watch *self); /* -1 where there is no inotify */
/* Reads what has come, without blocking. */
void watch_read (Watch *self, WatchFunc func, gpointer user_data);
/* Watches for the meta.json of an episode; a bounded number of them. */
void watch_add_unfinished (Watch *self, const char *name);
void watch_remove_unfinished (Watch *self, const char *name);
/* Gives up the watches of those for which @is_known is %FALSE. */
void watch_prune (Watch *self, gboolean (*is_known) (gpointer user_data, const char *name),
                  gpointer user_data);

G_END_DECLS
