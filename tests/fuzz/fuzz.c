/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEPARATOR "%%\n"

static char *folder;

void
fuzz_split (const guint8 *data, gsize size, FuzzPart *parts, guint n)
{
  const char *at = (const char *) data, *end = at + size;

  for (guint i = 0; i < n; i++)
    {
      const char *stop = size > 0 ? memmem (at, end - at, SEPARATOR, strlen (SEPARATOR)) : NULL;

      parts[i] = (FuzzPart){ at, (stop != NULL ? stop : end) - at };
      at = stop != NULL ? stop + strlen (SEPARATOR) : end;
    }
}

static void
rewrite (int fd, const void *data, gsize size)
{
  g_assert_no_errno (ftruncate (fd, 0));
  g_assert_cmpint (pwrite (fd, data, size, 0), ==, size);
}

static void
remove_folder (void)
{
  cis_folder_remove (AT_FDCWD, folder, NULL, NULL);
  g_free (folder);
}

const char *
fuzz_folder (void)
{
  if (folder == NULL)
    {
      /* In memory, as an fsync of each is what would take the time. */
      const char *base =
          g_getenv ("TMPDIR") == NULL && g_access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir ();

      folder = g_build_filename (base, "cis490-fuzz-XXXXXX", NULL);
      g_assert_nonnull (g_mkdtemp (folder));
      atexit (remove_folder);
    }
  return folder;
}

const char *
fuzz_memory_file (guint slot, const void *data, gsize size)
{
  static struct
  {
    int fd;
    char *path;
  } files[4];

  if (files[slot].path == NULL)
    {
      /* With a name, as who may replace what it names is looked at. */
      files[slot].path = g_strdup_printf ("%s/.%u", fuzz_folder (), slot);
      files[slot].fd = open (files[slot].path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      g_assert_no_errno (files[slot].fd);
    }
  rewrite (files[slot].fd, data, size);
  return files[slot].path;
}

char *
fuzz_file (const char *name, const void *data, gsize size)
{
  g_autofree char *path = g_build_filename (fuzz_folder (), name, NULL);
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

  g_assert_no_errno (fd);
  rewrite (fd, data, size);
  g_assert_no_errno (close (fd));
  return g_steal_pointer (&path);
}

void
fuzz_assert_position (const char *message, const char *path, const char *text, gsize size)
{
  g_autofree char *prefix = g_strconcat (path, ":", NULL);
  char *end = NULL;
  guint64 line, n_lines = 1;

  g_assert_true (g_str_has_prefix (message, prefix));
  line = g_ascii_strtoull (message + strlen (prefix), &end, 10);
  /* ":column" may follow. */
  if (*end == ':' && g_ascii_isdigit (end[1]))
    g_ascii_strtoull (end + 1, &end, 10);
  g_assert_true (g_str_has_prefix (end, ": "));
  for (gsize i = 0; i < size; i++)
    n_lines += text[i] == '\n';
  g_assert_cmpuint (line, >=, 1);
  g_assert_cmpuint (line, <=, n_lines);
}
