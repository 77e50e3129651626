/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shipped.h"

#include <errno.h>
#include <fcntl.h>

#define MESSAGE_REMOVED "b8b1c5f23a4f4e4b9e6b2f0a8d1c7e35"

/* "name", or "name-2", "name-3", …; full. */
static char *
get_suffixed (const char *name, guint n)
{
  return n < 2 ? g_strdup (name) : g_strdup_printf ("%s-%u", name, n);
}

/* Renames the episode to a name in shipped/ that is free, and returns that; full. shipped/ is synced before
 * episodes/: after a power cut it is in the one or the other, and never in neither. */
static char *
rename_to_shipped (CisHostState *state, const char *name, GError **error)
{
  int episodes = cis_host_state_get_fd (state, CIS_FOLDER_EPISODES);
  int shipped = cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED);

  for (guint n = 1;; n++)
    {
      g_autofree char *target = get_suffixed (name, n);
      g_autoptr (GError) cause = NULL;

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
shipped_put (CisHostState *state, const char *name, const struct stat *compared, GError **error)
{
  int shipped = cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED);
  g_autofree char *target = rename_to_shipped (state, name, error);
  struct stat moved;

  /* Where the disk does not tell, it is the one that was compared, as ever. */
  if (target == NULL || fstatat (shipped, target, &moved, AT_SYMLINK_NOFOLLOW) != 0 ||
      (compared->st_dev == moved.st_dev && compared->st_ino == moved.st_ino))
    return g_steal_pointer (&target);
  if (cis_file_publish (shipped, target, cis_host_state_get_fd (state, CIS_FOLDER_EPISODES), name, error))
    g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "%s is another folder by now", name);
  return NULL;
}

/* Where an entry of shipped/ lies while it is removed; full. */
static char *
get_hidden (const char *entry)
{
  return g_strdup_printf (".%s.removed", entry);
}

/* Under another name first: half of it under its own could be moved back to episodes/, and be shipped as all
 * of it. What a run that was cut has left goes, too. @failed: what cannot be removed; full. */
static gboolean
remove_entry (CisPart *part, int shipped, const char *entry, JsonObject *receipt, char **failed,
              GCancellable *cancellable, GError **error)
{
  g_autofree char *hidden = get_hidden (entry);
  struct stat st;
  gboolean there = fstatat (shipped, entry, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;

  if (!cis_folder_remove (shipped, hidden, cancellable, error))
    *failed = g_steal_pointer (&hidden);
  else if (there && !cis_file_publish (shipped, entry, shipped, hidden, error))
    *failed = g_strdup (entry);
  else if (there && !cis_folder_remove (shipped, hidden, cancellable, error))
    *failed = g_steal_pointer (&hidden);
  else if (there)
    cis_part_log (part, NULL, G_LOG_LEVEL_MESSAGE, MESSAGE_REMOVED,
                  "Removed shipped/%s, received at %s with sha256 %s, as it is past keep-days=", entry,
                  cis_json_get_string (receipt, "received_at"), cis_json_get_string (receipt, "sha256"));
  return *failed == NULL;
}

/* The last sibling first, so that a run which is cut finds the rest. One that has a receipt by its own name
 * is another episode. */
gboolean
shipped_remove (CisPart *part, CisHostState *state, const char *name, JsonObject *receipt, char **failed,
                GCancellable *cancellable, GError **error)
{
  int shipped = cis_host_state_get_fd (state, CIS_FOLDER_SHIPPED);
  int receipts = cis_host_state_get_fd (state, CIS_FOLDER_RECEIPTS);
  guint last = 1;
  struct stat st;

  for (;; last++)
    {
      g_autofree char *next = get_suffixed (name, last + 1);
      g_autofree char *hidden = get_hidden (next);

      if (fstatat (shipped, next, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
          (errno == ENOENT && fstatat (shipped, hidden, &st, AT_SYMLINK_NOFOLLOW) == 0))
        continue;
      if (errno != ENOENT)
        return cis_error_set_errno (error, errno, "Cannot look at shipped/%s", next);
      break;
    }
  for (guint n = last; n >= 1; n--)
    {
      g_autofree char *entry = get_suffixed (name, n);
      g_autofree char *own = g_strconcat (entry, ".json", NULL);

      if (n > 1 && fstatat (receipts, own, &st, AT_SYMLINK_NOFOLLOW) == 0)
        continue;
      /* Not passed over: once the receipt is gone, nobody would come back for it. */
      if (n > 1 && errno != ENOENT)
        return cis_error_set_errno (error, errno, "Cannot look at receipts/%s", own);
      if (!remove_entry (part, shipped, entry, receipt, failed, cancellable, error))
        return FALSE;
    }
  return TRUE;
}
