/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../plugins/store/quarantine/folder.h"

G_BEGIN_DECLS

/* What the verbs below `cis490 quarantine` share. */

/* Of one entry what a person wants to know. */
typedef struct
{
  QuarantineEntry *entry; /* owned */
  const char *finding;    /* none: "" where there is no valid reason */
  guint64 bytes;          /* of all regular files in it; 0 unless it was asked for */
} Selected;

/* Which entries: those of @ids in their order, else all, the oldest first; of them only those with the
 * finding @reason (nullable) that are at least @age µs old (0: all). One of @ids that is not there is said
 * and counted in @n_missing. full */
GPtrArray *quarantine_select (Quarantine *quarantine, char **ids, const char *reason, gint64 age,
                              gboolean with_bytes, guint *n_missing, GError **error);

char *quarantine_format_age (gint64 time);    /* "3 days"; full */
char *quarantine_format_size (guint64 bytes); /* full */
void quarantine_complain (const GError *error);

int quarantine_verb_list (Quarantine *quarantine, const char *reason, gboolean all, gboolean json);
int quarantine_verb_show (Quarantine *quarantine, const char *id, gboolean json);

typedef struct
{
  char **ids; /* none; empty: all that the rest selects */
  const char *reason;
  const char *as; /* nullable: the one episode's new name */
  gint64 age;
  gboolean yes;
  gboolean force;
} QuarantineRequest;

int quarantine_verb_release (Quarantine *quarantine, const QuarantineRequest *request);
int quarantine_verb_purge (Quarantine *quarantine, const QuarantineRequest *request);

G_END_DECLS
