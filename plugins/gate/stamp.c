/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gate/stamp: lets an episode pass that says which code produced it: `code_version.commit` in its meta.json,
 * as `cis490 stamp` writes it. The receiver asks for the same commit; what cannot be told there is better
 * told here, before gigabytes are packed. What a replaced stamp said goes to the receiver, too. */

#include "../shared/code-version.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define META_MAX (16 * 1024 * 1024)
/* Where `cis490 quarantine` looks by itself. */
#define USUAL_STATE "/var/lib/cis490"

typedef struct
{
  CisStage parent; /* nothing of its own */
} CisGateStamp;
typedef CisStageClass CisGateStampClass;

GType cis_gate_stamp_get_type (void);
G_DEFINE_TYPE (CisGateStamp, cis_gate_stamp, CIS_TYPE_STAGE)

/* What to do about the episode where the quarantine puts it. @before: what comes first, with @ for its
 * folder. */
static void
set_fix (CisFinding *finding, CisEpisode *episode, const char *before)
{
  const char *name = cis_episode_get_name (episode);
  g_autofree char *episodes = g_path_get_dirname (cis_episode_get_directory (episode));
  g_autofree char *state = g_path_get_dirname (episodes);
  g_autofree char *directory = g_build_filename (state, "quarantine", name, NULL);
  g_autofree char *quoted = g_shell_quote (directory);
  g_autofree char *quoted_state = g_shell_quote (state);
  gboolean usual = g_str_equal (state, USUAL_STATE);
  g_autoptr (GString) fix = g_string_new (before);

  g_string_replace (fix, "@", quoted, 0);
  g_string_prepend (fix, "# in the checkout of the code that produced it:\n");
  g_string_append_printf (fix, "cis490 stamp %s && cis490 quarantine release %s%s%s", quoted, name,
                          usual ? "" : " --state ", usual ? "" : quoted_state);
  cis_finding_set_fix (finding, "%s", fix->str);
}

static CisOutcome *
reject_unstamped (CisEpisode *episode, const char *reason)
{
  const char *name = cis_episode_get_name (episode);
  CisFinding *finding =
      cis_finding_new ("unstamped", CIS_SEVERITY_ERROR, name,
                       "The episode %s does not say which code produced it: in its meta.json, %s", name,
                       reason);

  set_fix (finding, episode, "");
  return cis_outcome_rejected (finding);
}

static CisOutcome *
reject_malformed (CisEpisode *episode, const GError *error)
{
  const char *name = cis_episode_get_name (episode);
  CisFinding *finding =
      cis_finding_new ("meta-malformed", CIS_SEVERITY_ERROR, name,
                       "The meta.json of the episode %s cannot be understood: %s", name, error->message);

  set_fix (finding, episode, "\"${EDITOR:-vi}\" @/meta.json && ");
  return cis_outcome_rejected (finding);
}

static CisOutcome *
judge (CisEpisode *episode, JsonObject *meta)
{
  JsonNode *node = json_object_get_member (meta, "code_version");
  const char *commit, *restamped;

  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    return reject_unstamped (episode, "\"code_version\" is missing");
  commit = cis_json_get_string (json_node_get_object (node), "commit");
  if (commit == NULL)
    return reject_unstamped (episode, "\"code_version\" has no \"commit\"");
  if (!cis_hex_is_valid (commit, 40))
    return reject_unstamped (episode,
                             "\"code_version.commit\" is not a commit's 40 lower-case hexadecimal digits");
  cis_episode_set_commit (episode, commit);
  restamped = cis_code_version_read (meta).restamped;
  if (restamped != NULL)
    cis_item_set_mark (CIS_ITEM (episode), "restamped", restamped);
  return cis_outcome_passed ();
}

/* What meta.json says; full. One that is missing in a folder that is still there may yet come:
 * IO_ERROR_NOT_FOUND; else the episode was taken by another: CIS_ERROR_GONE. */
static JsonObject *
load_meta (const char *directory, GError **error)
{
  static const char *const members[] = { "code_version", NULL };
  int folder = TEMP_FAILURE_RETRY (open (directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  g_autoptr (GBytes) bytes = NULL;
  JsonObject *meta = NULL;

  if (folder < 0 && errno == ENOENT)
    g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "%s is not there any more", directory);
  else if (folder < 0)
    cis_error_set_errno (error, errno, "Cannot open %s", directory);
  if (folder < 0)
    return NULL;

  bytes = cis_file_read (folder, "meta.json", META_MAX, error);
  if (bytes != NULL)
    meta = cis_json_parse_members (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), members, error);
  if (!cis_file_close (&folder, directory, meta != NULL ? error : NULL))
    g_clear_pointer (&meta, json_object_unref);
  if (meta == NULL && access (directory, F_OK) != 0 && errno == ENOENT)
    {
      g_clear_error (error);
      g_set_error (error, CIS_ERROR, CIS_ERROR_GONE, "%s is not there any more", directory);
    }
  return meta;
}

/* It may have waited for long, and be written to again: then this was a look at something half done. */
static gboolean
has_changed (CisEpisode *episode, GCancellable *cancellable)
{
  const char *seen = cis_episode_get_fingerprint (episode);
  const char *directory = cis_episode_get_directory (episode);
  g_autofree char *now = seen != NULL ? cis_fingerprint (AT_FDCWD, directory, NULL, cancellable, NULL) : NULL;

  return g_strcmp0 (now, seen) != 0;
}

static CisOutcome *
cis_gate_stamp_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisEpisode *episode = CIS_EPISODE (item);
  const char *directory = cis_episode_get_directory (episode);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) meta = NULL;
  g_autoptr (CisOutcome) outcome = NULL;

  /* It was judged before it was shipped. */
  if (cis_episode_get_receipt (episode) != NULL)
    return cis_outcome_passed ();
  if (directory == NULL)
    return cis_outcome_failed (g_error_new (CIS_ERROR, CIS_ERROR_INVALID,
                                            "The episode %s has no folder to read meta.json from",
                                            cis_episode_get_name (episode)));

  meta = load_meta (directory, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) &&
      cis_item_get_mark (item, "unfinished") == NULL)
    return cis_outcome_deferred (CIS_SCOPE_ITEM, 0, NULL);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    outcome = reject_unstamped (episode, "there is no meta.json");
  else if (meta != NULL)
    outcome = judge (episode, meta);
  else if (g_error_matches (error, CIS_ERROR, CIS_ERROR_INVALID))
    outcome = reject_malformed (episode, error);
  else
    outcome = cis_outcome_failed (g_steal_pointer (&error));
  if (cis_outcome_get_verdict (outcome) == CIS_VERDICT_REJECTED && has_changed (episode, cancellable))
    return cis_outcome_deferred (CIS_SCOPE_ITEM, 0, NULL);
  return g_steal_pointer (&outcome);
}

static void
cis_gate_stamp_class_init (CisGateStampClass *klass)
{
  klass->item_type = CIS_TYPE_EPISODE;
  klass->process = cis_gate_stamp_process;
}

static void
cis_gate_stamp_init (CisGateStamp *self)
{
}

CIS_PLUGIN ("gate/stamp", "Rejects an episode that does not say which code produced it.", CisGateStamp,
            cis_gate_stamp, CisStage)
