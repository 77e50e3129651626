/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A git repository in a tree, and tests/system/forgejo.py, which serves it as a Forgejo does. */

#include "harness.h"

/* Runs a shell script in the tree, and returns what it prints, stripped; full. Fails the test where the
 * script does. */
char *forge_run (const char *tree, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* git needs to know who commits, and nothing of this machine. Before the first thread. */
void forge_prepare (void);
/* tree/repository with the commits 1 to @n on main, a minute apart, tagged c1, c2, …, the last one now. */
void forge_make_repository (const char *tree, guint n);

typedef struct
{
  char *tree; /* none */
  char *url;
  GSubprocess *process;
} Forge;

/* Serves tree/repository as lab/code. @option: nullable, such as "--cap=7". */
Forge *forge_new (const char *tree, const char *option);
void forge_free (Forge *forge);
/* What goes wrong from now on, as forgejo.py says it; "ok": nothing. */
void forge_set (Forge *forge, const char *mode);
/* The requests so far: "200 1 main", a line for each; full. */
char *forge_get_log (Forge *forge);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Forge, forge_free)
