/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-folder.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME     ".lock"
#define JSON_SIZE_MAX (128 * 1024)

static const char *const folder_names[CIS_N_FOLDERS] = {
  [CIS_FOLDER_EPISODES] = "episodes",     [CIS_FOLDER_OUTBOX] = "outbox",
  [CIS_FOLDER_RECEIPTS] = "receipts",     [CIS_FOLDER_SHIPPED] = "shipped",
  [CIS_FOLDER_QUARANTINE] = "quarantine",
};

struct _CisHostState
{
  GObject parent;

  /* Immutable once it is open. */
  char *path;
  int root;
  int folders[CIS_N_FOLDERS];

  GMutex mutex; /* guards what follows */
  int lock;     /* of ".lock", held; or -1 */
};

G_DEFINE_FINAL_TYPE (CisHostState, cis_host_state, G_TYPE_OBJECT)

static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd); /* nothing was written through it */
  *fd = -1;
}

static void
cis_host_state_finalize (GObject *object)
{
  CisHostState *self = CIS_HOST_STATE (object);

  clear_fd (&self->lock);
  for (guint i = 0; i < CIS_N_FOLDERS; i++)
    clear_fd (&self->folders[i]);
  clear_fd (&self->root);
  g_mutex_clear (&self->mutex);
  g_free (self->path);
  G_OBJECT_CLASS (cis_host_state_parent_class)->finalize (object);
}

static void
cis_host_state_class_init (CisHostStateClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = cis_host_state_finalize;
}

static void
cis_host_state_init (CisHostState *self)
{
  self->root = self->lock = -1;
  for (guint i = 0; i < CIS_N_FOLDERS; i++)
    self->folders[i] = -1;
  g_mutex_init (&self->mutex);
}

/* An episode changes folders by rename(2), which does not leave a file system. */
static gboolean
check_one_file_system (CisHostState *self, GError **error)
{
  struct stat root, st;

  if (fstat (self->root, &root) != 0)
    return cis_error_set_errno (error, errno, "Cannot look at %s", self->path);
  for (guint i = 0; i < CIS_N_FOLDERS; i++)
    {
      if (fstat (self->folders[i], &st) != 0)
        return cis_error_set_errno (error, errno, "Cannot look at %s/%s", self->path, folder_names[i]);
      if (st.st_dev == root.st_dev)
        continue;
      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                   "%s and %s/%s are on different file systems, but episodes are only ever renamed: put the "
                   "whole state "
                   "folder on one",
                   self->path, self->path, folder_names[i]);
      return FALSE;
    }
  return TRUE;
}

/* What tmpfiles.d made, or the same, where that was moved away. */
static int
open_folder (CisHostState *self, CisFolder folder, GError **error)
{
  g_autofree char *path = g_build_filename (self->path, folder_names[folder], NULL);
  gboolean shared = folder == CIS_FOLDER_EPISODES;
  struct stat st;
  gboolean there = fstatat (self->root, folder_names[folder], &st, AT_SYMLINK_NOFOLLOW) == 0;
  int fd = cis_folder_open (self->root, folder_names[folder], TRUE, error);

  if (fd < 0 && error != NULL && g_error_matches (*error, CIS_ERROR, CIS_ERROR_INVALID))
    {
      g_clear_error (error);
      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                   "%s is a symbolic link, which is not followed: put the folder itself in its place", path);
    }
  if (fd < 0 || ((there || !shared || cis_folder_share (fd, path, error)) &&
                 cis_folder_guard (fd, path, shared, error)))
    return fd;
  close (fd);
  return -1;
}

CisHostState *
cis_host_state_open (const char *path, GError **error)
{
  g_autoptr (CisHostState) self = g_object_new (CIS_TYPE_HOST_STATE, NULL);

  self->path = g_canonicalize_filename (path, NULL);
  self->root = cis_folder_open_own (self->path, error);
  if (self->root < 0)
    return NULL;
  for (guint i = 0; i < CIS_N_FOLDERS; i++)
    {
      self->folders[i] = open_folder (self, i, error);
      if (self->folders[i] < 0)
        {
          g_prefix_error (error, "In the state folder %s: ", self->path);
          return NULL;
        }
    }
  if (!check_one_file_system (self, error) || !cis_folder_probe (self->root, self->path, error))
    return NULL;
  return g_steal_pointer (&self);
}

const char *
cis_host_state_get_path (CisHostState *self)
{
  return self->path;
}

int
cis_host_state_get_fd (CisHostState *self, CisFolder folder)
{
  return self->folders[folder];
}

void
cis_host_state_watch (CisHostState *self, CisPart *part)
{
  cis_part_watch_folder (part, self->path, self->root);
  for (guint i = 0; i < CIS_N_FOLDERS; i++)
    {
      g_autofree char *path = cis_host_state_get_file (self, i, "", NULL);

      cis_part_watch_folder (part, path, self->folders[i]);
    }
}

char *
cis_host_state_get_file (CisHostState *self, CisFolder folder, const char *name, const char *suffix)
{
  return g_strconcat (self->path, "/", folder_names[folder], "/", name, suffix, NULL);
}

gboolean
cis_host_state_lock (CisHostState *self, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->mutex);
  g_autofree char *file = g_build_filename (self->path, LOCK_NAME, NULL);
  int fd;

  if (self->lock >= 0)
    return TRUE;
  fd = cis_lock_open (self->root, LOCK_NAME, error);
  if (fd >= 0 && cis_file_lock (fd, FALSE, file, NULL, error))
    {
      self->lock = fd;
      return TRUE;
    }
  clear_fd (&fd);
  if (error != NULL && g_error_matches (*error, CIS_ERROR, CIS_ERROR_UNAVAILABLE))
    g_prefix_error (error, "Another cis490 owns the state folder %s: ", self->path);
  else
    g_prefix_error (error, "In the state folder %s: ", self->path);
  return FALSE;
}

/* The name of the receipt's file; full. A name from elsewhere must not lead out of the folder. */
static char *
receipt_name (const char *name, GError **error)
{
  if (cis_name_is_valid (name, CIS_EPISODE_NAME_MAX))
    return g_strconcat (name, ".json", NULL);
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
               "\"%s\" is no episode's name, so there is no receipt for it", name);
  return NULL;
}

/* @receipt, with the fingerprint of what was packed; full. */
static char *
receipt_to_text (JsonObject *receipt, CisEpisode *episode)
{
  g_autoptr (JsonObject) own = json_object_new ();
  g_autofree char *line = NULL;
  JsonObjectIter iter;
  const char *member;
  JsonNode *node;

  json_object_iter_init_ordered (&iter, receipt);
  while (json_object_iter_next_ordered (&iter, &member, &node))
    json_object_set_member (own, member, json_node_copy (node));
  /* One that the receiver gave would mean something else. */
  json_object_remove_member (own, "fingerprint");
  if (cis_episode_get_fingerprint (episode) != NULL)
    json_object_set_string_member (own, "fingerprint", cis_episode_get_fingerprint (episode));
  line = cis_json_to_line (own);
  return g_strconcat (line, "\n", NULL);
}

/* File and folder are synced: a power cut must not take the receipt of an episode that has left episodes/. */
gboolean
cis_host_state_store_receipt (CisHostState *self, CisEpisode *episode, JsonObject *receipt, GError **error)
{
  g_autofree char *name = receipt_name (cis_episode_get_name (episode), error);
  g_autofree char *text = receipt_to_text (receipt, episode);

  if (name == NULL)
    return FALSE;
  if (cis_file_replace (self->folders[CIS_FOLDER_RECEIPTS], name, text, strlen (text), error))
    return TRUE;
  g_prefix_error (error, "Cannot keep the receipt in %s/receipts: ", self->path);
  return FALSE;
}

static char *
description_name (CisEpisode *episode)
{
  return g_strconcat (cis_episode_get_name (episode), ".json", NULL);
}

gboolean
cis_host_state_store_archive (CisHostState *self, CisEpisode *episode, const char *parameters,
                              gint64 packed_at, GError **error)
{
  g_autofree char *name = description_name (episode);
  g_autofree char *time = cis_time_to_string (packed_at);
  g_autoptr (JsonObject) json = json_object_new ();
  g_autofree char *line = NULL;

  json_object_set_string_member (json, "episode", cis_episode_get_name (episode));
  json_object_set_string_member (json, "sha256", cis_episode_get_sha256 (episode));
  json_object_set_int_member (json, "size", (gint64) cis_episode_get_size (episode));
  json_object_set_string_member (json, "fingerprint", cis_episode_get_fingerprint (episode));
  json_object_set_string_member (json, "parameters", parameters);
  json_object_set_string_member (json, "packed_at", time);
  line = cis_json_to_line (json);
  return cis_file_replace (self->folders[CIS_FOLDER_OUTBOX], name, line, strlen (line), error);
}

gboolean
cis_host_state_load_archive (CisHostState *self, CisEpisode *episode, const char *fingerprint)
{
  g_autofree char *name = description_name (episode);
  g_autofree char *path =
      cis_host_state_get_file (self, CIS_FOLDER_OUTBOX, cis_episode_get_name (episode), ".tar.zst");
  g_autoptr (JsonObject) json = cis_json_load (self->folders[CIS_FOLDER_OUTBOX], name, JSON_SIZE_MAX, NULL);
  const char *sha256 = json != NULL ? cis_json_get_string (json, "sha256") : NULL;
  const char *packed = json != NULL ? cis_json_get_string (json, "fingerprint") : NULL;
  gint64 size = json != NULL ? cis_json_get_size (json, "size", -1) : -1;

  if (sha256 == NULL || !cis_hex_is_valid (sha256, 64) || size < 0 || g_strcmp0 (packed, fingerprint) != 0)
    return FALSE;
  cis_episode_set_archive (episode, path, sha256, (guint64) size);
  cis_episode_set_fingerprint (episode, fingerprint);
  return TRUE;
}

char *
cis_host_state_get_packed_at (CisHostState *self, CisEpisode *episode)
{
  g_autofree char *name = description_name (episode);
  g_autoptr (JsonObject) json = cis_json_load (self->folders[CIS_FOLDER_OUTBOX], name, JSON_SIZE_MAX, NULL);
  const char *text = json != NULL ? cis_json_get_string (json, "packed_at") : NULL;
  g_autoptr (GDateTime) time = text != NULL ? g_date_time_new_from_iso8601 (text, NULL) : NULL;

  return time != NULL ? g_strdup (text) : NULL;
}

/* Nothing is synced: what a power cut brings back is as good as it was, or without its episode, and swept. */
gboolean
cis_host_state_drop_archive (CisHostState *self, CisEpisode *episode, GError **error)
{
  int outbox = self->folders[CIS_FOLDER_OUTBOX];
  g_autofree char *archive = g_strconcat (cis_episode_get_name (episode), ".tar.zst", NULL);
  g_autofree char *description = description_name (episode);

  return cis_file_remove (outbox, description, error) && cis_file_remove (outbox, archive, error);
}

JsonObject *
cis_host_state_load_receipt (CisHostState *self, const char *name, GError **error)
{
  g_autofree char *file = receipt_name (name, error);
  g_autoptr (GError) cause = NULL;
  JsonObject *receipt;

  if (file == NULL)
    return NULL;
  receipt = cis_json_load (self->folders[CIS_FOLDER_RECEIPTS], file, JSON_SIZE_MAX, &cause);
  if (receipt == NULL && !g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    g_propagate_prefixed_error (error, g_steal_pointer (&cause), "%s/receipts/%s: ", self->path, file);
  return receipt;
}

gboolean
cis_host_state_is_acknowledged (CisHostState *self, CisEpisode *episode)
{
  g_autoptr (JsonObject) receipt = cis_host_state_load_receipt (self, cis_episode_get_name (episode), NULL);

  return receipt != NULL &&
         g_strcmp0 (cis_json_get_string (receipt, "sha256"), cis_episode_get_sha256 (episode)) == 0;
}
