/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

#include <fcntl.h>
#include <unistd.h>

/* Thirty times the bundle of a system; GnuTLS would read whatever there is. */
#define BUNDLE_MAX (8 * 1024 * 1024)

static void
close_held (gpointer fd)
{
  close (GPOINTER_TO_INT (fd)); /* which was only read */
}

/* GnuTLS reads them from a path, now and again with each handshake, and would wait for a FIFO's other end. So
 * it gets the path of what was opened, which stays open as long. */
GTlsDatabase *
cis_authorities_load (const char *path, GError **error)
{
  struct stat status;
  int fd = cis_file_open (AT_FDCWD, path, O_RDONLY, &status, error);
  g_autofree char *held = g_strdup_printf ("/proc/self/fd/%d", fd);
  GTlsDatabase *authorities = NULL;

  if (fd >= 0 && status.st_size > BUNDLE_MAX)
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s is larger than %d bytes", path, BUNDLE_MAX);
  else if (fd >= 0)
    authorities = g_tls_file_database_new (held, error);
  if (authorities != NULL)
    g_object_set_data_full (G_OBJECT (authorities), "cis490-held", GINT_TO_POINTER (fd), close_held);
  else if (fd >= 0)
    close (fd);
  return authorities;
}
