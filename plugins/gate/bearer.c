/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gate/bearer: says whose request it is.
 *
 * The tokens file holds digests, so that whoever reads it can't send as anybody: "host sha256(token)" lines,
 * "*" for a token that hosts share. A shared token alone would let each of them write under every name, so it
 * counts only for the host that the front proxy read from the client's certificate. Any other token has to
 * agree with that certificate too, so that neither a stolen token nor a stolen key is enough. An edit works
 * within a second; a broken edit changes nothing but raises a finding, because a typo must not lock the fleet
 * out. */

#include "cis490.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_INTERVAL (1 * G_USEC_PER_SEC)
#define SHARED        "*"
#define TOKENS_MAX    (16 * 1024 * 1024)

/* One line of the file. */
typedef struct
{
  char *host;
  char *sha256;
} Token;

/* What tells one version of the file from the next. */
typedef struct
{
  gint64 ctime; /* ns since 1970; tells of a chmod, too */
  ino_t inode;
  off_t size;
} Stamp;

typedef struct
{
  CisStage parent;
  char *tokens_file;
  gboolean require_client_name;
  GMutex lock;
  GPtrArray *tokens; /* of Token; locked, replaced as a whole and never changed */
  Stamp stamp;       /* locked */
  gint64 looked;     /* monotonic µs; locked */
} CisBearer;
typedef CisStageClass CisBearerClass;

GType cis_bearer_get_type (void);
G_DEFINE_TYPE (CisBearer, cis_bearer, CIS_TYPE_STAGE)

static void
token_free (gpointer data)
{
  Token *token = data;

  g_free (token->host);
  g_free (token->sha256);
  g_free (token);
}

/* The word that is wrong; %NULL: none. */
static const guint *
find_mistake (const CisTextLine *line)
{
  gboolean named =
      g_str_equal (line->words[0], SHARED) || cis_name_is_valid (line->words[0], CIS_HOST_NAME_MAX);

  if (!named || line->n_words == 1)
    return &line->columns[0];
  if (!cis_hex_is_valid (line->words[1], 64))
    return &line->columns[1];
  return line->n_words > 2 ? &line->columns[2] : NULL;
}

static gboolean
add_token (GPtrArray *tokens, const CisTextLine *line, const char *path, GError **error)
{
  const guint *column = find_mistake (line);
  Token *token;

  /* The line itself is not shown: it may be a token that somebody pasted as it is. */
  if (column != NULL)
    {
      g_set_error (
          error, CIS_ERROR, CIS_ERROR_CONFIG,
          "%s:%u:%u: expected a host (or *), a space and the 64 hex digits of its token's SHA-256, as "
          "\"cis490 token new HOST\" prints them",
          path, line->number, *column);
      return FALSE;
    }
  token = g_new0 (Token, 1);
  token->host = g_strdup (line->words[0]);
  token->sha256 = g_strdup (line->words[1]);
  g_ptr_array_add (tokens, token);
  return TRUE;
}

/* Returns the tokens, or %NULL with CIS_ERROR_CONFIG that names file and line. A blank file has been cut by
 * an editor or a full disk; one of comments, as after the last token was revoked, lets nobody in. full */
static GPtrArray *
read_tokens (const char *path, GError **error)
{
  g_autoptr (GPtrArray) tokens = g_ptr_array_new_with_free_func (token_free);
  g_autoptr (GError) reason = NULL;
  g_autofree char *text = cis_text_read (path, TOKENS_MAX, &reason);
  g_autoptr (GPtrArray) lines = NULL;

  if (text == NULL)
    {
      g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG, reason->message);
      return NULL;
    }
  lines = cis_text_split (text);
  for (guint i = 0; i < lines->len; i++)
    if (!add_token (tokens, lines->pdata[i], path, error))
      return NULL;
  if (strchr (text, '#') != NULL || lines->len > 0)
    return g_steal_pointer (&tokens);
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "%s:1: the file is blank; to let nobody in, leave a line of comment in it: # ...", path);
  return NULL;
}

/* A file that was changed within the last seconds may change again without its time telling, so it has no
 * stamp yet. */
static Stamp
get_stamp (const char *path)
{
  Stamp stamp = { 0 };
  struct stat st;

  if (stat (path, &st) < 0 || g_get_real_time () - st.st_ctim.tv_sec * G_USEC_PER_SEC < 2 * G_USEC_PER_SEC)
    return stamp;
  stamp.ctime = st.st_ctim.tv_sec * G_GINT64_CONSTANT (1000000000) + st.st_ctim.tv_nsec;
  stamp.inode = st.st_ino;
  stamp.size = st.st_size;
  return stamp;
}

static gboolean
stamp_is_same (const Stamp *a, const Stamp *b)
{
  return a->inode != 0 && a->inode == b->inode && a->ctime == b->ctime && a->size == b->size;
}

/* full */
static char *
make_tokens_fix (CisBearer *self)
{
  g_autofree char *path = g_shell_quote (self->tokens_file);
  g_autofree char *access_fix = NULL;

  if (access (self->tokens_file, R_OK) != 0)
    access_fix = cis_fix_access (self->tokens_file);
  return g_strdup_printf ("%s%s# each line is HOST SHA256, as \"cis490 token new HOST\" prints it:\n"
                          "${EDITOR:-vi} %s",
                          access_fix != NULL ? access_fix : "", access_fix != NULL ? "\n" : "", path);
}

static void
set_tokens_fix (CisBearer *self, CisFinding *finding)
{
  g_autofree char *fix = make_tokens_fix (self);

  cis_finding_set_fix (finding, "%s\n# it is read again within a second", fix);
}

/* @message: nullable. */
static void
complain (CisBearer *self, const char *message)
{
  CisFinding *finding;

  if (message == NULL)
    {
      cis_part_clear_unless (CIS_PART (self), "tokens-unreadable", NULL, NULL);
      return;
    }
  finding =
      cis_finding_new ("tokens-unreadable", CIS_SEVERITY_ERROR, self->tokens_file,
                       "The tokens file is not usable any more, so the last good one goes on: %s", message);
  set_tokens_fix (self, finding);
  cis_part_raise (CIS_PART (self), finding);
}

/* Under the lock. */
static void
look_again (CisBearer *self)
{
  Stamp stamp = get_stamp (self->tokens_file);
  g_autoptr (GError) error = NULL;
  GPtrArray *tokens;

  if (stamp_is_same (&stamp, &self->stamp))
    return;
  tokens = read_tokens (self->tokens_file, &error);
  complain (self, error != NULL ? error->message : NULL);
  if (tokens == NULL)
    return;
  g_ptr_array_unref (self->tokens);
  self->tokens = tokens;
  self->stamp = stamp;
}

/* full */
static GPtrArray *
get_tokens (CisBearer *self)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  gint64 now = g_get_monotonic_time ();

  if (now - self->looked >= LOOK_INTERVAL)
    {
      self->looked = now;
      look_again (self);
    }
  return g_ptr_array_ref (self->tokens);
}

/* Whom the token belongs to: a host, preferably @wanted (nullable), or SHARED; %NULL: to nobody. All lines
 * are compared, so that the time taken says nothing about them. none: as long as @tokens */
static const char *
find_owner (GPtrArray *tokens, const char *token, const char *wanted)
{
  g_autofree char *sha256 = cis_digest_bytes (token, strlen (token));
  const char *owner = NULL;

  for (guint i = 0; i < tokens->len; i++)
    {
      Token *line = g_ptr_array_index (tokens, i);
      gboolean matches = cis_equal_in_constant_time (sha256, line->sha256);

      if (matches && (owner == NULL || g_strcmp0 (line->host, wanted) == 0 ||
                      (g_str_equal (line->host, SHARED) && g_strcmp0 (owner, wanted) != 0)))
        owner = line->host;
    }
  return owner;
}

/* Whoever looks at the log has to know which host it is, as far as one can. */
static CisOutcome *
reject_token (CisItem *item, const char *wanted, gboolean missing)
{
  const char *certified = cis_request_get_client_name (cis_item_get_request (item));
  gboolean named = certified != NULL && cis_name_is_valid (certified, CIS_HOST_NAME_MAX);
  const char *came = named ? ", which came with the certificate of " : "";
  CisFinding *finding;

  if (missing)
    finding = cis_finding_new ("token-missing", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                               "The request has no \"Authorization: Bearer\" header with a token.");
  else
    finding = cis_finding_new ("token-unknown", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                               "The receiver does not know this token%s%s.", came, named ? certified : "");
  cis_finding_set_fix (finding,
                       "# on the receiver; add the line that it prints to tokens-file:\n"
                       "cis490 token new %s\n"
                       "# and put the token that it prints into the host's token-file",
                       wanted != NULL ? wanted
                       : named        ? certified
                                      : "HOST");
  return cis_outcome_rejected (finding);
}

static CisOutcome *
reject_host (CisItem *item, const char *wanted, const char *name, gboolean shared)
{
  CisFinding *finding = cis_finding_new ("not-your-host", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                                         "The %s belongs to the host %s, so it can't be used for %s.",
                                         shared ? "client certificate" : "token", name, wanted);

  cis_finding_set_fix (finding,
                       "# in [site] of the host's cis490.ini:\n"
                       "host-id=%s\n"
                       "# or give the host a %s%s%s",
                       name,
                       shared ? "certificate with the subject CN=" : "token of its own, on the receiver:\n",
                       shared ? "" : "cis490 token new ", wanted);
  return cis_outcome_rejected (finding);
}

/* @certified is not the name that has to stand in the client's certificate: @owner,
 * or (SHARED) any host's. */
static CisOutcome *
reject_certificate (CisItem *item, const char *certified, const char *owner)
{
  gboolean shared = g_str_equal (owner, SHARED);
  gboolean named = cis_name_is_valid (certified, CIS_HOST_NAME_MAX);
  CisFinding *finding;

  if (named)
    finding = cis_finding_new ("not-your-host", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                               "The token belongs to the host %s, but the client certificate to %s.", owner,
                               certified);
  else
    finding = cis_finding_new ("not-your-host", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                               "The client certificate's subject has not exactly one common name (CN) that "
                               "is a host's name.");
  cis_finding_set_fix (finding,
                       "# put a certificate with the subject CN=%s into the host's certificate-file%s",
                       shared ? "HOST" : owner, named ? ", or the token of its host into token-file" : "");
  return cis_outcome_rejected (finding);
}

static CisOutcome *
reject_uncertified (CisItem *item, const char *wanted, gboolean shared)
{
  CisFinding *finding =
      cis_finding_new ("not-your-host", CIS_SEVERITY_ERROR, cis_item_get_id (item),
                       "The token %s counts only together with a client certificate that names the host%s%s, "
                       "and no such name came.",
                       shared ? "is shared, so it" : "alone is not enough: it", wanted != NULL ? " " : "",
                       wanted != NULL ? wanted : "");

  cis_finding_set_fix (
      finding, "# use the certificate of that host, through the front proxy, which passes its name on in\n"
               "# the header that the receiver's client-name-header= names");
  return cis_outcome_rejected (finding);
}

/* Token, certificate and the host in the target have to agree. The certificate's name is believed to nobody's
 * advantage but with a shared token; where it comes it always has to fit, as a proxy sends it for each
 * request. */
static CisOutcome *
judge (CisBearer *self, CisItem *item, const char *owner, const char *wanted)
{
  CisRequest *request = cis_item_get_request (item);
  gboolean shared = g_str_equal (owner, SHARED);
  const char *certified = cis_request_get_client_name (request);
  const char *name = shared ? certified : owner;

  if (certified == NULL && (shared || self->require_client_name))
    return reject_uncertified (item, wanted, shared);
  if (certified != NULL &&
      (!cis_name_is_valid (certified, CIS_HOST_NAME_MAX) || !g_str_equal (certified, name)))
    return reject_certificate (item, certified, owner);
  if (wanted != NULL && !g_str_equal (name, wanted))
    return reject_host (item, wanted, name, shared);
  cis_request_identify (request, name);
  return cis_outcome_passed ();
}

static CisOutcome *
cis_bearer_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
  CisBearer *self = (CisBearer *) stage;
  CisRequest *request = cis_item_get_request (item);
  const char *wanted = CIS_IS_EPISODE (item) ? cis_episode_get_host (CIS_EPISODE (item)) : NULL;
  g_autoptr (GPtrArray) tokens = NULL;
  const char *token, *owner;

  if (request == NULL)
    return cis_outcome_passed ();
  token = cis_request_get_token (request);
  if (token == NULL)
    return reject_token (item, wanted, TRUE);
  tokens = get_tokens (self);
  owner = find_owner (tokens, token, wanted);
  return owner != NULL ? judge (self, item, owner, wanted) : reject_token (item, wanted, FALSE);
}

/* Opened again after a reload in vain, it goes on with the tokens that it had: an edit that is broken just
 * then must not end a receiver that runs. */
static gboolean
cis_bearer_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisBearer *self = (CisBearer *) part;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_autoptr (GError) problem = NULL;
  GPtrArray *tokens = read_tokens (self->tokens_file, &problem);

  if (tokens == NULL && self->tokens == NULL)
    {
      g_autofree char *fix = make_tokens_fix (self);

      g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG, "%s\n%s", problem->message, fix);
      return FALSE;
    }
  self->looked = g_get_monotonic_time ();
  complain (self, problem != NULL ? problem->message : NULL);
  if (tokens == NULL)
    return TRUE;
  g_clear_pointer (&self->tokens, g_ptr_array_unref);
  self->tokens = tokens;
  return TRUE;
}

/* A broken edit is told when it is made, not when the next host comes. */
static gint64
cis_bearer_maintain (CisPart *part, GCancellable *cancellable, GError **error)
{
  g_ptr_array_unref (get_tokens ((CisBearer *) part));
  return LOOK_INTERVAL;
}

/* The tokens as open() would read them, else the finding; full. */
static GPtrArray *
try_tokens (CisBearer *self, GPtrArray *findings)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *tokens = read_tokens (self->tokens_file, &error);
  CisFinding *finding;

  if (tokens != NULL)
    return tokens;
  finding =
      cis_finding_new ("tokens-unreadable", CIS_SEVERITY_ERROR, self->tokens_file, "%s", error->message);
  set_tokens_fix (self, finding);
  g_ptr_array_add (findings, finding);
  return NULL;
}

static void
cis_bearer_look (CisPart *part, GPtrArray *findings)
{
  g_autoptr (GPtrArray) tokens = try_tokens ((CisBearer *) part, findings);
}

static void
cis_bearer_check (CisPart *part, GPtrArray *findings, GCancellable *cancellable)
{
  CisBearer *self = (CisBearer *) part;
  g_autoptr (GPtrArray) tokens = try_tokens (self, findings);

  if (tokens != NULL)
    g_ptr_array_add (findings, cis_finding_new ("tokens-known", CIS_SEVERITY_INFO, self->tokens_file,
                                                "%u tokens are known.", tokens->len));
}

static void
cis_bearer_finalize (GObject *object)
{
  CisBearer *self = (CisBearer *) object;

  g_clear_pointer (&self->tokens, g_ptr_array_unref);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (cis_bearer_parent_class)->finalize (object);
}

static void
cis_bearer_class_init (CisBearerClass *klass)
{
  static const char *const provides[] = { "identity", NULL };
  CisPartClass *part_class = CIS_PART_CLASS (klass);
  CisStageClass *stage_class = CIS_STAGE_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = cis_bearer_finalize;
  part_class->open = cis_bearer_open;
  part_class->look = cis_bearer_look;
  part_class->check = cis_bearer_check;
  part_class->maintain = cis_bearer_maintain;
  stage_class->item_type = CIS_TYPE_ITEM;
  stage_class->provides = provides;
  stage_class->process = cis_bearer_process;

  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisBearer, tokens_file),
      g_param_spec_string ("tokens-file", NULL,
                           "Lines of a host (or * for a token that hosts share) and its "
                           "token's SHA-256.",
                           "${tokens-file}", CIS_PARAM_OPTION | CIS_PARAM_FILE | CIS_PARAM_SECRET));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisBearer, require_client_name),
                             g_param_spec_boolean ("require-client-name", NULL,
                                                   "Whether a request without that name is refused.", FALSE,
                                                   CIS_PARAM_OPTION));
}

static void
cis_bearer_init (CisBearer *self)
{
  g_mutex_init (&self->lock);
}

CIS_PLUGIN ("gate/bearer", "Sets the identity of a request from its bearer token.", CisBearer, cis_bearer,
            CisStage)
