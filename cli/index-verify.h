/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* In what a receiver's index and store do not agree. */
typedef enum
{
  FLAW_MISSING,    /* a row without an archive */
  FLAW_EXTRA,      /* an archive without a row */
  FLAW_DIFFERING,  /* other bytes than the row says */
  FLAW_DUPLICATE,  /* more than one row */
  FLAW_MALFORMED,  /* a row that does not say what it should */
  FLAW_UNREADABLE, /* an archive that cannot be read */
  N_FLAWS,
} FlawKind;

typedef struct
{
  FlawKind kind;
  char *id;     /* host/episode; "" where the row does not tell */
  char *detail; /* for a person */
} Flaw;

typedef struct
{
  GPtrArray *flaws; /* of Flaw, sorted; owned */
  guint64 n_rows, n_archives, n_in_flight;
  guint64 n_hashed; /* bytes */
} VerifyReport;

/* Compares index.jsonl with store/, both below @directory; archives are hashed by @jobs threads, or with
 * @quick not at all. A receiver may run meanwhile. Progress goes to the terminal. Clear the report by
 * verify_report_clear(). */
gboolean verify_index (const char *directory, gboolean quick, guint jobs, VerifyReport *report,
                       GError **error);
void verify_report_clear (VerifyReport *report);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (VerifyReport, verify_report_clear)

G_END_DECLS
