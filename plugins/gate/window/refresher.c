/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "refresher.h"

#include <string.h>

/* However many unknown commits come in: no more refreshes than this, so that they cannot load the source. */
#define MIN_INTERVAL (250 * G_TIME_SPAN_MILLISECOND)
/* A finding that only changes its reason is told no more often. */
#define MIN_TOLD G_TIME_SPAN_MINUTE
/* How long a refresh may take before what it is to renew counts no more. */
#define MAX_REFRESH G_TIME_SPAN_MINUTE

struct _CisRefresher
{
  CisPart *part; /* none */
  GPtrArray *sources;
  char *branch;
  guint n;
  gint64 ttl;     /* µs */
  gint64 max_age; /* of windows that count, µs */
  GThread *thread;
  GCancellable *cancellable;

  GMutex lock;
  GCond wake;          /* the thread: somebody asked, or stop */
  GCond news;          /* those who asked: a refresh has ended */
  gboolean stopping;   /* locked */
  gboolean asked;      /* locked: a refresh is wanted that has not begun yet */
  gint64 ended;        /* locked: when the last refresh that has ended began, monotonic µs; 0: none yet */
  gboolean missed;     /* locked: since the last refresh ended, somebody waited for one in vain */
  CisWindow **windows; /* locked: of each source the last good one, behind them the saved one; or NULL */
  guint n_windows;
  guint newest; /* locked: which of them the last refresh gave; n_windows: it failed, or there was none */

  /* Only the thread's. */
  CisSavedWindow *saved; /* nullable */
  char *told_id;         /* of the finding that stands */
  char *told_summary;
  gint64 told_at; /* monotonic µs */
  char *seen;     /* source and head of the window that was logged last */
  gint64 slow_at; /* when it was last logged that somebody waited in vain, monotonic µs */
};

CisFinding *
cis_refresher_describe_error (CisWindowSource *source, const char *branch, const char *subject,
                              const GError *error)
{
  g_autofree char *fix = cis_window_source_suggest (source, branch, error);
  CisFinding *finding = cis_finding_new ("window-unavailable", CIS_SEVERITY_ERROR, subject,
                                         "The window of recent commits cannot be had from %s: %s.",
                                         cis_window_source_get_name (source), error->message);

  cis_finding_set_fix (finding, "%s", fix);
  cis_finding_set_detail (finding, "source", cis_window_source_get_name (source));
  return finding;
}

CisFinding *
cis_refresher_describe_errors (GPtrArray *sources, GPtrArray *errors, const char *branch, const char *subject,
                               CisWindow *cached)
{
  g_autoptr (GString) reasons = g_string_new (NULL);
  g_autoptr (GString) fixes = g_string_new (NULL);
  g_autofree char *head = cached != NULL ? g_strndup (cis_window_get_head (cached), 12) : NULL;
  CisFinding *finding;

  for (guint i = 0; i < sources->len; i++)
    {
      const GError *error = errors->pdata[i];
      g_autofree char *fix = cis_window_source_suggest (sources->pdata[i], branch, error);

      g_string_append_printf (reasons, "%s%s: %s", i > 0 ? "; " : "",
                              cis_window_source_get_name (sources->pdata[i]), error->message);
      g_string_append_printf (fixes, "%s%s", i > 0 ? "\n" : "", fix);
    }
  finding = cis_finding_new ("window-unavailable", CIS_SEVERITY_ERROR, subject,
                             "No source says which commits are recent (%s); %s%s%s.", reasons->str,
                             head != NULL ? "what the last window with the head " : "all episodes wait",
                             head != NULL ? head : "", head != NULL ? " has is let in, all others wait" : "");
  cis_finding_set_fix (finding, "%s", fixes->str);
  return finding;
}

CisFinding *
cis_refresher_describe_cut (CisWindowSource *source, const char *branch, const char *subject, guint length,
                            guint n)
{
  g_autofree char *fix = cis_window_source_suggest (source, branch, NULL);
  CisFinding *finding =
      cis_finding_new ("window-cut", CIS_SEVERITY_WARNING, subject,
                       "%s has only %u of the last %u commits of %s: others cannot be refused and wait.",
                       cis_window_source_get_name (source), length, n, branch);

  cis_finding_set_fix (finding, "%s", fix);
  cis_finding_set_detail (finding, "source", cis_window_source_get_name (source));
  return finding;
}

/* The one finding that stands about the windows, %NULL for none; told only when it changed, not every few
 * seconds. full. */
static void
tell (CisRefresher *self, CisFinding *finding)
{
  static const char *const ids[] = { "window-unavailable", "window-fallback", "window-cut" };
  const char *subject = cis_part_get_name (self->part);
  const char *id = finding != NULL ? cis_finding_get_id (finding) : NULL;
  const char *summary = finding != NULL ? cis_finding_get_summary (finding) : NULL;
  gint64 now = g_get_monotonic_time ();

  /* The first time, something of before a reload may be over. */
  if (self->told_at != 0 && g_strcmp0 (id, self->told_id) == 0 &&
      (g_strcmp0 (summary, self->told_summary) == 0 || now - self->told_at < MIN_TOLD))
    {
      g_clear_object (&finding);
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
    if (g_strcmp0 (ids[i], id) != 0)
      cis_part_clear (self->part, ids[i], subject);
  g_free (self->told_id);
  g_free (self->told_summary);
  self->told_id = g_strdup (id);
  self->told_summary = g_strdup (summary);
  self->told_at = now;
  if (finding != NULL)
    cis_part_raise (self->part, finding);
}

static CisFinding *
describe_fallback (CisRefresher *self, CisWindow *window, const GError *error)
{
  CisWindowSource *first = g_ptr_array_index (self->sources, 0);
  g_autofree char *fix = cis_window_source_suggest (first, self->branch, error);
  CisFinding *finding =
      cis_finding_new ("window-fallback", CIS_SEVERITY_WARNING, cis_part_get_name (self->part),
                       "%s fails (%s); %s stands in, which admits commits and refuses none.",
                       cis_window_source_get_name (first), error->message, cis_window_get_source (window));

  cis_finding_set_fix (finding, "%s", fix);
  return finding;
}

static void
log_window (CisRefresher *self, CisWindow *window)
{
  gboolean fallback = cis_window_is_fallback (window);
  g_autofree char *source = cis_window_describe_source (window);
  g_autofree char *seen =
      g_strdup_printf ("%s %.*s", source, CIS_COMMIT_LENGTH, cis_window_get_head (window));

  if (g_strcmp0 (seen, self->seen) == 0)
    return;
  /* A new head alone is no news to an operator, but a source is. */
  if (self->seen == NULL || strncmp (seen, self->seen, strlen (source) + 1) != 0)
    cis_part_log (self->part, NULL, fallback ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_MESSAGE, NULL,
                  "Window of %s, length %u, head %s, source=%s", self->branch, cis_window_get_length (window),
                  cis_window_get_head (window), source);
  else
    cis_part_log (self->part, NULL, G_LOG_LEVEL_INFO, NULL, "Head of %s is now %s, source=%s", self->branch,
                  cis_window_get_head (window), source);
  g_free (self->seen);
  self->seen = g_steal_pointer (&seen);
}

/* Otherwise nobody would see that stale code is never refused, but told to come again. */
static void
log_slow (CisRefresher *self, CisWindow *window, gint64 began)
{
  gint64 now = g_get_monotonic_time ();

  if (self->slow_at != 0 && now - self->slow_at < MIN_TOLD)
    return;
  self->slow_at = now;
  cis_part_log (self->part, NULL, G_LOG_LEVEL_WARNING, NULL,
                "%s took %.1f s for the window; who could not wait so long was told to come again, and with "
                "a longer wait= of [%s] is judged at once",
                cis_window_get_source (window), (double) (now - began) / G_USEC_PER_SEC,
                cis_part_get_name (self->part));
}

/* A file that cannot be written costs nothing until receiver and forge are restarted at once. */
static void
save (CisRefresher *self, CisWindow *window)
{
  const char *path = self->saved != NULL ? cis_saved_window_get_path (self->saved) : NULL;
  g_autoptr (GError) error = NULL;

  if (path == NULL)
    return;
  if (cis_saved_window_store (self->saved, window, &error))
    cis_part_clear_unless (self->part, "window-not-saved", NULL, NULL);
  else
    {
      CisFinding *finding =
          cis_finding_new ("window-not-saved", CIS_SEVERITY_WARNING, path,
                           "The window cannot be kept for the next start: %s.", error->message);
      g_autofree char *folder = g_path_get_dirname (path);
      g_autofree char *quoted = g_shell_quote (folder);

      cis_finding_set_fix (finding,
                           "ls -ld %s\n"
                           "df -h %s\n"
                           "# it needs some space, and has to be writable by %s",
                           quoted, quoted, g_get_user_name ());
      cis_part_raise (self->part, finding);
    }
}

/* A source that is away for long must not let in what has become old meanwhile. One that answers renews its
 * window each ttl, and the one before counts until then. */
static gboolean
counts (CisRefresher *self, guint i, gint64 now)
{
  CisWindow *window = self->windows[i];
  gint64 age;

  if (window == NULL)
    return FALSE;
  age = now - cis_window_get_fetched_at (window);
  return age <= self->max_age || (i == self->newest && age - self->ttl <= MAX_REFRESH);
}

/* The most recent window that has @commit (nullable), as the first source's may be from before it went away;
 * none. */
static CisWindow *
find (CisRefresher *self, const char *commit)
{
  gint64 now = g_get_monotonic_time ();
  CisWindow *newest = NULL;

  for (guint i = 0; i < self->n_windows; i++)
    {
      CisWindow *window = self->windows[i];

      if (!counts (self, i, now) || (commit != NULL && cis_window_get_position (window, commit) < 0))
        continue;
      if (newest == NULL || cis_window_get_fetched_at (window) > cis_window_get_fetched_at (newest))
        newest = window;
    }
  return newest;
}

/* What lets commits in though no source answers; full, %NULL where nothing does. */
static CisWindow *
dup_cached (CisRefresher *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  CisWindow *window = find (self, NULL);

  return window != NULL ? cis_window_ref (window) : NULL;
}

/* The first source that gives a window, and its index; the finding says why it is not the first one. */
static CisWindow *
fetch (CisRefresher *self, guint *index, CisFinding **finding)
{
  const char *name = cis_part_get_name (self->part);
  g_autoptr (GPtrArray) errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  g_autoptr (CisWindow) cached = NULL;

  for (guint i = 0; i < self->sources->len; i++)
    {
      CisWindowSource *source = g_ptr_array_index (self->sources, i);
      GError *error = NULL;
      CisWindow *window = cis_window_source_fetch (source, self->branch, self->n, self->cancellable, &error);

      if (window == NULL)
        {
          g_ptr_array_add (errors, error);
          continue;
        }
      *index = i;
      if (i > 0)
        cis_window_set_fallback (window);
      if (i > 0)
        *finding = describe_fallback (self, window, errors->pdata[0]);
      else if (cis_window_is_cut (window))
        *finding =
            cis_refresher_describe_cut (source, self->branch, name, cis_window_get_length (window), self->n);
      return window;
    }
  cached = dup_cached (self);
  *finding = cis_refresher_describe_errors (self->sources, errors, self->branch, name, cached);
  return NULL;
}

/* Puts @window (full) in its place. One of the first source outdates all others. */
static void
keep (CisRefresher *self, CisWindow *window, guint index)
{
  for (guint i = 0; i < self->n_windows; i++)
    if (i == index || index == 0)
      g_clear_pointer (&self->windows[i], cis_window_unref);
  self->windows[index] = window;
}

static void
refresh (CisRefresher *self, gint64 began)
{
  g_autoptr (CisFinding) finding = NULL;
  guint index = 0;
  g_autoptr (CisWindow) window = fetch (self, &index, &finding);
  gboolean missed;

  if (!g_cancellable_is_cancelled (self->cancellable))
    {
      if (window != NULL)
        log_window (self, window);
      tell (self, g_steal_pointer (&finding));
    }
  g_mutex_lock (&self->lock);
  if (window != NULL)
    keep (self, cis_window_ref (window), index);
  self->newest = window != NULL ? index : self->n_windows;
  self->ended = began;
  missed = self->missed;
  self->missed = FALSE;
  g_cond_broadcast (&self->news);
  g_mutex_unlock (&self->lock);
  /* Where it is a fallback, a finding says more. */
  if (window != NULL && index == 0 && missed)
    log_slow (self, window, began);
  if (window != NULL)
    save (self, window);
}

static gpointer
run (gpointer data)
{
  CisRefresher *self = data;
  gint64 began = 0;

  g_mutex_lock (&self->lock);
  while (!self->stopping)
    {
      gint64 due = began + (self->asked ? MIN (MIN_INTERVAL, self->ttl) : self->ttl);

      if (began != 0 && g_get_monotonic_time () < due)
        {
          g_cond_wait_until (&self->wake, &self->lock, due);
          continue;
        }
      self->asked = FALSE;
      began = g_get_monotonic_time ();
      g_mutex_unlock (&self->lock);
      refresh (self, began);
      g_mutex_lock (&self->lock);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
load_saved (CisRefresher *self)
{
  g_autoptr (GError) error = NULL;
  CisWindow *window = self->saved != NULL ? cis_saved_window_load (self->saved, self->n, &error) : NULL;

  self->windows[self->n_windows - 1] = window;
  if (window != NULL)
    cis_part_log (self->part, NULL, G_LOG_LEVEL_INFO, NULL, "Window of %s, length %u, head %s, source=saved",
                  self->branch, cis_window_get_length (window), cis_window_get_head (window));
  else if (error != NULL)
    cis_part_log (self->part, NULL, G_LOG_LEVEL_WARNING, NULL, "The saved window is of no use: %s",
                  error->message);
}

CisRefresher *
cis_refresher_new (CisPart *part, GPtrArray *sources, const char *branch, guint n, gint64 ttl, gint64 max_age,
                   CisSavedWindow *saved)
{
  CisRefresher *self = g_new0 (CisRefresher, 1);

  self->part = part;
  self->sources = g_ptr_array_ref (sources);
  self->branch = g_strdup (branch);
  self->n = n;
  self->ttl = ttl;
  self->max_age = max_age;
  self->saved = saved;
  self->cancellable = g_cancellable_new ();
  self->newest = self->n_windows = sources->len + 1;
  self->windows = g_new0 (CisWindow *, self->n_windows);
  g_mutex_init (&self->lock);
  g_cond_init (&self->wake);
  g_cond_init (&self->news);
  load_saved (self);
  self->thread = g_thread_new ("window", run, self);
  return self;
}

void
cis_refresher_free (CisRefresher *self)
{
  g_mutex_lock (&self->lock);
  self->stopping = TRUE;
  g_cond_signal (&self->wake);
  g_mutex_unlock (&self->lock);
  g_cancellable_cancel (self->cancellable);
  g_thread_join (self->thread);

  for (guint i = 0; i < self->n_windows; i++)
    g_clear_pointer (&self->windows[i], cis_window_unref);
  g_clear_pointer (&self->saved, cis_saved_window_free);
  g_free (self->windows);
  g_ptr_array_unref (self->sources);
  g_object_unref (self->cancellable);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->wake);
  g_cond_clear (&self->news);
  g_free (self->branch);
  g_free (self->told_id);
  g_free (self->told_summary);
  g_free (self->seen);
  g_free (self);
}

gboolean
cis_refresher_knows (CisRefresher *self, const char *commit)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return find (self, commit) != NULL;
}

/* Whether the first source said since @since which commits are recent, all of them, and @commit (nullable) is
 * not among them. */
static gboolean
may_refuse (CisRefresher *self, const char *commit, gint64 since)
{
  CisWindow *window = self->windows[0];

  return window != NULL && cis_window_get_fetched_at (window) > since && !cis_window_is_cut (window) &&
         (commit == NULL || cis_window_get_position (window, commit) < 0);
}

static void
wake_waiting (GCancellable *cancellable, gpointer data)
{
  CisRefresher *self = data;

  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->news);
  g_mutex_unlock (&self->lock);
}

static CisRefresherAnswer
wait_for_answer (CisRefresher *self, const char *commit, gint64 since, gint64 deadline,
                 GCancellable *cancellable)
{
  while (TRUE)
    {
      if (find (self, commit) != NULL)
        return CIS_REFRESHER_INSIDE;
      if (may_refuse (self, commit, since))
        return CIS_REFRESHER_OUTSIDE;
      if (self->ended > since || g_cancellable_is_cancelled (cancellable))
        return CIS_REFRESHER_UNKNOWN;
      if (g_get_monotonic_time () >= deadline)
        {
          self->missed = TRUE;
          return CIS_REFRESHER_UNKNOWN;
        }
      self->asked = TRUE;
      g_cond_signal (&self->wake);
      g_cond_wait_until (&self->news, &self->lock, deadline);
    }
}

CisRefresherAnswer
cis_refresher_ask (CisRefresher *self, const char *commit, gint64 wait, CisWindow **window,
                   GCancellable *cancellable)
{
  gint64 since = g_get_monotonic_time ();
  gulong handler = 0;
  CisRefresherAnswer answer;
  CisWindow *decisive;

  /* Nearly every request: a look-up, and nothing to cancel. */
  g_mutex_lock (&self->lock);
  decisive = find (self, commit);
  *window = decisive != NULL ? cis_window_ref (decisive) : NULL;
  g_mutex_unlock (&self->lock);
  if (decisive != NULL)
    return CIS_REFRESHER_INSIDE;

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (wake_waiting), self, NULL);
  g_mutex_lock (&self->lock);
  answer = wait_for_answer (self, commit, since, since + wait, cancellable);
  decisive = answer == CIS_REFRESHER_INSIDE    ? find (self, commit)
             : answer == CIS_REFRESHER_OUTSIDE ? self->windows[0]
                                               : find (self, NULL);
  *window = decisive != NULL ? cis_window_ref (decisive) : NULL;
  g_mutex_unlock (&self->lock);
  if (cancellable != NULL)
    g_cancellable_disconnect (cancellable, handler);
  return answer;
}
