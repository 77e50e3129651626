/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quarantine.h"
#include "terminal.h"

#include "cis-option.h"

#include <fts.h>
#include <glib/gi18n.h>
#include <sys/stat.h>

static void
selected_free (gpointer data)
{
  Selected *selected = data;

  quarantine_entry_free (selected->entry);
  g_free (selected);
}

/* What vanishes meanwhile is no part of it any more. */
static guint64
count_bytes (Quarantine *quarantine, const char *id)
{
  g_autofree char *path = g_build_filename (quarantine_get_state (quarantine), "quarantine", id, NULL);
  char *const paths[] = { path, NULL };
  FTS *tree = fts_open (paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
  guint64 bytes = 0;
  FTSENT *entry;

  while (tree != NULL && (entry = fts_read (tree)) != NULL)
    if (entry->fts_info == FTS_F)
      bytes += (guint64) entry->fts_statp->st_size;
  if (tree != NULL)
    fts_close (tree);
  return bytes;
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const QuarantineEntry *left = (*(Selected *const *) a)->entry;
  const QuarantineEntry *right = (*(Selected *const *) b)->entry;

  if (left->time != right->time)
    return left->time < right->time ? -1 : 1;
  return strcmp (left->id, right->id);
}

static gboolean
is_wanted (const Selected *selected, const char *reason, gint64 age)
{
  const QuarantineEntry *entry = selected->entry;

  if (reason != NULL && !g_str_equal (selected->finding, reason))
    return FALSE;
  return age == 0 || (entry->time >= 0 && g_get_real_time () - entry->time >= age);
}

/* A reason that nothing is there for may be one misspelled. */
static void
say_reasons (const char *reason, GHashTable *reasons)
{
  g_autofree const char **names = cis_str_keys (reasons);
  const char *nearest = cis_nearest_name (reason, names);
  g_autofree char *all = g_strjoinv (", ", (char **) names);

  if (*names == NULL)
    g_printerr (_ ("Nothing is in quarantine.\n"));
  else if (nearest != NULL)
    g_printerr (_ ("cis490 quarantine: --reason: nothing is there because of “%s”; did you mean “%s”?\n"),
                reason, nearest);
  else
    g_printerr (_ ("cis490 quarantine: --reason: nothing is there because of “%s”; there are: %s\n"), reason,
                all);
}

GPtrArray *
quarantine_select (Quarantine *quarantine, char **ids, const char *reason, gint64 age, gboolean with_bytes,
                   guint *n_missing, GError **error)
{
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (selected_free);
  g_autoptr (GHashTable) reasons = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  gboolean named = ids != NULL && *ids != NULL;
  g_autoptr (GPtrArray) names = named ? NULL : quarantine_list (quarantine, FALSE, error);
  guint n = named ? g_strv_length (ids) : names != NULL ? names->len : 0;

  if (!named && names == NULL)
    return NULL;
  for (guint i = 0; i < n; i++)
    {
      const char *id = named ? ids[i] : names->pdata[i];
      g_autoptr (GError) gone = NULL;
      Selected *selected;
      QuarantineEntry *entry = quarantine_load (quarantine, id, &gone);

      if (entry == NULL && (named || !g_error_matches (gone, CIS_ERROR, CIS_ERROR_GONE)))
        {
          quarantine_complain (gone);
          *n_missing += 1;
        }
      /* Else another took it meanwhile, or it is no folder. */
      if (entry == NULL)
        continue;
      selected = g_new0 (Selected, 1);
      selected->entry = entry;
      selected->finding = quarantine_entry_get_finding (entry);
      if (selected->finding == NULL)
        selected->finding = "";
      g_hash_table_add (reasons, g_strdup (selected->finding));
      g_ptr_array_add (found, selected);
      if (!is_wanted (selected, reason, age))
        g_ptr_array_remove_index (found, found->len - 1);
      else if (with_bytes)
        selected->bytes = count_bytes (quarantine, id);
    }
  if (!named)
    g_ptr_array_sort (found, compare_times);
  if (reason != NULL && !g_hash_table_contains (reasons, reason) &&
      (g_hash_table_size (reasons) > 0 || *n_missing == 0))
    say_reasons (reason, reasons);
  return g_steal_pointer (&found);
}

char *
quarantine_format_age (gint64 time)
{
  gint64 seconds = MAX (g_get_real_time () - time, 0) / G_USEC_PER_SEC;

  return time < 0 ? g_strdup ("–") : terminal_format_duration (seconds);
}

char *
quarantine_format_size (guint64 bytes)
{
  g_autofree char *size = g_format_size (bytes);
  g_auto (GStrv) parts = g_strsplit (size, "\xc2\xa0", -1);

  /* GLib puts a no-break space there, which printf's columns count as two. */
  return g_strjoinv (" ", parts);
}

void
quarantine_complain (const GError *error)
{
  g_printerr ("cis490 quarantine: %s\n", error->message);
}
