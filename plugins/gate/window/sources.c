/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which sources there are, and in which order they are asked. */
#include "source.h"

gboolean
cis_window_option_is_set (const char *option)
{
  return option != NULL && option[0] != '\0' && !g_str_has_prefix (option, "${");
}

static const char *const *
get_names (const CisWindowSetup *setup)
{
  static const char *const usual[] = { "forgejo", "git", NULL };

  if (setup->names != NULL)
    return setup->names;
  return cis_window_option_is_set (setup->forgejo_url) ? usual : usual + 1;
}

gboolean
cis_window_sources_check (const CisWindowSetup *setup, GError **error)
{
  const char *const *names = get_names (setup);

  if (*names == NULL)
    g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG,
                         "sources: at least one is needed, such as “git”");
  for (const char *const *name = names; *name != NULL; name++)
    if (g_str_equal (*name, "forgejo"))
      {
        if (!cis_window_source_forgejo_check (setup->forgejo_url, setup->forgejo_repository, error))
          return FALSE;
      }
    else if (g_str_equal (*name, "git"))
      {
        if (!cis_window_source_git_check (setup->repository, error))
          return FALSE;
      }
    else
      {
        g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                     "sources: there is no source “%s”; the known ones are “forgejo” and “git”", *name);
        return FALSE;
      }
  return *names != NULL;
}

GPtrArray *
cis_window_sources_new (const CisWindowSetup *setup, GError **error)
{
  g_autoptr (GPtrArray) sources = g_ptr_array_new_with_free_func ((GDestroyNotify) cis_window_source_free);

  if (!cis_window_sources_check (setup, error))
    return NULL;
  for (const char *const *name = get_names (setup); *name != NULL; name++)
    {
      CisWindowSource *source = g_str_equal (*name, "git") ? cis_window_source_git_new (setup->repository)
                                                           : cis_window_source_forgejo_new (setup, error);

      if (source == NULL)
        return NULL;
      g_ptr_array_add (sources, source);
    }
  return g_steal_pointer (&sources);
}
