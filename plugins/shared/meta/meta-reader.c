/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meta-reader.h"

#include "blocks.h"
#include "entry.h"
#include "inflater.h"
#include "names.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* As much as gate/stamp reads on the host: what is good there is good here. */
#define META_MAX (16 * 1024 * 1024)
/* Up to here the ratio is nobody's concern: logs that repeat themselves and files with holes inflate a
 * lot. */
#define FREE_INFLATED ((guint64) 1024 * 1024 * 1024)
/* So many blocks pass between two looks at the clock, which is a system call. */
#define BLOCKS_PER_LOOK 64

typedef struct
{
  CisInflater *inflater; /* owned */
  struct archive *tar;   /* owned */
  CisTarBlocks *blocks;  /* owned */
  CisEntryNames *names;  /* owned */
  const CisMetaLimits *limits;
  guint64 size; /* compressed bytes */
  CisMetaProgress progress;
  gpointer user_data;
  GCancellable *cancellable;
  gint64 began;       /* processor time of this thread, µs */
  guint n_blocks;     /* read */
  gboolean in_header; /* what is read is an entry's header … */
  guint64 header;     /* … of so many bytes, in whole blocks */
  GError *error;      /* why the last read failed: libarchive only passes on that it did */
} Reader;

static void
reader_clear (Reader *self)
{
  if (self->tar != NULL)
    archive_read_free (self->tar);
  g_clear_pointer (&self->inflater, cis_inflater_free);
  g_clear_pointer (&self->blocks, cis_tar_blocks_free);
  g_clear_pointer (&self->names, cis_entry_names_free);
  g_clear_error (&self->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reader, reader_clear)

static gint64
get_processor_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* What a look really costs, however much the bytes are or claim to be: a hole of terabytes is cheap, and
 * other people's load is not the archive's. */
static gboolean
check_work (Reader *self, GError **error)
{
  const gint64 max = self->limits->max_time;

  if (self->n_blocks++ % BLOCKS_PER_LOOK != 0 || get_processor_time () - self->began <= max)
    return TRUE;
  g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT,
               "it takes more than the %.3g s of a processor to read that max-time allows it",
               (double) max / G_USEC_PER_SEC);
  return FALSE;
}

static gssize
read_on (Reader *self, const void **block, GError **error)
{
  gssize length;

  if (g_cancellable_set_error_if_cancelled (self->cancellable, error) || !check_work (self, error))
    return -1;
  length = cis_inflater_read (self->inflater, block, error);
  if (self->progress != NULL)
    self->progress (cis_inflater_get_consumed (self->inflater), self->size, self->user_data);
  return length;
}

/* libarchive keeps all that it reads to get to know one entry, as a list in memory where it is a map of
 * holes, and takes time that grows with the square where it is an ACL, in which nobody can interrupt it. */
static la_ssize_t
read_block (struct archive *tar, void *user_data, const void **block)
{
  Reader *self = user_data;
  gssize length;

  g_clear_error (&self->error);
  length = read_on (self, block, &self->error);
  if (self->in_header && length > 0)
    self->header += (guint64) length;
  if (self->header > self->limits->max_header)
    {
      g_set_error (&self->error, CIS_META_ERROR, CIS_META_ERROR_LIMIT,
                   "the header of an entry is over the %" G_GUINT64_FORMAT " bytes that max-header allows it",
                   self->limits->max_header);
      return ARCHIVE_FATAL;
    }
  if (length > 0 && !cis_tar_blocks_feed (self->blocks, *block, (gsize) length, &self->error))
    return ARCHIVE_FATAL;
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
    g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_DAMAGED, "it is no proper tar: %s",
                 message != NULL ? message : "libarchive does not say why");
  return FALSE;
}

/* How many bytes may come out of so many. */
static guint64
get_max_inflated (const CisMetaLimits *limits, guint64 size)
{
  guint64 max;

  if (limits->max_ratio == 0)
    return limits->max_inflated;
  max = size > G_MAXUINT64 / limits->max_ratio ? G_MAXUINT64 : size * limits->max_ratio;
  return MIN (limits->max_inflated, MAX (max, FREE_INFLATED));
}

static gboolean
reader_open (Reader *self, int fd, GError **error)
{
  struct stat st;

  if (fstat (fd, &st) < 0)
    return cis_error_set_errno (error, errno, "Looking at an archive");
  self->size = st.st_size;
  self->began = get_processor_time ();
  self->inflater = cis_inflater_new (fd, get_max_inflated (self->limits, self->size), error);
  if (self->inflater == NULL)
    return FALSE;
  self->blocks = cis_tar_blocks_new (self->limits->max_header);
  self->names = cis_entry_names_new (self->limits->max_entries, self->limits->portable_names);
  self->tar = archive_read_new ();
  if (self->tar == NULL || archive_read_support_format_tar (self->tar) != ARCHIVE_OK)
    return set_no_memory (error);
  return archive_read_open (self->tar, self, NULL, read_block, NULL) == ARCHIVE_OK ||
         set_archive_error (self, error);
}

static JsonObject *
read_meta (Reader *self, struct archive_entry *entry, GError **error)
{
  static const char *const members[] = { "code_version", "episode", "id", NULL };
  gint64 size = archive_entry_size (entry);
  g_autofree char *data = NULL;
  g_autoptr (GError) problem = NULL;
  JsonObject *meta;
  gint64 done = 0;

  if (size < 0 || size > META_MAX)
    {
      g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_META,
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
  meta = cis_json_parse_members (data, done, members, &problem);
  if (meta == NULL)
    g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_META, "its meta.json cannot be understood: %s",
                 problem->message);
  return meta;
}

/* The header of the entry behind @entry, which is %NULL at first. 1; 0 at the archive's end;
 * -1 with @error. */
static int
next_entry (Reader *self, struct archive_entry **entry, GError **error)
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
  if (result == ARCHIVE_OK || result == ARCHIVE_WARN)
    return 1;
  set_archive_error (self, error);
  return -1;
}

static JsonObject *
read_entries (Reader *self, const char *episode, CisMetaExtent extent, GError **error)
{
  g_autoptr (JsonObject) meta = NULL;
  struct archive_entry *entry = NULL;
  guint n_entries = 0;
  int next;

  while ((next = next_entry (self, &entry, error)) > 0)
    {
      g_autofree char *path = cis_entry_get_path (entry, episode, error);

      if (path == NULL || !cis_entry_check (entry, path, error) ||
          !cis_entry_names_add (self->names, path, archive_entry_filetype (entry) == AE_IFDIR, error))
        return NULL;
      if (++n_entries > self->limits->max_entries)
        {
          g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT,
                       "it has more than the %u entries that max-entries allows it",
                       self->limits->max_entries);
          return NULL;
        }
      if (archive_entry_filetype (entry) != AE_IFREG || strcmp (path + strlen (episode), "/meta.json") != 0)
        continue;
      meta = read_meta (self, entry, error);
      if (meta == NULL || extent == CIS_META_FIRST)
        return g_steal_pointer (&meta);
    }
  if (next == 0 && meta == NULL)
    g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_FOREIGN, "it has no %s/meta.json", episode);
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
  g_auto (Reader)
      reader = { .limits = limits, .progress = progress, .user_data = user_data, .cancellable = cancellable };
  g_autoptr (JsonObject) meta = NULL;

  if (!reader_open (&reader, fd, error))
    return NULL;
  meta = read_entries (&reader, episode, extent, error);
  if (meta == NULL || (extent == CIS_META_WHOLE && !read_rest (&reader, error)))
    return NULL;
  return g_steal_pointer (&meta);
}

void
cis_meta_limits_add_options (CisPartClass *klass, gsize offset)
{
  const CisMetaLimits defaults = CIS_META_LIMITS;

#define OPTION(field, pspec)                                                                                 \
  cis_part_class_add_option (klass, offset + G_STRUCT_OFFSET (CisMetaLimits, field), pspec)
  OPTION (max_inflated,
          g_param_spec_uint64 ("max-inflated", NULL, "To how much an archive may inflate.", 1, G_MAXUINT64,
                               defaults.max_inflated, CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  OPTION (max_ratio,
          g_param_spec_uint ("max-ratio", NULL,
                             "To how many times its size an archive may inflate, the first GiB not "
                             "counted; 0: any.",
                             0, G_MAXUINT, defaults.max_ratio, CIS_PARAM_OPTION));
  OPTION (max_entries,
          g_param_spec_uint ("max-entries", NULL, "How many files and folders an archive may hold.", 1,
                             G_MAXUINT, defaults.max_entries, CIS_PARAM_OPTION));
  OPTION (max_header,
          g_param_spec_uint64 ("max-header", NULL,
                               "How much may describe one entry: its path, attributes and map of holes.",
                               1024, (guint64) 1 << 30, defaults.max_header,
                               CIS_PARAM_OPTION | CIS_PARAM_SIZE));
  OPTION (max_time,
          g_param_spec_int64 ("max-time", NULL, "How much time of a processor reading an archive may take.",
                              G_TIME_SPAN_MILLISECOND, G_TIME_SPAN_DAY, defaults.max_time,
                              CIS_PARAM_OPTION | CIS_PARAM_DURATION));
  OPTION (portable_names,
          g_param_spec_boolean (
              "portable-names", NULL,
              "Whether names that differ by case or Unicode's normal form only are refused: some "
              "file systems take them for one.",
              defaults.portable_names, CIS_PARAM_OPTION));
#undef OPTION
}
