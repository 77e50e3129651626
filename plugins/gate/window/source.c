/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "source.h"

G_DEFINE_ABSTRACT_TYPE (CisWindowSource, cis_window_source, G_TYPE_OBJECT)

const char *
cis_window_source_get_name (CisWindowSource *self)
{
  return CIS_WINDOW_SOURCE_GET_CLASS (self)->name;
}

CisWindow *
cis_window_source_fetch (CisWindowSource *self, const char *branch, guint n, GCancellable *cancellable,
                         GError **error)
{
  CisWindowSourceClass *klass = CIS_WINDOW_SOURCE_GET_CLASS (self);
  g_autoptr (CisWindow) window = cis_window_new (klass->name, g_get_monotonic_time ());

  if (!klass->fetch (self, window, branch, n, cancellable, error))
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
  return CIS_WINDOW_SOURCE_GET_CLASS (self)->suggest (self, branch, error);
}

static void
cis_window_source_class_init (CisWindowSourceClass *klass)
{
}

static void
cis_window_source_init (CisWindowSource *self)
{
}
