/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Episodes that an experiment never finished: they have no meta.json, and nothing in them has changed for
 * long. */

#include "episodes.h"

#define ID "episode-unfinished"

/* What it is about. */
#define SUBJECT "episodes"

/* Tells of all at once: a broken experiment leaves one with each run. */
static void
tell (CisScanEpisodes *self)
{
  const char *oldest = NULL, *name;
  gint64 since = G_MAXINT64;
  g_autofree char *time = NULL, *path = NULL, *quoted = NULL;
  GHashTableIter iter;
  gpointer value;
  CisFinding *finding;

  g_hash_table_iter_init (&iter, self->unfinished);
  while (g_hash_table_iter_next (&iter, (gpointer *) &name, &value))
    if (*(gint64 *) value < since)
      {
        since = *(gint64 *) value;
        oldest = name;
      }
  if (oldest == NULL)
    {
      cis_part_clear (CIS_PART (self), ID, SUBJECT);
      return;
    }
  time = cis_time_to_string (since);
  path = cis_host_state_get_file (self->state, CIS_FOLDER_EPISODES, oldest, NULL);
  quoted = g_shell_quote (path);
  finding = cis_finding_new (ID, CIS_SEVERITY_WARNING, SUBJECT,
                             "%u episode%s no meta.json, or an empty one, and nothing in %s changes any "
                             "more; the oldest is %s, of %s",
                             g_hash_table_size (self->unfinished),
                             g_hash_table_size (self->unfinished) == 1 ? " has" : "s have",
                             g_hash_table_size (self->unfinished) == 1 ? "it" : "them", oldest, time);
  cis_finding_set_fix (
      finding,
      "ls -la %s\n"
      "# finish or remove them; where the experiment broke off, this puts them into quarantine:\n"
      "#   cis490 run drain --once --set scan.take-unfinished=true",
      quoted);
  cis_part_raise (CIS_PART (self), finding);
}

gboolean
unfinished_consider (CisScanEpisodes *self, const char *name, const struct stat *folder,
                     GCancellable *cancellable)
{
  gint64 limit = g_get_real_time () - self->unfinished_after;
  gint64 newest = folder->st_ctim.tv_sec * G_USEC_PER_SEC;
  g_autofree char *fingerprint = NULL;

  /* An experiment may write for days into files that it made at the start. */
  if (self->unfinished_after > 0 && newest < limit)
    fingerprint = cis_fingerprint (get_episodes_fd (self), name, &newest, cancellable, NULL);
  if (fingerprint == NULL || newest >= limit)
    {
      unfinished_forget (self, name);
      return FALSE;
    }
  if (!g_hash_table_contains (self->unfinished, name))
    {
      g_hash_table_insert (self->unfinished, g_strdup (name), g_memdup2 (&newest, sizeof newest));
      tell (self);
    }
  return TRUE;
}

void
unfinished_forget (CisScanEpisodes *self, const char *name)
{
  if (g_hash_table_remove (self->unfinished, name))
    tell (self);
}

static gboolean
is_unknown (gpointer name, gpointer since, gpointer backlog)
{
  return !backlog_is_known (backlog, name);
}

void
unfinished_prune (CisScanEpisodes *self)
{
  gint64 now = g_get_monotonic_time ();

  /* What stood before a reload is over only once all have been looked at, so that none is ready. */
  if (g_hash_table_foreach_remove (self->unfinished, is_unknown, self->backlog) > 0 ||
      (g_hash_table_size (self->unfinished) == 0 && backlog_next_due (self->backlog, now) > now))
    tell (self);
}
