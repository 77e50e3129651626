/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything that a plugin may use: it defines one CisSource, CisStage or CisAlert and exports it with
 * CIS_PLUGIN().
 *
 * - Times and durations are microseconds (gint64, as in g_get_monotonic_time()); sizes are bytes.
 * - "full" and "none" are GObject-introspection's words for ownership: who has to free.
 * - A function that takes a #GError sets it whenever it returns %FALSE, %NULL or -1, and only then.
 * - Objects that travel (#CisItem and #CisRequest) belong to one thread at a time and are not locked.
 *   #CisFinding and #CisOutcome are immutable once they are handed to somebody else.
 */

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <sys/stat.h>

G_BEGIN_DECLS

#define CIS_API __attribute__ ((visibility ("default"))) extern

/* ---------------------------------------------------------------- errors */
/**
 * CisError:
 * @CIS_ERROR_CONFIG: the ini or the environment is wrong; refuses the start (exit 78).
 * @CIS_ERROR_PLUGIN: a plugin does not load (exit 78).
 * @CIS_ERROR_FATAL: the pipeline must stop and be started anew, as after a failed fsync (exit 1).
 * @CIS_ERROR_UNAVAILABLE: somebody else holds what we need, such as the state folder's lock (exit 69).
 * @CIS_ERROR_INVALID: bytes that came from elsewhere are malformed.
 * @CIS_ERROR_GONE: the item is not there any more: another took it. As an outcome: none.
 */
typedef enum
{
  CIS_ERROR_CONFIG,
  CIS_ERROR_PLUGIN,
  CIS_ERROR_FATAL,
  CIS_ERROR_UNAVAILABLE,
  CIS_ERROR_INVALID,
  CIS_ERROR_GONE,
} CisError;

#define CIS_ERROR (cis_error_quark ())
CIS_API GQuark cis_error_quark (void);
/* The sysexits.h status that a program ends with because of @error. */
CIS_API int cis_error_exit_status (const GError *error);
/* G_IO_ERROR_* of @errsv, the message "<formatted>: <strerror>". Returns %FALSE, to be returned. */
CIS_API gboolean cis_error_set_errno (GError **error, int errsv, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* -------------------------------------------------------------- findings */
typedef enum
{
  CIS_SEVERITY_INFO,
  CIS_SEVERITY_WARNING,
  CIS_SEVERITY_ERROR
} CisSeverity;

/** CisFinding: one observation for a person. The same finding, under one id, is the HTTP problem body, the
 * quarantine reason, the doctor's line, the journal entry and the alert. (id, subject) is its key. */
#define CIS_TYPE_FINDING (cis_finding_get_type ())
CIS_API
G_DECLARE_FINAL_TYPE (CisFinding, cis_finding, CIS, FINDING, GObject)
/* @id: kebab-case, stable, never translated. @subject: what it is about (an episode, a stage, a file). The
 * summary is a sentence. */
CIS_API CisFinding *cis_finding_new (const char *id, CisSeverity severity, const char *subject,
                                     const char *summary_format, ...) G_GNUC_PRINTF (4, 5);
/* The lines to paste, or what to do. Only before the finding is handed on, as for details. */
CIS_API void cis_finding_set_fix (CisFinding *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* The lines for a file that this user cannot read: they add what the service lacks, or say as whom to look,
 * and take nothing from whom the file belongs to. full. */
CIS_API char *cis_fix_access (const char *path);
/* The line that writes a secret that is typed into @path, which stays whose it is; a new one is the
 * service's. full. */
CIS_API char *cis_fix_secret (const char *path);
CIS_API void cis_finding_set_detail (CisFinding *self, const char *key, const char *value);
CIS_API const char *cis_finding_get_id (CisFinding *self);
/* Only before the finding is handed on: where who tells it knows better how much it matters. */
CIS_API void cis_finding_set_severity (CisFinding *self, CisSeverity severity);
CIS_API CisSeverity cis_finding_get_severity (CisFinding *self);
CIS_API const char *cis_finding_get_subject (CisFinding *self);
CIS_API const char *cis_finding_get_summary (CisFinding *self);
CIS_API const char *cis_finding_get_fix (CisFinding *self);                     /* nullable */
CIS_API const char *cis_finding_get_detail (CisFinding *self, const char *key); /* nullable */
/* {"finding","severity","subject","summary","fix", …details}; full. */
CIS_API JsonObject *cis_finding_to_json (CisFinding *self);
/* RFC 9457 problem details: "type" is urn:cis490:finding:<id>, "detail" the summary,
 * "remedy" the fix; full. */
CIS_API JsonObject *cis_finding_to_problem (CisFinding *self, guint status);
/* The way back; %NULL where "type" is not one of ours. full. */
CIS_API CisFinding *cis_finding_from_problem (JsonObject *problem, const char *subject);

/** CisFindingChange: what became of the finding with this (id, subject).
 * @CIS_FINDING_EVENT: it belongs to one item, happened once and is not kept. */
typedef enum
{
  CIS_FINDING_RAISED,
  CIS_FINDING_REPLACED,
  CIS_FINDING_CLEARED,
  CIS_FINDING_EVENT
} CisFindingChange;
CIS_API const char *cis_finding_change_to_string (CisFindingChange change); /* "raised", … */

/* -------------------------------------------------------------- outcomes */
/**
 * CisVerdict:
 * @CIS_VERDICT_PASSED: go on with the next stage.
 * @CIS_VERDICT_DONE: passed, and nothing is left to do: later when=passed stages are skipped.
 * @CIS_VERDICT_REJECTED: this item never; needs a finding.
 * @CIS_VERDICT_DEFERRED: not now.
 * @CIS_VERDICT_FAILED: an error; counts as deferred.
 * @CIS_VERDICT_NONE: cancelled, or another took the item: nothing is counted or told.
 */
typedef enum
{
  CIS_VERDICT_PASSED,
  CIS_VERDICT_DONE,
  CIS_VERDICT_REJECTED,
  CIS_VERDICT_DEFERRED,
  CIS_VERDICT_FAILED,
  CIS_VERDICT_NONE,
} CisVerdict;

/**
 * CisScope: what a deferral is about.
 * @CIS_SCOPE_ITEM: this item.
 * @CIS_SCOPE_STAGE: whatever reached the stage now would fare alike, so the source pauses and one
 *   probe at a time finds out when that has passed.
 */
typedef enum
{
  CIS_SCOPE_ITEM,
  CIS_SCOPE_STAGE
} CisScope;

#define CIS_TYPE_OUTCOME (cis_outcome_get_type ())
typedef struct _CisOutcome CisOutcome;
CIS_API GType cis_outcome_get_type (void);
CIS_API CisOutcome *cis_outcome_passed (void);
CIS_API CisOutcome *cis_outcome_done (void);
CIS_API CisOutcome *cis_outcome_none (void);
/* @finding: full. */
CIS_API CisOutcome *cis_outcome_rejected (CisFinding *finding);
/* @retry_after: at least this long, µs; 0 where nothing is known. @finding: full, nullable. */
CIS_API CisOutcome *cis_outcome_deferred (CisScope scope, gint64 retry_after, CisFinding *finding);
/* @error: full. G_IO_ERROR_CANCELLED and CIS_ERROR_GONE become CIS_VERDICT_NONE. */
CIS_API CisOutcome *cis_outcome_failed (GError *error);
CIS_API CisOutcome *cis_outcome_ref (CisOutcome *self);
CIS_API void cis_outcome_unref (CisOutcome *self);
CIS_API CisVerdict cis_outcome_get_verdict (const CisOutcome *self);
CIS_API CisScope cis_outcome_get_scope (const CisOutcome *self);
CIS_API gint64 cis_outcome_get_retry_after (const CisOutcome *self);
CIS_API CisFinding *cis_outcome_get_finding (const CisOutcome *self); /* none, nullable */
CIS_API const GError *cis_outcome_get_error (const CisOutcome *self); /* none, nullable */
CIS_API const char *cis_verdict_to_string (CisVerdict verdict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisOutcome, cis_outcome_unref)

/* --------------------------------------------------------------- request */
/** CisRequest: what came over HTTP with an item. The source that read it answers when the item comes home. */
#define CIS_TYPE_REQUEST (cis_request_get_type ())
CIS_API
G_DECLARE_FINAL_TYPE (CisRequest, cis_request, CIS, REQUEST, GObject)
CIS_API CisRequest *cis_request_new (const char *method, const char *target);
CIS_API const char *cis_request_get_method (CisRequest *self);
CIS_API const char *cis_request_get_target (CisRequest *self);
/* @name: in lower case. */
CIS_API void cis_request_set_header (CisRequest *self, const char *name, const char *value);
CIS_API const char *cis_request_get_header (CisRequest *self, const char *name); /* nullable */
/* The one in "Authorization: Bearer TOKEN" (RFC 6750), however that is spelt; nullable */
CIS_API const char *cis_request_get_token (CisRequest *self);
/* The name in the client's certificate, as the source learnt it from whoever checked that; nullable */
CIS_API void cis_request_set_client_name (CisRequest *self, const char *name);
CIS_API const char *cis_request_get_client_name (CisRequest *self);
/* The body, read by blocking on the caller's thread; it ends after @length bytes or with an error. */
CIS_API void cis_request_set_body (CisRequest *self, GInputStream *body, guint64 length);
CIS_API GInputStream *cis_request_get_body (CisRequest *self); /* none, nullable */
CIS_API guint64 cis_request_get_length (CisRequest *self);
/* The host that the credentials belong to. Without it no 2xx is ever sent. */
CIS_API void cis_request_identify (CisRequest *self, const char *host);
CIS_API const char *cis_request_get_identity (CisRequest *self); /* nullable */
/* The answer, where it is not the one that follows from the outcome. @body: full, nullable. */
CIS_API void cis_request_set_reply (CisRequest *self, guint status, JsonObject *body);
CIS_API guint cis_request_get_status (CisRequest *self);      /* 0: unset */
CIS_API JsonObject *cis_request_get_reply (CisRequest *self); /* none, nullable */

/* ----------------------------------------------------------------- items */
/**
 * CisItem: what travels, fresh for each attempt.
 *
 * Its id names it within its pipeline: on a host the episode, at the receiver "host/episode".
 */
#define CIS_TYPE_ITEM (cis_item_get_type ())
CIS_API
G_DECLARE_DERIVABLE_TYPE (CisItem, cis_item, CIS, ITEM, GObject)
struct _CisItemClass
{
  GObjectClass parent_class;
  gpointer padding[4];
};

CIS_API CisItem *cis_item_new (const char *id, CisRequest *request);
CIS_API const char *cis_item_get_id (CisItem *self);
CIS_API CisRequest *cis_item_get_request (CisItem *self); /* none, nullable */
/* Notes that end as members of the item's index row, such as "gate": "disabled". */
CIS_API void cis_item_set_mark (CisItem *self, const char *key, const char *value);
CIS_API const char *cis_item_get_mark (CisItem *self, const char *key); /* nullable */
CIS_API GHashTable *cis_item_get_marks (CisItem *self);                 /* none; string to string */
/* Whether an earlier run of the program left it unfinished: see cis_stage_recover(). */
CIS_API gboolean cis_item_is_recovered (CisItem *self);
/* Set once the outcome is fixed; %NULL while the item is at work. none. */
CIS_API CisOutcome *cis_item_get_outcome (CisItem *self);
/* The stage that gave the outcome; none, nullable. */
CIS_API const char *cis_item_get_decided_by (CisItem *self);

/** CisEpisode: one run of an experiment, on a host (its directory, archive and receipt) or at the
 * receiver (what the request claims of it). */
#define CIS_TYPE_EPISODE (cis_episode_get_type ())
CIS_API
G_DECLARE_DERIVABLE_TYPE (CisEpisode, cis_episode, CIS, EPISODE, CisItem)
struct _CisEpisodeClass
{
  CisItemClass parent_class;
  gpointer padding[4];
};

/* @host: nullable (on the host itself). @name: see cis_name_is_valid(). */
CIS_API CisEpisode *cis_episode_new (const char *host, const char *name, CisRequest *request);
CIS_API const char *cis_episode_get_host (CisEpisode *self); /* nullable */
CIS_API const char *cis_episode_get_name (CisEpisode *self);
CIS_API void cis_episode_set_directory (CisEpisode *self, const char *path);
CIS_API const char *cis_episode_get_directory (CisEpisode *self); /* nullable */
CIS_API void cis_episode_set_fingerprint (CisEpisode *self, const char *fingerprint);
CIS_API const char *cis_episode_get_fingerprint (CisEpisode *self); /* nullable */
/* 40 lower-case hex. */
CIS_API void cis_episode_set_commit (CisEpisode *self, const char *commit);
CIS_API const char *cis_episode_get_commit (CisEpisode *self); /* nullable */
/* @path: nullable (at the receiver it comes as the request's body). @sha256: 64 lower-case hex.
 * @size: bytes. */
CIS_API void cis_episode_set_archive (CisEpisode *self, const char *path, const char *sha256, guint64 size);
CIS_API const char *cis_episode_get_archive (CisEpisode *self); /* nullable */
CIS_API const char *cis_episode_get_sha256 (CisEpisode *self);  /* nullable */
CIS_API guint64 cis_episode_get_size (CisEpisode *self);
CIS_API void cis_episode_set_receipt (CisEpisode *self, JsonObject *receipt);
CIS_API JsonObject *cis_episode_get_receipt (CisEpisode *self); /* none, nullable */

/**
 * CisInspectFunc: a look at an archive that is on disk and has the right digest, but does not count as stored
 * yet.
 * @fd: the archive, to be read with pread(); its position must not matter.
 * Returns passed, or why it is not to be stored; full. Blocks as long as it takes, on a worker.
 */
typedef CisOutcome *(*CisInspectFunc) (CisEpisode *self, int fd, GCancellable *cancellable,
                                       gpointer user_data);
/* For a stage before the one that stores. @user_data must live as long as the item is under way, as the stage
 * does. */
CIS_API void cis_episode_add_inspection (CisEpisode *self, CisInspectFunc inspect, gpointer user_data);
/* For the stage that stores: asks all, in order, up to the first that does not pass. full. */
CIS_API CisOutcome *cis_episode_inspect (CisEpisode *self, int fd, GCancellable *cancellable);

#define CIS_HOST_NAME_MAX    63
#define CIS_EPISODE_NAME_MAX 128
/* [A-Za-z0-9][A-Za-z0-9._-]* of at most @max bytes, with no "..". */
CIS_API gboolean cis_name_is_valid (const char *name, gsize max);
/* Exactly @length digits of 0-9a-f. */
CIS_API gboolean cis_hex_is_valid (const char *hex, gsize length);

/* ------------------------------------------------------------------ part */
/** CisPart: what a plugin defines. Its options are construct-only properties, see
 * cis_part_class_add_option(); the ini's group sets them and nothing changes them afterwards. */
#define CIS_TYPE_PART (cis_part_get_type ())
CIS_API
G_DECLARE_DERIVABLE_TYPE (CisPart, cis_part, CIS, PART, GObject)

/**
 * CisPartClass:
 * @validate: whether the options make sense; looks at nothing else. CIS_ERROR_CONFIG. Before each @open, and
 * for `cis490 check`.
 * @open: gets ready to work; CIS_ERROR_CONFIG refuses the start. On the thread that starts the
 *   pipeline, before any process(). Nothing but @open may touch files or the network before.
 * @close: lets go of what @open took, also after an @open that failed. No process() runs any more.
 * @look: reads the files that the options name, as @open will, and adds a full #CisFinding for each that it
 *   could not work with. Called without @open, by `cis490 check`; no network, and nothing is written.
 * @check: looks at what the part depends on and adds a full #CisFinding for each observation, a
 *   %CIS_SEVERITY_INFO one where all is well. Called without @open; may use the network; may block.
 * @maintain: clean-up; called after @open, while process() runs, on the pipeline's housekeeping thread.
 *   Returns after how long to call again, in µs; 0: never; -1 with @error: logged, again in an hour.
 */
struct _CisPartClass
{
  GObjectClass parent_class;
  gboolean (*validate) (CisPart *self, GError **error);
  gboolean (*open) (CisPart *self, GCancellable *cancellable, GError **error);
  void (*close) (CisPart *self);
  void (*check) (CisPart *self, GPtrArray *findings, GCancellable *cancellable);
  gint64 (*maintain) (CisPart *self, GCancellable *cancellable, GError **error);
  void (*look) (CisPart *self, GPtrArray *findings);
  gpointer padding[4];
};

/* Flags of ours on an option's pspec. */
enum
{
  CIS_PARAM_REQUIRED = 1 << (G_PARAM_USER_SHIFT + 0), /* no default: the ini must set it */
  CIS_PARAM_DURATION = 1 << (G_PARAM_USER_SHIFT + 1), /* gint64 µs, written 30d, 5s, 250ms */
  CIS_PARAM_SIZE = 1 << (G_PARAM_USER_SHIFT + 2),     /* guint64 bytes, written 64MiB */
  CIS_PARAM_FILE = 1 << (G_PARAM_USER_SHIFT + 3),     /* a file that must be readable */
  CIS_PARAM_SECRET = 1 << (G_PARAM_USER_SHIFT + 4),   /* of a file: must not be readable by others */
  CIS_PARAM_PROSE = 1 << (G_PARAM_USER_SHIFT + 5),    /* a text for people, in which anything may stand */
};
/* What every option is. Not of the enum above, as gcc warns of an enum where GParamFlags are wanted. */
#define CIS_PARAM_OPTION ((GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS))

/* Installs @pspec (floating; flags CIS_PARAM_OPTION and any of ours) as an option that lives at @offset of
 * the instance: a char *, gint64, guint64, guint, int, gboolean, double, enum (int) or GStrv. The class
 * reads, writes and frees it. A string's default may hold ${variables} of the ini. */
CIS_API void cis_part_class_add_option (CisPartClass *klass, gsize offset, GParamSpec *pspec);
CIS_API const char *cis_part_get_name (CisPart *self); /* the ini's group */
/* The pipeline's "workers": how many process() run at a time. Valid from open() on. */
CIS_API guint cis_part_get_workers (CisPart *self);
/* Raises or replaces the finding of this (id, subject), on any thread. @finding: full. */
CIS_API void cis_part_raise (CisPart *self, CisFinding *finding);
CIS_API void cis_part_clear (CisPart *self, const char *id,
                             const char *subject); /* also what stood before a reload */
/* Clears what this stage, or that of its name before a reload, raised under @id, but for what @holds. @holds:
 * nullable. */
typedef gboolean (*CisSubjectFunc) (gpointer user_data, const char *subject);
CIS_API void cis_part_clear_unless (CisPart *self, const char *id, CisSubjectFunc holds, gpointer user_data);
/* Stops the pipeline; its run ends with @error (full) and a non-zero exit. On any thread. */
CIS_API void cis_part_stop (CisPart *self, GError *error);
/* Says in open() that this part holds the folder at @path open as @fd. Once that was moved away, replaced or
 * mounted over, all parts are closed and opened anew. */
CIS_API void cis_part_watch_folder (CisPart *self, const char *path, int fd);
CIS_API gboolean cis_part_open (CisPart *self, GCancellable *cancellable, GError **error);
CIS_API void cis_part_close (CisPart *self);

/* ----------------------------------------------------------------- stage */
/** CisWhen: for which items a stage runs.
 * @CIS_WHEN_AFTERWARDS: once the item is home, on a queue of its own; changes nothing any more. */
typedef enum
{
  CIS_WHEN_PASSED,
  CIS_WHEN_REJECTED,
  CIS_WHEN_DEFERRED,
  CIS_WHEN_AFTERWARDS
} CisWhen;

#define CIS_TYPE_WHEN (cis_when_get_type ())
CIS_API GType cis_when_get_type (void);

#define CIS_TYPE_STAGE (cis_stage_get_type ())
CIS_API
G_DECLARE_DERIVABLE_TYPE (CisStage, cis_stage, CIS, STAGE, CisPart)

/**
 * CisStageClass:
 * @item_type: items of other types pass the stage by. Default: CIS_TYPE_ITEM.
 * @when: the default of the ini's "when" key.
 * @needs, @provides: %NULL or %NULL-terminated names of what an item must have got before, and has
 *   afterwards: "archive", "receipt", "identity". `cis490 check` refuses an order that cannot work.
 * @process: one step. Blocks as long as it takes; several run at once, each on a worker with an item
 *   of its own, so the stage's state is immutable after open(), locked, or per item. full.
 * @settled: the item's outcome is fixed and it is on its way home. On the worker; only for items that
 *   @process saw (or cis_stage_recover() handed over), last stage first.
 * @tell: a finding changed that belongs to no item. Only for when=afterwards, on their thread.
 * @ask: of a stage that provides a receipt: what would become of the episode if it came to the other end now?
 *   Changes nothing there. The item has name, archive, commit and receipt of what was shipped. Done: those
 * bytes are there, and the item has the receipt that was given for them just now; passed: they are not, and
 * would be taken; rejected: they are not, and would not be; else nobody can tell now. Blocks, on any thread.
 * full.
 */
struct _CisStageClass
{
  CisPartClass parent_class;
  GType item_type;
  CisWhen when;
  const char *const *needs;
  const char *const *provides;
  CisOutcome *(*process) (CisStage *self, CisItem *item, GCancellable *cancellable);
  void (*settled) (CisStage *self, CisItem *item, CisOutcome *outcome);
  gboolean (*tell) (CisStage *self, CisFinding *finding, CisFindingChange change, GCancellable *cancellable,
                    GError **error);
  CisOutcome *(*ask) (CisStage *self, CisItem *item, GCancellable *cancellable);
  gpointer padding[5];
};

CIS_API CisOutcome *cis_stage_process (CisStage *self, CisItem *item, GCancellable *cancellable);
CIS_API void cis_stage_settled (CisStage *self, CisItem *item, CisOutcome *outcome);
/* How far process() is, in bytes or whatever the stage counts; the watchdog and progress bars live on it.
 * Cheap. */
CIS_API void cis_stage_progress (CisStage *self, CisItem *item, guint64 done, guint64 total);
/* Only in open(): hands over an item (full) that an earlier run left behind this stage. Before the
 * pipeline is ready, it goes through the stages after this one and home, settled() of this one included. */
CIS_API void cis_stage_recover (CisStage *self, CisItem *item);
/* Asks the stage that gives this pipeline's items their receipts; %NULL where it has no @ask. On any thread.
 * full. */
CIS_API CisOutcome *cis_stage_ask_receipt (CisStage *self, CisItem *item, GCancellable *cancellable);

/** CisAlert: a stage that tells people. Default when=afterwards; option "severity", the lowest that is told.
 * A subclass has one function to write. */
#define CIS_TYPE_ALERT (cis_alert_get_type ())
CIS_API
G_DECLARE_DERIVABLE_TYPE (CisAlert, cis_alert, CIS, ALERT, CisStage)

/**
 * CisAlertClass:
 * @tell_finding: tells @finding. One at a time, on the queue's thread. @item: the item that it belongs
 *   to, or %NULL. An error is logged and the finding is told no more.
 */
struct _CisAlertClass
{
  CisStageClass parent_class;
  gboolean (*tell_finding) (CisAlert *self, CisFinding *finding, CisFindingChange change, CisItem *item,
                            GCancellable *cancellable, GError **error);
  gpointer padding[4];
};

/* ---------------------------------------------------------------- source */
#define CIS_TYPE_SOURCE (cis_source_get_type ())
CIS_API
G_DECLARE_DERIVABLE_TYPE (CisSource, cis_source, CIS, SOURCE, CisPart)

/**
 * CisSourceClass:
 * @item_types: the types it emits, 0-terminated.
 * @provides: as of #CisStageClass.
 * @endless: never runs dry, so `--once` makes no sense.
 * @run: a blocking loop on a thread of its own, that emits items until @cancellable is cancelled (then
 *   %TRUE, and without delay) or, where cis_source_is_once(), until there is nothing more.
 * @settled: an item came home, after all stages. On a worker, perhaps before cis_source_emit() returned.
 */
struct _CisSourceClass
{
  CisPartClass parent_class;
  GType item_types[4];
  const char *const *provides;
  gboolean endless;
  gboolean (*run) (CisSource *self, GCancellable *cancellable, GError **error);
  void (*settled) (CisSource *self, CisItem *item, CisOutcome *outcome);
  gpointer padding[6];
};

/* Hands @item (full) to a worker. Blocks until one is free and the pipeline is not held. %FALSE: cancelled,
 * or (--once) held, and the source should return; settled() is not called then. On run()'s thread. An item
 * with a request is never held, and queued without blocking: its source counts what it has in flight. */
CIS_API gboolean cis_source_emit (CisSource *self, CisItem *item, GCancellable *cancellable);
CIS_API gboolean cis_source_is_once (CisSource *self);
/* How many items it knows of that are not in flight and not settled for good (`--once` then ends with 75). */
CIS_API void cis_source_set_waiting (CisSource *self, guint n_waiting);

/* -------------------------------------------------------- durable files */
/* All take a folder's descriptor and a name in it, check every return code (close() included) and retry
 * EINTR. A failed fsync is CIS_ERROR_FATAL and must never be tried again: the kernel has forgotten what was
 * not written ("fsyncgate", https://wiki.postgresql.org/wiki/Fsync_Errors). @what names the file in the
 * message. */
CIS_API gboolean cis_file_sync (int fd, const char *what, GError **error);
CIS_API gboolean cis_file_close (int *fd, const char *what, GError **error); /* sets *fd to -1 */
CIS_API gboolean cis_file_write_all (int fd, const void *data, gsize length, const char *what,
                                     GError **error);
/* Writes, fsyncs, renames over @name, fsyncs the folder: the old bytes or the new, never neither. */
CIS_API gboolean cis_file_replace (int dirfd, const char *name, const void *data, gsize length,
                                   GError **error);
/* So, too, but the new file has owner, group and mode of the one that it replaces, or does not replace it. */
CIS_API gboolean cis_file_rewrite (int dirfd, const char *name, const void *data, gsize length,
                                   GError **error);
/* Opens @name below @dirfd (or AT_FDCWD) once it was looked at: only what is a regular file is opened, so
 * that nothing waits for the other end of a FIFO or wakes a device; of what else lies there CIS_ERROR_INVALID
 * says what it is. @flags: of open(2), such as O_RDONLY | O_NOFOLLOW; O_NONBLOCK, O_NOCTTY and O_CLOEXEC are
 * added, and what O_CREAT makes gets mode 0640. @status: as of fstat(2); nullable. -1 on error. */
CIS_API int cis_file_open (int dirfd, const char *name, int flags, struct stat *status, GError **error);
/* Reads a whole regular file of at most @max bytes, no symlink followed; full, NUL-terminated behind the
 * bytes. */
CIS_API GBytes *cis_file_read (int dirfd, const char *name, gsize max, GError **error);
/* The same of what somebody else put there, such as a certificate: symlinks are followed. full. */
CIS_API GBytes *cis_file_read_given (const char *path, gsize max, GError **error);
/* The authorities in the PEM file @path, which is opened so, too. full. */
CIS_API GTlsDatabase *cis_authorities_load (const char *path, GError **error);
/* renameat2 (RENAME_NOREPLACE) and fsync of both folders. G_IO_ERROR_EXISTS where @new_name is taken. */
CIS_API gboolean cis_file_publish (int old_dirfd, const char *old_name, int new_dirfd, const char *new_name,
                                   GError **error);
/* Why the folder @name could not be renamed to @new_dirfd, as an errno that lasts until a person has done
 * something; 0 where nothing is known to be in the way. */
CIS_API int cis_move_find_obstacle (int old_dirfd, const char *name, int new_dirfd);
/* What an errno of rename(2) means, in words; none. */
CIS_API const char *cis_move_get_reason (int errsv);
/* Unlinks; a file that is not there is no error. Not durable until the folder is synced. */
CIS_API gboolean cis_file_remove (int dirfd, const char *name, GError **error);
/* Opens a folder below @dirfd, no symlink followed; or a path (AT_FDCWD), whose folders and symlinks have to
 * belong to root, to us, or to the folder's owner: CIS_ERROR_CONFIG says which does not. Made (mode 0750, its
 * parent synced) where it is missing; -1 on error. */
CIS_API int cis_folder_open (int dirfd, const char *name, gboolean create, GError **error);
/* Opens the folder that a person named. Where root asks, no symlink of another user's is followed. -1 on
 * error. */
CIS_API int cis_folder_open_given (const char *path, GError **error);
/* Opens a state folder at @path, made where it is missing, in which nobody else may rename or remove: see
 * cis_folder_guard(). -1 on error. */
CIS_API int cis_folder_open_own (const char *path, GError **error);
/* Whether the opened folder belongs to us or to root, and nobody else may change what is in it, or (@shared)
 * each only what is his; one of ours is mended. CIS_ERROR_CONFIG, with what to do. */
CIS_API gboolean cis_folder_guard (int fd, const char *path, gboolean shared, GError **error);
/* Where root runs this: becomes the owner of @folder, for good; before there are threads. */
CIS_API gboolean cis_become_owner (const char *folder, GError **error);
/* Who asked for what is done: behind sudo(8), and where root became somebody else, the person; none. */
CIS_API const char *cis_get_operator (void);
/* The sorted names in the opened folder @fd, but for "." and ".."; all of them, or %NULL. @what: the folder,
 * for messages. full. */
CIS_API GPtrArray *cis_folder_list (int fd, const char *what, GError **error);
/* Removes a folder and what is in it, no symlink followed. A folder that is not there is no error. */
CIS_API gboolean cis_folder_remove (int dirfd, const char *name, GCancellable *cancellable, GError **error);
/* Opens (and makes, mode 0600) a file whose only use is that we lock it: one that others can open they could
 * keep locked. -1 on error. */
CIS_API int cis_lock_open (int dirfd, const char *name, GError **error);
/* Takes an OFD lock on the whole of @fd. Where another has it: waits for it, a minute at most. Then, or
 * without
 * @wait, CIS_ERROR_UNAVAILABLE, which names who has it. */
CIS_API gboolean cis_file_lock (int fd, gboolean wait, const char *what, GCancellable *cancellable,
                                GError **error);
CIS_API void cis_file_unlock (int fd);
/* Whether the file system of @dirfd renames without replacing, makes hard links and fsyncs: CIS_ERROR_CONFIG
 * if not. */
CIS_API gboolean cis_folder_probe (int dirfd, const char *what, GError **error);

/* -------------------------------------------------- what people write */
/* Files that an operator wrote, as editors save them: a byte order mark, CRLF and a missing last newline are
 * no part of the text, and symlinks are followed. What can mean two things is CIS_ERROR_INVALID,
 * "path:line:column: what is wrong". At most @max bytes. */
CIS_API char *cis_text_read (const char *path, gsize max, GError **error); /* lines end with "\n"; full */
/* The one word of a file with a secret in it; blanks and empty lines round it are no part of it. The message
 * never shows what the file holds. full */
CIS_API char *cis_text_read_secret (const char *path, GError **error);

/** CisTextLine: a line of a list that says something: its words, without blanks and the comment behind "#".
 */
typedef struct
{
  guint number; /* of the line, from 1 */
  guint n_words;
  char **words;   /* NULL-terminated */
  guint *columns; /* of each word, from 1, in characters */
} CisTextLine;
/* of CisTextLine; full, nullable. */
CIS_API GPtrArray *cis_text_read_list (const char *path, gsize max, GError **error);
CIS_API GPtrArray *cis_text_split (const char *text); /* the same of a text that was read; full */

/** CisGroupCommit: concurrent callers share one flush: the first that waits flushes for all that came
 * before it began. After a failed flush every later one fails too. */
typedef struct _CisGroupCommit CisGroupCommit;
typedef gboolean (*CisFlushFunc) (gpointer user_data, GError **error);
CIS_API CisGroupCommit *cis_group_commit_new (CisFlushFunc flush, gpointer user_data, GDestroyNotify destroy);
CIS_API void cis_group_commit_free (CisGroupCommit *self);
/* Returns once a flush that began after this call has ended. On any thread. */
CIS_API gboolean cis_group_commit_flush (CisGroupCommit *self, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisGroupCommit, cis_group_commit_free)

/** CisDigest: SHA-256 in a stream (GnuTLS: GChecksum has no hardware path and is five times slower). */
typedef struct _CisDigest CisDigest;
CIS_API CisDigest *cis_digest_new (void);
CIS_API void cis_digest_free (CisDigest *self);
CIS_API void cis_digest_update (CisDigest *self, const void *data, gsize length);
CIS_API char *cis_digest_finish (CisDigest *self); /* 64 hex, full; resets */
/* Of a file from its beginning; full. @stage: whose progress with @item it is; nullable. */
CIS_API char *cis_digest_file (int fd, CisStage *stage, CisItem *item, GCancellable *cancellable,
                               GError **error);
CIS_API char *cis_digest_bytes (const void *data, gsize length);
/* Whether the strings are equal, in a time that depends on their lengths only. */
CIS_API gboolean cis_equal_in_constant_time (const char *a, const char *b);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CisDigest, cis_digest_free)
/* For a GHashTable of strings, in place of g_str_hash(): by a key that each process draws anew, so that
 * nobody can choose strings that collide. */
CIS_API guint cis_str_hash (gconstpointer string);
/* The keys of such a table, sorted, as its own order is another in each process; NULL-terminated. The array
 * is full, the strings are the table's. */
CIS_API const char **cis_str_keys (GHashTable *table);

/* ------------------------------------------------------------------ JSON */
/* Strict JSON (RFC 8259) of one object: UTF-8, no comments, no duplicate keys, at most 64 deep, at most 2000
 * members in one object, or as much in several. CIS_ERROR_INVALID. full. */
CIS_API JsonObject *cis_json_parse (const char *data, gsize length, GError **error);
/* So, too, but only those of the object's own members are kept that @members (NULL-terminated) names; it may
 * have any number of others. For what an experiment wrote, of which little is needed. full. */
CIS_API JsonObject *cis_json_parse_members (const char *data, gsize length, const char *const *members,
                                            GError **error);
/* The same of a file, read as by cis_file_read(). full. */
CIS_API JsonObject *cis_json_load (int dirfd, const char *name, gsize max, GError **error);
CIS_API char *cis_json_to_line (JsonObject *object); /* one line without the newline; full */
/* A string member, or %NULL where there is none or it is something else. none */
CIS_API const char *cis_json_get_string (JsonObject *object, const char *member);
/* A non-negative integer member, or @fallback. */
CIS_API gint64 cis_json_get_size (JsonObject *object, const char *member, gint64 fallback);

/* -------------------------------------------------------------- receipts */
/* {"episode","host","sha256","size","commit","received_at","status"}. @received_at: ISO 8601 UTC; %NULL is
 * now. full. */
CIS_API JsonObject *cis_receipt_new (CisEpisode *episode, const char *host, const char *status,
                                     const char *received_at);
/* Whether @receipt is for exactly this: name, host (where not %NULL), digest and size. CIS_ERROR_INVALID says
 * what differs. */
CIS_API gboolean cis_receipt_matches (JsonObject *receipt, CisEpisode *episode, const char *host,
                                      GError **error);
CIS_API char *cis_time_to_string (
    gint64 real_time); /* µs since 1970, e.g. "2026-11-21T22:51:00.123456Z"; full */

/* ------------------------------------------------------ the host's state */
/** CisHostState: the state folder of a host, opened: episodes/ outbox/ receipts/ shipped/ quarantine/.
 * The state *is* these directories; whoever changes them uses rename, link and fsync only. Thread-safe. */
#define CIS_TYPE_HOST_STATE (cis_host_state_get_type ())
CIS_API
G_DECLARE_FINAL_TYPE (CisHostState, cis_host_state, CIS, HOST_STATE, GObject)

typedef enum
{
  CIS_FOLDER_EPISODES,
  CIS_FOLDER_OUTBOX,
  CIS_FOLDER_RECEIPTS,
  CIS_FOLDER_SHIPPED,
  CIS_FOLDER_QUARANTINE,
  CIS_N_FOLDERS,
} CisFolder;

/* Opens @path and what is in it, made where missing; CIS_ERROR_CONFIG where they are not on one file system.
 * full. */
CIS_API CisHostState *cis_host_state_open (const char *path, GError **error);
CIS_API const char *cis_host_state_get_path (CisHostState *self);
CIS_API int cis_host_state_get_fd (CisHostState *self, CisFolder folder); /* none */
/* cis_part_watch_folder() for all of its folders, which one part of a pipeline has to do. */
CIS_API void cis_host_state_watch (CisHostState *self, CisPart *part);
CIS_API char *cis_host_state_get_file (CisHostState *self, CisFolder folder, const char *name,
                                       const char *suffix); /* full path; full */
/* Holds ".lock" until the object goes: the one pipeline that owns the state. CIS_ERROR_UNAVAILABLE. */
CIS_API gboolean cis_host_state_lock (CisHostState *self, GError **error);
/* Durably writes the episode's receipt, with the fingerprint of what was packed as one more member; what ship
 * does before it says passed. */
CIS_API gboolean cis_host_state_store_receipt (CisHostState *self, CisEpisode *episode, JsonObject *receipt,
                                               GError **error);
/* An archive is outbox/<name>.tar.zst, and counts once outbox/<name>.json describes it. This writes that, of
 * what @episode says of its archive and fingerprint, durably. @parameters: how it was packed, for people.
 * @packed_at: when the tree was last seen to be so, µs since 1970. */
CIS_API gboolean cis_host_state_store_archive (CisHostState *self, CisEpisode *episode,
                                               const char *parameters, gint64 packed_at, GError **error);
/* Gives @episode the archive that was stored, and its @fingerprint, which is of the tree that it has to be
 * of; whether it is there, is not looked at. %FALSE, and @episode stays as it is, where there is none, or
 * none that can be read, which is as good. */
CIS_API gboolean cis_host_state_load_archive (CisHostState *self, CisEpisode *episode,
                                              const char *fingerprint);
/* The packed_at of @episode's archive, ISO 8601; %NULL where nothing says so. full. */
CIS_API char *cis_host_state_get_packed_at (CisHostState *self, CisEpisode *episode);
/* Removes archive and description: garbage once the episode has left episodes/, or to be packed anew. */
CIS_API gboolean cis_host_state_drop_archive (CisHostState *self, CisEpisode *episode, GError **error);
/* The receipt with the episode's name, checked against nothing; %NULL without error where there is none.
 * full. */
CIS_API JsonObject *cis_host_state_load_receipt (CisHostState *self, const char *name, GError **error);
/* Whether there is a receipt for the very bytes of @episode's archive. */
CIS_API gboolean cis_host_state_is_acknowledged (CisHostState *self, CisEpisode *episode);
/* What identifies the tree @name below @dirfd: a SHA-256 over path, type, size, mtime and ctime of every
 * entry; full. No symlink is followed. @newest: latest ctime, µs since 1970; nullable. CIS_ERROR_GONE where
 * the tree is not there. */
CIS_API char *cis_fingerprint (int dirfd, const char *name, gint64 *newest, GCancellable *cancellable,
                               GError **error);

/* ------------------------------------------------------------- listening */
/* A listening stream socket for "unix:/path" or "127.0.0.1:8490", kept by the core from one configuration to
 * the next: passed by systemd (sd_listen_fds(3)), already open, or made now. Returns a descriptor (full,
 * close-on-exec, non-blocking), or -1. */
CIS_API int cis_listen (const char *address, GError **error);
/* Closes @fd, which cis_listen() gave for @address. The socket goes where no later configuration asks for it.
 */
CIS_API void cis_unlisten (const char *address, int fd);
/* Whether it is an address to listen at: CIS_ERROR_CONFIG. */
CIS_API gboolean cis_listen_check (const char *address, GError **error);
/* Whether a Unix socket can be at @path: GLib cuts off what an address has no room for, and would talk to
 * whoever has the shorter name. CIS_ERROR_CONFIG, half a sentence. */
CIS_API gboolean cis_socket_path_check (const char *path, GError **error);

/* --------------------------------------------------------------- logging */
/* A structured line: journal fields CIS490_STAGE, CIS490_EPISODE, CIS490_HOST and, where not %NULL,
 * MESSAGE_ID. @item: nullable. */
CIS_API void cis_part_log (CisPart *self, CisItem *item, GLogLevelFlags level, const char *message_id,
                           const char *format, ...) G_GNUC_PRINTF (5, 6);

/* ---------------------------------------------------------------- plugin */
#define CIS_PLUGIN_MAGIC  0x43495334u /* "CIS4" */
#define CIS_PLUGIN_ABI    2u
#define CIS_PLUGIN_SYMBOL "cis490_plugin"

/**
 * CisPluginDescriptor: the one symbol that a plugin exports, by CIS_PLUGIN(). Checked field by field, in this
 * order.
 */
typedef struct
{
  guint32 magic;
  guint32 abi;
  gsize class_size;        /* of the parent class, as the plugin was built */
  const char *name;        /* "family/name", as the ini says it */
  const char *summary;     /* one sentence with a full stop */
  const char *type_name;   /* "CisAlertJsonl" */
  const char *parent_name; /* "CisAlert" */
  GType (*get_type) (void);
} CisPluginDescriptor;

/* E.g. CIS_PLUGIN ("alert/jsonl", "Appends each finding to a file.", MyJsonl, my_jsonl, CisAlert) */
#define CIS_PLUGIN(NAME, SUMMARY, TypeName, type_name, Parent)                                               \
  CIS_API const CisPluginDescriptor cis490_plugin;                                                           \
  const CisPluginDescriptor cis490_plugin = {                                                                \
    CIS_PLUGIN_MAGIC, CIS_PLUGIN_ABI, sizeof (Parent##Class), NAME, SUMMARY,                                 \
    #TypeName,        #Parent,        type_name##_get_type                                                   \
  };

G_END_DECLS
