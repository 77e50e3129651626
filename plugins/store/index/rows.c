/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rows.h"

#include "../../shared/rows/row.h"
#include "../../shared/lines/lines.h"
#include "row-set.h"
#include "tail.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (1024 * 1024)

struct _CisRows
{
  char *name;
  char *path;
  int dirfd;
  int fd;           /* appends */
  int file_lock;    /* of a file beside it: whoever may read the rows could lock them */
  GMutex lock;      /* one row at a time; an OFD lock does not keep this process's threads apart */
  gint64 end;       /* where our last row ended; locked */
  gboolean bad;     /* a row is torn or a flush failed: nothing may follow; locked */
  CisRowSet *known; /* nullable; locked */
  CisGroupCommit *commit;
};

static gboolean
sync_rows (gpointer data, GError **error)
{
  CisRows *self = data;

  /* After EINTR nothing was attempted yet. */
  if (TEMP_FAILURE_RETRY (fdatasync (self->fd)) == 0)
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_FATAL, "Flushing %s: %s", self->path, g_strerror (errno));
  g_mutex_lock (&self->lock);
  self->bad = TRUE;
  g_mutex_unlock (&self->lock);
  return FALSE;
}

/* Under both locks, on a descriptor that does not append. */
static gboolean
repair (CisRows *self, int fd, CisRowsCut *cut, GError **error)
{
  gint64 clean = cis_tail_get_clean (fd);
  struct stat st;

  if (fstat (fd, &st) < 0)
    return cis_error_set_errno (error, errno, "Looking at %s", self->path);
  self->end = st.st_size;
  if (!cis_tail_mend_torn (fd, &self->end, error) || !cis_tail_cut_damaged (fd, &self->end, error))
    {
      g_prefix_error (error, "%s: ", self->path);
      return FALSE;
    }
  *cut = (CisRowsCut){ MAX (st.st_size - self->end, 0), self->end < clean };
  if (!cis_tail_rewrite (fd, self->path, error))
    return FALSE;
  /* Else rows that come in the place of those that are gone would count as on disk. */
  if (cut->was_clean)
    cis_tail_note_clean (fd, self->end);
  return TRUE;
}

static gboolean
repair_locked (CisRows *self, CisRowsCut *cut, GCancellable *cancellable, GError **error)
{
  gboolean repaired;
  int fd;

  /* pwrite() on a descriptor that appends appends, so the repair has one of its own. */
  fd = cis_file_open (self->dirfd, self->name, O_RDWR | O_NOFOLLOW, NULL, error);
  if (fd < 0)
    {
      g_prefix_error (error, "%s: ", self->path);
      return FALSE;
    }
  if (!cis_file_lock (self->file_lock, TRUE, self->path, cancellable, error))
    {
      g_close (fd, NULL);
      return FALSE;
    }
  repaired = repair (self, fd, cut, error);
  cis_file_unlock (self->file_lock);
  g_close (fd, NULL);
  return repaired;
}

CisRows *
cis_rows_open (const char *directory, const char *name, CisRowsCut *cut, GCancellable *cancellable,
               GError **error)
{
  g_autoptr (CisRows) self = g_new0 (CisRows, 1);
  g_autofree char *lock = g_strdup_printf (".%s.lock", name);

  g_mutex_init (&self->lock);
  self->name = g_strdup (name);
  self->path = g_build_filename (directory, name, NULL);
  self->bad = TRUE; /* until it is known to be whole */
  self->fd = self->file_lock = -1;
  self->dirfd = cis_folder_open_own (directory, error);
  if (self->dirfd < 0)
    return NULL;
  self->fd = cis_file_open (self->dirfd, name, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, NULL, error);
  if (self->fd < 0)
    {
      g_prefix_error (error, "%s: ", self->path);
      return NULL;
    }
  self->file_lock = cis_lock_open (self->dirfd, lock, error);
  if (self->file_lock < 0)
    return NULL;
  self->commit = cis_group_commit_new (sync_rows, self, NULL);
  /* The folder too: the file may be new. */
  if (!repair_locked (self, cut, cancellable, error) || !cis_file_sync (self->dirfd, directory, error))
    return NULL;
  self->bad = FALSE;
  return g_steal_pointer (&self);
}

void
cis_rows_free (CisRows *self)
{
  struct stat st;

  if (!self->bad && cis_group_commit_flush (self->commit, NULL) && fstat (self->fd, &st) == 0)
    cis_tail_note_clean (self->fd, MIN (st.st_size, self->end));
  g_clear_pointer (&self->commit, cis_group_commit_free);
  g_clear_pointer (&self->known, cis_row_set_free);
  if (self->fd >= 0)
    g_close (self->fd, NULL);
  if (self->file_lock >= 0)
    g_close (self->file_lock, NULL);
  if (self->dirfd >= 0)
    g_close (self->dirfd, NULL);
  g_mutex_clear (&self->lock);
  g_free (self->name);
  g_free (self->path);
  g_free (self);
}

int
cis_rows_get_folder (CisRows *self)
{
  return self->dirfd;
}

const char *
cis_rows_get_path (CisRows *self)
{
  return self->path;
}

static gboolean
set_bad (CisRows *self, GError **error, const char *reason)
{
  self->bad = TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_FATAL, "%s %s", self->path, reason);
  return FALSE;
}

/* Where the next row goes: the file's end, once what another process left torn is mended. */
static gboolean
find_end (CisRows *self, gint64 *end, GError **error)
{
  int named = lines_are_named (self->fd, self->dirfd, self->name, FALSE, error);
  struct stat st;

  if (named < 0)
    return FALSE;
  if (named == 0)
    return set_bad (self, error, "was moved away or replaced while it is in use; the receiver starts anew");
  if (fstat (self->fd, &st) < 0)
    return cis_error_set_errno (error, errno, "Looking at %s", self->path);
  if (st.st_size < self->end)
    return set_bad (self, error,
                    "became shorter while it is in use, so that rows are gone; the receiver starts anew, and "
                    "\"cis490 index backfill\" makes them again");
  *end = st.st_size;
  return *end == self->end || cis_tail_mend_torn (self->fd, end, error);
}

static gboolean
append_locked (CisRows *self, const char *row, GError **error)
{
  gboolean torn;
  gint64 end;

  if (!find_end (self, &end, error))
    return FALSE;
  if (lines_write (self->fd, end, row, self->path, &torn, error))
    {
      self->end = end + (gint64) strlen (row);
      return TRUE;
    }
  if (!torn)
    return FALSE;
  g_clear_error (error);
  return set_bad (self, error, "has half a row at its end that can't be cut off");
}

gboolean
cis_rows_append (CisRows *self, const char *line, GCancellable *cancellable, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_autofree char *row = g_strconcat (line, "\n", NULL);
  gboolean appended;

  if (self->bad)
    return set_bad (self, error, "can't be written to any more; see the error before this one");
  if (!cis_file_lock (self->file_lock, TRUE, self->path, cancellable, error))
    return FALSE;
  appended = append_locked (self, row, error);
  cis_file_unlock (self->file_lock);
  return appended;
}

static int
append_missing_locked (CisRows *self, const char *host, const char *episode, const char *row,
                       GCancellable *cancellable, GError **error)
{
  gint64 end;

  /* First, so that what another process left torn is never taken for a row. */
  if (!find_end (self, &end, error) || !cis_row_set_read (self->known, self->fd, cancellable, error))
    return -1;
  if (cis_row_set_has (self->known, host, episode))
    return 0;
  return append_locked (self, row, error) ? 1 : -1;
}

int
cis_rows_append_missing (CisRows *self, const char *host, const char *episode, const char *line,
                         GCancellable *cancellable, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_autofree char *row = g_strconcat (line, "\n", NULL);
  int appended;

  if (self->bad)
    {
      set_bad (self, error, "can't be written to any more; see the error before this one");
      return -1;
    }
  if (self->known == NULL)
    self->known = cis_row_set_new ();
  /* Most of it before the file is locked: a receiver waits for that lock with each upload. */
  if (!cis_row_set_read (self->known, self->fd, cancellable, error) ||
      !cis_file_lock (self->file_lock, TRUE, self->path, cancellable, error))
    return -1;
  appended = append_missing_locked (self, host, episode, row, cancellable, error);
  cis_file_unlock (self->file_lock);
  return appended;
}

gboolean
cis_rows_flush (CisRows *self, GError **error)
{
  return cis_group_commit_flush (self->commit, error);
}

static gboolean
row_is_of (const char *row, gsize length, const char *host, const char *episode)
{
  CisRow found;

  /* Most rows are another's, and a look is much cheaper than reading them. Names need no escapes in JSON, but
   * may have some. */
  if (memmem (row, length, episode, strlen (episode)) == NULL && memchr (row, '\\', length) == NULL)
    return FALSE;
  return cis_row_parse (row, length, &found) && strcmp (found.host, host) == 0 &&
         strcmp (found.episode, episode) == 0;
}

/* Looks through the whole rows in @data; @rest is where an unfinished one begins. */
static gboolean
find_row (const char *data, gsize length, const char *host, const char *episode, gsize *rest)
{
  const char *newline;

  for (*rest = 0; (newline = memchr (data + *rest, '\n', length - *rest)) != NULL; *rest = newline + 1 - data)
    if (row_is_of (data + *rest, newline - data - *rest, host, episode))
      return TRUE;
  return FALSE;
}

int
cis_rows_have (CisRows *self, const char *host, const char *episode, GCancellable *cancellable,
               GError **error)
{
  g_autofree char *data = NULL;
  gsize held = 0, rest;
  gint64 offset = 0;
  ssize_t length = 0;
  struct stat st;

  if (fstat (self->fd, &st) < 0)
    {
      cis_error_set_errno (error, errno, "Looking at %s", self->path);
      return -1;
    }
  data = g_malloc (CLAMP (st.st_size, 1, BLOCK + CIS_ROW_MAX));
  while (offset < st.st_size &&
         (length = TEMP_FAILURE_RETRY (
              pread (self->fd, data + held, MIN (BLOCK, st.st_size - offset), offset))) > 0)
    {
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return -1;
      offset += length;
      held += length;
      if (find_row (data, held, host, episode, &rest))
        return 1;
      held -= rest;
      memmove (data, data + rest, held);
      if (held > CIS_ROW_MAX)
        held = 0; /* nothing of ours is so long */
    }
  if (length < 0)
    cis_error_set_errno (error, errno, "Reading %s", self->path);
  return length < 0 ? -1 : 0;
}
