/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* The verbs of the program, a file each. argv[0] is the verb; they return the exit status. */
int cis_verb_check (int argc, char **argv);
int cis_verb_gate (int argc, char **argv);
int cis_verb_graph (int argc, char **argv);
int cis_verb_index (int argc, char **argv);
int cis_verb_inspect (int argc, char **argv);
int cis_verb_ping (int argc, char **argv);
int cis_verb_quarantine (int argc, char **argv);
int cis_verb_run (int argc, char **argv);
int cis_verb_stamp (int argc, char **argv);
int cis_verb_token (int argc, char **argv);

G_END_DECLS
