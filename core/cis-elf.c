/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-elf.h"

#include <errno.h>
#include <link.h>
#include <string.h>
#include <unistd.h>

G_GNUC_PRINTF (2, 3)
static gboolean
refuse (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_clear_error (error);
  if (error != NULL)
    *error = g_error_new_valist (CIS_ERROR, CIS_ERROR_PLUGIN, format, args);
  va_end (args);
  return FALSE;
}

/* Whether the file of @size bytes has the @length ones at @offset. */
static gboolean
has (goffset size, guint64 offset, guint64 length)
{
  return offset <= (guint64) size && length <= (guint64) size - offset;
}

static gboolean
read_at (int fd, void *data, gsize length, guint64 offset, GError **error)
{
  for (gsize done = 0; done < length;)
    {
      ssize_t n =
          TEMP_FAILURE_RETRY (pread (fd, (char *) data + done, length - done, (off_t) (offset + done)));

      if (n <= 0)
        return refuse (error, "cannot be read: %s", g_strerror (n < 0 ? errno : EIO));
      done += (gsize) n;
    }
  return TRUE;
}

static gboolean
refuse_cut (goffset size, GError **error)
{
  return refuse (error,
                 "is not whole: it was cut after %" G_GOFFSET_FORMAT " bytes, as by a copy that did not end; "
                 "install it again",
                 size);
}

static gboolean
check_segments (int fd, goffset size, const ElfW (Ehdr) * head, GError **error)
{
  for (guint i = 0; i < head->e_phnum; i++)
    {
      ElfW (Phdr) segment;

      if (!read_at (fd, &segment, sizeof segment, head->e_phoff + i * sizeof segment, error))
        return FALSE;
      if (!has (size, segment.p_offset, segment.p_filesz))
        return refuse_cut (size, error);
    }
  return TRUE;
}

gboolean
cis_elf_check (int fd, goffset size, GError **error)
{
  ElfW (Ehdr) head;

  if (size == 0)
    return refuse (error, "is empty; install it again");
  if (size < (goffset) sizeof head)
    return refuse (error, "is no shared library: it has %" G_GOFFSET_FORMAT " bytes", size);
  if (!read_at (fd, &head, sizeof head, 0, error))
    return FALSE;
  if (memcmp (head.e_ident, ELFMAG, SELFMAG) != 0)
    return refuse (error, "is no shared library: its first bytes are not those of an ELF file");
  /* Of another word size; the dynamic linker says so, and looks no further. */
  if (head.e_phentsize != sizeof (ElfW (Phdr)))
    return TRUE;
  if (!has (size, head.e_phoff, (guint64) head.e_phnum * head.e_phentsize) ||
      !has (size, head.e_shoff, (guint64) head.e_shnum * head.e_shentsize))
    return refuse_cut (size, error);
  return check_segments (fd, size, &head, error);
}
