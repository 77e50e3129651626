/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 quarantine release, and purge: the two ways out. One entry after the other, each durable before the
 * next, so that it can be interrupted anywhere and run again. */
#include "quarantine.h"
#include "terminal.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

/* What became of the entries that were asked for. */
typedef struct
{
  guint n_done, n_failed;
  guint n_denied; /* of those that failed */
  gboolean fatal; /* the disk does not do what it says: nothing more is tried */
} Tally;

static void
count_failure (Tally *tally, const GError *error)
{
  quarantine_complain (error);
  tally->n_failed++;
  tally->n_denied += g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  tally->fatal = g_error_matches (error, CIS_ERROR, CIS_ERROR_FATAL);
}

/* Without IDs one wants whatever is there, and somebody else may have been quicker. */
static void
fail (Tally *tally, const QuarantineRequest *request, const GError *error)
{
  if (g_error_matches (error, CIS_ERROR, CIS_ERROR_GONE) && *request->ids == NULL)
    return;
  count_failure (tally, error);
}

/* What another user can do is one thing, what nobody can another. */
static int
get_status (const Tally *tally)
{
  if (tally->n_failed == 0)
    return 0;
  return tally->n_denied == tally->n_failed ? EX_NOPERM : 1;
}

static void
release (Quarantine *quarantine, const char *id, const QuarantineRequest *request, Tally *tally)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *episode = quarantine_release (quarantine, id, request->as, request->force, &error);

  if (episode == NULL)
    {
      fail (tally, request, error);
      return;
    }
  tally->n_done++;
  g_print (_ ("%s is in episodes/%s\n"), id, episode);
}

int
quarantine_verb_release (Quarantine *quarantine, const QuarantineRequest *request)
{
  Tally tally = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) selected = quarantine_select (quarantine, request->ids, request->reason, request->age,
                                                      FALSE, &tally.n_failed, &error);

  if (selected == NULL)
    {
      quarantine_complain (error);
      return cis_error_exit_status (error);
    }
  for (guint i = 0; i < selected->len && !tally.fatal; i++)
    release (quarantine, ((Selected *) selected->pdata[i])->entry->id, request, &tally);
  if (tally.n_done + tally.n_failed != 1)
    g_printerr (_ ("%u released, %u not.\n"), tally.n_done, tally.n_failed);
  return get_status (&tally);
}

/* ---- purge ---- */

static gboolean
confirm (guint n, guint64 bytes)
{
  g_autofree char *size = quarantine_format_size (bytes);
  char answer[16] = "";

  g_printerr (ngettext ("Remove %u episode (%s) for good? [y/N] ", "Remove %u episodes (%s) for good? [y/N] ",
                        n),
              n, size);
  if (fgets (answer, sizeof answer, stdin) == NULL)
    return FALSE;
  g_strstrip (answer);
  return g_ascii_strcasecmp (answer, "y") == 0 || g_ascii_strcasecmp (answer, "yes") == 0 ||
         g_ascii_strcasecmp (answer, _ ("y")) == 0;
}

static void
purge (Quarantine *quarantine, const Selected *one, const QuarantineRequest *request, Tally *tally)
{
  g_autoptr (GError) error = NULL;

  if (!quarantine_remove (quarantine, one->entry, "purge", NULL, &error))
    {
      fail (tally, request, error);
      return;
    }
  tally->n_done++;
  g_print (_ ("%s is removed\n"), one->entry->id);
}

/* What an earlier removal could not remove either. */
static void
fail_again (const char *name, const GError *error, gpointer user_data)
{
  g_autoptr (GError) told =
      g_error_new (error->domain, error->code, "Cannot finish the removal of quarantine/%s: %s", name,
                   error->message);

  count_failure (user_data, told);
}

int
quarantine_verb_purge (Quarantine *quarantine, const QuarantineRequest *request)
{
  Tally tally = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) selected = NULL;
  guint64 bytes = 0;

  if (!request->yes && !(isatty (STDIN_FILENO) && isatty (STDERR_FILENO)))
    {
      g_printerr (_ ("cis490 quarantine: there is no terminal to ask on; add --yes to remove for good\n"));
      return EX_USAGE;
    }
  if (quarantine_sweep (quarantine, fail_again, &tally, NULL, &error))
    selected = quarantine_select (quarantine, request->ids, request->reason, request->age, TRUE,
                                  &tally.n_failed, &error);
  if (selected == NULL)
    {
      quarantine_complain (error);
      return cis_error_exit_status (error);
    }
  for (guint i = 0; i < selected->len; i++)
    bytes += ((Selected *) selected->pdata[i])->bytes;
  if (selected->len > 0 && !request->yes && !confirm (selected->len, bytes))
    {
      g_printerr (_ ("Nothing was removed.\n"));
      return 1;
    }
  for (guint i = 0; i < selected->len && !tally.fatal; i++)
    purge (quarantine, selected->pdata[i], request, &tally);
  if (tally.n_done + tally.n_failed != 1)
    g_printerr (_ ("%u removed, %u not.\n"), tally.n_done, tally.n_failed);
  return get_status (&tally);
}
