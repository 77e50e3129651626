/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where an episode is. */
static const CisFolder folders[] = { CIS_FOLDER_EPISODES, CIS_FOLDER_SHIPPED, CIS_FOLDER_QUARANTINE };

/* Room for "-999" behind it. */
#define SUGGESTION_MAX (CIS_EPISODE_NAME_MAX - 4)

char *
name_to_subject (const char *name)
{
  return g_strescape (name, NULL);
}

/* The word that a shell reads as these very bytes; $'…' (bash, zsh, POSIX 2024) where they do not print. */
static char *
quote (const char *path)
{
  g_autofree char *escaped = g_strescape (path, "\"");
  g_auto (GStrv) parts = NULL;
  g_autofree char *joined = NULL;

  if (g_str_equal (escaped, path))
    return g_shell_quote (path);
  parts = g_strsplit (escaped, "'", -1);
  joined = g_strjoinv ("\\'", parts);
  return g_strdup_printf ("$'%s'", joined);
}

static gboolean
is_taken (CisHostState *state, const char *name)
{
  struct stat st;

  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    if (fstatat (cis_host_state_get_fd (state, folders[i]), name, &st, AT_SYMLINK_NOFOLLOW) == 0)
      return TRUE;
  return FALSE;
}

/* The nearest name that is valid and free; full. */
static char *
suggest (CisHostState *state, const char *name)
{
  g_autoptr (GString) nearest = g_string_new (NULL);

  for (const char *at = name; *at != '\0' && nearest->len < SUGGESTION_MAX; at++)
    {
      gboolean plain = g_ascii_isalnum (*at) || *at == '.' || *at == '_';
      char c = plain ? *at : '-';

      if (nearest->len == 0 ? g_ascii_isalnum (c)
                            : g_ascii_isalnum (c) || nearest->str[nearest->len - 1] != c)
        g_string_append_c (nearest, c);
    }
  if (nearest->len == 0)
    g_string_append (nearest, "episode");

  for (guint n = 2, length = (guint) nearest->len; is_taken (state, nearest->str) && n < 1000; n++)
    {
      g_string_truncate (nearest, length);
      g_string_append_printf (nearest, "-%u", n);
    }
  return g_string_free (g_steal_pointer (&nearest), FALSE);
}

CisFinding *
name_to_finding (CisHostState *state, const char *name)
{
  g_autofree char *subject = name_to_subject (name);
  g_autofree char *nearest = suggest (state, name);
  g_autofree char *from = cis_host_state_get_file (state, CIS_FOLDER_EPISODES, name, NULL);
  g_autofree char *to = cis_host_state_get_file (state, CIS_FOLDER_EPISODES, nearest, NULL);
  g_autofree char *quoted_from = quote (from);
  g_autofree char *quoted_to = quote (to);
  CisFinding *finding = cis_finding_new (
      "episode-name-invalid", CIS_SEVERITY_WARNING, subject,
      "The episode \"%s\" is not shipped: a name is a letter or digit, then letters, digits, "
      "'.', '_' and '-', at most %d bytes, without \"..\"",
      subject, CIS_EPISODE_NAME_MAX);

  cis_finding_set_fix (finding, "mv -T -- %s %s", quoted_from, quoted_to);
  return finding;
}

static gboolean
is_ours (CisHostState *state, const char *path)
{
  struct stat st, own;

  if (stat (path, &st) != 0)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    if (fstat (cis_host_state_get_fd (state, folders[i]), &own) == 0 && own.st_dev == st.st_dev &&
        own.st_ino == st.st_ino)
      return TRUE;
  return FALSE;
}

gboolean
link_hides_episode (CisHostState *state, const char *name)
{
  g_autofree char *path = cis_host_state_get_file (state, CIS_FOLDER_EPISODES, name, NULL);
  g_autofree char *meta = cis_host_state_get_file (state, CIS_FOLDER_EPISODES, name, "/meta.json");
  g_autofree char *target = realpath (path, NULL);

  /* What may not be looked at may be one. */
  if (target == NULL)
    return errno == EACCES;
  if (access (meta, F_OK) != 0 && errno != EACCES)
    return FALSE;
  for (char *slash = strrchr (target, '/'); slash != target; slash = strrchr (target, '/'))
    {
      *slash = '\0';
      if (is_ours (state, target))
        return FALSE;
    }
  return TRUE;
}

CisFinding *
link_to_finding (CisHostState *state, const char *name)
{
  g_autofree char *subject = name_to_subject (name);
  g_autofree char *path = cis_host_state_get_file (state, CIS_FOLDER_EPISODES, name, NULL);
  g_autofree char *hidden_name = g_strconcat (".", name, NULL);
  g_autofree char *hidden = cis_host_state_get_file (state, CIS_FOLDER_EPISODES, hidden_name, NULL);
  g_autofree char *quoted = quote (path);
  g_autofree char *quoted_hidden = quote (hidden);
  CisFinding *finding = cis_finding_new ("episode-is-link", CIS_SEVERITY_WARNING, subject,
                                         "The episode \"%s\" is not shipped: it is a symlink, and only the "
                                         "folder itself can go to shipped/ or quarantine/",
                                         subject);

  /* From another file system it is copied. Scan passes over ".NAME", and so over half a copy. */
  cis_finding_set_fix (finding, "target=$(readlink -e %s) && mv -T -- \"$target\" %s && rm %s && mv -T %s %s",
                       quoted, quoted_hidden, quoted, quoted_hidden, quoted);
  return finding;
}
