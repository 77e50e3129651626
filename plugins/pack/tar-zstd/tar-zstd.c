/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Packs an episode's folder into outbox/<id>.tar.zst.
 *
 * The same folder always gives the same bytes, and a tarball is used again as long as the folder's
 * fingerprint holds: an acknowledgement that got lost then never looks to the receiver like other bytes under
 * a known name. Nothing is left out silently: what a tarball of files and folders cannot hold rejects the
 * episode. */

#include "room.h"
#include "tarball.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>

#define BUFFER_SIZE   (256 * 1024)
#define CHECK_EVERY   (16 * 1024 * 1024) /* bytes of input */
#define LOOK_INTERVAL (1 * G_TIME_SPAN_MINUTE)

typedef struct
{
  CisStage parent;
  /* Options. */
  char *state_path;
  int level;
  guint64 outbox_max;
  guint64 free_space;
  /* Immutable after open(). */
  CisHostState *state;
  char *parameters;
  CisRoom *room; /* locks itself */
} CisTarZstd;
typedef CisStageClass CisTarZstdClass;

GType cis_tar_zstd_get_type (void);
G_DEFINE_TYPE (CisTarZstd, cis_tar_zstd, CIS_TYPE_STAGE)

/* One pack under way; of one worker. */
typedef struct
{
  CisTarZstd *stage;
  CisEpisode *episode;
  GCancellable *cancellable;
  const char *directory;
  char *fingerprint;
  char *partial; /* names in the outbox */
  char *name;
  CisTarball *tarball;
  guint8 *buffer;
  gboolean binary; /* a name beyond ASCII was seen */
  guint64 total;   /* bytes of input */
  guint64 done;
  guint64 checked;    /* of done: when it was last looked whether there is room */
  guint64 used;       /* bytes of the outbox, when it ended */
  gint64 compared_at; /* when the tree was last seen to be as it was packed, µs since 1970 */
} Pack;

static void
pack_clear (Pack *pack)
{
  g_clear_pointer (&pack->fingerprint, g_free);
  g_clear_pointer (&pack->partial, g_free);
  g_clear_pointer (&pack->name, g_free);
  g_clear_pointer (&pack->tarball, cis_tarball_free);
  g_clear_pointer (&pack->buffer, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pack, pack_clear)

static gboolean
cis_tar_zstd_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisTarZstd *self = (CisTarZstd *) part;

  self->parameters = cis_tarball_parameters (self->level);
  self->state = cis_host_state_open (self->state_path, error);
  if (self->state == NULL)
    return FALSE;
  self->room = cis_room_new (part, self->state, self->outbox_max, self->free_space);
  return TRUE;
}

static void
cis_tar_zstd_close (CisPart *part)
{
  CisTarZstd *self = (CisTarZstd *) part;

  g_clear_pointer (&self->room, cis_room_free);
  g_clear_object (&self->state);
  g_clear_pointer (&self->parameters, g_free);
}

static gint64
cis_tar_zstd_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisRoom *room = ((CisTarZstd *) part)->room;

  cis_room_look (room);
  cis_room_forget_gone (room);
  return LOOK_INTERVAL;
}

/* Whether the tarball of an earlier attempt is still the right one. Whatever the level is by now: other bytes
 * under an id that was stored, its receipt lost, would be a conflict. */
static gboolean
reuse (Pack *pack)
{
  int outbox = cis_host_state_get_fd (pack->stage->state, CIS_FOLDER_OUTBOX);
  struct stat info;

  return cis_host_state_load_archive (pack->stage->state, pack->episode, pack->fingerprint) &&
         faccessat (outbox, pack->name, R_OK, AT_EACCESS) == 0 &&
         fstatat (outbox, pack->name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG (info.st_mode) &&
         (guint64) info.st_size == cis_episode_get_size (pack->episode);
}

static gboolean
measure_entry (const CisTreeEntry *entry, gpointer user_data, GError **error)
{
  Pack *pack = user_data;

  pack->binary |= !g_str_is_ascii (entry->path);
  if (S_ISREG (entry->stat->st_mode))
    pack->total += (guint64) entry->stat->st_size;
  return TRUE;
}

static gboolean
set_changed (GError **error, const char *path, const char *what)
{
  g_autofree char *quoted = cis_tree_quote (path);

  g_set_error (error, CIS_TREE_ERROR, CIS_TREE_ERROR_CHANGED, "%s %s", quoted, what);
  return FALSE;
}

static gboolean
check_room (Pack *pack, GError **error)
{
  if (pack->done - pack->checked < CHECK_EVERY)
    return TRUE;
  pack->checked = pack->done;
  return cis_room_check (pack->stage->room, cis_episode_get_name (pack->episode), error);
}

static gboolean
pack_content (Pack *pack, const CisTreeEntry *entry, int fd, GError **error)
{
  guint64 left = (guint64) entry->stat->st_size;

  /* Once more than the size says: a file that grew is not the one whose size stands in the header. */
  for (;;)
    {
      gssize n = read (fd, pack->buffer, BUFFER_SIZE);

      if (g_cancellable_set_error_if_cancelled (pack->cancellable, error))
        return FALSE;
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return cis_error_set_errno (error, errno, "Cannot read %s", entry->path);
      if (n == 0)
        return left == 0 ? TRUE : set_changed (error, entry->path, "shrank");
      if ((guint64) n > left)
        return set_changed (error, entry->path, "grew");
      if (!cis_tarball_write (pack->tarball, pack->buffer, (gsize) n, error) || !check_room (pack, error))
        return FALSE;
      left -= (guint64) n;
      pack->done += (guint64) n;
      cis_stage_progress (CIS_STAGE (pack->stage), CIS_ITEM (pack->episode), pack->done, pack->total);
    }
}

static gboolean
pack_entry (const CisTreeEntry *entry, gpointer user_data, GError **error)
{
  Pack *pack = user_data;
  gboolean ok;
  int fd;

  if (S_ISDIR (entry->stat->st_mode))
    return cis_tarball_add (pack->tarball, entry->path, entry->stat, error);
  fd = cis_tree_open_file (entry, error);
  if (fd < 0)
    return FALSE;
  ok = cis_tarball_add (pack->tarball, entry->path, entry->stat, error) &&
       pack_content (pack, entry, fd, error);
  close (fd);
  return ok;
}

static gboolean
pack_entries (Pack *pack, GError **error)
{
  GError *reason = NULL;

  if (cis_tree_walk (AT_FDCWD, pack->directory, cis_episode_get_name (pack->episode), pack_entry, pack,
                     pack->cancellable, &reason))
    return TRUE;
  /* There was none when the tree was measured. */
  if (g_error_matches (reason, CIS_TREE_ERROR, CIS_TREE_ERROR_UNSUPPORTED))
    reason->code = CIS_TREE_ERROR_CHANGED;
  g_propagate_error (error, reason);
  return FALSE;
}

/* Packs into the opened partial file. */
static gboolean
pack_tree (Pack *pack, int fd, GError **error)
{
  g_autofree char *fingerprint = NULL, *sha256 = NULL, *archive = NULL;
  guint64 size;

  pack->tarball = cis_tarball_new (fd, pack->stage->level, pack->binary, error);
  if (pack->tarball == NULL || !pack_entries (pack, error) ||
      !cis_tarball_finish (pack->tarball, &sha256, &size, error))
    return FALSE;
  pack->compared_at = g_get_real_time ();
  fingerprint = cis_fingerprint (AT_FDCWD, pack->directory, NULL, pack->cancellable, error);
  if (fingerprint == NULL)
    return FALSE;
  if (!g_str_equal (fingerprint, pack->fingerprint))
    return set_changed (error, cis_episode_get_name (pack->episode), "changed");
  archive = cis_host_state_get_file (pack->stage->state, CIS_FOLDER_OUTBOX, pack->name, "");
  cis_episode_set_fingerprint (pack->episode, fingerprint);
  cis_episode_set_archive (pack->episode, archive, sha256, size);
  return cis_file_sync (fd, pack->partial, error);
}

/* Makes the tarball and its description; what is left of an earlier one goes first. */
static gboolean
make_tarball (Pack *pack, GError **error)
{
  int outbox = cis_host_state_get_fd (pack->stage->state, CIS_FOLDER_OUTBOX);
  struct stat info;
  gboolean ok;
  int fd;

  if (!cis_host_state_drop_archive (pack->stage->state, pack->episode, error) ||
      !cis_file_remove (outbox, pack->partial, error) ||
      !cis_room_begin (pack->stage->room, cis_episode_get_name (pack->episode), error))
    return FALSE;
  fd = openat (outbox, pack->partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
  if (fd < 0)
    return cis_error_set_errno (error, errno, "Cannot write %s in the outbox", pack->partial);
  ok = pack_tree (pack, fd, error);
  /* What the last write could still place on a full disk counts, too. */
  if (fstat (fd, &info) == 0)
    pack->used = (guint64) info.st_size;
  ok = cis_file_close (&fd, pack->partial, ok ? error : NULL) && ok;
  ok = ok && cis_file_publish (outbox, pack->partial, outbox, pack->name, error);
  if (!ok)
    cis_file_remove (outbox, pack->partial, NULL);
  return ok && cis_host_state_store_archive (pack->stage->state, pack->episode, pack->stage->parameters,
                                             pack->compared_at, error);
}

static CisOutcome *
defer_changed (Pack *pack, const char *what)
{
  CisFinding *finding =
      cis_finding_new ("changed-while-packing", CIS_SEVERITY_INFO, cis_episode_get_name (pack->episode),
                       "The episode was written to while it was packed: %s.", what);

  cis_finding_set_fix (finding, "# nothing to do: it is packed again once nothing writes to it any more;\n"
                                "# write meta.json last, and let scan's quiet= be longer than your pauses");
  return cis_outcome_deferred (CIS_SCOPE_ITEM, 0, finding);
}

static CisOutcome *
reject_unsupported (Pack *pack, const char *what)
{
  const char *name = cis_episode_get_name (pack->episode);
  g_autofree char *folder = cis_host_state_get_file (pack->stage->state, CIS_FOLDER_QUARANTINE, name, "");
  g_autofree char *quoted = cis_tree_quote (folder);
  g_autofree char *state = cis_tree_quote (cis_host_state_get_path (pack->stage->state));
  CisFinding *finding =
      cis_finding_new ("unsupported-file", CIS_SEVERITY_ERROR, name,
                       "%s. An archive holds files and folders only, and nothing is left out silently.",
                       what);

  cis_finding_set_fix (finding,
                       "ls -lR %s\n"
                       "# remove it, or put a copy of what it stands for in its place; then\n"
                       "cis490 quarantine release %s --state %s",
                       quoted, name, state);
  return cis_outcome_rejected (finding);
}

static CisOutcome *
outcome_of_error (Pack *pack, GError *error)
{
  g_autoptr (GError) owned = error;

  if (g_error_matches (owned, CIS_TREE_ERROR, CIS_TREE_ERROR_CHANGED) ||
      g_error_matches (owned, G_IO_ERROR, G_IO_ERROR_BUSY))
    return defer_changed (pack, owned->message);
  /* cis_fingerprint() finds no more than what no archive can hold to be invalid. */
  if (g_error_matches (owned, CIS_TREE_ERROR, CIS_TREE_ERROR_UNSUPPORTED) ||
      g_error_matches (owned, CIS_ERROR, CIS_ERROR_INVALID))
    return reject_unsupported (pack, owned->message);
  if (g_error_matches (owned, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
    return cis_room_lack (pack->stage->room, cis_episode_get_name (pack->episode), pack->used,
                          owned->message);
  return cis_outcome_failed (g_steal_pointer (&owned));
}

static CisOutcome *
process_pack (Pack *pack)
{
  const char *known = cis_episode_get_fingerprint (pack->episode);
  GError *error = NULL;

  pack->fingerprint = cis_fingerprint (AT_FDCWD, pack->directory, NULL, pack->cancellable, &error);
  if (pack->fingerprint == NULL)
    return outcome_of_error (pack, error);
  /* What was looked at so far, such as the stamp, was of the state that scan saw. */
  if (known != NULL && !g_str_equal (known, pack->fingerprint))
    return defer_changed (pack, "something changed since it was found");
  if (!reuse (pack))
    {
      /* First all types and sizes: a symlink behind gigabytes is found before they are read. */
      if (!cis_tree_walk (AT_FDCWD, pack->directory, cis_episode_get_name (pack->episode), measure_entry,
                          pack, pack->cancellable, &error))
        return outcome_of_error (pack, error);
      pack->buffer = g_malloc (BUFFER_SIZE);
      if (!make_tarball (pack, &error))
        return outcome_of_error (pack, error);
      cis_room_suffice (pack->stage->room, cis_episode_get_name (pack->episode));
    }
  return cis_outcome_passed ();
}

static CisOutcome *
cis_tar_zstd_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisTarZstd *self = (CisTarZstd *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  const char *name = cis_episode_get_name (episode);
  g_autofree char *folder = NULL;
  g_auto (Pack) pack = { .stage = self, .episode = episode, .cancellable = cancellable };

  /* Shipped by an earlier run, which did not get to retire it. */
  if (cis_episode_get_receipt (episode) != NULL)
    return cis_outcome_passed ();
  folder = cis_host_state_get_file (self->state, CIS_FOLDER_EPISODES, name, "");
  pack.directory = cis_episode_get_directory (episode) != NULL ? cis_episode_get_directory (episode) : folder;
  pack.name = g_strconcat (name, ".tar.zst", NULL);
  pack.partial = g_strconcat (pack.name, ".partial", NULL);
  cis_room_look (self->room);
  return process_pack (&pack);
}

static void
cis_tar_zstd_class_init (CisTarZstdClass *klass)
{
  static const char *const provides[] = { "archive", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  part_class->open = cis_tar_zstd_open;
  part_class->close = cis_tar_zstd_close;
  part_class->maintain = cis_tar_zstd_maintain;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->provides = provides;
  stage_class->process = cis_tar_zstd_process;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTarZstd, state_path),
                             g_param_spec_string ("state", NULL, "The host's state folder.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisTarZstd, level),
      g_param_spec_int ("level", NULL,
                        "How hard zstd tries: 1 is fastest, 19 smallest. What is packed already "
                        "stays as it is.",
                        1, 19, 3, CIS_PARAM_OPTION));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisTarZstd, outbox_max),
      g_param_spec_uint64 ("outbox-max", NULL,
                           "How many bytes of archives may wait in the outbox before packing pauses; 0: any.",
                           0, G_MAXINT64, 0, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisTarZstd, free_space),
      g_param_spec_uint64 (
          "free-space", NULL,
          "How much must stay free on the state folder's file system; below, packing pauses.", 0, G_MAXINT64,
          256 << 20, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
}

static void
cis_tar_zstd_init (CisTarZstd *self)
{
}

CIS_PLUGIN ("pack/tar-zstd", "Packs an episode's folder into a tarball, always the same bytes.", CisTarZstd,
            cis_tar_zstd, CisStage)
