/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a request claims: the digest, the length and the commit of an archive. Only claims: the store compares
 * them to the bytes. */

#include "claim.h"

#include <string.h>

#define SHA256_BYTES  32
#define SHA256_BASE64 44 /* 32 bytes in base64, padded */

#define PARTIAL_UPLOAD "application/partial-upload"

static CisFinding *
digest_problem (const char *id, const char *summary)
{
  return cis_finding_new (id, CIS_SEVERITY_ERROR, "request", "%s", summary);
}

/* ":<base64>:", a byte sequence of RFC 8941. g_base64_decode() skips what is not base64, so the digest must
 * encode to the same text. */
static char *
decode_sha256 (const char *value)
{
  g_autofree char *text = NULL;
  g_autofree guchar *bytes = NULL;
  g_autofree char *again = NULL;
  GString *hex;
  gsize length;

  if (strlen (value) != SHA256_BASE64 + 2 || value[0] != ':' || value[SHA256_BASE64 + 1] != ':')
    return NULL;
  text = g_strndup (value + 1, SHA256_BASE64);
  bytes = g_base64_decode (text, &length);
  again = g_base64_encode (bytes, length);
  if (length != SHA256_BYTES || strcmp (again, text) != 0)
    return NULL;
  hex = g_string_sized_new (2 * length + 1);
  for (gsize i = 0; i < length; i++)
    g_string_append_printf (hex, "%02x", bytes[i]);
  return g_string_free (hex, FALSE);
}

/* A dictionary of digests, of which only sha-256 is ours: "sha-512=:…:, sha-256=:…:". */
static char *
read_repr_digest (const char *value, CisFinding **problem)
{
  g_auto (GStrv) members = g_strsplit (value != NULL ? value : "", ",", -1);
  g_autofree char *digest = NULL;

  for (guint i = 0; members[i] != NULL; i++)
    {
      const char *member = g_strstrip (members[i]);

      if (!g_str_has_prefix (member, "sha-256="))
        continue;
      if (digest != NULL || (digest = decode_sha256 (member + strlen ("sha-256="))) == NULL)
        {
          *problem =
              digest_problem ("digest-malformed", "Repr-Digest is not \"sha-256=:<32 bytes in base64>:\"");
          return NULL;
        }
    }
  return g_steal_pointer (&digest);
}

/* The digest that the head claims, of X-Cis490-Sha256 or Repr-Digest (RFC 9530), 64 lower-case hex; full.
 * %NULL with a @problem (full) where there is none, or one that cannot be, or two that differ. */
static char *
get_digest (const CisHttpHead *head, CisFinding **problem)
{
  const char *value = cis_http_head_get (head, "x-cis490-sha256");
  g_autofree char *repr = NULL;
  g_autofree char *plain = value != NULL ? g_ascii_strdown (value, -1) : NULL;

  *problem = NULL;
  repr = read_repr_digest (cis_http_head_get (head, "repr-digest"), problem);
  if (*problem != NULL)
    return NULL;
  if (plain != NULL && !cis_hex_is_valid (plain, 2 * SHA256_BYTES))
    *problem = digest_problem ("digest-malformed", "X-Cis490-Sha256 is not 64 hexadecimal digits");
  else if (plain != NULL && repr != NULL && strcmp (plain, repr) != 0)
    *problem = digest_problem ("digest-malformed", "X-Cis490-Sha256 and Repr-Digest differ");
  else if (plain == NULL && repr == NULL)
    *problem = digest_problem ("digest-missing",
                               "Neither X-Cis490-Sha256 nor Repr-Digest says the archive's digest");
  if (*problem != NULL)
    return NULL;
  return plain != NULL ? g_steal_pointer (&plain) : g_steal_pointer (&repr);
}

static CisFinding *
length_required (const char *header)
{
  return cis_finding_new ("length-required", CIS_SEVERITY_ERROR, "request", "The header %s is missing",
                          header);
}

static CisFinding *
malformed (const char *summary)
{
  return cis_finding_new ("request-malformed", CIS_SEVERITY_ERROR, "request", "%s", summary);
}

static CisFinding *
media_type_unsupported (void)
{
  return cis_finding_new ("media-type-unsupported", CIS_SEVERITY_ERROR, "request",
                          "The rest of an archive comes as Content-Type: " PARTIAL_UPLOAD
                          " only; the whole as any");
}

/* Names and type are those of the IETF's draft on resumable uploads (draft-ietf-httpbis-resumable-upload).
 * @size: of the whole archive. */
static CisFinding *
resume_problem (const CisHttpHead *head, guint64 size)
{
  const char *type = cis_http_head_get (head, "content-type");
  const char *value = cis_http_head_get (head, "upload-offset");
  CisFinding *problem = NULL;
  guint64 offset;

  if (type == NULL || g_ascii_strcasecmp (type, PARTIAL_UPLOAD) != 0)
    return media_type_unsupported ();
  if (value == NULL)
    return malformed ("The header Upload-Offset is missing");
  if (!cis_http_head_parse_size ("Upload-Offset", value, &offset, &problem))
    return problem;
  if (offset > size || size - offset != head->length)
    return malformed ("Upload-Offset and Content-Length do not make up Upload-Length");
  return NULL;
}

/* How long the archive is that the head brings or asks about. A @problem (full) where it does not say, or
 * where the request has a body that it must not have. */
static gboolean
get_size (const CisHttpHead *head, const CisRoute *route, guint64 *size, CisFinding **problem)
{
  const char *value = cis_http_head_get (head, "upload-length");
  gboolean upload = route->kind == CIS_ROUTE_UPLOAD;
  gboolean has_body = upload || route->kind == CIS_ROUTE_RESUME;

  *problem = NULL;
  *size = head->length;
  if (!head->has_length)
    *problem = length_required ("Content-Length");
  else if (!has_body && head->length > 0)
    *problem = malformed ("This request has no body");
  else if ((route->kind == CIS_ROUTE_QUESTION || route->kind == CIS_ROUTE_RESUME) && value == NULL)
    *problem = length_required ("Upload-Length");
  if (*problem != NULL)
    return FALSE;
  if (value != NULL && !cis_http_head_parse_size ("Upload-Length", value, size, problem))
    return FALSE;
  if (upload && *size != head->length)
    *problem = malformed ("Upload-Length and Content-Length differ");
  else if (route->kind == CIS_ROUTE_RESUME)
    *problem = resume_problem (head, *size);
  return *problem == NULL;
}

static CisRequest *
make_request (const CisHttpHead *head)
{
  CisRequest *request = cis_request_new (head->method, head->target);
  GHashTableIter iter;
  gpointer name, value;

  g_hash_table_iter_init (&iter, head->headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    cis_request_set_header (request, name, value);
  return request;
}

CisItem *
cis_claim_to_item (const CisHttpHead *head, const CisRoute *route, CisFinding **problem)
{
  const char *commit = cis_http_head_get (head, "x-cis490-code-commit");
  g_autoptr (CisRequest) request = NULL;
  g_autofree char *sha256 = NULL;
  guint64 size;
  CisEpisode *episode;

  if (!get_size (head, route, &size, problem))
    return NULL;
  if (route->kind != CIS_ROUTE_PING && (sha256 = get_digest (head, problem)) == NULL)
    return NULL;

  request = make_request (head);
  if (route->kind == CIS_ROUTE_PING)
    return cis_item_new ("ping", request);
  episode = cis_episode_new (route->host, route->episode, request);
  cis_episode_set_archive (episode, NULL, sha256, size);
  /* A missing or malformed commit is the gate's to judge, so that a receiver without one takes it. */
  if (commit != NULL && cis_hex_is_valid (commit, 40))
    cis_episode_set_commit (episode, commit);
  return CIS_ITEM (episode);
}
