/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "branch.h"

#include <string.h>

/* What speaks against it; none, %NULL where nothing does. */
static const char *
find_fault (const char *branch)
{
  g_auto (GStrv) components = g_strsplit (branch, "/", -1);

  if (*branch == '\0')
    return "it is empty";
  if (g_str_has_prefix (branch, "refs/"))
    return "that is the full name of a reference";
  if (g_str_equal (branch, "HEAD") || g_str_equal (branch, "@"))
    return "that is git's word for what is checked out";
  if (strchr ("\"'", *branch) != NULL)
    return "quotes would be part of the name";
  if (*branch == '-')
    return "git takes none that begins with “-”";
  for (const char *at = branch; *at != '\0'; at++)
    if (g_ascii_iscntrl (*at) || strchr (" ~^:?*[\\", *at) != NULL)
      return "a branch's name has no blank, no control character and none of ~^:?*[\\";
  if (strstr (branch, "..") != NULL || strstr (branch, "@{") != NULL)
    return "a branch's name has no “..” and no “@{”";
  if (g_str_has_suffix (branch, "."))
    return "a branch's name does not end with “.”";
  for (char **one = components; *one != NULL; one++)
    if (**one == '\0')
      return "there is nothing before, behind or between “/”";
    else if (**one == '.' || g_str_has_suffix (*one, ".lock"))
      return "no part of a branch's name begins with “.” or ends with “.lock”";
  return NULL;
}

/* The name in what somebody wrote around it: quotes, a comment, where it is; full. */
static char *
find_meant (const char *written)
{
  static const char *const places[] = { "refs/heads/", "refs/remotes/origin/", "refs/remotes/",
                                        "refs/tags/" };
  static const char *const endings[] = { "/", ".lock", "." };
  g_autofree char *text = g_strstrip (g_strdup (written));
  char *name = text + strspn (text, "\"'");
  char *rest;

  rest = name + strcspn (name, " \t\"'");
  if (strchr ("#;", rest[strspn (rest, " \t\"'")]) != NULL)
    *rest = '\0';
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    if (g_str_has_prefix (name, places[i]))
      name += strlen (places[i]);
  for (guint i = 0; i < G_N_ELEMENTS (endings); i++)
    while (g_str_has_suffix (name, endings[i]))
      name[strlen (name) - strlen (endings[i])] = '\0';
  return g_strdup (name);
}

gboolean
cis_branch_check (const char *branch, GError **error)
{
  const char *fault = find_fault (branch);
  g_autofree char *meant = fault != NULL ? find_meant (branch) : NULL;

  if (fault == NULL)
    return TRUE;
  if (find_fault (meant) == NULL)
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "branch=%s: git can have no such branch: %s; did you mean branch=%s?", branch, fault, meant);
  else
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "branch=%s: git can have no such branch: %s; it looks like branch=main", branch, fault);
  return FALSE;
}
