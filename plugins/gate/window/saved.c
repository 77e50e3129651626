/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "saved.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

/* 100,000 commits with their times. */
#define FILE_MAX (16 * 1024 * 1024)
/* An unchanged window is written again so often at least, as its age tells how old it is. */
#define REWRITE G_TIME_SPAN_DAY

struct _CisSavedWindow
{
  char *path;
  char *of;
  gint64 max_age;    /* µs */
  CisWindow *stored; /* nullable: what the file holds */
  gint64 stored_at;  /* µs since 1970 */
};

CisSavedWindow *
cis_saved_window_new (const char *path, const char *of, gint64 max_age)
{
  CisSavedWindow *self = g_new0 (CisSavedWindow, 1);

  self->path = g_strdup (path);
  self->of = g_strdup (of);
  self->max_age = max_age;
  return self;
}

void
cis_saved_window_free (CisSavedWindow *self)
{
  g_free (self->path);
  g_free (self->of);
  g_clear_pointer (&self->stored, cis_window_unref);
  g_free (self);
}

const char *
cis_saved_window_get_path (CisSavedWindow *self)
{
  return self->path;
}

static int
open_folder (CisSavedWindow *self, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (self->path);

  return cis_folder_open (AT_FDCWD, folder, TRUE, error);
}

static JsonArray *
get_array (JsonObject *object, const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  return node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}

/* The commits and their times, which are as many. */
static CisWindow *
parse_commits (JsonObject *object, guint n, gint64 fetched_at)
{
  JsonArray *commits = get_array (object, "commits");
  JsonArray *times = get_array (object, "times");
  g_autoptr (CisWindow) window = cis_window_new ("saved", fetched_at);

  if (commits == NULL || times == NULL || json_array_get_length (commits) != json_array_get_length (times))
    return NULL;
  for (guint i = 0; i < MIN (n, json_array_get_length (commits)); i++)
    {
      JsonNode *commit = json_array_get_element (commits, i);
      JsonNode *time = json_array_get_element (times, i);

      if (json_node_get_value_type (commit) != G_TYPE_STRING ||
          json_node_get_value_type (time) != G_TYPE_INT64 ||
          !cis_hex_is_valid (json_node_get_string (commit), CIS_COMMIT_LENGTH))
        return NULL;
      cis_window_append (window, json_node_get_string (commit), json_node_get_int (time));
    }
  return g_steal_pointer (&window);
}

static CisWindow *
parse (CisSavedWindow *self, JsonObject *object, guint n, GError **error)
{
  g_autoptr (CisWindow) window = NULL;
  gint64 age;

  self->stored_at =
      MIN (cis_json_get_size (object, "saved_at", 0), G_MAXINT64 / G_USEC_PER_SEC) * G_USEC_PER_SEC;
  age = g_get_real_time () - self->stored_at;
  /* One from far ahead says only that a clock is wrong, so nobody knows how old it is. */
  if (g_strcmp0 (cis_json_get_string (object, "of"), self->of) != 0 || ABS (age) > self->max_age)
    return NULL;
  window = parse_commits (object, n, g_get_monotonic_time () - ABS (age));
  if (window == NULL)
    {
      g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID, "%s holds no window", self->path);
      return NULL;
    }
  if (g_strcmp0 (cis_json_get_string (object, "source"), "fallback") == 0)
    cis_window_set_fallback (window);
  return g_steal_pointer (&window);
}

CisWindow *
cis_saved_window_load (CisSavedWindow *self, guint n, GError **error)
{
  g_autofree char *name = g_path_get_basename (self->path);
  g_autoptr (JsonObject) object = NULL;
  g_autoptr (GError) problem = NULL;
  int fd = open_folder (self, error);

  if (fd < 0)
    return NULL;
  object = cis_json_load (fd, name, FILE_MAX, &problem);
  g_close (fd, NULL);
  if (object == NULL && !g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&problem));
  if (object == NULL)
    return NULL;
  self->stored = parse (self, object, n, error);
  return self->stored != NULL && cis_window_get_length (self->stored) > 0 ? cis_window_ref (self->stored)
                                                                          : NULL;
}

/* Forty hex digits and integers need no escaping, and 100,000 of them no tree. */
static GString *
write_json (CisSavedWindow *self, CisWindow *window)
{
  g_autoptr (JsonObject) head = json_object_new ();
  g_autofree char *members = NULL;
  GString *text;

  json_object_set_string_member (head, "of", self->of);
  json_object_set_string_member (head, "source", cis_window_is_fallback (window) ? "fallback" : "first");
  json_object_set_int_member (head, "saved_at", g_get_real_time () / G_USEC_PER_SEC);
  members = cis_json_to_line (head);
  text = g_string_new_len (members, (gssize) strlen (members) - 1);
  g_string_append (text, ",\"commits\":[");
  for (guint i = 0; i < cis_window_get_length (window); i++)
    g_string_append_printf (text, "%s\"%s\"", i > 0 ? "," : "", cis_window_get_commit (window, i));
  g_string_append (text, "],\"times\":[");
  for (guint i = 0; i < cis_window_get_length (window); i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT, i > 0 ? "," : "", cis_window_get_time (window, i));
  g_string_append (text, "]}\n");
  return text;
}

static gboolean
is_needed (CisSavedWindow *self, CisWindow *window)
{
  if (self->stored == NULL)
    return TRUE;
  if (cis_window_is_fallback (window) && !cis_window_is_fallback (self->stored))
    return FALSE;
  return cis_window_is_fallback (window) != cis_window_is_fallback (self->stored) ||
         !cis_window_equal (window, self->stored) ||
         ABS (g_get_real_time () - self->stored_at) > MIN (REWRITE, self->max_age / 2);
}

gboolean
cis_saved_window_store (CisSavedWindow *self, CisWindow *window, GError **error)
{
  g_autofree char *name = g_path_get_basename (self->path);
  g_autoptr (GString) text = NULL;
  gboolean ok;
  int fd;

  if (!is_needed (self, window))
    return TRUE;
  fd = open_folder (self, error);
  if (fd < 0)
    return FALSE;
  text = write_json (self, window);
  ok = cis_file_replace (fd, name, text->str, text->len, error);
  g_close (fd, NULL);
  if (!ok)
    return FALSE;
  g_clear_pointer (&self->stored, cis_window_unref);
  self->stored = cis_window_ref (window);
  self->stored_at = g_get_real_time ();
  return TRUE;
}
