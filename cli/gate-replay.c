/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 gate replay: which indexed episodes another window would have refused. */
#include "gate.h"

#include "../plugins/gate/window/source.h"
#include "../plugins/shared/rows/row.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <stdio.h>

/* Longer than any history that a gate looks at. */
#define WHOLE_HISTORY 10000000

typedef struct
{
  guint window;
  CisWindow *history; /* owned: the whole branch, newest first */
  GArray *oldest;     /* owned: of gint64: the earliest time among the commits down to this one */
  char *mend;         /* owned: what to do about a history that is cut */
  guint n_rows;
  guint n_without_commit;
  guint n_exempt;      /* by a grant, or with the gate off */
  guint n_unknown;     /* whose commit may be behind the edge of a history that is cut */
  JsonArray *refused;  /* owned */
  GHashTable *commits; /* owned: those of the refused */
} Replay;

static void
replay_clear (Replay *self)
{
  g_clear_pointer (&self->history, cis_window_unref);
  g_clear_pointer (&self->oldest, g_array_unref);
  g_clear_pointer (&self->mend, g_free);
  g_clear_pointer (&self->refused, json_array_unref);
  g_clear_pointer (&self->commits, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Replay, replay_clear)

static gboolean
replay_init (Replay *self, Gate *gate, guint window, GError **error)
{
  g_autoptr (CisWindowSource) source = cis_window_source_git_new (gate->repository);
  gint64 oldest = G_MAXINT64;

  self->window = window;
  self->history = cis_window_source_fetch (source, gate->branch, WHOLE_HISTORY, NULL, error);
  if (self->history == NULL)
    return FALSE;
  self->mend = cis_window_source_suggest (source, gate->branch, NULL);
  self->oldest = g_array_new (FALSE, FALSE, sizeof (gint64));
  for (guint i = 0; i < cis_window_get_length (self->history); i++)
    {
      oldest = MIN (oldest, cis_window_get_time (self->history, i));
      g_array_append_val (self->oldest, oldest);
    }
  self->refused = json_array_new ();
  self->commits = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  return TRUE;
}

/* The first commit below which, but perhaps for skewed clocks, all are as old as @time; all before it are
 * younger. */
static guint
find_first (Replay *self, gint64 time)
{
  guint low = 0, high = self->oldest->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (g_array_index (self->oldest, gint64, middle) <= time)
        high = middle;
      else
        low = middle + 1;
    }
  return low;
}

/* Where the commit stood at @time: from 1, the head of then; 0 where it was not there yet, or never. No
 * farther than the window's end is counted. */
static guint
get_position (Replay *self, const char *commit, gint64 time)
{
  gint64 index = cis_window_get_position (self->history, commit);
  guint position = 1;

  if (index < 0 || cis_window_get_time (self->history, (guint) index) > time)
    return 0;
  for (guint i = find_first (self, time); i < index && position <= self->window; i++)
    position += cis_window_get_time (self->history, i) <= time;
  return position;
}

static void
refuse (Replay *self, JsonObject *row, const char *commit, gboolean known)
{
  JsonObject *refused = json_object_new ();

  json_object_set_string_member (refused, "ts", cis_json_get_string (row, "ts"));
  json_object_set_string_member (refused, "host", cis_json_get_string (row, "host"));
  json_object_set_string_member (refused, "episode", cis_json_get_string (row, "episode"));
  json_object_set_string_member (refused, "commit", commit);
  json_object_set_boolean_member (refused, "on_branch", known);
  json_array_add_object_element (self->refused, refused);
  g_hash_table_add (self->commits, g_strdup (commit));
}

static gboolean
judge_row (Replay *self, const char *line, gsize length, GError **error)
{
  g_autoptr (JsonObject) row = cis_json_parse (line, length, error);
  const char *commit, *ts;
  gint64 time;
  guint position;

  if (row == NULL)
    return FALSE;
  self->n_rows++;
  commit = cis_json_get_string (row, "commit");
  ts = cis_json_get_string (row, "ts");
  if (commit == NULL || !cis_hex_is_valid (commit, CIS_COMMIT_LENGTH) || ts == NULL ||
      !gate_parse_time (ts, &time))
    self->n_without_commit++;
  else if (json_object_has_member (row, "grant") || json_object_has_member (row, "gate"))
    self->n_exempt++;
  else if (cis_window_is_cut (self->history) && cis_window_get_position (self->history, commit) < 0)
    self->n_unknown++;
  else if ((position = get_position (self, commit, time)) == 0 || position > self->window)
    refuse (self, row, commit, position > 0);
  return TRUE;
}

static gboolean
read_rows (Replay *self, FILE *file, const char *path, GError **error)
{
  g_autofree char *line = NULL;
  const char *row;
  size_t size = 0;
  gsize row_length;
  ssize_t length;

  for (guint number = 1; (length = getline (&line, &size, file)) > 0; number++)
    {
      /* A receiver is just writing it, or was killed at it. */
      if (line[length - 1] != '\n')
        break;
      row = line;
      row_length = cis_row_trim (&row, (gsize) length);
      if (row_length > 0 && !judge_row (self, row, row_length, error))
        {
          g_prefix_error (error, "%s:%u: ", path, number);
          return FALSE;
        }
    }
  return !ferror (file) || cis_error_set_errno (error, errno, _ ("Reading %s"), path);
}

/* @given: by --index; else it is in the state folder. */
static gboolean
read_index (Replay *self, const char *path, gboolean given, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GError) problem = NULL;
  FILE *file;
  gboolean read;
  int fd;

  if (!cis_become_owner (folder, error))
    return FALSE;
  fd = cis_file_open (AT_FDCWD, path, O_RDONLY, NULL, &problem);
  file = fd >= 0 ? fdopen (fd, "r") : NULL;
  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) && !given)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE,
                   _ ("there is no %s; set STATE_DIRECTORY to the receiver's state folder"), path);
      return FALSE;
    }
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (file == NULL)
    {
      cis_error_set_errno (error, errno, _ ("Opening %s"), path);
      close (fd);
      return FALSE;
    }
  read = read_rows (self, file, path, error);
  fclose (file);
  return read;
}

static void
print_json (Replay *self)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *line = NULL;

  json_object_set_int_member (object, "window", self->window);
  json_object_set_int_member (object, "rows", self->n_rows);
  json_object_set_int_member (object, "without_commit", self->n_without_commit);
  json_object_set_int_member (object, "exempt", self->n_exempt);
  json_object_set_int_member (object, "unknown", self->n_unknown);
  json_object_set_array_member (object, "refused", json_array_ref (self->refused));
  line = cis_json_to_line (object);
  g_print ("%s\n", line);
}

static void
print_text (Replay *self)
{
  guint n_commits = g_hash_table_size (self->commits);
  g_autofree char *commits = g_strdup_printf (ngettext ("%u commit", "%u commits", n_commits), n_commits);

  for (guint i = 0; i < json_array_get_length (self->refused); i++)
    {
      JsonObject *row = json_array_get_object_element (self->refused, i);

      g_print ("%s  %s/%s  %.12s\n", cis_json_get_string (row, "ts"), cis_json_get_string (row, "host"),
               cis_json_get_string (row, "episode"), cis_json_get_string (row, "commit"));
    }
  g_printerr (ngettext ("A window of %u would have refused %u of %u indexed episode, of %s\n",
                        "A window of %u would have refused %u of %u indexed episodes, of %s\n", self->n_rows),
              self->window, json_array_get_length (self->refused), self->n_rows, commits);
  g_printerr (_ ("Without a commit: %u; exempt (a grant, or the gate off): %u; cannot be told: %u\n"),
              self->n_without_commit, self->n_exempt, self->n_unknown);
}

int
gate_replay (Gate *gate, guint window, const char *index, gboolean json)
{
  const char *path = index != NULL ? index : gate->index;
  g_auto (Replay) replay = { 0 };
  g_autoptr (GError) error = NULL;

  if (path == NULL)
    g_set_error (&error, CIS_ERROR, CIS_ERROR_CONFIG,
                 _ ("the pipeline has no store/index; name the file with --index"));
  else if (replay_init (&replay, gate, window > 0 ? window : gate->window, &error))
    read_index (&replay, path, index != NULL, &error);
  if (error != NULL)
    {
      g_printerr ("cis490 gate: %s\n", error->message);
      return cis_error_exit_status (error);
    }
  if (json)
    print_json (&replay);
  else
    print_text (&replay);
  if (replay.n_unknown > 0)
    g_printerr (
        _ ("The history of %s is cut, so that nothing can be said of older commits. All of it:\n%s\n"),
        gate->branch, replay.mend);
  return 0;
}
