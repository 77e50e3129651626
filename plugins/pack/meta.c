/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* pack/meta: learns from an archive's bytes what nobody has noted beside it: its SHA-256, and from its
 * meta.json the commit. The archive is read as a stream, so nothing is unpacked.
 *
 * One that is damaged is rejected. One that is whole and whose meta.json cannot be understood goes on without
 * a commit: it is in the store, so it belongs into the index, and a person can see there what it lacks. */

#include "../shared/code-version.h"
#include "../shared/meta/meta-reader.h"
#include "../store/archive/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

typedef struct
{
  CisStage parent;
  CisMetaLimits limits; /* immutable */
  guint unreadable;     /* archives without a commit; atomic */
} CisMeta;
typedef CisStageClass CisMetaClass;

enum
{
  PROP_0,
  /* Beyond those of the options, which are numbered from 1. */
  PROP_UNREADABLE = 100,
};

GType cis_meta_get_type (void);
G_DEFINE_TYPE (CisMeta, cis_meta, CIS_TYPE_STAGE)

typedef struct
{
  CisStage *stage;
  CisItem *item;
} Progress;

static void
report (guint64 done, guint64 total, gpointer user_data)
{
  Progress *progress = user_data;

  cis_stage_progress (progress->stage, progress->item, done, total);
}

static void
note_unreadable (CisMeta *self, CisItem *item, const char *reason)
{
  g_atomic_int_inc (&self->unreadable);
  cis_part_log (CIS_PART (self), item, G_LOG_LEVEL_WARNING, NULL,
                "The commit of %s stays unknown: in its archive, %s", cis_item_get_id (item), reason);
}

static CisOutcome *
reject_damaged (CisEpisode *episode, const char *reason)
{
  const char *id = cis_item_get_id (CIS_ITEM (episode));
  g_autofree char *archive = g_shell_quote (cis_episode_get_archive (episode));
  CisFinding *finding =
      cis_finding_new ("archive-damaged", CIS_SEVERITY_ERROR, id,
                       "The archive of %s is left out, as it is damaged, or another's: %s.", id, reason);

  cis_finding_set_fix (finding,
                       "# put it back from a backup; or let its host send it again: where the receiver has\n"
                       "# neither its row nor its digest any more, a good one takes its place\n"
                       "ls -l %s",
                       archive);
  return cis_outcome_rejected (finding);
}

static CisOutcome *
reject_beyond_limits (CisEpisode *episode, const char *reason)
{
  const char *id = cis_item_get_id (CIS_ITEM (episode));
  CisFinding *finding =
      cis_finding_new ("archive-beyond-limits", CIS_SEVERITY_ERROR, id,
                       "The archive of %s is left out, as it may not be looked through: %s.", id, reason);

  cis_finding_set_fix (finding, "# where it is meant to be, raise that option in [meta] of a drop-in,\n"
                                "# pipelines/backfill.ini.d/limits.ini, and add its row:\n"
                                "cis490 index backfill");
  return cis_outcome_rejected (finding);
}

/* Of what is the archive that was stored, however the commit is written in it. */
static CisOutcome *
learn_commit (CisMeta *self, CisEpisode *episode, int fd, CisMetaExtent extent, GCancellable *cancellable)
{
  Progress progress = { CIS_STAGE (self), CIS_ITEM (episode) };
  g_autoptr (GError) problem = NULL;
  g_autoptr (JsonObject) meta = cis_meta_read (fd, cis_episode_get_name (episode), &self->limits, extent,
                                               report, &progress, cancellable, &problem);
  CisCodeVersion version = { NULL };

  if (problem != NULL && problem->domain != CIS_META_ERROR)
    return cis_outcome_failed (g_steal_pointer (&problem));
  if (extent == CIS_META_WHOLE && g_error_matches (problem, CIS_META_ERROR, CIS_META_ERROR_LIMIT))
    return reject_beyond_limits (episode, problem->message);
  if (extent == CIS_META_WHOLE && problem != NULL && problem->code != CIS_META_ERROR_META)
    return reject_damaged (episode, problem->message);
  if (meta != NULL)
    version = cis_code_version_read (meta);
  if (version.restamped != NULL)
    cis_item_set_mark (CIS_ITEM (episode), "restamped", version.restamped);
  if (version.commit != NULL)
    cis_episode_set_commit (episode, version.commit);
  else
    note_unreadable (self, CIS_ITEM (episode),
                     meta != NULL ? "meta.json has no code_version.commit of 40 digits" : problem->message);
  return cis_outcome_passed ();
}

/* Nothing that is damaged passes for true: either these are the bytes whose digest was noted when they were
 * stored, or they are whole, and this episode's. */
static CisOutcome *
judge (CisMeta *self, CisEpisode *episode, int fd, const struct stat *st, GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *commit = NULL, *promised = NULL, *found = NULL;

  if (!cis_layout_read_promise (fd, episode, &promised, &commit, &error))
    return cis_outcome_failed (g_steal_pointer (&error));
  found = cis_digest_file (fd, CIS_STAGE (self), CIS_ITEM (episode), cancellable, &error);
  if (found == NULL)
    return cis_outcome_failed (g_steal_pointer (&error));
  if (promised != NULL && !g_str_equal (promised, found))
    {
      g_autofree char *reason =
          g_strdup_printf ("its sha256 is %s, and was %s when it was stored", found, promised);

      return reject_damaged (episode, reason);
    }
  cis_episode_set_archive (episode, cis_episode_get_archive (episode), found, st->st_size);
  if (promised == NULL)
    return learn_commit (self, episode, fd, CIS_META_WHOLE, cancellable);
  if (cis_episode_get_commit (episode) == NULL)
    return learn_commit (self, episode, fd, CIS_META_FIRST, cancellable);
  return cis_outcome_passed ();
}

static CisOutcome *
learn (CisMeta *self, CisEpisode *episode, int fd, GCancellable *cancellable)
{
  CisOutcome *outcome;
  struct stat st;

  if (fstat (fd, &st) < 0)
    {
      GError *error = NULL;

      cis_error_set_errno (&error, errno, "Looking at %s", cis_episode_get_archive (episode));
      return cis_outcome_failed (error);
    }
  outcome = judge (self, episode, fd, &st, cancellable);
  if (cis_outcome_get_verdict (outcome) == CIS_VERDICT_PASSED && cis_episode_get_receipt (episode) == NULL)
    {
      g_autofree char *since = cis_time_to_string (st.st_mtim.tv_sec * G_USEC_PER_SEC);
      g_autoptr (JsonObject) receipt =
          cis_receipt_new (episode, cis_episode_get_host (episode), "stored", since);

      cis_episode_set_receipt (episode, receipt);
    }
  return outcome;
}

static CisOutcome *
cis_meta_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisMeta *self = (CisMeta *) stage;
  CisEpisode *episode = CIS_EPISODE (item);
  const char *path = cis_episode_get_archive (episode);
  g_autoptr (GError) error = NULL;
  CisOutcome *outcome;
  int fd;

  if (path == NULL)
    return cis_outcome_failed (
        g_error_new (CIS_ERROR, CIS_ERROR_INVALID, "%s has no archive to read", cis_item_get_id (item)));
  fd = cis_file_open (AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, NULL, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return cis_outcome_none ();
  if (fd < 0)
    return cis_outcome_failed (g_steal_pointer (&error));
  outcome = learn (self, episode, fd, cancellable);
  g_close (fd, NULL);
  return outcome;
}

/* The base class's, for the options. */
static void (*get_option) (GObject *object, guint id, GValue *value, GParamSpec *pspec);

static void
cis_meta_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_UNREADABLE)
    g_value_set_uint (value, g_atomic_int_get (&((CisMeta *) object)->unreadable));
  else
    get_option (object, id, value, pspec);
}

static void
cis_meta_class_init (CisMetaClass *klass)
{
  static const char *const needs[] = { "archive", NULL };
  static const char *const provides[] = { "receipt", NULL };
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  stage_class->item_type = CIS_TYPE_EPISODE;
  stage_class->needs = needs;
  stage_class->provides = provides;
  stage_class->process = cis_meta_process;

  cis_meta_limits_add_options (CIS_PART_CLASS (klass), G_STRUCT_OFFSET (CisMeta, limits));
  get_option = object_class->get_property;
  object_class->get_property = cis_meta_get_property;
  g_object_class_install_property (object_class, PROP_UNREADABLE,
                                   g_param_spec_uint ("unreadable", NULL,
                                                      "Archives whose commit stayed unknown.", 0, G_MAXUINT,
                                                      0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void
cis_meta_init (CisMeta *self)
{
}

CIS_PLUGIN ("pack/meta", "Learns an archive's digest and commit from its bytes, where nobody has noted them.",
            CisMeta, cis_meta, CisStage)
