/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The index's size is taken first, and the store looked at afterwards: an archive comes before its row, so
 * each row up to there has its archive already. What then seems to have no row may have got it meanwhile:
 * those are looked up in what the index has grown by. */

#include "index-verify.h"

#include "terminal.h"

#include "../plugins/store/archive/layout.h"
#include "../plugins/shared/rows/row.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <glib/gstdio.h>
#include <stdatomic.h>
#include <string.h>

#define DRAW_INTERVAL  (100 * G_TIME_SPAN_MILLISECOND)
#define ARCHIVE_SUFFIX ".tar.zst"
#define SHA256_LENGTH  32

/* A row, as small as it goes: there are millions. */
typedef struct
{
  gint64 size; /* -1: its row does not say what it should */
  guint8 sha256[SHA256_LENGTH];
  char id[]; /* host/episode */
} Entry;

typedef struct
{
  CisLayout layout;
  int index; /* -1 where there is none */
  gboolean quick;
  GHashTable *entries; /* id to Entry; immutable while threads run */
  GPtrArray *order;    /* of Entry, owned */
  gint64 offset;       /* up to where the index is read */
  guint64 n_bytes;     /* that the rows promise */
  GHashTable *extra;   /* ids, owned, to whether a receiver is at it */

  _Atomic guint next; /* of the order */
  _Atomic guint64 n_done, n_hashed;
  GMutex lock;
  GCond ended;
  guint n_running;      /* under the lock */
  VerifyReport *report; /* flaws: under the lock */
} Verify;

static void
flaw_free (gpointer data)
{
  Flaw *flaw = data;

  g_free (flaw->id);
  g_free (flaw->detail);
  g_free (flaw);
}

void
verify_report_clear (VerifyReport *report)
{
  g_clear_pointer (&report->flaws, g_ptr_array_unref);
}

/* On any thread. */
G_GNUC_PRINTF (4, 5)
static void
add_flaw (Verify *self, FlawKind kind, const char *id, const char *format, ...)
{
  Flaw *flaw = g_new (Flaw, 1);
  va_list args;

  va_start (args, format);
  *flaw = (Flaw){ kind, g_strdup (id), g_strdup_vprintf (format, args) };
  va_end (args);
  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->report->flaws, flaw);
  g_mutex_unlock (&self->lock);
}

/* ---- the rows ---- */

static Entry *
entry_new (const CisRow *row, const char *id)
{
  Entry *entry = g_malloc (sizeof (Entry) + strlen (id) + 1);

  strcpy (entry->id, id);
  entry->size = row->sha256[0] != '\0' ? row->size : -1;
  for (guint i = 0; i < SHA256_LENGTH && entry->size >= 0; i++)
    entry->sha256[i] =
        g_ascii_xdigit_value (row->sha256[2 * i]) << 4 | g_ascii_xdigit_value (row->sha256[2 * i + 1]);
  return entry;
}

static void
add_row (const CisRow *row, gint64 offset, gpointer user_data)
{
  Verify *self = user_data;
  g_autofree char *id = row != NULL ? g_strconcat (row->host, "/", row->episode, NULL) : NULL;
  Entry *entry;

  self->report->n_rows++;
  if (row == NULL)
    {
      add_flaw (self, FLAW_MALFORMED, "", _ ("the row at byte %" PRId64 " names no episode"), offset);
      return;
    }
  if (g_hash_table_contains (self->entries, id))
    {
      add_flaw (self, FLAW_DUPLICATE, id, _ ("has another row at byte %" PRId64), offset);
      return;
    }
  entry = entry_new (row, id);
  if (entry->size < 0)
    add_flaw (self, FLAW_MALFORMED, id, _ ("the row at byte %" PRId64 " has no sha256 or no size"), offset);
  else
    self->n_bytes += entry->size;
  g_hash_table_insert (self->entries, entry->id, entry);
  g_ptr_array_add (self->order, entry);
}

static gboolean
read_rows (Verify *self, CisRowFunc func, GError **error)
{
  struct stat st;

  if (self->index < 0)
    return TRUE;
  if (fstat (self->index, &st) < 0)
    return cis_error_set_errno (error, errno, _ ("Looking at the index"));
  return cis_row_foreach (self->index, &self->offset, st.st_size, func, self, NULL, error);
}

/* ---- their archives, on several threads ---- */

static void
compare_digest (Verify *self, const Entry *entry, int fd)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *sha256 = cis_digest_file (fd, NULL, NULL, NULL, &error);
  GString *promised;

  if (sha256 == NULL)
    {
      add_flaw (self, FLAW_UNREADABLE, entry->id, "%s", error->message);
      return;
    }
  promised = g_string_sized_new (2 * SHA256_LENGTH);
  for (guint i = 0; i < SHA256_LENGTH; i++)
    g_string_append_printf (promised, "%02x", entry->sha256[i]);
  if (strcmp (promised->str, sha256) != 0)
    add_flaw (self, FLAW_DIFFERING, entry->id, _ ("its sha256 is %s, its row says %s"), sha256,
              promised->str);
  g_string_free (promised, TRUE);
  self->n_hashed += entry->size;
}

static void
compare_archive (Verify *self, const Entry *entry, int fd)
{
  struct stat st;

  if (fstat (fd, &st) < 0)
    add_flaw (self, FLAW_UNREADABLE, entry->id, "%s", g_strerror (errno));
  else if (!S_ISREG (st.st_mode))
    add_flaw (self, FLAW_MISSING, entry->id, _ ("has a row, but what is in its archive's place is no file"));
  else if (entry->size >= 0 && st.st_size != entry->size)
    add_flaw (self, FLAW_DIFFERING, entry->id, _ ("it has %" PRId64 " bytes, its row says %" PRId64),
              (gint64) st.st_size, entry->size);
  else if (entry->size >= 0 && !self->quick)
    compare_digest (self, entry, fd);
}

static void
check_entry (Verify *self, const Entry *entry)
{
  g_autofree char *path = cis_layout_archive_name (entry->id);
  g_autoptr (GError) error = NULL;
  int fd = cis_file_open (self->layout.store, path, O_RDONLY | O_NOFOLLOW, NULL, &error);

  if (fd >= 0)
    {
      compare_archive (self, entry, fd);
      g_close (fd, NULL);
    }
  else if (error->domain == CIS_ERROR || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
           g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY))
    add_flaw (self, FLAW_MISSING, entry->id, _ ("has a row and no archive"));
  else
    add_flaw (self, FLAW_UNREADABLE, entry->id, "%s", error->message);
  self->n_done++;
}

static gpointer
check_entries (gpointer data)
{
  Verify *self = data;
  guint i;

  while ((i = self->next++) < self->order->len)
    check_entry (self, self->order->pdata[i]);
  g_mutex_lock (&self->lock);
  self->n_running--;
  g_cond_signal (&self->ended);
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
draw (Verify *self, gint64 began)
{
  double seconds = MAX ((double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC, 0.001);
  g_autofree char *hashed = g_format_size (self->n_hashed);
  g_autofree char *all = g_format_size (self->n_bytes);
  g_autofree char *rate = g_format_size ((guint64) ((double) self->n_hashed / seconds));
  g_autofree char *lines =
      self->quick ? g_strdup_printf (_ ("  archives: %" PRIu64 " of %u\n"), self->n_done, self->order->len)
                  : g_strdup_printf (_ ("  archives: %" PRIu64 " of %u, %s of %s, %s/s\n"), self->n_done,
                                     self->order->len, hashed, all, rate);

  terminal_set_status (lines);
}

static void
check_all (Verify *self, guint jobs)
{
  g_autoptr (GPtrArray) threads = g_ptr_array_new ();
  gint64 began = g_get_monotonic_time ();

  self->n_running = jobs;
  for (guint i = 0; i < jobs; i++)
    g_ptr_array_add (threads, g_thread_new ("verify", check_entries, self));
  g_mutex_lock (&self->lock);
  while (self->n_running > 0)
    if (!g_cond_wait_until (&self->ended, &self->lock, g_get_monotonic_time () + DRAW_INTERVAL) &&
        terminal_is_interactive ())
      draw (self, began);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < threads->len; i++)
    g_thread_join (threads->pdata[i]);
  if (terminal_is_interactive ())
    terminal_set_status (NULL);
}

/* ---- what else is in the store ---- */

/* What has no row. Where a receiver is at it, that will write one. Takes the id. */
static gboolean
look_at_extra (Verify *self, const char *host, const char *episode, char *id, GError **error)
{
  g_autofree char *owned = id;
  g_autofree char *path = cis_layout_archive_name (id);
  g_autofree char *part = NULL;
  g_autoptr (GError) problem = NULL;
  struct stat st;
  int there = cis_layout_look (self->layout.store, path, &st, error);

  /* A backfill passes by a folder or a link, too. */
  if (there <= 0 || !S_ISREG (st.st_mode))
    return there >= 0;
  self->report->n_archives++;
  if (st.st_nlink > 1 && self->layout.incoming >= 0)
    part = cis_layout_find_intent (&self->layout, host, episode, &st, &problem);
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  g_hash_table_insert (self->extra, g_steal_pointer (&owned), GINT_TO_POINTER (part != NULL));
  return TRUE;
}

static gboolean
look_for_extra (Verify *self, const char *host, GError **error)
{
  g_autoptr (GPtrArray) files = cis_layout_list (self->layout.store, host, error);

  for (guint i = 0; files != NULL && i < files->len; i++)
    {
      const char *file = files->pdata[i];
      g_autofree char *episode = g_str_has_suffix (file, ARCHIVE_SUFFIX)
                                     ? g_strndup (file, strlen (file) - strlen (ARCHIVE_SUFFIX))
                                     : NULL;
      g_autofree char *id = g_strconcat (host, "/", episode, NULL);

      if (episode == NULL || !cis_name_is_valid (episode, CIS_EPISODE_NAME_MAX))
        continue;
      if (g_hash_table_contains (self->entries, id))
        self->report->n_archives++;
      else if (!look_at_extra (self, host, episode, g_steal_pointer (&id), error))
        return FALSE;
    }
  return files != NULL;
}

static void
drop_extra (const CisRow *row, gint64 offset, gpointer user_data)
{
  Verify *self = user_data;
  g_autofree char *id = row != NULL ? g_strconcat (row->host, "/", row->episode, NULL) : NULL;

  if (id != NULL)
    g_hash_table_remove (self->extra, id);
}

static gboolean
find_extra (Verify *self, GError **error)
{
  g_autoptr (GPtrArray) hosts = cis_layout_list (self->layout.store, ".", error);
  g_autofree const char **ids = NULL;

  if (hosts == NULL)
    return FALSE;
  for (guint i = 0; i < hosts->len; i++)
    if (cis_name_is_valid (hosts->pdata[i], CIS_HOST_NAME_MAX) &&
        !look_for_extra (self, hosts->pdata[i], error))
      return FALSE;
  if (!read_rows (self, drop_extra, error))
    return FALSE;
  ids = cis_str_keys (self->extra);
  for (guint i = 0; ids[i] != NULL; i++)
    if (g_hash_table_lookup (self->extra, ids[i]) != NULL)
      self->report->n_in_flight++;
    else
      add_flaw (self, FLAW_EXTRA, ids[i], _ ("has an archive and no row"));
  return TRUE;
}

/* ---- all of it ---- */

/* Not cis_layout_open(): who only looks makes no folders. */
static gboolean
open_folders (Verify *self, const char *directory, GError **error)
{
  g_autofree char *store = g_build_filename (directory, "store", NULL);
  g_autofree char *incoming = g_build_filename (directory, "incoming", NULL);
  g_autofree char *index = g_build_filename (directory, "index.jsonl", NULL);
  g_autoptr (GError) problem = NULL;

  self->layout.store = cis_folder_open (AT_FDCWD, store, FALSE, error);
  if (self->layout.store < 0)
    return FALSE;
  /* A store that was copied may lack it; then nobody is at anything. */
  self->layout.incoming = cis_folder_open (AT_FDCWD, incoming, FALSE, NULL);
  self->index = cis_file_open (AT_FDCWD, index, O_RDONLY | O_NOFOLLOW, NULL, &problem);
  if (problem == NULL || g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

static int
compare_flaws (gconstpointer a, gconstpointer b)
{
  const Flaw *first = *(const Flaw *const *) a, *second = *(const Flaw *const *) b;

  return first->kind != second->kind ? (int) first->kind - (int) second->kind
                                     : strcmp (first->id, second->id);
}

static void
verify_clear (Verify *self)
{
  if (self->index >= 0)
    g_close (self->index, NULL);
  cis_layout_close (&self->layout);
  g_hash_table_unref (self->extra);
  g_hash_table_unref (self->entries);
  g_ptr_array_unref (self->order);
  g_cond_clear (&self->ended);
  g_mutex_clear (&self->lock);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Verify, verify_clear)

gboolean
verify_index (const char *directory, gboolean quick, guint jobs, VerifyReport *report, GError **error)
{
  g_auto (Verify) self = { .layout = CIS_LAYOUT_CLOSED, .index = -1, .quick = quick, .report = report };

  *report = (VerifyReport){ .flaws = g_ptr_array_new_with_free_func (flaw_free) };
  g_mutex_init (&self.lock);
  g_cond_init (&self.ended);
  self.entries = g_hash_table_new (cis_str_hash, g_str_equal);
  self.order = g_ptr_array_new_with_free_func (g_free);
  self.extra = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  if (!open_folders (&self, directory, error) || !read_rows (&self, add_row, error))
    return FALSE;
  check_all (&self, jobs);
  if (!find_extra (&self, error))
    return FALSE;
  report->n_hashed = self.n_hashed;
  g_ptr_array_sort (report->flaws, compare_flaws);
  return TRUE;
}
