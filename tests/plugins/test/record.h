/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Appends a line to @path (nullable: nowhere) in one write, so that the lines of all threads keep their
 * order. */
G_GNUC_PRINTF (2, 3)
static inline void
record (const char *path, const char *format, ...)
{
  g_autofree char *line = NULL;
  va_list args;
  int fd;

  if (path == NULL)
    return;
  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (dprintf (fd, "%s\n", line), >, 0);
  close (fd);
}
