/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#define MESSAGE_SWEPT "6b1d0e4f5f0a4c0c8d5b5b2f4c0b7a11"

/* Whatever pack calls its working files, they begin with the episode's name and a dot. A hidden file's name
 * begins behind its first dot. */
static gboolean
is_in_flight (Backlog *backlog, const char *file)
{
  const char *base = *file == '.' ? file + 1 : file;

  for (const char *dot = strchr (base, '.'); dot != NULL; dot = strchr (dot + 1, '.'))
    {
      g_autofree char *name = g_strndup (base, (gsize) (dot - base));

      if (backlog_is_in_flight (backlog, name))
        return TRUE;
    }
  return FALSE;
}

/* TRUE for "<episode>.tar.zst" and "<episode>.json" of an episode that is certainly not there. */
static gboolean
is_orphan (CisHostState *state, const char *file)
{
  static const char *const suffixes[] = { ".tar.zst", ".json" };
  int episodes = cis_host_state_get_fd (state, CIS_FOLDER_EPISODES);

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *name = NULL;
      struct stat st;

      if (!g_str_has_suffix (file, suffixes[i]))
        continue;
      name = g_strndup (file, strlen (file) - strlen (suffixes[i]));
      return cis_name_is_valid (name, CIS_EPISODE_NAME_MAX) &&
             fstatat (episodes, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
    }
  return FALSE;
}

static void
sweep_file (CisPart *part, CisHostState *state, CisFolder folder, const char *file)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = cis_host_state_get_file (state, folder, file, NULL);

  if (cis_file_remove (cis_host_state_get_fd (state, folder), file, &error))
    cis_part_log (part, NULL, G_LOG_LEVEL_INFO, MESSAGE_SWEPT, "Removed %s, which no episode needs any more",
                  path);
  else
    cis_part_log (part, NULL, G_LOG_LEVEL_WARNING, NULL,
                  "Cannot remove %s, which no episode needs any more: %s", path, error->message);
}

/* What a killed run was writing: pack's tarballs, and the temporary files of cis_file_replace(). That of a
 * hidden file, such as retire's notice, is of no episode, and may be written just now. */
static gboolean
is_partial (const char *file)
{
  return g_str_has_suffix (file, ".partial") ||
         (*file == '.' && file[1] != '.' && g_str_has_suffix (file, ".tmp"));
}

static void
sweep_folder (CisPart *part, CisHostState *state, CisFolder folder, Backlog *backlog,
              GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = cis_host_state_get_file (state, folder, "", NULL);
  g_autoptr (GPtrArray) names = cis_folder_list (cis_host_state_get_fd (state, folder), path, &error);

  if (names == NULL)
    cis_part_log (part, NULL, G_LOG_LEVEL_WARNING, NULL, "%s", error->message);
  for (guint i = 0; names != NULL && i < names->len && !g_cancellable_is_cancelled (cancellable); i++)
    {
      const char *file = g_ptr_array_index (names, i);

      if ((is_partial (file) || (folder == CIS_FOLDER_OUTBOX && is_orphan (state, file))) &&
          !is_in_flight (backlog, file))
        sweep_file (part, state, folder, file);
    }
}

/* Whether receipts/ is as it was. A change within the same tick of the file system's clock would not show, so
 * a folder that changed just now counts as changed once more. */
static gboolean
is_swept (CisHostState *state, struct timespec *swept)
{
  struct timespec before = *swept;
  struct stat st;

  *swept = (struct timespec){ 0 };
  if (fstat (cis_host_state_get_fd (state, CIS_FOLDER_RECEIPTS), &st) != 0)
    return FALSE;
  if (ABS (g_get_real_time () - st.st_mtim.tv_sec * G_USEC_PER_SEC) > 2 * G_USEC_PER_SEC)
    *swept = st.st_mtim;
  return before.tv_sec != 0 && before.tv_sec == st.st_mtim.tv_sec && before.tv_nsec == st.st_mtim.tv_nsec;
}

void
sweep (CisPart *part, CisHostState *state, Backlog *backlog, struct timespec *receipts_swept,
       GCancellable *cancellable)
{
  sweep_folder (part, state, CIS_FOLDER_OUTBOX, backlog, cancellable);
  if (!is_swept (state, receipts_swept))
    sweep_folder (part, state, CIS_FOLDER_RECEIPTS, backlog, cancellable);
}
