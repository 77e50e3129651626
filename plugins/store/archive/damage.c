/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "damage.h"

#include "../../shared/meta/meta-reader.h"
#include "../../shared/rows/row.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/xattr.h>

#define INDEX_NAME    "index.jsonl"
#define DAMAGE_XATTR  "user.cis490.damage"
#define DAMAGE_MAX    1024
#define SHA256_LENGTH 64

void
cis_damage_free (CisDamage *self)
{
  g_free (self->found);
  g_free (self->promised);
  g_free (self->commit);
  g_free (self->reason);
  g_free (self);
}

/* ---- what is promised ---- */

typedef struct
{
  CisEpisode *episode;
  char *sha256; /* of its first row; full, nullable */
} Search;

static void
find_row (const CisRow *row, gint64 offset, gpointer user_data)
{
  Search *search = user_data;

  if (row != NULL && search->sha256 == NULL && row->sha256[0] != '\0' &&
      g_str_equal (row->episode, cis_episode_get_name (search->episode)) &&
      g_str_equal (row->host, cis_episode_get_host (search->episode)))
    search->sha256 = g_strdup (row->sha256);
}

/* The index is read to its end, which nobody has to wait for but who sends what the store has otherwise. */
static gboolean
read_row (CisLayout *layout, CisEpisode *episode, char **sha256, GCancellable *cancellable, GError **error)
{
  Search search = { episode, NULL };
  gint64 offset = 0;
  struct stat st;
  g_autoptr (GError) problem = NULL;
  int fd = cis_file_open (layout->state, INDEX_NAME, O_RDONLY | O_NOFOLLOW, &st, &problem);
  gboolean ok;

  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return TRUE;
  if (fd < 0)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  ok = cis_row_foreach (fd, &offset, st.st_size, find_row, &search, cancellable, error);
  g_close (fd, NULL);
  *sha256 = search.sha256;
  return ok;
}

static gboolean
read_promise (CisDamage *self, CisLayout *layout, CisEpisode *episode, int fd, GCancellable *cancellable,
              GError **error)
{
  g_autofree char *row = NULL;

  if (!read_row (layout, episode, &row, cancellable, error))
    return FALSE;
  if (!cis_layout_read_promise (fd, episode, &self->promised, &self->commit, error))
    return FALSE;
  /* The row is what was acknowledged; a note may be of what was there before it. */
  if (row != NULL)
    {
      self->has_row = TRUE;
      g_free (self->promised);
      self->promised = g_steal_pointer (&row);
    }
  return TRUE;
}

/* ---- what is there ---- */

/* The state of the file that a note is of. */
static char *
describe_state (const struct stat *st)
{
  return g_strdup_printf ("%" G_GINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld ", (gint64) st->st_size,
                          (gint64) st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

/* What the last look found, so that the next question does not have a large archive read again. */
static gboolean
read_note (CisDamage *self, int fd)
{
  char note[DAMAGE_MAX + 1];
  g_autofree char *state = describe_state (&self->st);
  ssize_t length = fgetxattr (fd, DAMAGE_XATTR, note, DAMAGE_MAX);

  if (length <= SHA256_LENGTH)
    return FALSE;
  note[length] = '\0';
  if (note[SHA256_LENGTH] != ' ' || !g_str_has_prefix (note + SHA256_LENGTH + 1, state))
    return FALSE;
  note[SHA256_LENGTH] = '\0';
  if (!cis_hex_is_valid (note, SHA256_LENGTH))
    return FALSE;
  self->found = g_strdup (note);
  self->reason = g_strdup (note + SHA256_LENGTH + 1 + strlen (state));
  return TRUE;
}

static void
write_note (const CisDamage *self, int fd)
{
  g_autofree char *state = describe_state (&self->st);
  g_autofree char *note = g_strdup_printf ("%s %s%.512s", self->found, state, self->reason);

  (void) fsetxattr (fd, DAMAGE_XATTR, note, strlen (note), 0);
}

typedef struct
{
  CisStage *stage;
  CisItem *item;
} Progress;

static void
report (guint64 done, guint64 total, gpointer user_data)
{
  Progress *progress = user_data;

  if (progress->stage != NULL)
    cis_stage_progress (progress->stage, progress->item, done, total);
}

/* Whatever a good archive of anybody's may hold: only that the bytes are not whole speaks against them. */
static gboolean
check_whole (CisDamage *self, CisEpisode *episode, int fd, CisStage *stage, GCancellable *cancellable,
             GError **error)
{
  const CisMetaLimits limits = CIS_META_LIMITS;
  Progress progress = { stage, CIS_ITEM (episode) };
  g_autoptr (GError) problem = NULL;
  g_autoptr (JsonObject) meta = cis_meta_read (fd, cis_episode_get_name (episode), &limits, CIS_META_WHOLE,
                                               report, &progress, cancellable, &problem);

  if (g_error_matches (problem, CIS_META_ERROR, CIS_META_ERROR_DAMAGED))
    self->reason = g_strdup (problem->message);
  else if (problem != NULL && problem->domain != CIS_META_ERROR)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  return TRUE;
}

static gboolean
look (CisDamage *self, CisEpisode *episode, int fd, CisStage *stage, GCancellable *cancellable,
      GError **error)
{
  self->found = cis_digest_file (fd, stage, CIS_ITEM (episode), cancellable, error);
  if (self->found == NULL)
    return FALSE;
  if (self->promised == NULL && !check_whole (self, episode, fd, stage, cancellable, error))
    return FALSE;
  if (self->promised != NULL && !g_str_equal (self->promised, self->found))
    self->reason =
        g_strdup_printf ("its sha256 is %s, and was %s when it was stored", self->found, self->promised);
  if (self->reason != NULL)
    write_note (self, fd);
  return TRUE;
}

CisDamage *
cis_damage_look (CisLayout *layout, CisEpisode *episode, int fd, CisStage *stage, GCancellable *cancellable,
                 GError **error)
{
  g_autoptr (CisDamage) self = g_new0 (CisDamage, 1);

  if (fstat (fd, &self->st) < 0)
    {
      cis_error_set_errno (error, errno, "Looking at the archive of %s",
                           cis_item_get_id (CIS_ITEM (episode)));
      return NULL;
    }
  if (!read_promise (self, layout, episode, fd, cancellable, error))
    return NULL;
  if (!read_note (self, fd) && !look (self, episode, fd, stage, cancellable, error))
    return NULL;
  /* What was found earlier, before somebody put the row right. */
  if (g_strcmp0 (self->promised, self->found) == 0)
    g_clear_pointer (&self->reason, g_free);
  return g_steal_pointer (&self);
}
