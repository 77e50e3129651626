/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHA256_SIZE 32
#define READ_SIZE   (256 * 1024)

struct _CisDigest
{
  gnutls_hash_hd_t hash;
};

CisDigest *
cis_digest_new (void)
{
  CisDigest *self = g_new0 (CisDigest, 1);
  int result = gnutls_hash_init (&self->hash, GNUTLS_DIG_SHA256);

  /* Like running out of memory: no caller could go on without SHA-256. */
  if (result < 0)
    g_error ("GnuTLS has no SHA-256: %s", gnutls_strerror (result));
  return self;
}

void
cis_digest_free (CisDigest *self)
{
  gnutls_hash_deinit (self->hash, NULL);
  g_free (self);
}

void
cis_digest_update (CisDigest *self, const void *data, gsize length)
{
  int result = length > 0 ? gnutls_hash (self->hash, data, length) : 0;

  /* A digest that has missed some bytes must never be believed. */
  if (result < 0)
    g_error ("GnuTLS cannot go on with a SHA-256: %s", gnutls_strerror (result));
}

char *
cis_digest_finish (CisDigest *self)
{
  static const char digits[] = "0123456789abcdef";
  guchar sum[SHA256_SIZE];
  char *hex = g_malloc (2 * SHA256_SIZE + 1);

  gnutls_hash_output (self->hash, sum);
  for (gsize i = 0; i < SHA256_SIZE; i++)
    {
      hex[2 * i] = digits[sum[i] >> 4];
      hex[2 * i + 1] = digits[sum[i] & 0xf];
    }
  hex[2 * SHA256_SIZE] = '\0';
  return hex;
}

char *
cis_digest_file (int fd, CisStage *stage, CisItem *item, GCancellable *cancellable, GError **error)
{
  g_autoptr (CisDigest) digest = cis_digest_new ();
  g_autofree char *buffer = g_malloc (READ_SIZE);
  off_t offset = 0;
  struct stat st = { 0 };

  fstat (fd, &st);                                 /* where it fails, only the progress has no end */
  posix_fadvise (fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint: whether it was taken makes no difference here */
  for (;;)
    {
      ssize_t n = TEMP_FAILURE_RETRY (pread (fd, buffer, READ_SIZE, offset));

      if (n < 0)
        {
          cis_error_set_errno (error, errno, "Cannot read a file for its SHA-256");
          return NULL;
        }
      if (n == 0 && offset < st.st_size)
        {
          g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_PARTIAL_INPUT,
                               "A file became shorter while it was read for its SHA-256");
          return NULL;
        }
      if (n == 0)
        return cis_digest_finish (digest);
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return NULL;
      cis_digest_update (digest, buffer, n);
      offset += n;
      if (stage != NULL)
        cis_stage_progress (stage, item, (guint64) offset, (guint64) st.st_size);
    }
}

char *
cis_digest_bytes (const void *data, gsize length)
{
  g_autoptr (CisDigest) digest = cis_digest_new ();

  cis_digest_update (digest, data, length);
  return cis_digest_finish (digest);
}

gboolean
cis_equal_in_constant_time (const char *a, const char *b)
{
  gsize length = strlen (a);

  return strlen (b) == length && gnutls_memcmp (a, b, length) == 0;
}
