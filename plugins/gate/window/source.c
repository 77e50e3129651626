/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "source.h"

void
cis_window_source_free (CisWindowSource *self)
{
  self->klass->free (self);
}

const char *
cis_window_source_get_name (CisWindowSource *self)
{
  return self->klass->name;
}

CisWindow *
cis_window_source_fetch (CisWindowSource *self, const char *branch, guint n, GCancellable *cancellable,
                         GError **error)
{
  g_autoptr (CisWindow) window = cis_window_new (self->klass->name, g_get_monotonic_time ());

  if (!self->klass->fetch (self, window, branch, n, cancellable, error))
    return NULL;
  if (cis_window_get_length (window) == 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the branch %s has no commits", branch);
      return NULL;
    }
  return g_steal_pointer (&window);
}

char *
cis_window_source_suggest (CisWindowSource *self, const char *branch, const GError *error)
{
  return self->klass->suggest (self, branch, error);
}
