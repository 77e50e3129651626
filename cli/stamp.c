/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 stamp DIR: writes into DIR/meta.json which code the episode comes from. */
#include "options.h"
#include "stamp-change.h"
#include "stamp-text.h"
#include "verbs.h"

#include <fcntl.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <sysexits.h>

#define META     "meta.json"
#define META_MAX (16 * 1024 * 1024)
/* In characters. */
#define REASON_MAX 500

static void
close_folder (int *fd)
{
  if (*fd >= 0)
    g_close (*fd, NULL);
}

typedef int Folder;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Folder, close_folder)

/* Whether cis_file_rewrite() may have made it. */
static gboolean
is_temporary (const char *name)
{
  const char *digits = name + strlen ("." META ".");

  return g_str_has_prefix (name, "." META ".") && strspn (digits, "0123456789abcdef") == 8 &&
         g_str_equal (digits + 8, ".tmp");
}

/* What a stamp that was killed has left beside the file would be shipped. */
static gboolean
remove_temporaries (int folder, const char *directory, GError **error)
{
  g_autoptr (GPtrArray) names = cis_folder_list (folder, directory, error);

  for (guint i = 0; names != NULL && i < names->len; i++)
    if (is_temporary (g_ptr_array_index (names, i)) &&
        !cis_file_remove (folder, g_ptr_array_index (names, i), error))
      return FALSE;
  return names != NULL;
}

/* @reason: for which another stamp may be replaced; nullable. */
static gboolean
stamp (int folder, const char *directory, const StampCode *code, const char *reason, GError **error)
{
  static const char *const members[] = { "code_version", NULL };
  g_autoptr (GBytes) bytes = cis_file_read (folder, META, META_MAX, error);
  g_autoptr (JsonObject) meta = NULL;
  g_autoptr (JsonObject) member = NULL;
  g_autofree char *value = NULL;
  g_autofree char *text = NULL;

  if (bytes == NULL)
    {
      if (error != NULL && g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        g_prefix_error (error, _ ("%s has no %s, which the experiment writes: "), directory, META);
      return FALSE;
    }
  meta = cis_json_parse_members (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), members, error);
  if (meta == NULL)
    {
      g_prefix_error (error, "%s/%s: ", directory, META);
      return FALSE;
    }
  member = stamp_change_make (meta, code, directory, reason, error);
  if (member == NULL)
    return FALSE;
  value = cis_json_to_line (member);
  text = stamp_text_set (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), value, error);
  /* Rewritten so that who could read it still can. */
  return text != NULL && remove_temporaries (folder, directory, error) &&
         cis_file_rewrite (folder, META, text, strlen (text), error);
}

/* It is read as a line: by whoever wonders about the episode. */
static gboolean
is_reason (char *reason)
{
  for (const char *at = g_strstrip (reason); *at != '\0'; at = g_utf8_next_char (at))
    if (!g_unichar_isprint (g_utf8_get_char (at)))
      return FALSE;
  return *reason != '\0' && g_utf8_strlen (reason, -1) <= REASON_MAX;
}

static int
complain (int status, const char *message)
{
  g_printerr ("cis490 stamp: %s\n", message);
  return status;
}

/* What root writes into an episode it writes as the one whose episode it is. */
static gboolean
become_owner (int folder, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", folder);

  return cis_become_owner (path, error);
}

int
cis_verb_stamp (int argc, char **argv)
{
  g_autofree char *repository = NULL;
  g_autofree char *reason = NULL;
  const GOptionEntry entries[] = {
    { "repository", 'r', 0, G_OPTION_ARG_FILENAME, &repository,
      N_ ("The repository that the code ran from (default: the one around the current folder)"),
      N_ ("PATH") },
    { "replace", 0, 0, G_OPTION_ARG_STRING, &reason,
      N_ ("Replace the stamp of another commit, and note why; the receiver marks the episode"),
      N_ ("REASON") },
    { NULL }
  };
  g_autoptr (GError) error = NULL;
  g_auto (StampCode) code = { NULL };
  g_auto (Folder) folder = -1;

  if (!options_parse (
          &argc, &argv, _ ("DIR"),
          _ ("Writes commit, branch and whether files were changed into DIR/meta.json, as code_version."),
          entries))
    return EX_USAGE;
  if (argc != 2)
    return complain (EX_USAGE, _ ("one episode folder is needed: cis490 stamp DIR"));
  if (reason != NULL && !is_reason (reason))
    return complain (EX_USAGE, _ ("--replace: say why, in one line"));
  folder = cis_folder_open_given (argv[1], &error);
  /* The repository first, which may be for root only. */
  if (folder < 0 || !stamp_code_read (&code, repository, &error) || !become_owner (folder, &error) ||
      !stamp (folder, argv[1], &code, reason, &error))
    return complain (1, error->message);
  g_print ("%s %s %s\n", code.commit, code.branch, code.dirty ? "dirty" : "clean");
  return 0;
}
