/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A disk that fails in each possible place, one after the other. The executable that is linked with faults.c
 * (and exports its symbols) has the C library's file functions of its own, which libcis490 and the plugins
 * find first. */

#include "harness.h"

/**
 * FaultsFunc: sets up from nothing, does what is tried between faults_begin() and faults_end(), and judges
 * what is left: either all of it was done, or an error says that it was not, and nothing is lost; a second
 * try works. What it opens it closes: the descriptors are counted.
 */
typedef void (*FaultsFunc) (gpointer user_data);

/* A test that calls @attempt once undisturbed, and then once for each call of a file function that it makes
 * on this thread and each way in which that may fail: this time only, or from then on. @user_data: none. */
void faults_add_test (const char *path, FaultsFunc attempt, gconstpointer user_data);

/* From here on they are counted, and the chosen one fails. */
void faults_begin (void);
/* Ends that. The call that failed, such as "fsync"; %NULL where all went well. */
const char *faults_end (void);
/* Whether that call, once failed, goes on failing: then what an error leaves behind may not be cleared
 * away. */
gboolean faults_are_lasting (void);
/* What it failed with: an errno, or FAULT_*. */
int faults_get_error (void);

/* A fault of one's own, instead of all, one after the other: the @nth call of @call from faults_begin() on
 * fails with @error; where
 * @lasting, all later ones too. */
void faults_choose (const char *call, guint nth, int error, gboolean lasting);
/* Lets all calls of another one fail besides. */
void faults_choose_too (const char *call, int error);

enum
{
  FAULT_SHORT = -1, /* half of the bytes are moved */
  FAULT_NONE = -2,  /* no byte is moved: the end of the file */
  FAULT_LIE = -3,   /* nothing is done, and it says that it was */
};
