/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "outlook.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_MAX (1024 * 1024)
/* µs; what two clocks may differ by without a word. */
#define CLOCK_TOLERANCE (5 * G_USEC_PER_SEC)

/* full; %NULL for one that names no commit. */
static JsonObject *
read_meta (int episodes_fd, const char *name)
{
  static const char *const members[] = { "code_version", NULL };
  g_autofree char *path = g_build_filename (name, "meta.json", NULL);
  g_autoptr (GBytes) bytes = cis_file_read (episodes_fd, path, META_MAX, NULL);
  g_autoptr (JsonObject) meta =
      bytes != NULL
          ? cis_json_parse_members (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), members, NULL)
          : NULL;

  return meta != NULL && cis_code_version_read (meta).commit != NULL ? g_steal_pointer (&meta) : NULL;
}

typedef struct
{
  char *name;
  gint64 time; /* ns, of the last change */
} Entry;

static void
entry_clear (gpointer data)
{
  g_free (((Entry *) data)->name);
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const Entry *first = a, *second = b;

  return first->time > second->time ? -1 : first->time < second->time;
}

/* The newest first. */
static GArray *
list_entries (int fd, GError **error)
{
  g_autoptr (GPtrArray) names = cis_folder_list (fd, "the episodes", error);
  GArray *entries = names != NULL ? g_array_new (FALSE, FALSE, sizeof (Entry)) : NULL;
  struct stat info;

  if (entries == NULL)
    return NULL;
  g_array_set_clear_func (entries, entry_clear);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);

      g_autofree char *meta = g_build_filename (name, "meta.json", NULL);

      /* One that is just begun, or cannot be read, does not wait for the receiver. */
      if (name[0] != '.' && fstatat (fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR (info.st_mode) &&
          faccessat (fd, meta, R_OK, AT_EACCESS) == 0)
        {
          Entry one = { g_strdup (name), (gint64) info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec };

          g_array_append_val (entries, one);
        }
    }
  g_array_sort (entries, compare_entries);
  return entries;
}

JsonObject *
cis_outlook_find_meta (const char *state, const char *folder, guint *n, GError **error)
{
  /* Behind so many without a stamp there will be none with one. */
  const guint most = 100;
  g_autofree char *path = g_build_filename (state, folder, NULL);
  int fd = cis_folder_open (AT_FDCWD, path, FALSE, NULL);
  g_autoptr (GArray) entries = fd >= 0 ? list_entries (fd, error) : NULL;
  JsonObject *meta = NULL;

  *n = entries != NULL ? entries->len : 0;
  for (guint i = 0; i < MIN (*n, most) && meta == NULL; i++)
    meta = read_meta (fd, g_array_index (entries, Entry, i).name);
  if (fd >= 0)
    close (fd);
  return meta;
}

static gint64
get_number (JsonObject *answer, const char *member)
{
  const char *text = cis_json_get_string (answer, member);
  guint64 number;

  return text != NULL && g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT64, &number, NULL) ? (gint64) number
                                                                                             : -1;
}

gboolean
cis_outlook_is_whole (JsonObject *answer)
{
  static const char *const windows[] = { "in", "out", "unknown", NULL };
  const char *window = cis_json_get_string (answer, "window");
  gint64 position = get_number (answer, "position"), size = get_number (answer, "size");

  return window == NULL || (g_strv_contains (windows, window) &&
                            (!g_str_equal (window, "in") || (position >= 1 && position <= size)));
}

/* One figure and a unit, as more would be a lie; full */
static char *
describe_seconds (gint64 seconds)
{
  if (seconds < 2 * 60 * 60)
    return g_strdup_printf ("~%" G_GINT64_FORMAT " min", MAX (seconds / 60, 1));
  if (seconds < 2 * 24 * 60 * 60)
    return g_strdup_printf ("~%" G_GINT64_FORMAT " h", seconds / (60 * 60));
  return g_strdup_printf ("~%" G_GINT64_FORMAT " d", seconds / (24 * 60 * 60));
}

char *
cis_outlook_describe (JsonObject *answer)
{
  const char *window = cis_json_get_string (answer, "window");
  const char *source = cis_json_get_string (answer, "source");
  const char *grant = cis_json_get_string (answer, "grant");
  gint64 seconds = get_number (answer, "leaves_in_seconds");
  GString *text;

  if (window == NULL)
    return cis_json_get_string (answer, "gate") != NULL ? g_strdup ("its version gate is off") : NULL;
  text = g_string_new (NULL);
  if (g_str_equal (window, "in"))
    g_string_append_printf (text, "commit %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT,
                            get_number (answer, "position"), get_number (answer, "size"));
  else
    g_string_append (text, g_str_equal (window, "out") ? "the commit is not in the window"
                                                       : "whether the commit is in the window is not known");
  if (seconds >= 0)
    {
      g_autofree char *time = describe_seconds (seconds);

      g_string_append_printf (text, ", leaves in %s", time);
    }
  if (grant != NULL)
    g_string_append_printf (text, ", admitted by the grant %s", grant);
  if (source != NULL)
    g_string_append_printf (text, ", source %s", source);
  return g_string_free (text, FALSE);
}

static void
append_certificate (GString *text, const char *whose, gint64 end, gint64 now)
{
  g_autofree char *time = end > now ? describe_seconds ((end - now) / G_USEC_PER_SEC) : NULL;

  if (end > 0)
    g_string_append_printf (text, "; %s certificate is %s%s", whose, time != NULL ? "good for " : "over",
                            time != NULL ? time : "");
}

char *
cis_outlook_describe_receiver (const CisAnswer *answer, JsonObject *told)
{
  gint64 now = g_get_real_time ();
  gint64 room = cis_json_get_size (told, "room", -1);
  /* Date has whole seconds, and was a moment on its way. */
  gint64 ahead = answer->date > 0 ? answer->date + G_USEC_PER_SEC / 2 - now : 0;
  GString *text = g_string_new (NULL);

  if (room >= 0)
    {
      g_autofree char *size = g_format_size ((guint64) room);

      g_string_append_printf (text, "; room for %s", size);
    }
  if (ABS (ahead) > CLOCK_TOLERANCE)
    g_string_append_printf (text, "; its clock is %" G_GINT64_FORMAT " s %s ours",
                            ABS (ahead) / G_USEC_PER_SEC, ahead > 0 ? "ahead of" : "behind");
  append_certificate (text, "its", answer->their_end, now);
  append_certificate (text, "our", answer->our_end, now);
  return g_string_free (text, FALSE);
}

CisFinding *
cis_outlook_find (JsonObject *answer, const char *url, const CisCodeVersion *version, guint n_waiting,
                  gint64 warning)
{
  gint64 seconds = get_number (answer, "leaves_in_seconds");
  gboolean is_out = g_strcmp0 (cis_json_get_string (answer, "window"), "out") == 0;
  g_autofree char *time = seconds >= 0 ? describe_seconds (seconds) : NULL;
  g_autofree char *waiting = g_strdup_printf ("%u episode%s wait%s", n_waiting, n_waiting == 1 ? "" : "s",
                                              n_waiting == 1 ? "s" : "");
  g_autofree char *fix = NULL;
  CisFinding *finding;

  if (cis_json_get_string (answer, "grant") != NULL)
    return NULL;
  if (is_out)
    finding = cis_finding_new ("commit-leaves-window", CIS_SEVERITY_WARNING, url,
                               "The commit %.12s is not in the receiver's window any more; %s.",
                               version->commit, waiting);
  else if (seconds >= 0 && seconds <= warning / G_USEC_PER_SEC)
    finding = cis_finding_new ("commit-leaves-window", CIS_SEVERITY_WARNING, url,
                               "The commit %.12s leaves the receiver's window in %s; %s.", version->commit,
                               time, waiting);
  else
    return NULL;
  fix = cis_code_version_fill (version,
                               "# what waits has to arrive before that; and new episodes need newer code:\n"
                               "git -C {repository} pull --ff-only");
  cis_finding_set_fix (finding, "%s", fix);
  cis_finding_set_detail (finding, "your_commit", version->commit);
  return finding;
}
