/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every test needs: a temporary tree, one part outside a pipeline, and a look at files. All of it aborts
 * the test with a message where the set-up itself fails. */

#include "cis490.h"

/* A fresh folder below the temporary one, without symlinks in its path; full. Ended by test_tree_remove(). */
char *test_tree_new (void);
void test_tree_remove (char *tree);
/* The folder, opened. */
int test_tree_open (const char *tree);
typedef char TestTree;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestTree, test_tree_remove)

/* Loads the plugin "family/name" and makes its part, options given as property names and values up to %NULL;
 * full. */
gpointer test_part_new (const char *plugin, const char *first_option, ...) G_GNUC_NULL_TERMINATED;

/* Runs the stage on the item and returns the verdict; the outcome (nullable) is full. */
CisVerdict test_process (gpointer stage, gpointer item, CisOutcome **outcome);

/* Writes @text to tree/path, folders made where missing. */
void test_write (const char *tree, const char *path, const char *text);
char *test_read (const char *tree, const char *path); /* full; %NULL where it is not there */
gboolean test_exists (const char *tree, const char *path);
/* The sorted names in tree/path, joined by spaces; full. */
char *test_list (const char *tree, const char *path);

/* An episode folder below tree/path with a valid stamp (a commit of 40 times @digit; no stamp where '\0') and
 * some data. */
void test_make_episode (const char *tree, const char *path, char digit);

/* A mount of our own needs a namespace of our own, which anybody may have. First of all in main(), before a
 * second thread. */
void test_enter_namespace (void);

/* Waits (at most two minutes) until @condition is true, looking every millisecond. */
#define test_wait_for(condition)                                                                             \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    gint64 deadline_ = g_get_monotonic_time () + 120 * G_USEC_PER_SEC;                                       \
    gboolean met_ = FALSE;                                                                                   \
                                                                                                             \
    while (!(met_ = (condition)) && g_get_monotonic_time () < deadline_)                                     \
      g_usleep (1000);                                                                                       \
    g_assert_true (met_);                                                                                    \
  }                                                                                                          \
  G_STMT_END
