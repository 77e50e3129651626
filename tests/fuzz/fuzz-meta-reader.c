/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/shared/code-version.h"
#include "../../plugins/shared/meta/meta-reader.h"
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

static JsonObject *
read_file (int fd, CisMetaExtent extent)
{
  const CisMetaLimits limits = { 1024 * 1024, 1000, 100, G_TIME_SPAN_HOUR, 64 * 1024, TRUE };
  g_autoptr (GError) error = NULL;
  JsonObject *meta = cis_meta_read (fd, "run", &limits, extent, NULL, NULL, NULL, &error);

  g_assert_true ((meta == NULL) == (error != NULL));
  if (error != NULL)
    g_assert_true (error->domain == CIS_META_ERROR);
  return meta;
}

/* What is good to its end is good as far as its meta.json, and says the same there. */
static void
read_bytes (const void *data, gsize size)
{
  static int fd = -1;
  g_autoptr (JsonObject) first = NULL, whole = NULL;

  if (fd < 0)
    fd = memfd_create ("archive", MFD_CLOEXEC);
  g_assert_no_errno (ftruncate (fd, 0));
  g_assert_cmpint (pwrite (fd, data, size, 0), ==, size);
  first = read_file (fd, CIS_META_FIRST);
  whole = read_file (fd, CIS_META_WHOLE);
  if (whole != NULL)
    g_assert_cmpstr (cis_code_version_read (whole).commit, ==, cis_code_version_read (first).commit);
}

/* As compressed bytes, and as a tar that is well compressed: chance finds no checksum of zstd's. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  static ZSTD_CCtx *context;
  gsize bound = ZSTD_compressBound (size);
  g_autofree guint8 *compressed = g_malloc (bound);
  gsize length;

  if (context == NULL)
    context = ZSTD_createCCtx ();
  length = ZSTD_compressCCtx (context, compressed, bound, data, size, 1);
  g_assert_false (ZSTD_isError (length));
  read_bytes (data, size);
  read_bytes (compressed, length);
  return 0;
}
