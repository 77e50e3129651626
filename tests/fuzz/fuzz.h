/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A fuzzer is one function that takes any bytes and asserts what must hold of them. libFuzzer (clang) calls
 * it with what it invents; seeds.c, in the normal suite, with what is in seeds/. */

#include "cis490.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

/* A part of an input that stands for several files: they are separated by lines of "%%". */
typedef struct
{
  const char *data;
  gsize size;
} FuzzPart;

/* The first @n parts; those that are not there are empty. */
void fuzz_split (const guint8 *data, gsize size, FuzzPart *parts, guint n);

/* The path of a file in memory with these bytes; each @slot below 4 is one file. none */
const char *fuzz_memory_file (guint slot, const void *data, gsize size);

/* A folder of this process, below TMPDIR or in memory, removed when the process ends. none */
const char *fuzz_folder (void);
/* Makes @name in it hold these bytes; its path. full */
char *fuzz_file (const char *name, const void *data, gsize size);

/* Asserts that @message begins with "<path>:<line>: ", and that @text has that line. */
void fuzz_assert_position (const char *message, const char *path, const char *text, gsize size);
