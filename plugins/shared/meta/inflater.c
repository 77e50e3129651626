/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inflater.h"

#include "meta-error.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

/* What a decoder has to be able to take (RFC 8878 recommends 8 MiB), and what `zstd --ultra` needs. More is a
 * way to make us reserve gigabytes for a few bytes. */
#define WINDOW_LOG_MAX 27
/* Little enough for who counts them by blocks. */
#define BLOCK_SIZE (16 * 1024)
/* So many bytes in a row may inflate to nothing: as a table at the end that some tools write does, or empty
 * frames. Whoever reads is called off, and seen to go on, from block to block only. */
#define IDLE_MAX (16 * 1024 * 1024)

struct _CisInflater
{
  int fd;
  ZSTD_DCtx *zstd;
  guint8 *in_buffer, *out_buffer;
  gsize in_size;
  ZSTD_inBuffer in;
  gint64 offset;    /* of the file, behind what is in the buffer */
  guint64 inflated; /* bytes so far */
  guint64 max;
  gboolean in_frame; /* the frame that was begun has not ended */
};

CisInflater *
cis_inflater_new (int fd, guint64 max, GError **error)
{
  g_autoptr (CisInflater) self = g_new0 (CisInflater, 1);

  self->fd = fd;
  self->max = max;
  self->in_size = ZSTD_DStreamInSize ();
  self->in_buffer = g_malloc (self->in_size);
  self->out_buffer = g_malloc (BLOCK_SIZE);
  self->in.src = self->in_buffer;
  self->zstd = ZSTD_createDCtx ();
  if (self->zstd == NULL ||
      ZSTD_isError (ZSTD_DCtx_setParameter (self->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Not enough memory to read an archive");
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
cis_inflater_free (CisInflater *self)
{
  ZSTD_freeDCtx (self->zstd);
  g_free (self->in_buffer);
  g_free (self->out_buffer);
  g_free (self);
}

guint64
cis_inflater_get_consumed (CisInflater *self)
{
  return self->offset - (self->in.size - self->in.pos);
}

/* %FALSE: an error. At the file's end the buffer stays empty. */
static gboolean
fill (CisInflater *self, GError **error)
{
  ssize_t length = TEMP_FAILURE_RETRY (pread (self->fd, self->in_buffer, self->in_size, self->offset));

  if (length < 0)
    return cis_error_set_errno (error, errno, "Reading an archive");
  self->in.pos = 0;
  self->in.size = length;
  self->offset += length;
  return TRUE;
}

static gssize
invalid (GError **error, const char *what)
{
  g_set_error_literal (error, CIS_META_ERROR, CIS_META_ERROR_DAMAGED, what);
  return -1;
}

/* That there is no memory just now says nothing about the bytes. */
static gssize
failed (GError **error, gsize result)
{
  if (ZSTD_getErrorCode (result) == ZSTD_error_memory_allocation)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Not enough memory to read an archive");
  else if (ZSTD_getErrorCode (result) == ZSTD_error_frameParameter_windowTooLarge)
    g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT,
                 "to inflate it takes a window of over %d MiB, which zstd itself refuses without --long=31",
                 1 << (WINDOW_LOG_MAX - 20));
  else
    g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_DAMAGED, "it is not what zstd writes (%s)",
                 ZSTD_getErrorName (result));
  return -1;
}

gssize
cis_inflater_read (CisInflater *self, const void **block, GError **error)
{
  ZSTD_outBuffer out = { self->out_buffer, BLOCK_SIZE, 0 };
  const gint64 begin = self->offset;

  *block = self->out_buffer;
  while (out.pos == 0)
    {
      gsize left;

      if (self->in.pos == self->in.size && !fill (self, error))
        return -1;
      if (self->in.size == 0 && !self->in_frame)
        return self->offset > 0 ? 0 : invalid (error, "it is empty");
      if (self->offset - begin > IDLE_MAX)
        {
          g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT,
                       "over %d bytes of it in a row inflate to nothing", IDLE_MAX);
          return -1;
        }
      left = ZSTD_decompressStream (self->zstd, &out, &self->in);
      if (ZSTD_isError (left))
        return failed (error, left);
      /* Without input there may still be output; without either it is over too early. */
      if (self->in.size == 0 && out.pos == 0)
        return invalid (error, "its compressed bytes end too early");
      self->in_frame = left != 0;
    }
  self->inflated += out.pos;
  if (self->inflated > self->max)
    {
      g_autofree char *size = g_format_size_full (self->max, G_FORMAT_SIZE_IEC_UNITS);

      g_set_error (error, CIS_META_ERROR, CIS_META_ERROR_LIMIT,
                   "it inflates to more than the %s that max-inflated and max-ratio allow it", size);
      return -1;
    }
  return out.pos;
}
