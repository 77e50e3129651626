/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ships archives into a mounted folder: a file server's, or a disk that is carried to the receiver.
 *
 * <directory>/<host>/<episode>.tar.zst appears whole and verified or not at all, and replaces nothing; its
 * receipt, the same as a receiver's, lies beside it. */

#include "cis490.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE (256 * 1024)

typedef struct
{
  CisStage parent;
  /* Options. */
  char *state_path;
  char *directory;
  char *host;
  gboolean mounted;
  /* Immutable after open(). */
  CisHostState *state;
} CisDirectory;
typedef CisStageClass CisDirectoryClass;

GType cis_directory_get_type (void);
G_DEFINE_TYPE (CisDirectory, cis_directory, CIS_TYPE_STAGE)

/* One copy under way; of one worker. */
typedef struct
{
  CisDirectory *stage;
  CisEpisode *episode;
  GCancellable *cancellable;
  int from;   /* the archive */
  int folder; /* <directory>/<host> */
  char *name;
  char *partial;
  char *receipt_name;
} Copy;

static void
copy_clear (Copy *copy)
{
  if (copy->from >= 0)
    close (copy->from);
  if (copy->folder >= 0)
    close (copy->folder);
  g_free (copy->name);
  g_free (copy->partial);
  g_free (copy->receipt_name);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Copy, copy_clear)

static gboolean
cis_directory_validate (CisPart *part, GError **error)
{
  CisDirectory *self = (CisDirectory *) part;

  if (cis_name_is_valid (self->host, CIS_HOST_NAME_MAX))
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "host=%s is no host's name: letters, digits, \".\", \"_\" and \"-\", at most %d", self->host,
               CIS_HOST_NAME_MAX);
  return FALSE;
}

static gboolean
cis_directory_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisDirectory *self = (CisDirectory *) part;

  self->state = cis_host_state_open (self->state_path, error);
  return self->state != NULL;
}

static void
cis_directory_close (CisPart *part)
{
  g_clear_object (&((CisDirectory *) part)->state);
}

static CisFinding *
unavailable (CisDirectory *self, const char *why)
{
  CisFinding *finding = cis_finding_new ("directory-unavailable", CIS_SEVERITY_ERROR, self->directory,
                                         "Cannot ship into %s: %s.", self->directory, why);
  g_autofree char *quoted = g_shell_quote (self->directory);

  cis_finding_set_fix (finding,
                       "findmnt --target %s\n"
                       "df -h %s\n"
                       "# it has to be there, mounted where mounted=true, and writable by %s",
                       quoted, quoted, g_get_user_name ());
  return finding;
}

/* That it is a mount's root is not enough: systemd binds what ReadWritePaths= names onto itself, whatever is
 * there. Nor is another device, which a btrfs subvolume has, too. */
static gboolean
is_mount_point (int fd, GError **error)
{
  struct statx own, parent;

  if (statx (fd, "", AT_EMPTY_PATH, 0, &own) != 0 || statx (fd, "..", 0, 0, &parent) != 0)
    return cis_error_set_errno (error, errno, "Cannot look at it");
  if ((own.stx_attributes & STATX_ATTR_MOUNT_ROOT) &&
      (own.stx_dev_major != parent.stx_dev_major || own.stx_dev_minor != parent.stx_dev_minor))
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_MOUNTED, "no other file system is mounted there");
  return FALSE;
}

/* Opens <directory>/<host>, which is made (@create); <directory> is not, as that may be where nothing is
 * mounted. */
static int
open_folder (CisDirectory *self, gboolean create, GError **error)
{
  int fd = open (self->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int folder = -1;

  if (fd < 0)
    {
      cis_error_set_errno (error, errno, "Cannot open it");
      return -1;
    }
  if (!self->mounted || is_mount_point (fd, error))
    folder = cis_folder_open (fd, self->host, create, error);
  close (fd);
  return folder;
}

/* From the disk as far as the kernel lets us: what a failed flush left in memory does not count. full */
static char *
digest_on_disk (Copy *copy, int fd, GError **error)
{
  posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
  return cis_digest_file (fd, CIS_STAGE (copy->stage), CIS_ITEM (copy->episode), copy->cancellable, error);
}

/* The digest of the archive that is there already, NULL without error where there is none; full. */
static char *
digest_existing (Copy *copy, GError **error)
{
  g_autoptr (GError) problem = NULL;
  int fd = cis_file_open (copy->folder, copy->name, O_RDONLY | O_NOFOLLOW, NULL, &problem);
  g_autofree char *digest = NULL;

  if (fd < 0)
    {
      /* Whatever it is, it says nothing against our archive. */
      if (!g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, problem->message);
      return NULL;
    }
  if (cis_file_sync (fd, copy->name, error))
    digest = digest_on_disk (copy, fd, error);
  close (fd);
  return g_steal_pointer (&digest);
}

/* Of our own disk, so no trouble with the folder. Returns FALSE. */
static gboolean
set_unreadable (GError **error, int errsv, const char *archive)
{
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "cannot read %s: %s", archive, g_strerror (errsv));
  return FALSE;
}

static gboolean
copy_bytes (Copy *copy, int to, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (BUFFER_SIZE);
  guint64 done = 0;
  gssize n;

  while ((n = read (copy->from, buffer, BUFFER_SIZE)) != 0)
    {
      if (g_cancellable_set_error_if_cancelled (copy->cancellable, error))
        return FALSE;
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return set_unreadable (error, errno, cis_episode_get_archive (copy->episode));
      if (!cis_file_write_all (to, buffer, (gsize) n, copy->partial, error))
        return FALSE;
      done += (guint64) n;
      cis_stage_progress (CIS_STAGE (copy->stage), CIS_ITEM (copy->episode), done,
                          cis_episode_get_size (copy->episode));
    }
  return TRUE;
}

/* Reads back what was written. */
static gboolean
verify (Copy *copy, int fd, GError **error)
{
  g_autofree char *digest = digest_on_disk (copy, fd, error);

  if (digest == NULL)
    return FALSE;
  if (g_str_equal (digest, cis_episode_get_sha256 (copy->episode)))
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "what was written does not have the archive's digest");
  return FALSE;
}

static gboolean
write_partial (Copy *copy, GError **error)
{
  int to = openat (copy->folder, copy->partial, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
  gboolean ok;

  if (to < 0)
    return cis_error_set_errno (error, errno, "Cannot write %s", copy->partial);
  ok = copy_bytes (copy, to, error) && cis_file_sync (to, copy->partial, error) && verify (copy, to, error);
  return cis_file_close (&to, copy->partial, ok ? error : NULL) && ok;
}

/* For file systems that cannot rename without replacing. */
static gboolean
publish_by_link (Copy *copy, GError **error)
{
  if (linkat (copy->folder, copy->partial, copy->folder, copy->name, 0) != 0)
    return cis_error_set_errno (error, errno, "Cannot link %s", copy->name);
  return cis_file_remove (copy->folder, copy->partial, error) &&
         cis_file_sync (copy->folder, copy->stage->directory, error);
}

static gboolean
publish (Copy *copy, GError **error)
{
  g_autoptr (GError) reason = NULL;

  if (cis_file_publish (copy->folder, copy->partial, copy->folder, copy->name, &reason))
    return TRUE;
  if (g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT) ||
      g_error_matches (reason, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED))
    return publish_by_link (copy, error);
  g_propagate_error (error, g_steal_pointer (&reason));
  return FALSE;
}

static gboolean
copy_archive (Copy *copy, GError **error)
{
  g_autoptr (GError) reason = NULL;
  /* What a kill left behind goes first, and the receipt of an archive that was carried away. */
  gboolean written = cis_file_remove (copy->folder, copy->receipt_name, &reason) &&
                     cis_file_remove (copy->folder, copy->partial, &reason) && write_partial (copy, &reason);

  if (written && publish (copy, &reason))
    return TRUE;
  cis_file_remove (copy->folder, copy->partial, NULL);
  /* A flush that failed is never tried again, but what it was to flush can go: then the next attempt writes
   * other bytes. Behind the rename that is the archive itself, which only this attempt can have made. */
  if (written && g_error_matches (reason, CIS_ERROR, CIS_ERROR_FATAL))
    cis_file_remove (copy->folder, copy->name, NULL);
  g_propagate_error (error, g_steal_pointer (&reason));
  return FALSE;
}

/* Of one that is there already: a kill may have come between its rename and this flush, before which nobody
 * relies on it. One that failed is never tried again, but for an archive that is written anew. */
static gboolean
flush_existing (Copy *copy, GError **error)
{
  if (cis_file_sync (copy->folder, copy->stage->directory, error))
    return TRUE;
  cis_file_remove (copy->folder, copy->name, NULL);
  return FALSE;
}

/* Beside the archive, for whoever takes the folder over. */
static gboolean
leave_receipt (Copy *copy, JsonObject *receipt, GError **error)
{
  g_autofree char *line = cis_json_to_line (receipt);
  g_autofree char *text = g_strconcat (line, "\n", NULL);

  return faccessat (copy->folder, copy->receipt_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
         cis_file_replace (copy->folder, copy->receipt_name, text, strlen (text), error);
}

static CisOutcome *
reject_conflict (Copy *copy, const char *digest)
{
  const char *name = cis_episode_get_name (copy->episode);
  g_autofree char *state = g_shell_quote (copy->stage->state_path);
  CisFinding *finding = cis_finding_new ("episode-conflict", CIS_SEVERITY_ERROR, name,
                                         "%s/%s/%s holds other bytes (sha256 %s).", copy->stage->directory,
                                         copy->stage->host, copy->name, digest);

  cis_finding_set_fix (finding,
                       "# compare the two; where both are wanted, this one can go out under another name:\n"
                       "cis490 quarantine release %s --as %s-2 --state %s",
                       name, name, state);
  return cis_outcome_rejected (finding);
}

/* The copy does not have the archive's digest, or the archive cannot be read: it may be damaged, so it is
 * packed again. */
static CisOutcome *
defer_mismatch (Copy *copy, const char *what)
{
  GError *error = NULL;
  CisFinding *finding;

  if (!cis_host_state_drop_archive (copy->stage->state, copy->episode, &error))
    return cis_outcome_failed (error);
  finding = cis_finding_new ("digest-mismatch", CIS_SEVERITY_ERROR, cis_episode_get_name (copy->episode),
                             "%s/%s: %s.", copy->stage->directory, copy->name, what);
  cis_finding_set_fix (finding, "# nothing to do: it is packed again");
  return cis_outcome_deferred (CIS_SCOPE_ITEM, 0, finding);
}

/* The outcome of trouble with the folder. A flush that failed ends nothing: this disk is not the one that the
 * host relies on. */
static CisOutcome *
outcome_of_error (Copy *copy, GError *error)
{
  g_autoptr (GError) owned = error;

  if (g_error_matches (owned, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return cis_outcome_failed (g_steal_pointer (&owned));
  if (g_error_matches (owned, CIS_ERROR, CIS_ERROR_INVALID))
    return defer_mismatch (copy, owned->message);
  if (g_error_matches (owned, CIS_ERROR, CIS_ERROR_FATAL))
    return cis_outcome_deferred (CIS_SCOPE_STAGE, 0,
                                 unavailable (copy->stage, "what was written did not reach its disk"));
  return cis_outcome_deferred (CIS_SCOPE_STAGE, 0, unavailable (copy->stage, owned->message));
}

static CisOutcome *
ship (Copy *copy)
{
  GError *error = NULL;
  g_autofree char *existing = NULL;
  g_autoptr (JsonObject) receipt = NULL;

  copy->folder = open_folder (copy->stage, TRUE, &error);
  if (copy->folder < 0)
    return outcome_of_error (copy, error);
  existing = digest_existing (copy, &error);
  if (error != NULL)
    return outcome_of_error (copy, error);
  if (existing != NULL && !g_str_equal (existing, cis_episode_get_sha256 (copy->episode)))
    return reject_conflict (copy, existing);
  receipt =
      cis_receipt_new (copy->episode, copy->stage->host, existing != NULL ? "duplicate" : "stored", NULL);
  if (!(existing != NULL ? flush_existing : copy_archive) (copy, &error) ||
      !leave_receipt (copy, receipt, &error))
    return outcome_of_error (copy, error);
  if (!cis_host_state_store_receipt (copy->stage->state, copy->episode, receipt, &error))
    return cis_outcome_failed (error);
  cis_episode_set_receipt (copy->episode, receipt);
  return cis_outcome_passed ();
}

/* What its archive, receipt and half a copy are called there. */
static void
name_files (Copy *copy)
{
  const char *name = cis_episode_get_name (copy->episode);

  copy->name = g_strconcat (name, ".tar.zst", NULL);
  /* No episode's name begins with a dot. */
  copy->partial = g_strconcat (".", name, ".partial", NULL);
  copy->receipt_name = g_strconcat (name, ".json", NULL);
}

/* Reads what is there. A folder of the host that is not there was perhaps not mounted: it tells nothing. */
static CisOutcome *
cis_directory_ask (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisDirectory *self = (CisDirectory *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  g_auto (Copy) copy = { self, episode, cancellable, -1, -1, NULL, NULL, NULL };
  g_autoptr (JsonObject) receipt = NULL;
  g_autofree char *existing = NULL;
  GError *error = NULL;

  if (!cis_receipt_matches (cis_episode_get_receipt (episode), episode, self->host, &error))
    return cis_outcome_failed (error);
  name_files (&copy);
  copy.folder = open_folder (self, FALSE, &error);
  if (copy.folder >= 0)
    existing = digest_existing (&copy, &error);
  if (error != NULL)
    return outcome_of_error (&copy, error);
  if (existing == NULL)
    return cis_outcome_passed ();
  if (!g_str_equal (existing, cis_episode_get_sha256 (episode)))
    return reject_conflict (&copy, existing);
  receipt = cis_receipt_new (episode, self->host, "duplicate", NULL);
  cis_episode_set_receipt (episode, receipt);
  return cis_outcome_done ();
}

static CisOutcome *
cis_directory_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisEpisode *episode = CIS_EPISODE (item);
  const char *name = cis_episode_get_name (episode);
  g_auto (Copy) copy = { (CisDirectory *) stage, episode, cancellable, -1, -1, NULL, NULL, NULL };
  GError *error = NULL;

  if (cis_episode_get_receipt (episode) != NULL)
    return cis_outcome_passed ();
  if (cis_episode_get_archive (episode) == NULL)
    return cis_outcome_failed (g_error_new (CIS_ERROR, CIS_ERROR_INVALID, "%s has no archive", name));
  name_files (&copy);
  copy.from =
      cis_file_open (AT_FDCWD, cis_episode_get_archive (episode), O_RDONLY | O_NOFOLLOW, NULL, &error);
  if (copy.from < 0)
    return g_error_matches (error, CIS_ERROR, CIS_ERROR_INVALID) ? outcome_of_error (&copy, error)
                                                                 : cis_outcome_failed (error);
  return ship (&copy);
}

static void
cis_directory_check (CisPart *part, GPtrArray *findings, GCancellable *cancellable)
{
  CisDirectory *self = (CisDirectory *) part;
  g_autoptr (GError) error = NULL;
  int fd = open (self->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CisFinding *finding;

  if (fd < 0)
    cis_error_set_errno (&error, errno, "Cannot open it");
  else if (faccessat (fd, ".", W_OK, AT_EACCESS) != 0)
    cis_error_set_errno (&error, errno, "Cannot write there");
  else if (self->mounted)
    is_mount_point (fd, &error);
  if (fd >= 0)
    close (fd);
  finding = error != NULL ? unavailable (self, error->message)
                          : cis_finding_new ("receiver-ok", CIS_SEVERITY_INFO, self->directory,
                                             "%s takes host %s's archives", self->directory, self->host);
  g_ptr_array_add (findings, finding);
}

static void
cis_directory_class_init (CisDirectoryClass *klass)
{
  static const char *const needs[] = { "archive", NULL };
  static const char *const provides[] = { "receipt", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  part_class->validate = cis_directory_validate;
  part_class->open = cis_directory_open;
  part_class->close = cis_directory_close;
  part_class->check = cis_directory_check;
  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->needs = needs;
  stage_class->provides = provides;
  stage_class->process = cis_directory_process;
  stage_class->ask = cis_directory_ask;

  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisDirectory, state_path),
                             g_param_spec_string ("state", NULL, "The host's state folder.",
                                                  "${STATE_DIRECTORY}", CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisDirectory, directory),
                             g_param_spec_string ("directory", NULL,
                                                  "Where to; it gets a folder named after the host.", NULL,
                                                  CIS_PARAM_OPTION | CIS_PARAM_REQUIRED));
  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisDirectory, mounted),
      g_param_spec_boolean ("mounted", NULL, "Whether to wait until another file system is mounted there.",
                            FALSE, CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisDirectory, host),
                             g_param_spec_string ("host", NULL,
                                                  "The name that this host's episodes go under.",
                                                  "${host-id}", CIS_PARAM_OPTION));
}

static void
cis_directory_init (CisDirectory *self)
{
}

CIS_PLUGIN ("transport/directory", "Ships archives into a mounted folder.", CisDirectory, cis_directory,
            CisStage)
