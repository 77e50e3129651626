/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What becomes of what lies in tree/state/episodes. */

#include "once.h"

#define SECOND G_USEC_PER_SEC

/* Stamped episodes pass and stay where they are; unstamped ones go to quarantine/, whose reasons tell the
 * order. */
#define SCAN_AND_JUDGE(scan)                                                                                 \
  "[pipeline]\nstages=scan;stamp;quarantine\nworkers=1\n"                                                    \
  "[scan]\nplugin=scan/episodes\nstate=@STATE@\n" scan "\n"                                                  \
  "[stamp]\nplugin=gate/stamp\n"                                                                             \
  "[quarantine]\nplugin=store/quarantine\nstate=@STATE@\n"

G_GNUC_UNUSED static int
run (const char *tree, const char *ini)
{
  g_autoptr (CisPipeline) pipeline = once_load (tree, ini);

  return once_run (pipeline);
}

G_GNUC_UNUSED static void
assert_list (const char *tree, const char *folder, const char *expected)
{
  g_autofree char *path = g_build_filename ("state", folder, NULL);
  g_autofree char *names = test_list (tree, path);

  g_assert_cmpstr (names, ==, expected);
}
