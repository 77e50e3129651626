/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta-reader.h"

#include "inflater.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* As much as gate/stamp reads on the host: what is good there is good here. */
#define META_MAX (16 * 1024 * 1024)
/* What may be read to get to know one entry. libarchive keeps all of it, as a list in memory where it is a
 * map of holes, and takes time that grows with the square where it is an ACL, in which nobody can interrupt
 * it. */
#define HEADER_MAX (64 * 1024)
/* Up to here the ratio is nobody's concern: logs that repeat themselves and files with holes inflate a
 * lot. */
#define FREE_INFLATED ((guint64) 1024 * 1024 * 1024)

typedef struct
{
  CisInflater *inflater;     /* owned */
  struct archive *tar;       /* owned */
  guint64 size;              /* compressed bytes */
  gint64 max_time, deadline; /* of the thread's processor time, µs */
  CisMetaProgress progress;
  gpointer user_data;
  GCancellable *cancellable;
  gboolean in_header; /* what is read is an entry's header … */
  gsize header;       /* … of so many bytes, in whole blocks */
  GError *error;      /* why the last read failed: libarchive only passes on that it did */
} Reader;

static void
reader_clear (Reader *self)
{
  if (self->tar != NULL)
    archive_read_free (self->tar);
  g_clear_pointer (&self->inflater, cis_inflater_free);
  g_clear_error (&self->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reader, reader_clear)

/* Of a processor, so that a busy machine refuses nothing. */
static gint64
get_time_used (void)
{
  struct timespec used = { 0 };

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &used);
  return used.tv_sec * G_USEC_PER_SEC + used.tv_nsec / 1000;
}

static gssize
read_on (Reader *self, const void **block, GError **error)
{
  gssize length;

  if (g_cancellable_set_error_if_cancelled (self->cancellable, error))
    return -1;
  if (get_time_used () > self->deadline)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
                   "it takes more than %.3g s of a processor to read, which max-time allows it",
                   (double) self->max_time / G_USEC_PER_SEC);
      return -1;
    }
  length = cis_inflater_read (self->inflater, block, error);
  if (self->progress != NULL)
    self->progress (cis_inflater_get_consumed (self->inflater), self->size, self->user_data);
  return length;
}

static la_ssize_t
read_block (struct archive *tar, void *user_data, const void **block)
{
  Reader *self = user_data;
  gssize length;

  g_clear_error (&self->error);
  length = read_on (self, block, &self->error);
  if (self->in_header && length > 0)
    self->header += length;
  if (self->header > HEADER_MAX)
    {
      g_set_error (&self->error, CIS_ERROR, CIS_ERROR_INVALID, "the header of an entry is over %d bytes",
                   HEADER_MAX);
      return ARCHIVE_FATAL;
    }
  return length < 0 ? ARCHIVE_FATAL : length;
}

/* Says nothing about the archive. Returns FALSE. */
static gboolean
set_no_memory (GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Not enough memory to read an archive");
  return FALSE;
}

/* Passes on why libarchive failed. Returns FALSE. */
static gboolean
set_archive_error (Reader *self, GError **error)
{
  const char *message = archive_error_string (self->tar);

  if (self->error != NULL)
    g_propagate_error (error, g_steal_pointer (&self->error));
  else if (archive_errno (self->tar) == ENOMEM)
    set_no_memory (error);
  else
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "it is no proper tar: %s",
                 message != NULL ? message : "libarchive does not say why");
  return FALSE;
}

static gboolean
reader_open (Reader *self, int fd, const CisMetaLimits *limits, GError **error)
{
  guint64 max;
  struct stat st;

  if (fstat (fd, &st) < 0)
    return cis_error_set_errno (error, errno, "Looking at an archive");
  self->size = st.st_size;
  self->max_time = limits->max_time;
  self->deadline = get_time_used () + limits->max_time;
  max = self->size > G_MAXUINT64 / limits->max_ratio ? G_MAXUINT64 : self->size * limits->max_ratio;
  self->inflater = cis_inflater_new (fd, MIN (limits->max_inflated, MAX (max, FREE_INFLATED)), error);
  if (self->inflater == NULL)
    return FALSE;
  self->tar = archive_read_new ();
  if (self->tar == NULL || archive_read_support_format_tar (self->tar) != ARCHIVE_OK)
    return set_no_memory (error);
  return archive_read_open (self->tar, self, NULL, read_block, NULL) == ARCHIVE_OK ||
         set_archive_error (self, error);
}

static gboolean
refuse_entry (GError **error, const char *path, const char *why)
{
  g_autofree char *shown = g_strescape (path, NULL);

  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "its entry “%.200s” %s", shown, why);
  return FALSE;
}

/* Whether whoever unpacks it gets "<episode>" and what is below, and nothing else. */
static gboolean
check_path (const char *path, const char *episode, GError **error)
{
  gsize length = strlen (episode);
  g_auto (GStrv) parts = NULL;

  if (strncmp (path, episode, length) != 0 || (path[length] != '/' && path[length] != '\0'))
    return refuse_entry (error, path, "is not in the folder that has the episode's name");
  parts = g_strsplit (path, "/", -1);
  for (guint i = 0; parts[i] != NULL; i++)
    if (g_str_equal (parts[i], ".") || g_str_equal (parts[i], "..") ||
        (parts[i][0] == '\0' && parts[i + 1] != NULL))
      return refuse_entry (error, path, "has a path that leads elsewhere");
  return TRUE;
}

static gboolean
check_entry (struct archive_entry *entry, const char *path, const char *episode, GError **error)
{
  if (archive_entry_hardlink (entry) != NULL || archive_entry_hardlink_utf8 (entry) != NULL ||
      archive_entry_symlink (entry) != NULL || archive_entry_symlink_utf8 (entry) != NULL)
    return refuse_entry (error, path, "is a link; an episode is files and folders only");
  if (archive_entry_filetype (entry) != AE_IFREG && archive_entry_filetype (entry) != AE_IFDIR)
    return refuse_entry (error, path, "is neither a file nor a folder");
  return check_path (path, episode, error);
}

static gboolean
is_meta (struct archive_entry *entry, const char *path, const char *episode)
{
  gsize length = strlen (episode);

  /* The episode's name is in front already, see check_path(). */
  return archive_entry_filetype (entry) == AE_IFREG && strcmp (path + length, "/meta.json") == 0;
}

static JsonObject *
read_meta (Reader *self, struct archive_entry *entry, GError **error)
{
  static const char *const members[] = { "code_version", "episode", "id", NULL };
  gint64 size = archive_entry_size (entry);
  g_autofree char *data = NULL;
  JsonObject *meta;
  gint64 done = 0;

  if (size < 0 || size > META_MAX)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
                   "its meta.json has %" G_GINT64_FORMAT " bytes; %d are the most", size, META_MAX);
      return NULL;
    }
  data = g_malloc (size + 1);
  while (done < size)
    {
      la_ssize_t length = archive_read_data (self->tar, data + done, size - done);

      if (length < 0)
        {
          set_archive_error (self, error);
          return NULL;
        }
      if (length == 0)
        break;
      done += length;
    }
  meta = cis_json_parse_members (data, done, members, error);
  if (meta == NULL)
    g_prefix_error (error, "its meta.json cannot be understood: ");
  return meta;
}

/* The header of the entry behind @entry, which is %NULL at first. 1; 0 at the archive's end;
 * -1 with @error. */
static int
next_entry (Reader *self, struct archive_entry **entry, const char **path, GError **error)
{
  int result;

  /* Of the entry before; else libarchive skips it as part of what is counted. */
  if (*entry != NULL && archive_read_data_skip (self->tar) < ARCHIVE_WARN)
    {
      set_archive_error (self, error);
      return -1;
    }
  self->in_header = TRUE;
  result = archive_read_next_header (self->tar, entry);
  self->in_header = FALSE;
  self->header = 0;

  if (result == ARCHIVE_EOF)
    return 0;
  /* A warning is about a name that this locale cannot spell. */
  if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
    {
      set_archive_error (self, error);
      return -1;
    }
  *path = archive_entry_pathname (*entry);
  if (*path == NULL)
    *path = archive_entry_pathname_utf8 (*entry);
  if (*path != NULL)
    return 1;
  g_set_error_literal (error, CIS_ERROR, CIS_ERROR_INVALID, "an entry of it has no name");
  return -1;
}

static JsonObject *
read_entries (Reader *self, const char *episode, const CisMetaLimits *limits, CisMetaExtent extent,
              GError **error)
{
  g_autoptr (JsonObject) meta = NULL;
  struct archive_entry *entry = NULL;
  const char *path;
  guint n_entries = 0;
  int next;

  while ((next = next_entry (self, &entry, &path, error)) > 0)
    {
      if (++n_entries > limits->max_entries)
        {
          g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
                       "it has more than %u entries, which max-entries allows it", limits->max_entries);
          return NULL;
        }
      if (!check_entry (entry, path, episode, error))
        return NULL;
      if (!is_meta (entry, path, episode))
        continue;
      if (meta != NULL)
        {
          refuse_entry (error, path, "is there twice");
          return NULL;
        }
      meta = read_meta (self, entry, error);
      if (meta == NULL || extent == CIS_META_FIRST)
        return g_steal_pointer (&meta);
    }
  if (next == 0 && meta == NULL)
    g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "it has no %s/meta.json", episode);
  return next == 0 ? g_steal_pointer (&meta) : NULL;
}

/* libarchive stops at the tar's end: what follows must inflate too, or the frame's checksum was not looked
 * at. */
static gboolean
read_rest (Reader *self, GError **error)
{
  const void *block;
  gssize length;

  do
    length = read_on (self, &block, error);
  while (length > 0);
  return length == 0;
}

JsonObject *
cis_meta_read (int fd, const char *episode, const CisMetaLimits *limits, CisMetaExtent extent,
               CisMetaProgress progress, gpointer user_data, GCancellable *cancellable, GError **error)
{
  g_auto (Reader) reader = { .progress = progress, .user_data = user_data, .cancellable = cancellable };
  g_autoptr (JsonObject) meta = NULL;

  if (!reader_open (&reader, fd, limits, error))
    return NULL;
  meta = read_entries (&reader, episode, limits, extent, error);
  if (meta == NULL || (extent == CIS_META_WHOLE && !read_rest (&reader, error)))
    return NULL;
  return g_steal_pointer (&meta);
}

const char *
cis_meta_get_commit (JsonObject *meta)
{
  JsonNode *node = json_object_get_member (meta, "code_version");
  const char *commit = NULL;

  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    commit = cis_json_get_string (json_node_get_object (node), "commit");
  return commit != NULL && cis_hex_is_valid (commit, 40) ? commit : NULL;
}

void
cis_meta_limits_add_options (CisPartClass *klass, gsize offset)
{
  cis_part_class_add_option (klass, offset + G_STRUCT_OFFSET (CisMetaLimits, max_inflated),
                             g_param_spec_uint64 ("max-inflated", NULL, "To how much an archive may inflate.",
                                                  1, G_MAXUINT64, (guint64) 1 << 40,
                                                  CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  cis_part_class_add_option (
      klass, offset + G_STRUCT_OFFSET (CisMetaLimits, max_ratio),
      g_param_spec_uint ("max-ratio", NULL,
                         "To how many times its size an archive may inflate; the first GiB is not counted.",
                         1, G_MAXUINT, 1000, CIS_PARAM_OPTION));
  cis_part_class_add_option (klass, offset + G_STRUCT_OFFSET (CisMetaLimits, max_entries),
                             g_param_spec_uint ("max-entries", NULL,
                                                "How many files and folders an archive may hold.", 1,
                                                G_MAXUINT, 1000000, CIS_PARAM_OPTION));
  cis_part_class_add_option (klass, offset + G_STRUCT_OFFSET (CisMetaLimits, max_time),
                             g_param_spec_int64 ("max-time", NULL,
                                                 "How much time of a processor reading an archive may take.",
                                                 G_TIME_SPAN_MILLISECOND, G_TIME_SPAN_DAY, G_TIME_SPAN_HOUR,
                                                 CIS_PARAM_OPTION | CIS_PARAM_DURATION));
}
