/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tarballs.h"

#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#define BOMB_UNIT (64 * 1024 * 1024)

static la_ssize_t
write_block (struct archive *tar, void *user_data, const void *data, size_t length)
{
  g_byte_array_append (user_data, data, length);
  return length;
}

Tarball *
tarball_new (void)
{
  Tarball *self = g_new (Tarball, 1);

  self->bytes = g_byte_array_new ();
  self->tar = archive_write_new ();
  g_assert_cmpint (archive_write_set_format_pax (self->tar), ==, ARCHIVE_OK);
  g_assert_cmpint (archive_write_set_format_option (self->tar, "pax", "hdrcharset", "BINARY"), ==,
                   ARCHIVE_OK);
  g_assert_cmpint (archive_write_set_bytes_per_block (self->tar, 0), ==, ARCHIVE_OK);
  g_assert_cmpint (archive_write_open (self->tar, self->bytes, NULL, write_block, NULL), ==, ARCHIVE_OK);
  return self;
}

void
tarball_free (Tarball *self)
{
  if (self->tar != NULL)
    {
      archive_write_close (self->tar);
      archive_write_free (self->tar);
    }
  g_byte_array_unref (self->bytes);
  g_free (self);
}

static void
add_header (Tarball *self, const char *path, guint type, gsize size, const char *symlink,
            const char *hardlink)
{
  struct archive_entry *entry = archive_entry_new ();

  archive_entry_copy_pathname (entry, path);
  archive_entry_set_filetype (entry, type);
  archive_entry_set_perm (entry, 0644);
  archive_entry_set_size (entry, size);
  if (symlink != NULL)
    archive_entry_copy_symlink (entry, symlink);
  if (hardlink != NULL)
    archive_entry_copy_hardlink (entry, hardlink);
  g_assert_cmpint (archive_write_header (self->tar, entry), ==, ARCHIVE_OK);
  archive_entry_free (entry);
}

void
tarball_add_attribute (Tarball *self, const char *path, gsize size)
{
  struct archive_entry *entry = archive_entry_new ();
  g_autofree char *value = g_malloc0 (size);

  archive_entry_copy_pathname (entry, path);
  archive_entry_set_filetype (entry, S_IFREG);
  archive_entry_set_size (entry, 0);
  archive_entry_xattr_add_entry (entry, "user.odd", value, size);
  g_assert_cmpint (archive_write_header (self->tar, entry), ==, ARCHIVE_OK);
  archive_entry_free (entry);
}

void
tarball_add_program (Tarball *self, const char *path, guint mode, const char *attribute)
{
  struct archive_entry *entry = archive_entry_new ();

  archive_entry_copy_pathname (entry, path);
  archive_entry_set_filetype (entry, S_IFREG);
  archive_entry_set_perm (entry, mode);
  archive_entry_set_size (entry, 0);
  if (attribute != NULL)
    archive_entry_xattr_add_entry (entry, attribute, "x", 1);
  g_assert_cmpint (archive_write_header (self->tar, entry), ==, ARCHIVE_OK);
  archive_entry_free (entry);
}

void
tarball_add_holes (Tarball *self, const char *path, guint n)
{
  struct archive_entry *entry = archive_entry_new ();
  g_autofree char *data = g_malloc0 (2 * n);

  archive_entry_copy_pathname (entry, path);
  archive_entry_set_filetype (entry, S_IFREG);
  archive_entry_set_size (entry, 2 * n);
  for (guint i = 0; i < n; i++)
    archive_entry_sparse_add_entry (entry, 2 * i, 1);
  g_assert_cmpint (archive_write_header (self->tar, entry), ==, ARCHIVE_OK);
  g_assert_cmpint (archive_write_data (self->tar, data, 2 * n), ==, 2 * n);
  archive_entry_free (entry);
}

void
tarball_add (Tarball *self, const char *path, const char *data, gsize size)
{
  g_autofree char *zeros = data == NULL ? g_malloc0 (size) : NULL;

  add_header (self, path, S_IFREG, size, NULL, NULL);
  g_assert_cmpint (archive_write_data (self->tar, data != NULL ? data : zeros, size), ==, size);
}

void
tarball_add_text (Tarball *self, const char *path, const char *text)
{
  tarball_add (self, path, text, strlen (text));
}

/* By hand: libarchive would write the file too. */
void
tarball_add_header (Tarball *self, const char *path, gsize size)
{
  char header[512] = { 0 };
  guint sum = 0;

  g_strlcpy (header, path, 100);
  g_snprintf (header + 100, 8, "0000644");
  g_snprintf (header + 124, 12, "%011lo", (unsigned long) size);
  g_snprintf (header + 136, 12, "%011o", 0);
  memset (header + 148, ' ', 8);
  header[156] = '0';
  memcpy (header + 257, "ustar\00000", 8);
  for (guint i = 0; i < sizeof header; i++)
    sum += (guint8) header[i];
  g_snprintf (header + 148, 8, "%06o", sum);
  g_byte_array_append (self->bytes, (guint8 *) header, sizeof header);
}

void
tarball_add_special (Tarball *self, const char *path, guint type, const char *symlink, const char *hardlink)
{
  add_header (self, path, type, 0, symlink, hardlink);
}

GByteArray *
tarball_compress (const void *data, gsize size)
{
  GByteArray *bytes = g_byte_array_new ();
  gsize length;

  g_byte_array_set_size (bytes, ZSTD_compressBound (size));
  length = ZSTD_compress (bytes->data, bytes->len, data, size, 1);
  g_assert_false (ZSTD_isError (length));
  g_byte_array_set_size (bytes, length);
  return bytes;
}

GByteArray *
tarball_end (Tarball *self)
{
  g_assert_cmpint (archive_write_close (self->tar), ==, ARCHIVE_OK);
  archive_write_free (g_steal_pointer (&self->tar));
  return tarball_compress (self->bytes->data, self->bytes->len);
}

GByteArray *
tarball_make (const char *episode, const char *meta)
{
  g_autoptr (Tarball) tarball = tarball_new ();
  g_autofree char *data = g_build_filename (episode, "data", NULL);
  g_autofree char *file = g_build_filename (data, "telemetry.jsonl", NULL);
  g_autofree char *path = g_build_filename (episode, "meta.json", NULL);
  g_autofree char *other = g_build_filename (data, "meta.json", NULL);

  tarball_add_special (tarball, episode, S_IFDIR, NULL, NULL);
  tarball_add_special (tarball, data, S_IFDIR, NULL, NULL);
  tarball_add_text (tarball, other, "another's");
  tarball_add_text (tarball, file, "{\"t\": 0.0}\n");
  if (meta != NULL)
    tarball_add_text (tarball, path, meta);
  return tarball_end (tarball);
}

GByteArray *
tarball_make_bomb (guint n)
{
  g_autoptr (Tarball) tarball = tarball_new ();
  g_autofree guint8 *zeros = g_malloc0 (BOMB_UNIT);
  g_autoptr (GByteArray) frame = tarball_compress (zeros, BOMB_UNIT);
  GByteArray *bomb;

  tarball_add_header (tarball, "run/data", (gsize) n * BOMB_UNIT);
  bomb = tarball_compress (tarball->bytes->data, tarball->bytes->len);
  for (guint i = 0; i < n; i++)
    g_byte_array_append (bomb, frame->data, frame->len);
  return bomb;
}
