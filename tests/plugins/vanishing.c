/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The library that missing-library.so is linked with and does not find. */
__attribute__ ((visibility ("default"))) int vanishing_answer (void);

int
vanishing_answer (void)
{
  return 42;
}
