/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shipped.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define MESSAGE_REMOVED "b8b1c5f23a4f4e4b9e6b2f0a8d1c7e35"

/* "name", or "name-2", "name-3", …; full. */
static char *
get_suffixed (const char *name, guint n)
{
  return n < 2 ? g_strdup (name) : g_strdup_printf ("%s-%u", name, n);
}

/* 1: a folder is there, 0: none is; -1 with @error. */
static int
has_folder (int dirfd, const char *folder, const char *name, GError **error)
{
  struct stat st;

  if (fstatat (dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    return S_ISDIR (st.st_mode);
  if (errno == ENOENT)
    return 0;
  cis_error_set_errno (error, errno, "Cannot look at %s/%s", folder, name);
  return -1;
}

/* So that the receipt says which copy it is of before there are two. */
static gboolean
note_copy (CisHostState *state, CisEpisode *episode, JsonObject *receipt, const char *copy, GError **error)
{
  json_object_set_string_member (receipt, "copy", copy);
  return cis_host_state_store_receipt (state, episode, receipt, error);
}

/* Renames the episode to a name in shipped/ that is free, and returns that; full. shipped/ is synced before
 * episodes/: after a power cut it is in the one or the other, and never in neither. */
static char *
rename_to_shipped (CisHostState *state, CisEpisode *episode, JsonObject *receipt, GError **error)
{
  int episodes = cis_host_state_get_fd (state, CIS_FOLDER_EPISODES);
  int shipped = cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED);
  const char *name = cis_episode_get_name (episode);

  for (guint n = 1;; n++)
    {
      g_autofree char *target = get_suffixed (name, n);
      g_autoptr (GError) cause = NULL;

      if (n > 1 && faccessat (shipped, target, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        continue;
      if (n > 1 && !note_copy (state, episode, receipt, target, error))
        return NULL;
      if (cis_file_publish (episodes, name, shipped, target, &cause))
        return g_steal_pointer (&target);
      if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_EXISTS))
        continue;
      if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "%s is not in episodes/ any more", name);
      else
        g_propagate_error (error, g_steal_pointer (&cause));
      return NULL;
    }
}

char *
shipped_put (CisHostState *state, CisEpisode *episode, JsonObject *receipt, const struct stat *compared,
             GError **error)
{
  int shipped = cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED);
  const char *name = cis_episode_get_name (episode);
  g_autofree char *target = rename_to_shipped (state, episode, receipt, error);
  struct stat moved;

  /* Where the disk does not tell, it is the one that was compared, as ever. */
  if (target == NULL || fstatat (shipped, target, &moved, AT_SYMLINK_NOFOLLOW) != 0 ||
      (compared->st_dev == moved.st_dev && compared->st_ino == moved.st_ino))
    return g_steal_pointer (&target);
  if (shipped_return (state, target, name, error))
    g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "%s is another folder by now", name);
  return NULL;
}

/* Which copy @receipt is of; none. */
static const char *
get_vouched (const char *name, JsonObject *receipt)
{
  const char *copy = cis_json_get_string (receipt, "copy");

  return copy != NULL && g_str_has_prefix (copy, name) && strchr (copy, '/') == NULL ? copy : name;
}

/* 1: the copy is there and no other episode, -1 with @error. */
static int
is_unvouched (CisHostState *state, const char *copy, guint n, GError **error)
{
  g_autofree char *own = g_strconcat (copy, ".json", NULL);
  int there = has_folder (cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED), "shipped", copy, error);
  struct stat st;

  if (there != 1 || n == 1)
    return there;
  if (fstatat (cis_host_state_get_fd (state, CIS_FOLDER_RECEIPTS), own, &st, AT_SYMLINK_NOFOLLOW) == 0)
    return 0;
  /* Not passed over: once the receipt is gone, nobody would come back for it. */
  if (errno == ENOENT)
    return 1;
  cis_error_set_errno (error, errno, "Cannot look at receipts/%s", own);
  return -1;
}

char *
shipped_find (CisHostState *state, const char *name, JsonObject *receipt, gboolean *vouched, GError **error)
{
  int shipped = cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED);
  const char *copy = get_vouched (name, receipt);
  int there = has_folder (shipped, "shipped", copy, error);

  *vouched = there > 0;
  if (there != 0)
    return there > 0 ? g_strdup (copy) : NULL;
  for (guint n = 1;; n++)
    {
      g_autofree char *other = get_suffixed (name, n);

      there = is_unvouched (state, other, n, error);
      if (there != 0)
        return there > 0 ? g_steal_pointer (&other) : NULL;
      if (n > 1 && faccessat (shipped, other, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return NULL;
    }
}

gboolean
shipped_return (CisHostState *state, const char *copy, const char *name, GError **error)
{
  return cis_file_publish (cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED), copy,
                           cis_host_state_get_fd (state, CIS_FOLDER_EPISODES), name, error);
}

/* Where a copy lies while it is removed; full. */
static char *
get_hidden (const char *copy)
{
  return g_strdup_printf (".%s.removed", copy);
}

/* Under another name first: half of it under its own could be moved back to episodes/, and be shipped as all
 * of it. */
gboolean
shipped_remove (CisPart *part, CisHostState *state, const char *copy, JsonObject *receipt, char **failed,
                GCancellable *cancellable, GError **error)
{
  int shipped = cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED);
  g_autofree char *hidden = get_hidden (copy);

  if (!cis_file_publish (shipped, copy, shipped, hidden, error))
    *failed = g_strdup (copy);
  else if (!cis_folder_remove (shipped, hidden, cancellable, error))
    *failed = g_steal_pointer (&hidden);
  else
    cis_part_log (
        part, NULL, G_LOG_LEVEL_MESSAGE, MESSAGE_REMOVED,
        "Removed shipped/%s, received at %s with sha256 %s, which the receiver still has, as it is past "
        "keep-days=",
        copy, cis_json_get_string (receipt, "received_at"), cis_json_get_string (receipt, "sha256"));
  return *failed == NULL;
}

gboolean
shipped_sweep (CisHostState *state, const char *name, char **failed, GCancellable *cancellable,
               GError **error)
{
  int shipped = cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED);

  for (guint n = 1;; n++)
    {
      g_autofree char *copy = get_suffixed (name, n);
      g_autofree char *hidden = get_hidden (copy);
      int cut = has_folder (shipped, "shipped", hidden, error);
      int whole = cut < 0 ? -1 : has_folder (shipped, "shipped", copy, error);

      if (whole < 0)
        return FALSE;
      if (cut > 0 && !cis_folder_remove (shipped, hidden, cancellable, error))
        {
          *failed = g_steal_pointer (&hidden);
          return FALSE;
        }
      if (n > 1 && cut == 0 && whole == 0)
        return TRUE;
    }
}
