/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The window from Forgejo's API (Gitea's is the same): GET /api/v1/repos/{owner}/{repo}/commits.
 *
 * The branch is named only in the first page's request, as refs/heads/…: git, which the server asks, takes a
 * plain name for the tag's where a tag has the same. The other pages' name the head that the first one gave,
 * so that a push between two pages can neither hide nor double a commit. A commit's id stands for all of its
 * history: where the first page is as before, so are the others, and they are not asked for. Where the list
 * ends although a commit in it has parents that were not listed, it is not the whole history, and nobody is
 * refused because of it.
 */
#include "forgejo-client.h"
#include "forgejo-page.h"
#include "source.h"

#include <string.h>

/* What is asked for at once; the server has a cap of its own, usually 50. */
#define PAGE_SIZE 1000

typedef struct
{
  CisWindowSource parent;
  char *api;        /* "https://forge.example/api/v1/repos/owner/name" */
  char *token_file; /* nullable */
  char *ca_file;    /* nullable */
  CisForgejoClient *client;
  /* The last window that was not cut, and the ETag of its first page. */
  CisWindow *last; /* nullable */
  char *etag;      /* nullable */
  char *last_branch;
  guint last_n;
} CisWindowSourceForgejo;

/* One fetch. */
typedef struct
{
  CisWindow *window;
  guint n;
  const char *token;
  GHashTable *parents; /* of all commits so far */
  gint64 total;
} Fetch;

static char *
read_token (const char *path, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autofree char *token = cis_text_read_secret (path, &problem);

  if (token == NULL)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "cannot read its token: %s",
                 problem->message);
  return g_steal_pointer (&token);
}

static gboolean
check_status (guint status, GError **error)
{
  if (status == 200)
    return TRUE;
  if (status == 401 || status == 403)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "it does not take our token (%u)", status);
  else if (status == 404)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "it knows no such repository or branch (404)");
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "it answers %u", status);
  return FALSE;
}

static gboolean
read_page (Fetch *fetch, GBytes *body, guint *n_listed, GError **error)
{
  return cis_forgejo_page_read (body, fetch->window, fetch->n, fetch->parents, n_listed, error);
}

static char *
escape_branch (const char *branch)
{
  g_autofree char *reference = g_strconcat ("refs/heads/", branch, NULL);

  return g_uri_escape_string (reference, NULL, FALSE);
}

/* @of: escaped, or what needs no escaping. */
static char *
make_url (CisWindowSourceForgejo *self, const char *of, guint n, guint page)
{
  return g_strdup_printf ("%s/commits?sha=%s&limit=%u&page=%u&stat=false&verification=false&files=false",
                          self->api, of, MIN (n, PAGE_SIZE), page);
}

/* The pages after the first one, from the head that it gave, until the window is full or the list ends. */
static gboolean
fetch_rest (CisWindowSourceForgejo *self, Fetch *fetch, GCancellable *cancellable, GError **error)
{
  const char *head = cis_window_get_head (fetch->window);
  guint n_listed = 1;

  for (guint page = 2; n_listed > 0 && cis_window_get_length (fetch->window) < fetch->n; page++)
    {
      g_autofree char *url = make_url (self, head, fetch->n, page);
      g_auto (CisForgejoAnswer) answer = { 0 };
      guint before = cis_window_get_length (fetch->window);

      if (!cis_forgejo_client_get (self->client, url, fetch->token, NULL, &answer, cancellable, error) ||
          !check_status (answer.status, error) || !read_page (fetch, answer.body, &n_listed, error))
        return FALSE;
      if (n_listed > 0 && cis_window_get_length (fetch->window) == before)
        return cis_forgejo_page_set_garbage (error, "one page repeats another");
    }
  return TRUE;
}

/* Whether there is more of the branch than the list that ended. */
static gboolean
lacks_commits (Fetch *fetch)
{
  GHashTableIter iter;
  gpointer parent;

  if (cis_window_get_length (fetch->window) >= fetch->n)
    return FALSE;
  if (fetch->total > cis_window_get_length (fetch->window))
    return TRUE;
  g_hash_table_iter_init (&iter, fetch->parents);
  while (g_hash_table_iter_next (&iter, &parent, NULL))
    if (cis_window_get_position (fetch->window, parent) < 0)
      return TRUE;
  return FALSE;
}

/* A list that ended too early may be whole next time, though its first page is the same. */
static void
remember (CisWindowSourceForgejo *self, const char *etag, CisWindow *window, const char *branch, guint n)
{
  g_clear_pointer (&self->last, cis_window_unref);
  g_free (self->etag);
  g_free (self->last_branch);
  self->etag = g_strdup (etag);
  self->last = !cis_window_is_cut (window) ? cis_window_ref (window) : NULL;
  self->last_branch = g_strdup (branch);
  self->last_n = n;
}

/* What follows the first page. */
static gboolean
complete (CisWindowSourceForgejo *self, Fetch *fetch, CisWindow *last, GCancellable *cancellable,
          GError **error)
{
  if (last != NULL && cis_window_begins_with (last, fetch->window))
    {
      cis_window_append_all (fetch->window, last);
      return TRUE;
    }
  if (!fetch_rest (self, fetch, cancellable, error))
    return FALSE;
  if (lacks_commits (fetch))
    cis_window_set_cut (fetch->window);
  return TRUE;
}

static gboolean
fetch_all (CisWindowSourceForgejo *self, Fetch *fetch, const char *branch, GCancellable *cancellable,
           GError **error)
{
  CisWindow *last =
      self->last_n == fetch->n && g_strcmp0 (self->last_branch, branch) == 0 ? self->last : NULL;
  const char *etag = last != NULL ? self->etag : NULL;
  g_autofree char *of = escape_branch (branch);
  g_autofree char *url = make_url (self, of, fetch->n, 1);
  g_auto (CisForgejoAnswer) answer = { 0 };
  guint n_listed;

  if (!cis_forgejo_client_get (self->client, url, fetch->token, etag, &answer, cancellable, error))
    return FALSE;
  if (etag != NULL && answer.status == 304)
    {
      cis_window_append_all (fetch->window, last);
      return TRUE;
    }
  if (!check_status (answer.status, error) || !read_page (fetch, answer.body, &n_listed, error))
    return FALSE;
  if (n_listed == 0)
    return TRUE;
  fetch->total = answer.total;
  if (!complete (self, fetch, last, cancellable, error))
    return FALSE;
  remember (self, answer.etag, fetch->window, branch, fetch->n);
  return TRUE;
}

static gboolean
cis_window_source_forgejo_fetch (CisWindowSource *source, CisWindow *window, const char *branch, guint n,
                                 GCancellable *cancellable, GError **error)
{
  CisWindowSourceForgejo *self = (CisWindowSourceForgejo *) source;
  g_autoptr (GHashTable) parents = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *token = NULL;
  Fetch fetch = { window, n, NULL, parents, -1 };

  if (self->token_file != NULL)
    {
      token = read_token (self->token_file, error);
      if (token == NULL)
        return FALSE;
      fetch.token = token;
    }
  return fetch_all (self, &fetch, branch, cancellable, error);
}

static char *
cis_window_source_forgejo_suggest (CisWindowSource *source, const char *branch, const GError *error)
{
  CisWindowSourceForgejo *self = (CisWindowSourceForgejo *) source;
  g_autofree char *of = escape_branch (branch);
  g_autofree char *url = g_strdup_printf ("%s/commits?sha=%s&limit=1", self->api, of);
  g_autofree char *quoted_url = g_shell_quote (url);
  g_autofree char *token_file = self->token_file != NULL ? g_shell_quote (self->token_file) : NULL;
  g_autofree char *ca_file = self->ca_file != NULL ? g_shell_quote (self->ca_file) : NULL;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    {
      g_autofree char *write = cis_fix_secret (self->token_file != NULL ? self->token_file : "FILE");

      return g_strdup_printf (
          "%s%s\n# with a token that may read the repository (in Forgejo: settings, applications)", write,
          self->token_file != NULL ? "" : " # and [site] forgejo-token-file=FILE in cis490.ini");
    }
  return g_strdup_printf (
      "curl -sS %s%s%s%s\n"
      "# and compare forgejo-url, forgejo-repository, forgejo-ca-file and branch in cis490.ini",
      ca_file != NULL ? "--cacert " : "", ca_file != NULL ? ca_file : "", ca_file != NULL ? " " : "",
      quoted_url);
}

static void
cis_window_source_forgejo_free (CisWindowSource *source)
{
  CisWindowSourceForgejo *self = (CisWindowSourceForgejo *) source;

  g_clear_pointer (&self->client, cis_forgejo_client_free);
  g_clear_pointer (&self->last, cis_window_unref);
  g_free (self->api);
  g_free (self->token_file);
  g_free (self->ca_file);
  g_free (self->etag);
  g_free (self->last_branch);
  g_free (self);
}

static const CisWindowSourceClass forgejo_class = {
  .name = "forgejo",
  .fetch = cis_window_source_forgejo_fetch,
  .suggest = cis_window_source_forgejo_suggest,
  .free = cis_window_source_forgejo_free,
};

/* "owner/name"; Forgejo has no repository whose name ends so, which is how a clone's address does. */
static gboolean
is_repository (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", -1);

  return g_strv_length (parts) == 2 && cis_name_is_valid (parts[0], 255) &&
         cis_name_is_valid (parts[1], 255) && !g_str_has_suffix (name, ".git");
}

/* What was meant by a repository's address, or by a name with too much round it; full, nullable. */
static char *
find_meant (const char *name)
{
  g_autoptr (GUri) uri = g_uri_parse (name, G_URI_FLAGS_NONE, NULL);
  g_autofree char *meant = g_strdup (uri != NULL ? g_uri_get_path (uri) : name);
  char *start = meant;

  while (*start == '/')
    start++;
  while (g_str_has_suffix (start, "/"))
    start[strlen (start) - 1] = '\0';
  if (g_str_has_suffix (start, ".git"))
    start[strlen (start) - strlen (".git")] = '\0';
  return is_repository (start) ? g_strdup (start) : NULL;
}

static gboolean
is_url (const char *text)
{
  g_autoptr (GUri) uri = g_uri_parse (text, G_URI_FLAGS_NONE, NULL);
  const char *scheme = uri != NULL ? g_uri_get_scheme (uri) : "";

  return (g_str_equal (scheme, "http") || g_str_equal (scheme, "https")) && g_uri_get_host (uri) != NULL &&
         g_uri_get_host (uri)[0] != '\0' && g_uri_get_query (uri) == NULL &&
         g_uri_get_fragment (uri) == NULL && g_uri_get_userinfo (uri) == NULL;
}

gboolean
cis_window_source_forgejo_check (const char *url, const char *repository, GError **error)
{
  const char *address = cis_window_option_is_set (url) ? url : "";
  const char *name = cis_window_option_is_set (repository) ? repository : "";

  if (g_str_has_suffix (address, "/api/v1") || g_str_has_suffix (address, "/api/v1/"))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "forgejo-url=%s: the address goes up to and without /api/v1; did you mean forgejo-url=%.*s?",
                 address, (int) (strstr (address, "/api/v1") - address), address);
  else if (!is_url (address))
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "forgejo-url=%s is no address; it looks like https://forge.example", address);
  else if (!is_repository (name))
    {
      g_autofree char *meant = find_meant (name);

      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "forgejo-repository=%s is no repository; %s%s%s", name,
                   meant != NULL ? "did you mean “" : "it looks like OWNER/NAME", meant != NULL ? meant : "",
                   meant != NULL ? "”?" : "");
    }
  else
    return TRUE;
  return FALSE;
}

static char *
dup_option (const char *option)
{
  return cis_window_option_is_set (option) ? g_strdup (option) : NULL;
}

CisWindowSource *
cis_window_source_forgejo_new (const CisWindowSetup *setup, GError **error)
{
  g_autofree char *base = NULL;
  CisWindowSourceForgejo *self;

  if (!cis_window_source_forgejo_check (setup->forgejo_url, setup->forgejo_repository, error))
    return NULL;
  base = g_strdup (setup->forgejo_url);
  while (g_str_has_suffix (base, "/"))
    base[strlen (base) - 1] = '\0';
  self = g_new0 (CisWindowSourceForgejo, 1);
  self->parent.klass = &forgejo_class;
  self->api = g_strconcat (base, "/api/v1/repos/", setup->forgejo_repository, NULL);
  self->token_file = dup_option (setup->forgejo_token_file);
  self->ca_file = dup_option (setup->forgejo_ca_file);
  self->client = cis_forgejo_client_new (setup->timeout, self->ca_file);
  return &self->parent;
}
