/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

#include <errno.h>
#include <sysexits.h>

G_DEFINE_QUARK (cis_error_quark, cis_error)

int
cis_error_exit_status (const GError *error)
{
  if (g_error_matches (error, CIS_ERROR, CIS_ERROR_CONFIG) ||
      g_error_matches (error, CIS_ERROR, CIS_ERROR_PLUGIN))
    return EX_CONFIG;
  if (g_error_matches (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE))
    return EX_UNAVAILABLE;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    return EX_NOPERM;
  if (error != NULL && error->domain == G_OPTION_ERROR)
    return EX_USAGE;
  return 1;
}

gboolean
cis_error_set_errno (GError **error, int errsv, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  /* A quota that is used up is a disk that is full; GLib 2.74 does not know it. */
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errsv == EDQUOT ? ENOSPC : errsv), "%s: %s", message,
               g_strerror (errsv));
  return FALSE;
}
