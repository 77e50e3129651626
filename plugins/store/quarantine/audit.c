/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "audit.h"

#include "../../shared/lines/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_NAME "audit.jsonl"
/* How many bytes it has ahead of its end: dozens of lines. */
#define AHEAD (64 * 1024)

typedef struct
{
  guint releases;
  char *first_seen; /* nullable */
  char *last_stay;  /* the last released one's quarantined_at: a release that was cut leaves its line twice */
} History;

struct _Audit
{
  int dirfd;
  const char *path;      /* none: dirfd's, for messages */
  GHashTable *histories; /* episode to History, up to: */
  ino_t inode;
  goffset offset;
  gboolean reserved; /* see audit_reserve() */
};

static void
history_free (gpointer data)
{
  History *history = data;

  g_free (history->first_seen);
  g_free (history->last_stay);
  g_free (history);
}

Audit *
audit_new (int dirfd, const char *path)
{
  Audit *self = g_new0 (Audit, 1);

  self->dirfd = dirfd;
  self->path = path;
  self->histories = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, history_free);
  return self;
}

void
audit_free (Audit *self)
{
  g_hash_table_unref (self->histories);
  g_free (self);
}

/* ---- reading */

static void
add_line (Audit *self, const char *line, gsize length)
{
  g_autoptr (JsonObject) object = NULL;
  JsonObject *reason = NULL;
  const char *episode, *stay, *first_seen;
  History *history;

  /* Most lines of a long file need not be parsed. */
  if (g_strstr_len (line, (gssize) length, "\"release\"") == NULL)
    return;
  object = cis_json_parse (line, length, NULL);
  episode = object != NULL ? cis_json_get_string (object, "episode") : NULL;
  if (episode == NULL || g_strcmp0 (cis_json_get_string (object, "verb"), "release") != 0)
    return;
  if (json_object_has_member (object, "reason") &&
      JSON_NODE_HOLDS_OBJECT (json_object_get_member (object, "reason")))
    reason = json_object_get_object_member (object, "reason");
  stay = reason != NULL ? cis_json_get_string (reason, "quarantined_at") : NULL;
  first_seen = reason != NULL ? cis_json_get_string (reason, "first_seen") : NULL;

  history = g_hash_table_lookup (self->histories, episode);
  if (history == NULL)
    {
      history = g_new0 (History, 1);
      history->first_seen = g_strdup (first_seen != NULL ? first_seen : stay);
      g_hash_table_insert (self->histories, g_strdup (episode), history);
    }
  else if (stay != NULL && g_strcmp0 (stay, history->last_stay) == 0)
    return;
  history->releases++;
  g_free (history->last_stay);
  history->last_stay = g_strdup (stay);
}

/* Reads what was appended since the last time, a line at a time, as nothing ever shortens the file; a last
 * line that was cut is left for the next. */
static void
read_on (Audit *self)
{
  struct stat st;
  int fd = cis_file_open (self->dirfd, FILE_NAME, O_RDONLY | O_NOFOLLOW, &st, NULL);
  FILE *file = NULL;
  char *line = NULL;
  gsize size = 0;
  gssize length;

  if (fd < 0)
    return;
  if ((file = fdopen (fd, "r")) == NULL)
    {
      g_close (fd, NULL);
      return;
    }
  /* Somebody rotated it: what it told so far still holds. */
  if (st.st_ino != self->inode || st.st_size < self->offset)
    self->offset = 0;
  self->inode = st.st_ino;
  if (fseeko (file, self->offset, SEEK_SET) == 0)
    while ((length = getline (&line, &size, file)) > 0 && line[length - 1] == '\n')
      {
        add_line (self, line, (gsize) length - 1);
        self->offset += length;
      }
  free (line);
  fclose (file); /* which was only read */
}

guint
audit_count_releases (Audit *self, const char *episode, char **first_seen)
{
  const History *history;

  read_on (self);
  history = g_hash_table_lookup (self->histories, episode);
  if (first_seen != NULL)
    *first_seen = history != NULL ? g_strdup (history->first_seen) : NULL;
  return history != NULL ? history->releases : 0;
}

/* ---- writing */

static char *
make_line (const char *verb, const char *id, const char *episode, JsonObject *reason)
{
  g_autoptr (JsonObject) line = json_object_new ();
  g_autofree char *now = cis_time_to_string (g_get_real_time ());
  const char *finding = reason != NULL ? cis_json_get_string (reason, "finding") : NULL;

  json_object_set_string_member (line, "ts", now);
  json_object_set_string_member (line, "verb", verb);
  json_object_set_string_member (line, "episode", episode);
  if (finding != NULL)
    json_object_set_string_member (line, "finding", finding);
  json_object_set_string_member (line, "user", cis_get_operator ());
  json_object_set_string_member (line, "id", id);
  if (reason != NULL)
    json_object_set_object_member (line, "reason", json_object_ref (reason));
  return cis_json_to_line (line);
}

static Lines
get_lines (Audit *self)
{
  return (
      Lines){ .folder = self->dirfd, .path = self->path, .name = FILE_NAME, .durable = TRUE, .ahead = AHEAD };
}

/* What is to free space on a full disk needs a line first. */
void
audit_reserve (Audit *self)
{
  Lines lines = get_lines (self);

  if (!self->reserved)
    lines_reserve (&lines);
  self->reserved = TRUE;
}

gboolean
audit_append (Audit *self, const char *verb, const char *id, const char *episode, JsonObject *reason,
              GError **error)
{
  g_autofree char *line = make_line (verb, id, episode, reason);
  Lines lines = get_lines (self);

  return lines_append (&lines, line, NULL, error);
}
