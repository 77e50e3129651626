/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/**
 * CisPlugin: a loaded plugin; never unloaded.
 */
typedef struct
{
  const CisPluginDescriptor *descriptor;
  GType type;
  char *path;
  guint64 device, inode; /* of the file that was loaded */
} CisPlugin;

/* Loads "family/name" from the first folder of the search path (CIS490_PLUGIN_PATH, colon-separated, else the
 * installed one) that has it, once per process. CIS_ERROR_PLUGIN names the path and the reason. none. On any
 * thread. */
CIS_API const CisPlugin *cis_plugin_load (const char *name, GError **error);

/* The sorted names of all plugins on the search path, loaded or not; full. */
CIS_API GStrv cis_plugin_list (void);

/* The names of loaded plugins whose file is another one by now; full. */
CIS_API GStrv cis_plugin_list_replaced (void);

G_END_DECLS
