/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tarballs.h"

#include "../plugins/shared/meta/inflater.h"
#include "../plugins/shared/meta/meta-error.h"

#include <dlfcn.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

#define MIB (1024 * 1024)

static gboolean lacks_memory;

/* The inflater's own call comes here first. */
size_t
ZSTD_decompressStream (ZSTD_DStream *zstd, ZSTD_outBuffer *out, ZSTD_inBuffer *in)
{
  size_t (*real) (ZSTD_DStream *, ZSTD_outBuffer *, ZSTD_inBuffer *) =
      dlsym (RTLD_NEXT, "ZSTD_decompressStream");

  return lacks_memory ? (size_t) -ZSTD_error_memory_allocation : real (zstd, out, in);
}

/* The first bytes that @bytes inflate to. Takes the bytes. */
static gssize
inflate (GByteArray *bytes, const void **block, CisInflater **inflater, GError **error)
{
  int fd = memfd_create ("archive", MFD_CLOEXEC);
  gssize length;

  g_assert_cmpint (write (fd, bytes->data, bytes->len), ==, bytes->len);
  g_byte_array_unref (bytes);
  *inflater = cis_inflater_new (fd, G_MAXUINT64, error);
  g_assert_no_error (*error);
  length = cis_inflater_read (*inflater, block, error);
  g_close (fd, NULL);
  return length;
}

/* @size bytes that inflate to nothing, in empty frames or one skippable frame, and "end"; full. */
static GByteArray *
make_idle (gsize size, gboolean skippable)
{
  const guint32 head[] = { GUINT32_TO_LE (ZSTD_MAGIC_SKIPPABLE_START), GUINT32_TO_LE (size) };
  g_autoptr (GByteArray) empty = tarball_compress ("", 0);
  g_autoptr (GByteArray) end = tarball_compress ("end", 3);
  GByteArray *bytes = g_byte_array_new ();

  if (skippable)
    {
      g_byte_array_append (bytes, (const guint8 *) head, sizeof head);
      g_byte_array_set_size (bytes, sizeof head + size);
      memset (bytes->data + sizeof head, 0, size);
    }
  else
    while (bytes->len < size)
      g_byte_array_append (bytes, empty->data, empty->len);
  g_byte_array_append (bytes, end->data, end->len);
  return bytes;
}

static void
test_idle (void)
{
  for (guint skippable = FALSE; skippable <= TRUE; skippable++)
    {
      g_autoptr (CisInflater) some = NULL;
      g_autoptr (CisInflater) many = NULL;
      g_autoptr (GError) error = NULL;
      const void *block;

      g_assert_cmpint (inflate (make_idle (15 * MIB, skippable), &block, &some, &error), ==, 3);
      g_assert_cmpmem (block, 3, "end", 3);
      /* Nobody could call it off, nor see that it goes on. */
      g_assert_cmpint (inflate (make_idle (17 * MIB, skippable), &block, &many, &error), ==, -1);
      g_assert_error (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT);
      g_assert_nonnull (strstr (error->message, "in a row inflate to nothing"));
    }
}

/* Says nothing about the bytes. */
static void
test_no_memory (void)
{
  g_autoptr (CisInflater) inflater = NULL;
  g_autoptr (GError) error = NULL;
  const void *block;

  lacks_memory = TRUE;
  g_assert_cmpint (inflate (tarball_compress ("data", 4), &block, &inflater, &error), ==, -1);
  lacks_memory = FALSE;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/inflater/idle", test_idle);
  g_test_add_func ("/inflater/no-memory", test_no_memory);
  return g_test_run ();
}
