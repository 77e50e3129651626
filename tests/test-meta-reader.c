/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "colliding.h"
#include "tarballs.h"
#include "uploads.h"

#include "../plugins/shared/code-version.h"
#include "../plugins/shared/meta/meta-reader.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define META TARBALL_META (COMMIT)
#define MIB  (1024 * 1024)

static const CisMetaLimits limits = { (guint64) 1 << 40, 1000, 1000, G_TIME_SPAN_HOUR, 64 * 1024, FALSE };

static JsonObject *
read_bytes (const GByteArray *bytes, const CisMetaLimits *within, CisMetaExtent extent, GError **error)
{
  int fd = memfd_create ("archive", MFD_CLOEXEC);
  JsonObject *meta;

  g_assert_cmpint (write (fd, bytes->data, bytes->len), ==, bytes->len);
  meta = cis_meta_read (fd, "run", within, extent, NULL, NULL, NULL, error);
  g_assert_cmpint (lseek (fd, 0, SEEK_CUR), ==, bytes->len);
  g_close (fd, NULL);
  return meta;
}

/* Takes the bytes. */
static void
assert_good (GByteArray *bytes)
{
  for (guint extent = CIS_META_FIRST; extent <= CIS_META_WHOLE; extent++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (JsonObject) meta = read_bytes (bytes, &limits, extent, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (cis_code_version_read (meta).commit, ==, COMMIT);
    }
  g_byte_array_unref (bytes);
}

/* Takes the bytes. */
static void
assert_refused_within (GByteArray *bytes, const CisMetaLimits *within, CisMetaError code, const char *why)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (read_bytes (bytes, within, CIS_META_WHOLE, &error));
  g_assert_error (error, CIS_META_ERROR, (int) code);
  g_assert_cmpstr (strstr (error->message, why) != NULL ? why : error->message, ==, why);
  g_byte_array_unref (bytes);
}

static void
assert_refused (GByteArray *bytes, const char *why)
{
  assert_refused_within (bytes, &limits, CIS_META_ERROR_FOREIGN, why);
}

static void
assert_damaged (GByteArray *bytes, const char *why)
{
  assert_refused_within (bytes, &limits, CIS_META_ERROR_DAMAGED, why);
}

static void
assert_no_meta (GByteArray *bytes, const char *why)
{
  assert_refused_within (bytes, &limits, CIS_META_ERROR_META, why);
}

static void
assert_limited (GByteArray *bytes, const CisMetaLimits *within, const char *why)
{
  assert_refused_within (bytes, within, CIS_META_ERROR_LIMIT, why);
}

static GByteArray *
make_with_file (const char *path)
{
  g_autoptr (Tarball) tarball = tarball_new ();

  tarball_add_text (tarball, path, "x");
  tarball_add_text (tarball, "run/meta.json", META);
  return tarball_end (tarball);
}

static void
test_good (void)
{
  GByteArray *two_frames = tarball_make ("run", META);
  g_autoptr (GByteArray) empty = tarball_compress ("", 0);

  assert_good (tarball_make ("run", META));
  g_byte_array_append (two_frames, empty->data, empty->len);
  assert_good (two_frames);
}

/* Whatever file names an experiment makes, in any locale. */
static void
test_odd_names (void)
{
  static const char *const locales[] = { "C", "C.UTF-8" };

  for (guint i = 0; i < G_N_ELEMENTS (locales); i++)
    {
      g_assert_nonnull (setlocale (LC_ALL, locales[i]));
      assert_good (make_with_file ("run/\xff\xfe"));
      assert_good (make_with_file ("run/Versuch \xc3\xa9\n..."));
      assert_good (make_with_file ("run/..."));
      assert_good (make_with_file ("run/.hidden"));
      assert_refused (make_with_file ("run/\xff/../../x"), "leads elsewhere");
    }
}

static void
test_paths (void)
{
  assert_refused (make_with_file ("../x"), "leads elsewhere");
  assert_refused (make_with_file ("/etc/cron.d/x"), "not in the folder");
  assert_refused (make_with_file ("runner/x"), "not in the folder");
  assert_refused (make_with_file ("./x"), "not in the folder");
  assert_refused (make_with_file ("run/../../x"), "leads elsewhere");
  assert_refused (make_with_file ("./../run/x"), "leads elsewhere");
  assert_good (make_with_file ("./run/x"));
  assert_good (make_with_file (".//./run/x"));
  assert_good (make_with_file ("run/./x"));
  assert_good (make_with_file ("run//x"));
  assert_refused (make_with_file ("run/.."), "leads elsewhere");
}

/* Some file systems take two for one, which loses one of them. */
static void
test_portable_names (void)
{
  CisMetaLimits portable = limits;
  const char *const similar[][2] = {
    { "run/a", "run/A" },
    { "run/sub/x", "run/SUB/y" },
    { "run/\xc3\xa9", "run/e\xcc\x81" },
    { "run/stra\xc3\x9f"
      "e",
      "run/STRASSE" },
  };

  portable.portable_names = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (similar); i++)
    {
      g_autoptr (Tarball) tarball = tarball_new ();
      GByteArray *bytes;

      tarball_add_text (tarball, similar[i][0], "x");
      tarball_add_text (tarball, similar[i][1], "y");
      tarball_add_text (tarball, "run/meta.json", META);
      bytes = tarball_end (tarball);
      assert_refused_within (g_byte_array_ref (bytes), &portable, CIS_META_ERROR_FOREIGN,
                             "case or normal form");
      assert_good (bytes);
    }
}

/* One path cannot be both, in whatever order. */
static void
test_two_for_one_path (void)
{
  static const char *const both[][2] = { { "run/a", "run/a/b" },
                                         { "run/a/b", "run/a" },
                                         { "run/a", "run/a" } };

  for (guint i = 0; i < G_N_ELEMENTS (both); i++)
    {
      g_autoptr (Tarball) tarball = tarball_new ();

      tarball_add_text (tarball, "run/meta.json", META);
      tarball_add_text (tarball, both[i][0], "x");
      tarball_add_text (tarball, both[i][1], "y");
      assert_refused (tarball_end (tarball), i < 2 ? "is a file and a folder" : "is there twice");
    }
}

/* What whoever unpacks it as root would have. */
static void
test_rights (void)
{
  static const guint modes[] = { 04755, 02755, 01644, 07777 };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (Tarball) tarball = tarball_new ();

      tarball_add_program (tarball, "run/sh", modes[i], NULL);
      tarball_add_text (tarball, "run/meta.json", META);
      assert_refused (tarball_end (tarball), "setuid, setgid or sticky");
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (Tarball) tarball = tarball_new ();

      tarball_add_program (tarball, "run/sh", 0755, i == 0 ? "security.capability" : "user.note");
      tarball_add_text (tarball, "run/meta.json", META);
      if (i == 0)
        assert_refused (tarball_end (tarball), "an attribute that grants rights");
      else
        assert_good (tarball_end (tarball));
    }
}

static void
assert_special_refused (guint type, const char *symlink, const char *hardlink, const char *why)
{
  g_autoptr (Tarball) tarball = tarball_new ();

  tarball_add_special (tarball, "run/odd", type, symlink, hardlink);
  tarball_add_text (tarball, "run/meta.json", META);
  assert_refused (tarball_end (tarball), why);
}

static void
test_links (void)
{
  assert_special_refused (S_IFLNK, "/etc/shadow", NULL, "is a link");
  assert_special_refused (S_IFREG, NULL, "run/meta.json", "is a link");
  assert_special_refused (S_IFIFO, NULL, NULL, "neither a file nor a folder");
  assert_special_refused (S_IFCHR, NULL, NULL, "neither a file nor a folder");
}

static void
test_meta (void)
{
  g_autofree char *spaces = g_strnfill (17 * MIB, ' ');
  g_autofree char *huge = g_strconcat ("{", spaces, "}", NULL);
  g_autoptr (Tarball) twice = tarball_new ();
  g_autoptr (Tarball) folder = tarball_new ();

  assert_refused (tarball_make ("run", NULL), "has no run/meta.json");
  assert_no_meta (tarball_make ("run", "not JSON"), "cannot be understood");
  assert_no_meta (tarball_make ("run", "[]"), "cannot be understood");
  assert_no_meta (tarball_make ("run", ""), "cannot be understood");
  assert_no_meta (tarball_make ("run", huge), "are the most");
  tarball_add_text (twice, "run/meta.json", META);
  tarball_add_text (twice, "run/meta.json", META);
  assert_refused (tarball_end (twice), "is there twice");
  tarball_add_special (folder, "run/meta.json", S_IFDIR, NULL, NULL);
  assert_refused (tarball_end (folder), "has no run/meta.json");
}

/* Nine KiB of them once took minutes. */
static void
test_many_members (void)
{
  g_autofree char *members = colliding_members (50000, "");
  g_autofree char *meta = g_strdup_printf ("{%s,\"code_version\":{\"commit\":\"" COMMIT "\"}}", members);
  clock_t begin = clock ();

  assert_good (tarball_make ("run", meta));
  g_assert_cmpint ((clock () - begin) / CLOCKS_PER_SEC, <, 10);
}

static void
test_commit (void)
{
  static const char *const without[] = {
    "{}",
    "{\"code_version\": \"" COMMIT "\"}",
    "{\"code_version\": {\"commit\": 5}}",
    "{\"code_version\": {\"commit\": \"main\"}}",
  };

  for (guint i = 0; i < G_N_ELEMENTS (without); i++)
    {
      g_autoptr (GByteArray) bytes = tarball_make ("run", without[i]);
      g_autoptr (JsonObject) meta = read_bytes (bytes, &limits, CIS_META_WHOLE, NULL);

      g_assert_nonnull (meta);
      g_assert_null (cis_code_version_read (meta).commit);
    }
}

/* At each length that is not the whole one. */
static void
test_cut (void)
{
  g_autoptr (GByteArray) whole = tarball_make ("run", META);
  GByteArray *more = tarball_make ("run", META);

  for (guint length = 0; length < whole->len; length++)
    {
      GByteArray *cut = g_byte_array_new ();

      g_byte_array_append (cut, whole->data, length);
      assert_damaged (cut, length == 0 ? "is empty" : "");
    }
  g_byte_array_append (more, (const guint8 *) "garbage", 7);
  assert_damaged (more, "not what zstd writes");
}

/* The tar itself is cut, in a frame that is whole. */
static void
test_cut_tar (void)
{
  g_autoptr (Tarball) tarball = tarball_new ();

  tarball_add_text (tarball, "run/meta.json", META);
  tarball_add (tarball, "run/data", NULL, MIB);
  g_byte_array_unref (tarball_end (tarball));
  assert_damaged (tarball_compress (tarball->bytes->data, MIB / 2), "no proper tar");
  assert_damaged (tarball_compress ("hello", 5), "no proper tar");
}

static void
test_bombs (void)
{
  const CisMetaLimits tight = { 100 * MIB, 1000, 1000, G_TIME_SPAN_HOUR, 64 * 1024, FALSE };
  const CisMetaLimits generous = { (guint64) 1 << 40, 0, 1000, G_TIME_SPAN_HOUR, 64 * 1024, FALSE };
  const CisMetaLimits hasty = { (guint64) 1 << 40, 0, 1000, G_TIME_SPAN_MILLISECOND, 64 * 1024, FALSE };
  GByteArray *bomb = tarball_make_bomb (33);

  g_assert_cmpuint (bomb->len, <, 256 * 1024);
  assert_limited (g_byte_array_ref (bomb), &limits, "inflates to more than the 1.0");
  assert_limited (g_byte_array_ref (bomb), &hasty, "0.001 s of a processor to read that max-time allows");
  assert_refused_within (bomb, &generous, CIS_META_ERROR_FOREIGN, "has no run/meta.json");
  assert_limited (tarball_make_bomb (3), &tight, "inflates to more than the 100.0");
}

static void
test_too_many_entries (void)
{
  g_autoptr (Tarball) tarball = tarball_new ();

  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *path = g_strdup_printf ("run/%u", i);

      tarball_add_text (tarball, path, "");
    }
  tarball_add_text (tarball, "run/meta.json", META);
  assert_limited (tarball_end (tarball), &limits, "more than the 1000 entries that max-entries allows");
}

/* What libarchive reads before anybody is asked, it keeps; and in some it can be busy for hours. */
static void
test_headers (void)
{
  g_autoptr (Tarball) fine = tarball_new ();
  g_autoptr (Tarball) attribute = tarball_new ();
  g_autoptr (Tarball) holes = tarball_new ();

  for (guint i = 0; i < 8; i++)
    {
      g_autofree char *data = g_strdup_printf ("run/data-%u", i);
      g_autofree char *attributes = g_strdup_printf ("run/attribute-%u", i);
      g_autofree char *sparse = g_strdup_printf ("run/holes-%u", i);

      tarball_add (fine, data, NULL, MIB + 1);
      tarball_add_attribute (fine, attributes, 16 * 1024);
      tarball_add_holes (fine, sparse, 1000);
    }
  tarball_add_text (fine, "run/meta.json", META);
  assert_good (tarball_end (fine));

  tarball_add_attribute (attribute, "run/attribute", 100 * 1024);
  tarball_add_text (attribute, "run/meta.json", META);
  assert_limited (tarball_end (attribute), &limits, "over the 65536 bytes that max-header allows");

  tarball_add_text (holes, "run/meta.json", META);
  tarball_add_holes (holes, "run/holes", 20000);
  assert_limited (tarball_end (holes), &limits, "over the 65536 bytes that max-header allows");
}

/* A frame that wants gigabytes of memory before its first byte. */
static void
test_window (void)
{
  g_autofree guint8 *buffer = g_malloc (4096);
  ZSTD_CCtx *zstd = ZSTD_createCCtx ();
  ZSTD_inBuffer in = { "x", 1, 0 };
  ZSTD_outBuffer out = { buffer, 4096, 0 };
  GByteArray *bytes = g_byte_array_new ();

  g_assert_false (ZSTD_isError (ZSTD_CCtx_setParameter (zstd, ZSTD_c_windowLog, 30)));
  g_assert_false (ZSTD_isError (ZSTD_compressStream2 (zstd, &out, &in, ZSTD_e_flush)));
  g_assert_false (ZSTD_isError (ZSTD_compressStream2 (zstd, &out, &in, ZSTD_e_end)));
  ZSTD_freeCCtx (zstd);
  g_byte_array_append (bytes, buffer, out.pos);
  assert_limited (bytes, &limits, "a window of over 128 MiB");
}

static void
note_progress (guint64 done, guint64 total, gpointer user_data)
{
  *(guint64 *) user_data = total - done;
}

/* Behind the tar's end, too, which may be far from the archive's. */
static void
test_progress (void)
{
  g_autoptr (GByteArray) bytes = tarball_make ("run", META);
  g_autofree guint8 *zeros = g_malloc0 (MIB);
  g_autoptr (GByteArray) padding = tarball_compress (zeros, MIB);
  g_autoptr (JsonObject) meta = NULL;
  int fd = memfd_create ("archive", MFD_CLOEXEC);
  guint64 left = G_MAXUINT64;

  g_byte_array_append (bytes, padding->data, padding->len);
  g_assert_cmpint (write (fd, bytes->data, bytes->len), ==, bytes->len);
  meta = cis_meta_read (fd, "run", &limits, CIS_META_WHOLE, note_progress, &left, NULL, NULL);
  g_assert_nonnull (meta);
  g_assert_cmpuint (left, ==, 0);
  g_close (fd, NULL);
}

static gboolean lacks_memory;

/* The reader's own call comes here first. */
int
archive_read_next_header (struct archive *tar, struct archive_entry **entry)
{
  int (*real) (struct archive *, struct archive_entry **) = dlsym (RTLD_NEXT, "archive_read_next_header");

  if (!lacks_memory)
    return real (tar, entry);
  archive_set_error (tar, ENOMEM, "Can't allocate");
  return ARCHIVE_FATAL;
}

/* Nothing is said against the archive. */
static void
test_no_memory (void)
{
  g_autoptr (GByteArray) bytes = tarball_make ("run", META);
  g_autoptr (GError) error = NULL;

  lacks_memory = TRUE;
  g_assert_null (read_bytes (bytes, &limits, CIS_META_WHOLE, &error));
  lacks_memory = FALSE;
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
}

static void
test_cancelled (void)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GByteArray) bytes = tarball_make ("run", META);
  g_autoptr (GError) error = NULL;
  int fd = memfd_create ("archive", MFD_CLOEXEC);

  g_assert_cmpint (write (fd, bytes->data, bytes->len), ==, bytes->len);
  g_cancellable_cancel (cancellable);
  g_assert_null (cis_meta_read (fd, "run", &limits, CIS_META_WHOLE, NULL, NULL, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_close (fd, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/meta-reader/good", test_good);
  g_test_add_func ("/meta-reader/odd-names", test_odd_names);
  g_test_add_func ("/meta-reader/paths", test_paths);
  g_test_add_func ("/meta-reader/portable-names", test_portable_names);
  g_test_add_func ("/meta-reader/two-for-one-path", test_two_for_one_path);
  g_test_add_func ("/meta-reader/rights", test_rights);
  g_test_add_func ("/meta-reader/links", test_links);
  g_test_add_func ("/meta-reader/meta", test_meta);
  g_test_add_func ("/meta-reader/many-members", test_many_members);
  g_test_add_func ("/meta-reader/commit", test_commit);
  g_test_add_func ("/meta-reader/cut", test_cut);
  g_test_add_func ("/meta-reader/cut-tar", test_cut_tar);
  g_test_add_func ("/meta-reader/bombs", test_bombs);
  g_test_add_func ("/meta-reader/too-many-entries", test_too_many_entries);
  g_test_add_func ("/meta-reader/headers", test_headers);
  g_test_add_func ("/meta-reader/window", test_window);
  g_test_add_func ("/meta-reader/progress", test_progress);
  g_test_add_func ("/meta-reader/no-memory", test_no_memory);
  g_test_add_func ("/meta-reader/cancelled", test_cancelled);
  return g_test_run ();
}
