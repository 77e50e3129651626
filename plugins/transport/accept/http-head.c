/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The reader of request heads. It checks every line against RFC 9112 before libsoup's parser sees it, because
 * that one silently drops `Content-Length : 5` and takes bare LF and folding: two readers that differ about a
 * head are how requests are smuggled past a proxy. Whatever it does not know to be right is refused. */

#include "http-head.h"

#include <libsoup/soup.h>
#include <string.h>

/* Headers that must not come twice, whatever they say: a proxy may look at the first and we at the last. */
static const char *const single_headers[] = {
  "authorization", "content-length", "content-type", "expect", "host", "repr-digest", NULL
};
static const char *const single_prefixes[] = { "x-cis490-", "upload-", NULL };

/* Headers with a meaning that nothing here has, so that ignoring them would store something else than was
 * meant. */
static const char *const refused_headers[] = { "upgrade", "range", "content-range", NULL };

G_GNUC_PRINTF (2, 3)
static CisFinding *
refusal (const char *id, const char *format, ...)
{
  g_autofree char *summary = NULL;
  va_list args;

  va_start (args, format);
  summary = g_strdup_vprintf (format, args);
  va_end (args);
  return cis_finding_new (id, CIS_SEVERITY_ERROR, "request", "%s", summary);
}

gssize
cis_http_head_find_end (const guint8 *data, gsize length, gsize *scanned)
{
  while (*scanned < length)
    {
      const guint8 *line = data + *scanned;
      const guint8 *newline = memchr (line, '\n', length - *scanned);

      if (newline == NULL)
        return 0;
      if (newline == line || newline[-1] != '\r')
        return -1;
      *scanned = newline + 1 - data;
      if (newline == line + 1)
        return *scanned;
    }
  return 0;
}

static gboolean
is_token (const char *text, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (text[i] == '\0' || (!g_ascii_isalnum (text[i]) && strchr ("!#$%&'*+-.^_`|~", text[i]) == NULL))
      return FALSE;
  return length > 0;
}

static gboolean
is_field_value (const char *text, gsize length)
{
  for (gsize i = 0; i < length; i++)
    {
      guchar c = text[i];

      if ((c < 0x20 && c != '\t') || c == 0x7f)
        return FALSE;
    }
  /* Values end in JSON and in the journal, which are UTF-8. */
  return g_utf8_validate_len (text, length, NULL);
}

static gboolean
is_target (const char *text, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (text[i] <= 0x20 || text[i] >= 0x7f) /* char may be signed: bytes from 0x80 on are below 0x20 then */
      return FALSE;
  return length > 0;
}

static gboolean
is_version (const char *text, gsize length)
{
  return length == 8 && memcmp (text, "HTTP/", 5) == 0 && g_ascii_isdigit (text[5]) && text[6] == '.' &&
         g_ascii_isdigit (text[7]);
}

/* "METHOD SP target SP HTTP/1.1", RFC 9112 3 */
static CisFinding *
check_request_line (const char *line, gsize length)
{
  const char *end = line + length;
  const char *target = memchr (line, ' ', length);
  const char *version = target != NULL ? memchr (target + 1, ' ', end - target - 1) : NULL;

  if (version == NULL || !is_token (line, target - line) || !is_target (target + 1, version - target - 1) ||
      !is_version (version + 1, end - version - 1))
    return refusal ("request-malformed", "The request line is not \"METHOD /target HTTP/1.1\"");
  if (memcmp (version + 1, "HTTP/1.1", 8) == 0)
    return NULL;
  return refusal (
      "http-version-unsupported",
      "Only HTTP/1.1 is spoken here; where nginx stands in front: “proxy_http_version 1.1;” in its location");
}

/* field-name ":" OWS field-value OWS, RFC 9112 5 */
static CisFinding *
check_field_line (const char *line, gsize length)
{
  const char *colon = memchr (line, ':', length);

  if (line[0] == ' ' || line[0] == '\t')
    return refusal ("request-malformed", "A header line is folded");
  if (colon == NULL || !is_token (line, colon - line))
    return refusal ("request-malformed", "A header line does not begin with a name and a colon");
  if (!is_field_value (colon + 1, length - (colon + 1 - line)))
    return refusal ("request-malformed", "The value of the header %.*s holds bytes that it must not",
                    (int) (colon - line), line);
  return NULL;
}

static CisFinding *
check_lines (const char *data, gsize length, guint *n_fields)
{
  const char *end = data + length;
  CisFinding *problem = NULL;

  *n_fields = 0;
  for (const char *line = data; line < end && problem == NULL;)
    {
      const char *newline = memchr (line, '\n', end - line);

      if (newline == NULL || newline == line || newline[-1] != '\r')
        return refusal ("request-malformed", "A line of the head does not end with CR LF");
      if (newline == line + 1)
        return newline + 1 == end && line != data
                   ? NULL
                   : refusal ("request-malformed", "An empty line stands within the head");
      if (line == data)
        problem = check_request_line (line, newline - 1 - line);
      else if (++*n_fields > CIS_HTTP_HEAD_MAX_LINES)
        problem = refusal ("head-too-large", "The head has over %d lines", CIS_HTTP_HEAD_MAX_LINES);
      else
        problem = check_field_line (line, newline - 1 - line);
      line = newline + 1;
    }
  return problem != NULL ? problem : refusal ("request-malformed", "The head has no end");
}

static gboolean
is_single (const char *name)
{
  for (guint i = 0; single_prefixes[i] != NULL; i++)
    if (g_str_has_prefix (name, single_prefixes[i]))
      return TRUE;
  return g_strv_contains (single_headers, name);
}

static CisFinding *
take_headers (CisHttpHead *self, SoupMessageHeaders *headers, guint n_expected)
{
  SoupMessageHeadersIter iter;
  const char *name, *value;
  guint n_seen = 0;

  soup_message_headers_iter_init (&iter, headers);
  while (soup_message_headers_iter_next (&iter, &name, &value))
    {
      g_autofree char *key = g_ascii_strdown (name, -1);
      const char *before = g_hash_table_lookup (self->headers, key);

      n_seen++;
      if (before != NULL && is_single (key))
        return refusal ("request-malformed", "The header %s came more than once", name);
      g_hash_table_replace (self->headers, g_steal_pointer (&key),
                            before != NULL ? g_strconcat (before, ", ", value, NULL) : g_strdup (value));
    }
  return n_seen == n_expected
             ? NULL
             : refusal ("request-malformed", "The head holds a header line that cannot be read");
}

gboolean
cis_http_head_parse_size (const char *header, const char *value, guint64 *size, CisFinding **problem)
{
  gboolean digits = value[0] != '\0' && value[strspn (value, "0123456789")] == '\0';

  if (digits && g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT64, size, NULL))
    return TRUE;
  *problem =
      digits ? refusal ("too-large", "%s: %.32s bytes are more than can be stored anywhere", header, value)
             : refusal ("request-malformed", "The header %s is not a number of bytes", header);
  return FALSE;
}

static CisFinding *
read_length (CisHttpHead *self)
{
  const char *value = cis_http_head_get (self, "content-length");
  CisFinding *problem = NULL;

  if (cis_http_head_get (self, "transfer-encoding") != NULL)
    return value != NULL ? refusal ("request-malformed", "Content-Length and Transfer-Encoding came together")
                         : refusal ("length-required", "A body comes with Content-Length here (a file, not a "
                                                       "pipe), never with Transfer-Encoding");
  if (value == NULL)
    return NULL;
  self->has_length = TRUE;
  return cis_http_head_parse_size ("Content-Length", value, &self->length, &problem) ? NULL : problem;
}

static CisFinding *
expectation_unknown (void)
{
  return refusal ("expectation-unknown", "The only expectation known here is 100-continue");
}

static CisFinding *
read_connection (CisHttpHead *self)
{
  const char *value = cis_http_head_get (self, "connection");
  const char *expect = cis_http_head_get (self, "expect");
  g_auto (GStrv) words = g_strsplit (value != NULL ? value : "", ",", -1);

  self->keep_alive = TRUE;
  for (guint i = 0; words[i] != NULL; i++)
    if (g_ascii_strcasecmp (g_strstrip (words[i]), "close") == 0)
      self->keep_alive = FALSE;

  self->expects_continue = expect != NULL && g_ascii_strcasecmp (expect, "100-continue") == 0;
  if (expect != NULL && !self->expects_continue)
    return expectation_unknown ();
  for (guint i = 0; refused_headers[i] != NULL; i++)
    if (cis_http_head_get (self, refused_headers[i]) != NULL)
      return refusal ("request-malformed", "The header %s has no meaning here", refused_headers[i]);
  if (cis_http_head_get (self, "host") == NULL)
    return refusal ("request-malformed", "The header Host is missing");
  return NULL;
}

static CisFinding *
read_head (CisHttpHead *self, const char *data, gsize length)
{
  g_autoptr (SoupMessageHeaders) headers = soup_message_headers_new (SOUP_MESSAGE_HEADERS_REQUEST);
  SoupHTTPVersion version;
  guint n_fields, status;
  CisFinding *problem = check_lines (data, length, &n_fields);

  if (problem != NULL)
    return problem;
  /* libsoup wants the head without its empty line, and looks at Expect by itself. */
  status = soup_headers_parse_request (data, length - 2, headers, &self->method, &self->target, &version);
  if (status == SOUP_STATUS_EXPECTATION_FAILED)
    return expectation_unknown ();
  if (status != SOUP_STATUS_OK)
    return refusal ("request-malformed", "The head cannot be read");
  problem = take_headers (self, headers, n_fields);
  if (problem == NULL)
    problem = read_length (self);
  if (problem == NULL)
    problem = read_connection (self);
  return problem;
}

CisHttpHead *
cis_http_head_parse (const char *data, gsize length, CisFinding **problem)
{
  g_autoptr (CisHttpHead) self = g_new0 (CisHttpHead, 1);

  self->headers = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
  *problem = read_head (self, data, length);
  return *problem == NULL ? g_steal_pointer (&self) : NULL;
}

const char *
cis_http_head_get (const CisHttpHead *self, const char *name)
{
  return g_hash_table_lookup (self->headers, name);
}

void
cis_http_head_free (CisHttpHead *self)
{
  g_free (self->method);
  g_free (self->target);
  g_hash_table_unref (self->headers);
  g_free (self);
}
