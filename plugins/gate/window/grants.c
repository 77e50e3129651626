/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "grants.h"

#include "commits.h"
#include "history.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX        (1024 * 1024)
#define NAME_MAX_LENGTH 63
/* A range that the repository does not know yet may be pushed any time. */
#define RETRY (10 * G_TIME_SPAN_SECOND)

typedef struct
{
  char *name;
  char *host;  /* or "*" */
  char *until; /* as it is written */
  gint64 end;  /* µs since 1970 */
} Grant;

struct _CisGrants
{
  char *path;
  char *repository;
  gint64 settle; /* µs */
  /* Only the refreshing thread's. */
  char *stamp;      /* of the file that was looked at last; nullable */
  gint64 seen_at;   /* when that stamp was first seen, monotonic µs */
  gint64 failed_at; /* monotonic µs; 0: it is in order */

  GMutex lock;
  GPtrArray *grants;   /* locked; of Grant */
  GHashTable *commits; /* locked; commit to GPtrArray of Grant, none */
  gboolean whole;      /* locked; whether all that the file says is in these, and it has settled */
};

/* What a file holds. */
typedef struct
{
  GPtrArray *grants;
  GHashTable *commits;
  gboolean whole;
} Table;

static void
grant_free (gpointer data)
{
  Grant *grant = data;

  g_free (grant->name);
  g_free (grant->host);
  g_free (grant->until);
  g_free (grant);
}

static void
table_init (Table *table)
{
  table->grants = g_ptr_array_new_with_free_func (grant_free);
  table->commits =
      g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
}

static void
table_clear (Table *table)
{
  g_clear_pointer (&table->commits, g_hash_table_unref);
  g_clear_pointer (&table->grants, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Table, table_clear)

CisGrants *
cis_grants_new (const char *path, const char *repository, gint64 settle)
{
  CisGrants *self = g_new0 (CisGrants, 1);
  Table table;

  table_init (&table);
  self->path = g_strdup (path);
  self->repository = g_strdup (repository);
  self->settle = settle;
  self->grants = table.grants;
  self->commits = table.commits;
  g_mutex_init (&self->lock);
  return self;
}

void
cis_grants_free (CisGrants *self)
{
  g_free (self->path);
  g_free (self->repository);
  g_free (self->stamp);
  g_hash_table_unref (self->commits);
  g_ptr_array_unref (self->grants);
  g_mutex_clear (&self->lock);
  g_free (self);
}

const char *
cis_grants_get_path (CisGrants *self)
{
  return self->path;
}

/* The end of that day, or that moment; a time without a zone is UTC. */
static gboolean
parse_until (const char *text, gint64 *end)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  gboolean is_date = strchr (text, 'T') == NULL;
  g_autofree char *full = is_date ? g_strconcat (text, "T23:59:59.999999Z", NULL) : g_strdup (text);
  g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (full, utc);

  if (time != NULL)
    *end = g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);
  return time != NULL;
}

static gboolean
parse_commits (CisGrants *self, const char *text, GPtrArray **commits, GError **error)
{
  g_auto (GStrv) ends = g_strsplit (text, "..", -1);
  guint n = g_strv_length (ends);

  for (guint i = 0; i < n; i++)
    if (!cis_hex_is_valid (ends[i], CIS_COMMIT_LENGTH))
      n = 0;
  if (n == 1)
    {
      *commits = g_ptr_array_new_with_free_func (g_free);
      g_ptr_array_add (*commits, g_strdup (text));
      return TRUE;
    }
  if (n == 2)
    return (*commits = cis_history_list_range (self->repository, ends[0], ends[1], error)) != NULL;
  g_set_error (error, CIS_ERROR, CIS_ERROR_INVALID,
               "“%s” is neither a commit of 40 hex digits nor two with “..” between", text);
  return FALSE;
}

static gboolean
has_name (GPtrArray *grants, const char *name)
{
  for (guint i = 0; i < grants->len; i++)
    if (g_str_equal (((Grant *) grants->pdata[i])->name, name))
      return TRUE;
  return FALSE;
}

/* @column: of the word that is wrong. */
static const char *
find_mistake (Table *table, const CisTextLine *line, gint64 *end, guint *column)
{
  *column = line->columns[0];
  if (!cis_name_is_valid (line->words[0], NAME_MAX_LENGTH))
    return "the name has other characters than letters, digits, “.”, “_” and “-”, or over 63";
  if (line->n_words != 4)
    return "a grant is NAME COMMIT|COMMIT..COMMIT HOST|* UNTIL";
  if (has_name (table->grants, line->words[0]))
    return "the name was given to another grant";
  *column = line->columns[2];
  if (!g_str_equal (line->words[2], "*") && !cis_name_is_valid (line->words[2], CIS_HOST_NAME_MAX))
    return "the host is neither “*” nor a host's name";
  *column = line->columns[3];
  return parse_until (line->words[3], end) ? NULL : "the end is no date such as 2026-12-31";
}

static gboolean
parse_line (CisGrants *self, Table *table, const CisTextLine *line, guint *column, GError **error)
{
  char **words = line->words;
  gint64 end = 0;
  const char *mistake = find_mistake (table, line, &end, column);
  g_autoptr (GPtrArray) commits = NULL;
  g_autoptr (GError) problem = NULL;
  Grant *grant;

  if (mistake != NULL)
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_INVALID, mistake);
      return FALSE;
    }
  *column = line->columns[1];
  if (!parse_commits (self, words[1], &commits, &problem))
    {
      /* A range that is over and has left the repository is no mistake: nobody misses it. */
      if (!g_error_matches (problem, CIS_ERROR, CIS_ERROR_INVALID) && end < g_get_real_time ())
        commits = g_ptr_array_new ();
      else
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return FALSE;
        }
    }
  grant = g_new0 (Grant, 1);
  *grant = (Grant){ g_strdup (words[0]), g_strdup (words[2]), g_strdup (words[3]), end };
  g_ptr_array_add (table->grants, grant);
  for (guint i = 0; i < commits->len; i++)
    {
      GPtrArray *of = g_hash_table_lookup (table->commits, commits->pdata[i]);

      if (of == NULL)
        g_hash_table_insert (table->commits, g_strdup (commits->pdata[i]), of = g_ptr_array_new ());
      g_ptr_array_add (of, grant);
    }
  return TRUE;
}

/* Each line for itself: a mistake in one takes nothing from the others. */
static gboolean
parse (CisGrants *self, const char *text, Table *table, GError **error)
{
  g_autoptr (GPtrArray) lines = cis_text_split (text);
  g_autoptr (GError) first = NULL;
  guint n_more = 0;

  for (guint i = 0; i < lines->len; i++)
    {
      const CisTextLine *line = lines->pdata[i];
      g_autoptr (GError) problem = NULL;
      guint column;

      if (parse_line (self, table, line, &column, &problem))
        continue;
      g_prefix_error (&problem, "%s:%u:%u: ", self->path, line->number, column);
      if (first == NULL)
        first = g_steal_pointer (&problem);
      else
        n_more++;
    }
  if (first == NULL)
    return TRUE;
  if (n_more > 0)
    g_set_error (error, first->domain, first->code, "%s (mistakes further down: %u)", first->message, n_more);
  else
    g_propagate_error (error, g_steal_pointer (&first));
  return FALSE;
}

/* What tells that a file was replaced or rewritten, and when (µs since 1970); %NULL where it is not there. */
static char *
make_stamp (const char *path, gint64 *changed_at)
{
  struct stat info;

  if (stat (path, &info) != 0)
    return NULL;
  *changed_at = info.st_ctim.tv_sec * G_USEC_PER_SEC + info.st_ctim.tv_nsec / 1000;
  return g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld",
                          (guint64) info.st_ino, (gint64) info.st_size, (gint64) info.st_ctim.tv_sec,
                          info.st_ctim.tv_nsec);
}

/* Behind a read: whether what was read is all that will be there. Where a clock was set back, the file's time
 * is ahead for long, and what counts is how long we have seen it. */
static gboolean
has_settled (CisGrants *self)
{
  gint64 changed_at = 0;
  g_autofree char *stamp = make_stamp (self->path, &changed_at);

  return g_strcmp0 (stamp, self->stamp) == 0 && (g_get_real_time () - changed_at >= self->settle ||
                                                 g_get_monotonic_time () - self->seen_at >= self->settle);
}

static gboolean
read_table (CisGrants *self, Table *table, GError **error)
{
  g_autofree char *text = cis_text_read (self->path, FILE_MAX, error);

  return text != NULL && parse (self, text, table, error);
}

static void
swap (CisGrants *self, Table *table)
{
  Table old;

  g_mutex_lock (&self->lock);
  old = (Table){ self->grants, self->commits };
  self->grants = g_steal_pointer (&table->grants);
  self->commits = g_steal_pointer (&table->commits);
  self->whole = table->whole;
  g_mutex_unlock (&self->lock);
  table_clear (&old);
}

gboolean
cis_grants_refresh (CisGrants *self, GError **error)
{
  gint64 changed_at;
  g_autofree char *stamp = make_stamp (self->path, &changed_at);
  gint64 now = g_get_monotonic_time ();
  g_auto (Table) table = { NULL, NULL };
  gboolean in_order;

  if (g_strcmp0 (stamp, self->stamp) != 0)
    {
      g_free (self->stamp);
      self->stamp = g_steal_pointer (&stamp);
      self->seen_at = now;
    }
  else if (self->failed_at != 0 && now - self->failed_at < RETRY)
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE, "not looked at again yet");
      return FALSE;
    }
  else if (self->failed_at == 0 && self->whole)
    return TRUE;
  table_init (&table);
  in_order = read_table (self, &table, error);
  table.whole = in_order && has_settled (self);
  self->failed_at = in_order ? 0 : now;
  swap (self, &table);
  return in_order;
}

static gboolean
is_for (const Grant *grant, const char *host)
{
  return host == NULL || g_str_equal (grant->host, "*") || g_str_equal (grant->host, host);
}

char *
cis_grants_find (CisGrants *self, const char *commit, const char *host, gint64 now, gboolean *whole)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GPtrArray *of = g_hash_table_lookup (self->commits, commit);

  *whole = self->whole;
  for (guint i = 0; of != NULL && i < of->len; i++)
    {
      Grant *grant = of->pdata[i];

      if (now <= grant->end && is_for (grant, host))
        return g_strdup (grant->name);
    }
  return NULL;
}

char *
cis_grants_find_ended (CisGrants *self, const char *commit, const char *host, gint64 now, char **until)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GPtrArray *of = g_hash_table_lookup (self->commits, commit);
  const Grant *last = NULL;

  for (guint i = 0; of != NULL && i < of->len; i++)
    {
      const Grant *grant = of->pdata[i];

      if (now > grant->end && is_for (grant, host) && (last == NULL || grant->end > last->end))
        last = grant;
    }
  *until = last != NULL ? g_strdup (last->until) : NULL;
  return last != NULL ? g_strdup (last->name) : NULL;
}

void
cis_grants_foreach_expired (CisGrants *self, gint64 now, CisGrantFunc function, gpointer user_data)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  for (guint i = 0; i < self->grants->len; i++)
    {
      Grant *grant = self->grants->pdata[i];

      if (now > grant->end)
        function (grant->name, grant->until, user_data);
    }
}
