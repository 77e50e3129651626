/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "refusal.h"

#include "../../shared/code-version.h"
#include "commits.h"
#include "history.h"
#include "remedy.h"

/* A host of stale code asks the same for each of its episodes, and counting walks the history. */
#define COUNTED_MAX 256

struct _CisRefusal
{
  CisPart *part; /* none */
  char *branch;
  guint window;
  char *repository;
  char *remedy;
  char *remedy_file; /* nullable */
  char *grants_file; /* nullable */

  GMutex lock;
  GHashTable *counted; /* locked: "commit head" to how far behind, plus one; -1 + 1 where it is not known */
};

static char *read_template (CisRefusal *self);

CisRefusal *
cis_refusal_new (CisPart *part, const char *branch, guint window, const char *repository, const char *remedy,
                 const char *remedy_file, const char *grants_file)
{
  CisRefusal *self = g_new0 (CisRefusal, 1);

  self->part = part;
  self->branch = g_strdup (branch);
  self->window = window;
  self->repository = g_strdup (repository);
  self->remedy = g_strdup (remedy);
  self->remedy_file = g_strdup (remedy_file);
  self->grants_file = g_strdup (grants_file);
  self->counted = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  g_mutex_init (&self->lock);
  /* A file that cannot be used is told now, rather than when the first host is refused. */
  g_free (read_template (self));
  return self;
}

void
cis_refusal_free (CisRefusal *self)
{
  g_free (self->branch);
  g_free (self->repository);
  g_free (self->remedy);
  g_free (self->remedy_file);
  g_free (self->grants_file);
  g_hash_table_unref (self->counted);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static gint64
count_behind (CisRefusal *self, const char *commit, const char *head)
{
  g_autofree char *key = g_strconcat (commit, " ", head, NULL);
  gpointer known;
  gint64 behind;

  g_mutex_lock (&self->lock);
  if (g_hash_table_lookup_extended (self->counted, key, NULL, &known))
    {
      g_mutex_unlock (&self->lock);
      return GPOINTER_TO_INT (known) - 1;
    }
  g_mutex_unlock (&self->lock);
  behind = cis_history_count_behind (self->repository, commit, head);
  g_mutex_lock (&self->lock);
  if (g_hash_table_size (self->counted) >= COUNTED_MAX)
    g_hash_table_remove_all (self->counted);
  g_hash_table_replace (self->counted, g_steal_pointer (&key),
                        GINT_TO_POINTER ((gint) MIN (behind, G_MAXINT - 1) + 1));
  g_mutex_unlock (&self->lock);
  return behind;
}

CisFinding *
cis_refusal_describe_unreadable (const char *path, const GError *error)
{
  CisFinding *finding =
      cis_finding_new ("remedy-unreadable", CIS_SEVERITY_WARNING, path,
                       "The remedy's file cannot be read, and refused hosts get the usual one: %s.",
                       error->message);
  g_autofree char *quoted = g_shell_quote (path);

  cis_finding_set_fix (finding,
                       "chmod a+r %s\n"
                       "ls -l %s\n"
                       "# and its folders have to be open to %s",
                       quoted, quoted, g_get_user_name ());
  return finding;
}

/* @error: nullable; why the file cannot be read. */
static void
tell_unreadable (CisRefusal *self, const GError *error)
{
  if (error == NULL)
    cis_part_clear_unless (self->part, "remedy-unreadable", NULL, NULL);
  else
    cis_part_raise (self->part, cis_refusal_describe_unreadable (self->remedy_file, error));
}

static char *
read_template (CisRefusal *self)
{
  g_autoptr (GError) error = NULL;
  char *text;

  if (self->remedy_file == NULL)
    return g_strdup (self->remedy);
  text = cis_text_read (self->remedy_file, CIS_REMEDY_MAX, &error);
  tell_unreadable (self, error);
  return text != NULL ? text : g_strdup (self->remedy);
}

/* How the refused episode itself gets in; not by another stamp. @of: what a grant has to name; full. */
static char *
describe_way_out (CisRefusal *self, CisItem *item, const char *of)
{
  CisRequest *request = cis_item_get_request (item);
  const char *host = request != NULL ? cis_request_get_identity (request) : NULL;

  return g_strdup_printf ("# to let this episode in all the same, on the receiver, as a line of %s:\n"
                          "#   NAME %s %s UNTIL\n"
                          "# and then, on the host:",
                          self->grants_file != NULL ? self->grants_file
                                                    : "the file that grants-file= of cis490.ini names",
                          of, host != NULL ? host : "HOST");
}

static const char *
get_name (CisItem *item)
{
  return CIS_IS_EPISODE (item) ? cis_episode_get_name (CIS_EPISODE (item)) : cis_item_get_id (item);
}

static void
set_remedy (CisRefusal *self, CisFinding *finding, CisItem *item, const char *commit, const char *head)
{
  CisRequest *request = cis_item_get_request (item);
  CisRemedy remedy = { commit, head, self->branch,
                       request != NULL ? cis_request_get_identity (request) : NULL, get_name (item) };
  g_autofree char *template = read_template (self);
  g_autofree char *fix = cis_remedy_fill (template, &remedy);
  g_autofree char *way_out = describe_way_out (self, item, commit);

  /* What is no commit can be granted by nobody. */
  if (!cis_hex_is_valid (commit, CIS_COMMIT_LENGTH))
    cis_finding_set_fix (finding, "%s", fix);
  else
    cis_finding_set_fix (finding,
                         "%s\n"
                         "# newer code makes newer episodes: another stamp on this one is no way.\n"
                         "%s cis490 quarantine release %s",
                         fix, way_out, get_name (item));
}

CisFinding *
cis_refusal_describe_header (CisRefusal *self, CisItem *item, const char *commit)
{
  CisFinding *finding = commit == NULL
                            ? cis_finding_new ("commit-missing", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                                               "The request does not say which commit produced the episode.")
                            : cis_finding_new ("commit-malformed", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                                               "The commit is not 40 lower-case hex digits.");

  /* What is no commit is not filled into lines that somebody pastes. */
  set_remedy (self, finding, item, "unknown", self->branch);
  return finding;
}

CisFinding *
cis_refusal_describe (CisRefusal *self, CisItem *item, const char *commit, const char *head)
{
  g_autofree char *length = g_strdup_printf ("%u", self->window);
  gint64 behind = count_behind (self, commit, head);
  g_autofree char *far =
      behind >= 0 ? g_strdup_printf ("%" G_GINT64_FORMAT " commit%s behind", behind, behind == 1 ? "" : "s")
                  : NULL;
  CisFinding *finding =
      cis_finding_new ("commit-not-in-window", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                       "The episode's code, commit %.12s, is not among the last %s commit%s of %s%s%s.",
                       commit, length, self->window == 1 ? "" : "s", self->branch,
                       far != NULL ? ": it is " : "", far != NULL ? far : "");

  set_remedy (self, finding, item, commit, head);
  cis_finding_set_detail (finding, "your_commit", commit);
  cis_finding_set_detail (finding, "head_commit", head);
  if (far != NULL)
    cis_finding_set_detail (finding, "behind", far);
  cis_finding_set_detail (finding, "branch", self->branch);
  cis_finding_set_detail (finding, "window", length);
  return finding;
}

CisFinding *
cis_refusal_describe_restamped (CisRefusal *self, CisItem *item, const char *commit, const char *first)
{
  gboolean known = cis_hex_is_valid (first, CIS_COMMIT_LENGTH);
  CisFinding *finding = cis_finding_new (
      "commit-restamped", CIS_SEVERITY_ERROR, cis_item_get_id (item),
      "The episode was stamped with commit %.12s and later with %.12s, and this receiver takes "
      "no episode whose stamp was replaced.",
      known ? first : "(not noted)", commit);
  g_autofree char *way_out = describe_way_out (self, item, known ? first : "FIRST-COMMIT");

  cis_finding_set_fix (
      finding,
      "# who replaced the stamp, when and why: code_version.restamped in its meta.json\n"
      "%s\n"
      "cis490 quarantine release %s",
      known ? way_out
            : "# no grant can name its first commit, which is not noted; with refuse-restamped=false:",
      get_name (item));
  cis_finding_set_detail (finding, "your_commit", commit);
  cis_finding_set_detail (finding, "first_commit", first);
  return finding;
}
