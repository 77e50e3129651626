/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the placeholders of a remedy stand for; each nullable. */
typedef struct
{
  const char *your_commit;
  const char *head_commit;
  const char *branch;
  const char *host;
  const char *episode;
} CisRemedy;

/* @template with {your_commit}, {head_commit}, {branch}, {host} and {episode} filled in; other braces stay.
 * full. */
char *cis_remedy_fill (const char *template, const CisRemedy *remedy);

G_END_DECLS
