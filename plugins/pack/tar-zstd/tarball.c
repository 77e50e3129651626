/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <zstd.h>

#define BLOCK_SIZE   512 /* of a tar */
#define NSEC_PER_SEC 1000000000
/* Stands for the seconds of a time less than one before 1970: no number is a zero with a sign. */
#define NO_SECOND -9

struct _CisTarball
{
  struct archive *tar;
  ZSTD_CCtx *zstd;
  CisDigest *digest;
  guint8 *buffer; /* compressed bytes on their way to the file */
  gsize buffer_size;
  guint64 size; /* compressed bytes written so far */
  int fd;
  GByteArray *header; /* what libarchive writes now is kept here, to be put right; else %NULL */
  gboolean abandoned; /* what libarchive still writes while it is freed goes nowhere */
  GError *error;      /* why a write failed */
};

char *
cis_tarball_parameters (int level)
{
  return g_strdup_printf ("pax zstd-%d v2", level);
}

static gboolean
compress (CisTarball *self, const void *data, gsize length, ZSTD_EndDirective mode, GError **error)
{
  ZSTD_inBuffer in = { data, length, 0 };
  gboolean done = FALSE;

  while (!done)
    {
      ZSTD_outBuffer out = { self->buffer, self->buffer_size, 0 };
      gsize left = ZSTD_compressStream2 (self->zstd, &out, &in, mode);

      if (ZSTD_isError (left))
        {
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Cannot compress: %s", ZSTD_getErrorName (left));
          return FALSE;
        }
      if (!cis_file_write_all (self->fd, self->buffer, out.pos, "the tarball", error))
        return FALSE;
      cis_digest_update (self->digest, self->buffer, out.pos);
      self->size += out.pos;
      done = mode == ZSTD_e_end ? left == 0 : in.pos == in.size;
    }
  return TRUE;
}

/* libarchive hears of no failure before it is freed: behind one it would keep its buffers (3.6). Who called
 * it looks at the error. While it is freed a failure keeps it from filling up an entry that was left in its
 * middle. */
static la_ssize_t
write_block (struct archive *tar, void *user_data, const void *data, size_t length)
{
  CisTarball *self = user_data;

  if (self->abandoned)
    return -1;
  if (self->header != NULL)
    g_byte_array_append (self->header, data, length);
  else if (self->error == NULL)
    compress (self, data, length, ZSTD_e_continue, &self->error);
  return (la_ssize_t) length;
}

/* Passes on why a write failed, or else libarchive. Returns FALSE. */
static gboolean
set_archive_error (CisTarball *self, GError **error)
{
  const char *message = archive_error_string (self->tar);

  if (self->error != NULL)
    g_propagate_error (error, g_error_copy (self->error));
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Cannot write the tarball: %s",
                 message != NULL ? message : "libarchive does not say why");
  return FALSE;
}

static gboolean
open_tar (CisTarball *self, gboolean binary)
{
  /* Plain pax, as "restricted" cuts mtimes to seconds. The charset record makes GNU tar print a warning for
   * each entry, so it is only there where names need it; without it libarchive would translate them by the
   * locale. */
  return archive_write_set_format_pax (self->tar) == ARCHIVE_OK &&
         (!binary ||
          archive_write_set_format_option (self->tar, "pax", "hdrcharset", "BINARY") == ARCHIVE_OK) &&
         /* Nothing is held back: a header comes whole while it is written. */
         archive_write_set_bytes_per_block (self->tar, 0) == ARCHIVE_OK &&
         archive_write_set_bytes_in_last_block (self->tar, 1) == ARCHIVE_OK &&
         archive_write_open (self->tar, self, NULL, write_block, NULL) == ARCHIVE_OK;
}

CisTarball *
cis_tarball_new (int fd, int level, gboolean binary, GError **error)
{
  g_autoptr (CisTarball) self = g_new0 (CisTarball, 1);

  self->fd = fd;
  self->digest = cis_digest_new ();
  self->buffer_size = ZSTD_CStreamOutSize ();
  self->buffer = g_malloc (self->buffer_size);
  self->zstd = ZSTD_createCCtx ();
  self->tar = archive_write_new ();
  if (self->zstd == NULL || self->tar == NULL)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Not enough memory to pack");
      return NULL;
    }
  if (ZSTD_isError (ZSTD_CCtx_setParameter (self->zstd, ZSTD_c_compressionLevel, level)) ||
      ZSTD_isError (ZSTD_CCtx_setParameter (self->zstd, ZSTD_c_checksumFlag, 1)))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "libzstd refuses level %d", level);
      return NULL;
    }
  if (!open_tar (self, binary))
    {
      set_archive_error (self, error);
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
cis_tarball_free (CisTarball *self)
{
  if (self->tar != NULL)
    {
      self->abandoned = TRUE;
      archive_write_free (self->tar);
    }
  ZSTD_freeCCtx (self->zstd);
  g_clear_pointer (&self->digest, cis_digest_free);
  g_clear_error (&self->error);
  g_free (self->buffer);
  g_free (self);
}

/* libarchive (3.6) writes the seconds and the fraction of a time one behind the other, and so -1.25 s, which
 * is -2 s and 750,000,000 ns, as -2.75. So it gets what stands before and behind the point. */
static void
set_mtime (struct archive_entry *entry, const struct timespec *mtime)
{
  if (mtime->tv_sec >= 0 || mtime->tv_nsec == 0)
    archive_entry_set_mtime (entry, mtime->tv_sec, mtime->tv_nsec);
  else
    archive_entry_set_mtime (entry, mtime->tv_sec < -1 ? mtime->tv_sec + 1 : NO_SECOND,
                             NSEC_PER_SEC - mtime->tv_nsec);
}

/* The record of a pax header that says @key, "LENGTH KEY=VALUE\n" (pax(1), "pax Extended Header"); its value.
 */
static char *
find_record (char *records, gsize length, const char *key)
{
  char *end = records + length;

  while (records < end)
    {
      char *rest;
      guint64 size = g_ascii_strtoull (records, &rest, 10);

      if (size == 0 || size > (guint64) (end - records) || *rest != ' ')
        return NULL;
      if (g_str_has_prefix (rest + 1, key) && rest[1 + strlen (key)] == '=')
        return rest + 1 + strlen (key) + 1;
      records += size;
    }
  return NULL;
}

/* Puts the zero in the place of its stand-in. The first block is the records' own header, the last one the
 * entry's. */
static gboolean
write_header_of_no_second (CisTarball *self, struct archive_entry *entry, GError **error)
{
  g_autoptr (GByteArray) header = g_byte_array_new ();
  char *value = NULL;
  int result;

  /* The padding of the entry before, which would come with it. */
  if (archive_write_finish_entry (self->tar) != ARCHIVE_OK)
    return set_archive_error (self, error);
  self->header = header;
  result = archive_write_header (self->tar, entry);
  self->header = NULL;
  if (result == ARCHIVE_OK && header->len > 2 * BLOCK_SIZE)
    value = find_record ((char *) header->data + BLOCK_SIZE, header->len - 2 * BLOCK_SIZE, "mtime");
  if (value == NULL || value[0] != '-')
    return set_archive_error (self, error);
  value[1] = '0';
  return compress (self, header->data, header->len, ZSTD_e_continue, error);
}

static gboolean
write_header (CisTarball *self, struct archive_entry *entry, GError **error)
{
  /* A mere warning would mean a name or a time that is not kept. */
  return archive_write_header (self->tar, entry) == ARCHIVE_OK && self->error == NULL
             ? TRUE
             : set_archive_error (self, error);
}

gboolean
cis_tarball_add (CisTarball *self, const char *path, const struct stat *stat, GError **error)
{
  struct archive_entry *entry = archive_entry_new ();
  gboolean ok;

  archive_entry_copy_pathname (entry, path);
  archive_entry_set_filetype (entry, stat->st_mode & S_IFMT);
  /* Not what would make somebody else of whoever runs it, at whoever unpacks it. */
  archive_entry_set_perm (entry, stat->st_mode & 0777);
  archive_entry_set_size (entry, S_ISREG (stat->st_mode) ? stat->st_size : 0);
  set_mtime (entry, &stat->st_mtim);
  archive_entry_set_uid (entry, 0);
  archive_entry_set_gid (entry, 0);
  ok = stat->st_mtim.tv_sec == -1 && stat->st_mtim.tv_nsec > 0
           ? write_header_of_no_second (self, entry, error)
           : write_header (self, entry, error);
  archive_entry_free (entry);
  return ok;
}

gboolean
cis_tarball_write (CisTarball *self, const void *data, gsize length, GError **error)
{
  la_ssize_t written = archive_write_data (self->tar, data, length);

  return written == (la_ssize_t) length && self->error == NULL ? TRUE : set_archive_error (self, error);
}

gboolean
cis_tarball_finish (CisTarball *self, char **sha256, guint64 *size, GError **error)
{
  if (archive_write_close (self->tar) != ARCHIVE_OK || self->error != NULL)
    return set_archive_error (self, error);
  if (!compress (self, NULL, 0, ZSTD_e_end, error))
    return FALSE;
  *sha256 = cis_digest_finish (self->digest);
  *size = self->size;
  return TRUE;
}
