/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* A receiver's gate as its ini describes it. */
typedef struct
{
  GPtrArray *pipelines; /* owned; the one that the stage belongs to */
  GObject *stage;       /* none */
  char *repository;
  char *branch;
  guint window;
  gboolean enabled;
  char *index; /* the path of index.jsonl; nullable */
} Gate;

/* %FALSE: it was said what is wrong, and *@status is the exit status. */
gboolean gate_load (Gate *gate, const char *pipeline, const char *site_file, int *status);
void gate_clear (Gate *gate);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Gate, gate_clear)

/* "2026-11-21", "2026-11-21T22:51:00Z" as seconds since 1970; a date is its beginning, and without a zone it
 * is UTC. */
gboolean gate_parse_time (const char *text, gint64 *seconds);

/* cis490 gate replay. @window: %0 for the one of the ini. */
int gate_replay (Gate *gate, guint window, const char *index, gboolean json);

G_END_DECLS
