/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/xattr.h>

#define ARCHIVE_SUFFIX ".tar.zst"
#define PART_SUFFIX    ".part"
#define RECEIPT_XATTR  "user.cis490.receipt"
#define RECEIPT_MAX    16384
#define SHA256_LENGTH  64
#define COMMIT_LENGTH  40

gboolean
cis_layout_open (CisLayout *self, const char *directory, GError **error)
{
  g_autofree char *incoming = g_build_filename (directory, "incoming", NULL);
  g_autofree char *store = g_build_filename (directory, "store", NULL);
  struct stat incoming_stat, store_stat;

  self->state = cis_folder_open_own (directory, error);
  if (self->state < 0)
    return FALSE;
  self->incoming = cis_folder_open_own (incoming, error);
  if (self->incoming < 0)
    return FALSE;
  self->store = cis_folder_open_own (store, error);
  if (self->store < 0)
    return FALSE;
  if (fstat (self->incoming, &incoming_stat) < 0 || fstat (self->store, &store_stat) < 0)
    return cis_error_set_errno (error, errno, "Looking at %s", directory);
  if (incoming_stat.st_dev != store_stat.st_dev)
    {
      g_set_error (
          error, CIS_ERROR, CIS_ERROR_CONFIG,
          "%s and %s are on different file systems: an archive is put into the store by a hard link, "
          "so mount one file system above both",
          incoming, store);
      return FALSE;
    }
  return TRUE;
}

void
cis_layout_close (CisLayout *self)
{
  if (self->state >= 0)
    g_close (self->state, NULL);
  if (self->incoming >= 0)
    g_close (self->incoming, NULL);
  if (self->store >= 0)
    g_close (self->store, NULL);
  self->state = self->incoming = self->store = -1;
}

char *
cis_layout_archive_name (const char *episode)
{
  return g_strconcat (episode, ARCHIVE_SUFFIX, NULL);
}

/* git's name for no commit: what a gate that is off lets in may have none. */
#define NO_COMMIT "0000000000000000000000000000000000000000"

char *
cis_layout_part_name (CisEpisode *episode)
{
  const char *commit = cis_episode_get_commit (episode);

  return g_strdup_printf ("%s.%s.%s" PART_SUFFIX, cis_episode_get_name (episode),
                          cis_episode_get_sha256 (episode), commit != NULL ? commit : NO_COMMIT);
}

/* An episode's name may hold dots, so the name is read from its end, where the lengths are fixed. */
CisPartName *
cis_part_name_parse (const char *name)
{
  const gsize fixed = 1 + SHA256_LENGTH + 1 + COMMIT_LENGTH + strlen (PART_SUFFIX);
  gsize length = strlen (name);
  const char *tail = name + length - MIN (length, fixed);
  g_autoptr (CisPartName) self = NULL;

  if (length <= fixed || !g_str_has_suffix (name, PART_SUFFIX) || tail[0] != '.' ||
      tail[1 + SHA256_LENGTH] != '.')
    return NULL;
  self = g_new0 (CisPartName, 1);
  self->episode = g_strndup (name, tail - name);
  self->sha256 = g_strndup (tail + 1, SHA256_LENGTH);
  self->commit = g_strndup (tail + 2 + SHA256_LENGTH, COMMIT_LENGTH);
  if (!cis_name_is_valid (self->episode, CIS_EPISODE_NAME_MAX) ||
      !cis_hex_is_valid (self->sha256, SHA256_LENGTH) || !cis_hex_is_valid (self->commit, COMMIT_LENGTH))
    return NULL;
  if (g_str_equal (self->commit, NO_COMMIT))
    g_clear_pointer (&self->commit, g_free);
  return g_steal_pointer (&self);
}

gboolean
cis_part_name_is_of (const char *name, CisEpisode *episode)
{
  g_autoptr (CisPartName) self = cis_part_name_parse (name);

  return self != NULL && g_strcmp0 (self->sha256, cis_episode_get_sha256 (episode)) == 0;
}

void
cis_part_name_free (CisPartName *self)
{
  g_free (self->episode);
  g_free (self->sha256);
  g_free (self->commit);
  g_free (self);
}

GPtrArray *
cis_layout_list (int dirfd, const char *folder, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  int fd = openat (dirfd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct dirent *entry;
  DIR *dir;

  /* ENOTDIR is what a symbolic link gives, too. */
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
    return g_steal_pointer (&names);
  dir = fd < 0 ? NULL : fdopendir (fd);
  if (dir == NULL)
    {
      cis_error_set_errno (error, errno, "Opening the folder %s", folder);
      if (fd >= 0)
        g_close (fd, NULL);
      return NULL;
    }
  for (errno = 0; (entry = readdir (dir)) != NULL; errno = 0)
    if (entry->d_name[0] != '.')
      g_ptr_array_add (names, g_strdup (entry->d_name));
  if (errno != 0)
    {
      cis_error_set_errno (error, errno, "Reading the folder %s", folder);
      closedir (dir);
      return NULL;
    }
  closedir (dir);
  return g_steal_pointer (&names);
}

int
cis_layout_look (int dirfd, const char *path, struct stat *st, GError **error)
{
  if (fstatat (dirfd, path, st, AT_SYMLINK_NOFOLLOW) == 0)
    return 1;
  if (errno == ENOENT)
    return 0;
  cis_error_set_errno (error, errno, "Looking at %s", path);
  return -1;
}

char *
cis_layout_find_intent (CisLayout *self, const char *host, const char *episode, const struct stat *stored,
                        GError **error)
{
  g_autoptr (GPtrArray) names = cis_layout_list (self->incoming, host, error);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autoptr (CisPartName) parsed = cis_part_name_parse (name);
      g_autofree char *path = g_build_filename (host, name, NULL);
      struct stat st;
      int there;

      if (parsed == NULL || strcmp (parsed->episode, episode) != 0)
        continue;
      there = cis_layout_look (self->incoming, path, &st, error);
      if (there < 0)
        return NULL;
      if (there > 0 && st.st_ino == stored->st_ino && st.st_dev == stored->st_dev)
        return g_strdup (name);
    }
  return NULL;
}

/* Which state of the file a receipt is of; full. */
static char *
describe_mtime (const struct stat *st)
{
  return g_strdup_printf ("%" G_GINT64_FORMAT ".%09ld", (gint64) st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

gboolean
cis_layout_write_receipt (int fd, JsonObject *receipt, CisItem *item)
{
  g_autofree const char **marks = cis_str_keys (cis_item_get_marks (item));
  g_autofree char *line = NULL;
  JsonObject *noted;
  g_autofree char *mtime = NULL;
  struct stat st;

  if (fstat (fd, &st) < 0)
    return FALSE;
  mtime = describe_mtime (&st);
  noted = json_object_new ();
  for (guint i = 0; marks[i] != NULL; i++)
    json_object_set_string_member (noted, marks[i], cis_item_get_mark (item, marks[i]));
  json_object_set_object_member (receipt, "marks", noted);
  json_object_set_string_member (receipt, "mtime", mtime);
  line = cis_json_to_line (receipt);
  json_object_remove_member (receipt, "marks");
  json_object_remove_member (receipt, "mtime");
  return fsetxattr (fd, RECEIPT_XATTR, line, strlen (line), 0) == 0;
}

static void
take_marks (JsonObject *receipt, CisItem *item)
{
  JsonNode *node = json_object_get_member (receipt, "marks");
  JsonObject *marks = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  g_autoptr (GList) keys = marks != NULL ? json_object_get_members (marks) : NULL;

  for (GList *l = keys; item != NULL && l != NULL; l = l->next)
    {
      const char *value = cis_json_get_string (marks, l->data);

      if (value != NULL)
        cis_item_set_mark (item, l->data, value);
    }
  if (node != NULL)
    json_object_remove_member (receipt, "marks");
}

/* A file that was copied, moved or restored by hand may carry the attribute of another name. */
static gboolean
is_receipt_of (JsonObject *receipt, CisEpisode *episode)
{
  const char *sha256 = cis_json_get_string (receipt, "sha256");

  return sha256 != NULL && cis_hex_is_valid (sha256, SHA256_LENGTH) &&
         cis_json_get_size (receipt, "size", 0) > 0 &&
         g_strcmp0 (cis_json_get_string (receipt, "host"), cis_episode_get_host (episode)) == 0 &&
         g_strcmp0 (cis_json_get_string (receipt, "episode"), cis_episode_get_name (episode)) == 0;
}

/* Or of other bytes. */
static gboolean
is_of_state (JsonObject *receipt, const struct stat *st)
{
  const char *mtime = cis_json_get_string (receipt, "mtime");
  g_autofree char *own = describe_mtime (st);

  return (mtime == NULL || g_str_equal (mtime, own)) &&
         cis_json_get_size (receipt, "size", -1) == st->st_size;
}

/* Of whatever state of the file. %NULL with errno 0 where there is none of @episode's. */
static JsonObject *
read_any (int fd, CisEpisode *episode)
{
  g_autofree char *line = g_malloc (RECEIPT_MAX);
  ssize_t length = fgetxattr (fd, RECEIPT_XATTR, line, RECEIPT_MAX);
  g_autoptr (JsonObject) receipt = NULL;

  if (length < 0 && errno != ENODATA && errno != ENOTSUP && errno != ERANGE)
    return NULL;
  if (length >= 0)
    receipt = cis_json_parse (line, length, NULL);
  errno = 0;
  return receipt != NULL && is_receipt_of (receipt, episode) ? g_steal_pointer (&receipt) : NULL;
}

gboolean
cis_layout_read_promise (int fd, CisEpisode *episode, char **sha256, char **commit, GError **error)
{
  g_autoptr (JsonObject) receipt = read_any (fd, episode);

  *sha256 = *commit = NULL;
  if (receipt == NULL)
    return errno == 0 || cis_error_set_errno (error, errno, "Reading what is noted beside the archive of %s",
                                              cis_item_get_id (CIS_ITEM (episode)));
  *sha256 = g_strdup (cis_json_get_string (receipt, "sha256"));
  *commit = g_strdup (cis_json_get_string (receipt, "commit"));
  return TRUE;
}

JsonObject *
cis_layout_read_receipt (int fd, CisEpisode *episode, CisItem *item)
{
  g_autoptr (JsonObject) receipt = read_any (fd, episode);
  struct stat st;

  if (receipt == NULL || fstat (fd, &st) < 0 || !is_of_state (receipt, &st))
    return NULL;
  take_marks (receipt, item);
  if (json_object_has_member (receipt, "mtime"))
    json_object_remove_member (receipt, "mtime");
  return g_steal_pointer (&receipt);
}
