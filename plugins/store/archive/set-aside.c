/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "set-aside.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define FOLDER    "damaged"
#define NAMES_MAX 100
#define SUFFIX    ".swap"

/* A second name of the .part, which trades places with the archive's. No walk over incoming/ sees it. */
static char *
get_spare (const char *episode)
{
  return g_strdup_printf (".%s" SUFFIX, episode);
}

static gboolean
is_same (const struct stat *a, const struct stat *b)
{
  return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static gboolean
set_changed (GError **error, CisEpisode *episode)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "The archive of %s is another by now",
               cis_item_get_id (CIS_ITEM (episode)));
  return FALSE;
}

/* A free name in @folder for the archive @archive, or the one that it has there already, of an attempt that
 * was cut; full. */
static char *
link_aside (CisShelf *shelf, const char *archive, int folder, CisEpisode *episode, const CisDamage *damage,
            GError **error)
{
  for (guint i = 1; i <= NAMES_MAX; i++)
    {
      g_autofree char *number = i > 1 ? g_strdup_printf (".%u", i) : g_strdup ("");
      g_autofree char *name =
          g_strdup_printf ("%s.%s%s.tar.zst", cis_episode_get_name (episode), damage->found, number);
      struct stat st;

      if (linkat (shelf->store, archive, folder, name, 0) == 0)
        return g_steal_pointer (&name);
      if (errno != EEXIST)
        {
          cis_error_set_errno (error, errno, "Linking " FOLDER "/%s/%s", shelf->host, name);
          return NULL;
        }
      if (fstatat (folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_same (&st, &damage->st))
        return g_steal_pointer (&name);
    }
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, FOLDER "/%s has too many of %s", shelf->host,
               cis_episode_get_name (episode));
  return NULL;
}

/* The damaged archive gets its second name, on disk before it loses the first. */
static char *
keep_aside (CisLayout *layout, CisShelf *shelf, CisEpisode *episode, const char *archive,
            const CisDamage *damage, GError **error)
{
  g_autofree char *name = NULL;
  int parent = cis_folder_open (layout->state, FOLDER, TRUE, error);
  int folder = parent >= 0 ? cis_folder_open (parent, shelf->host, TRUE, error) : -1;

  if (folder >= 0)
    name = link_aside (shelf, archive, folder, episode, damage, error);
  if (name != NULL && !cis_file_sync (folder, FOLDER, error))
    g_clear_pointer (&name, g_free);
  if (folder >= 0)
    g_close (folder, NULL);
  if (parent >= 0)
    g_close (parent, NULL);
  return name != NULL ? g_build_filename (FOLDER, shelf->host, name, NULL) : NULL;
}

/* Whoever has put another archive there meanwhile gets it back. */
static gboolean
trade_places (CisShelf *shelf, CisEpisode *episode, const char *part, const char *archive,
              const CisDamage *damage, gboolean *linked, GError **error)
{
  g_autofree char *spare = get_spare (cis_episode_get_name (episode));
  struct stat st;

  if (!cis_file_remove (shelf->incoming, spare, error))
    return FALSE;
  if (linkat (shelf->incoming, part, shelf->incoming, spare, 0) != 0)
    return cis_error_set_errno (error, errno, "Linking incoming/%s/%s", shelf->host, spare);
  if (renameat2 (shelf->incoming, spare, shelf->store, archive, RENAME_EXCHANGE) != 0)
    return cis_error_set_errno (error, errno, "Exchanging store/%s/%s", shelf->host, archive);
  *linked = TRUE;
  if (fstatat (shelf->incoming, spare, &st, AT_SYMLINK_NOFOLLOW) != 0 || !is_same (&st, &damage->st))
    {
      if (renameat2 (shelf->incoming, spare, shelf->store, archive, RENAME_EXCHANGE) != 0)
        return cis_error_set_errno (error, errno, "Putting store/%s/%s back", shelf->host, archive);
      *linked = FALSE;
      return set_changed (error, episode);
    }
  /* It is done; the spare name goes with the next attempt, or the next start. */
  (void) cis_file_remove (shelf->incoming, spare, NULL);
  return TRUE;
}

gboolean
cis_set_aside (CisLayout *layout, CisShelf *shelf, CisEpisode *episode, const char *part,
               const CisDamage *damage, char **name, gboolean *linked, GError **error)
{
  g_autofree char *archive = cis_layout_archive_name (cis_episode_get_name (episode));
  struct stat st;

  if (fstatat (shelf->store, archive, &st, AT_SYMLINK_NOFOLLOW) != 0 || !is_same (&st, &damage->st))
    return set_changed (error, episode);
  *name = keep_aside (layout, shelf, episode, archive, damage, error);
  return *name != NULL && trade_places (shelf, episode, part, archive, damage, linked, error);
}

gboolean
cis_set_aside_alone (CisLayout *layout, CisShelf *shelf, CisEpisode *episode, const CisDamage *damage,
                     char **name, GError **error)
{
  g_autofree char *archive = cis_layout_archive_name (cis_episode_get_name (episode));

  *name = keep_aside (layout, shelf, episode, archive, damage, error);
  return *name != NULL && cis_file_remove (shelf->store, archive, error);
}

static gboolean
clean_host (int incoming, const char *host, GError **error)
{
  int folder = cis_folder_open (incoming, host, FALSE, error);
  g_autoptr (GPtrArray) names = folder >= 0 ? cis_folder_list (folder, host, error) : NULL;
  gboolean ok = names != NULL;

  for (guint i = 0; ok && i < names->len; i++)
    {
      const char *name = names->pdata[i];

      if (name[0] == '.' && g_str_has_suffix (name, SUFFIX))
        ok = cis_file_remove (folder, name, error);
    }
  if (folder >= 0)
    g_close (folder, NULL);
  return ok;
}

gboolean
cis_set_aside_clean (CisLayout *layout, GError **error)
{
  g_autoptr (GPtrArray) hosts = cis_layout_list (layout->incoming, ".", error);

  for (guint i = 0; hosts != NULL && i < hosts->len; i++)
    {
      struct stat st;
      int there = cis_layout_look (layout->incoming, hosts->pdata[i], &st, error);

      if (there < 0 ||
          (there > 0 && S_ISDIR (st.st_mode) && !clean_host (layout->incoming, hosts->pdata[i], error)))
        return FALSE;
    }
  return hosts != NULL;
}

CisFinding *
cis_set_aside_describe (CisEpisode *episode, const CisDamage *damage, const char *path)
{
  g_autofree char *quoted = g_shell_quote (path);
  CisFinding *finding = cis_finding_new ("archive-damaged", CIS_SEVERITY_ERROR, path,
                                         "The archive of %s in the store was damaged: %s. Its host has sent "
                                         "it again, with the sha256 %s, which is "
                                         "stored; the damaged one, with the sha256 %s, is set aside as %s.",
                                         cis_item_get_id (CIS_ITEM (episode)), damage->reason,
                                         cis_episode_get_sha256 (episode), damage->found, path);

  cis_finding_set_fix (finding,
                       "# are there others, and is the disk in order?\n"
                       "cis490 index verify\n"
                       "# nothing is lost; once you have seen it:\n"
                       "rm %s",
                       quoted);
  cis_finding_set_detail (finding, "stored_sha256", cis_episode_get_sha256 (episode));
  cis_finding_set_detail (finding, "damaged_sha256", damage->found);
  return finding;
}
