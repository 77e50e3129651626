/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_MAX 4096

G_DEFINE_QUARK (cis_credentials_error_quark, cis_credentials_error)

static gboolean
is_set (const char *option)
{
  return option != NULL && *option != '\0';
}

/* What tells that a file was replaced or rewritten. */
static void
append_stamp (GString *stamp, const char *file)
{
  struct stat info;

  if (is_set (file) && stat (file, &info) == 0)
    g_string_append_printf (stamp, "%" G_GUINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld;", (guint64) info.st_ino,
                            (gint64) info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
  else
    g_string_append_c (stamp, ';');
}

char *
cis_credentials_stamp (const CisPeer *peer)
{
  GString *stamp = g_string_new (NULL);

  append_stamp (stamp, peer->certificate_file);
  append_stamp (stamp, peer->key_file);
  append_stamp (stamp, peer->ca_file);
  return g_string_free (stamp, FALSE);
}

/* Returns FALSE. */
static gboolean
set_certificate_error (GError **error, const char *file, GError *reason)
{
  g_autoptr (GError) owned = reason;

  g_set_error (error, CIS_CREDENTIALS_ERROR, CIS_CREDENTIALS_ERROR_CERTIFICATE, "the certificate %s: %s",
               file, owned->message);
  return FALSE;
}

/* GLib pairs whatever it is given, and the receiver would only hang up. */
static gboolean
check_pair (const CisPeer *peer, GError **error)
{
  gnutls_certificate_credentials_t pair;
  int result = gnutls_certificate_allocate_credentials (&pair);

  if (result < 0)
    return TRUE;
  result = gnutls_certificate_set_x509_key_file (pair, peer->certificate_file, peer->key_file,
                                                 GNUTLS_X509_FMT_PEM);
  gnutls_certificate_free_credentials (pair);
  if (result != GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
    return TRUE;
  g_set_error (error, CIS_CREDENTIALS_ERROR, CIS_CREDENTIALS_ERROR_CERTIFICATE,
               "the certificate %s: the key in %s is that of another certificate", peer->certificate_file,
               peer->key_file);
  return FALSE;
}

char *
cis_credentials_fault (GTlsCertificate *certificate, const CisPeer *peer)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) begins = NULL, ends = NULL;
  g_autofree char *date = NULL;

  if (certificate == NULL)
    return is_set (peer->certificate_file)
               ? NULL
               : g_strdup ("there is no client certificate: certificate-file= is not set");
  begins = g_tls_certificate_get_not_valid_before (certificate);
  ends = g_tls_certificate_get_not_valid_after (certificate);
  if (ends != NULL && g_date_time_compare (now, ends) > 0)
    {
      date = g_date_time_format_iso8601 (ends);
      return g_strdup_printf ("%s expired at %s", peer->certificate_file, date);
    }
  if (begins == NULL || g_date_time_compare (now, begins) >= 0)
    return NULL;
  date = g_date_time_format_iso8601 (begins);
  return g_strdup_printf ("%s is not valid before %s", peer->certificate_file, date);
}

gboolean
cis_credentials_check (const CisPeer *peer, GError **error)
{
  g_autofree char *pem = NULL;

  /* What is not there, or not readable, is told when it is used. */
  if (!is_set (peer->certificate_file) || is_set (peer->key_file) ||
      !g_file_get_contents (peer->certificate_file, &pem, NULL, NULL) ||
      strstr (pem, "BEGIN CERTIFICATE") == NULL || strstr (pem, "PRIVATE KEY-----") != NULL)
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "key-file= is not set, and %s holds a certificate without its key", peer->certificate_file);
  return FALSE;
}

gboolean
cis_credentials_load (const CisPeer *peer, GTlsCertificate **certificate, GTlsDatabase **authorities,
                      GError **error)
{
  GError *reason = NULL;

  if (is_set (peer->certificate_file))
    {
      *certificate = is_set (peer->key_file)
                         ? g_tls_certificate_new_from_files (peer->certificate_file, peer->key_file, &reason)
                         : g_tls_certificate_new_from_file (peer->certificate_file, &reason);
      if (*certificate == NULL)
        return set_certificate_error (error, peer->certificate_file, reason);
      if (is_set (peer->key_file) && !check_pair (peer, error))
        {
          g_clear_object (certificate);
          return FALSE;
        }
    }
  if (is_set (peer->ca_file))
    {
      /* GnuTLS wants it absolute. */
      g_autofree char *path = g_canonicalize_filename (peer->ca_file, NULL);

      *authorities = g_tls_file_database_new (path, &reason);
      if (*authorities == NULL)
        return set_certificate_error (error, path, reason);
    }
  return TRUE;
}

/* What one read() gives may be less than what is there, and half a token is another one. */
static gssize
read_to_end (int fd, char *buffer)
{
  gssize length = 0, n = 1;

  while (n > 0 && length < TOKEN_MAX)
    {
      n = TEMP_FAILURE_RETRY (read (fd, buffer + length, (gsize) (TOKEN_MAX - length)));
      length = n < 0 ? -1 : length + n;
    }
  return length;
}

/* At most TOKEN_MAX bytes of a regular file; a symlink is followed, as secrets are often mounted as one. */
static gssize
read_secret (const char *file, char *buffer, GError **error)
{
  int fd = open (file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  gssize length = -1;
  struct stat info;

  if (fd >= 0 && fstat (fd, &info) == 0 && !S_ISREG (info.st_mode))
    errno = EINVAL;
  else if (fd >= 0)
    length = read_to_end (fd, buffer);
  if (length < 0)
    g_set_error (error, CIS_CREDENTIALS_ERROR, CIS_CREDENTIALS_ERROR_TOKEN, "the token in %s: %s", file,
                 g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return length;
}

char *
cis_credentials_read_token (const char *file, GError **error)
{
  char buffer[TOKEN_MAX];
  gssize length = read_secret (file, buffer, error);
  g_autofree char *token = NULL;
  gboolean valid;

  if (length < 0)
    return NULL;
  token = g_strchomp (g_strndup (buffer, (gsize) length));
  valid = length < TOKEN_MAX && *token != '\0';
  for (const char *c = token; *c != '\0'; c++)
    valid = valid && g_ascii_isgraph (*c);
  if (valid)
    return g_steal_pointer (&token);
  g_set_error (error, CIS_CREDENTIALS_ERROR, CIS_CREDENTIALS_ERROR_TOKEN,
               "the token in %s: the file does not hold just one token on one line", file);
  return NULL;
}

static void
set_token_fix (CisFinding *finding, const CisPeer *peer)
{
  const char *user = g_get_user_name ();
  g_autofree char *file = g_shell_quote (peer->token_file);

  if (access (peer->token_file, F_OK) == 0 && access (peer->token_file, R_OK) != 0)
    cis_finding_set_fix (finding, "chown %s %s && chmod 600 %s", user, file, file);
  else
    cis_finding_set_fix (finding,
                         "# on the receiver, for a token:\n"
                         "cis490 token new %s\n"
                         "# and here the token that it prints, then Ctrl-D:\n"
                         "install -o %s -m 600 /dev/stdin %s",
                         peer->host, user, file);
}

static void
set_certificates_fix (CisFinding *finding, const CisPeer *peer)
{
  const char *files[] = { peer->certificate_file, peer->key_file, peer->ca_file };
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    if (is_set (files[i]))
      {
        g_autofree char *quoted = g_shell_quote (files[i]);

        g_string_append_printf (list, " %s", quoted);
      }
  cis_finding_set_fix (
      finding,
      "# certificate-file=, key-file= and ca-file= of cis490.ini have to be PEM, and readable by %s;\n"
      "# they are read again with each connection\n"
      "ls -l%s",
      g_get_user_name (), list->str);
}

CisFinding *
cis_credentials_finding (const CisPeer *peer, const GError *error)
{
  gboolean token = error->code == CIS_CREDENTIALS_ERROR_TOKEN;
  const char *certificate = is_set (peer->certificate_file) ? peer->certificate_file : peer->ca_file;
  CisFinding *finding =
      cis_finding_new (token ? "token-unreadable" : "certificate-unreadable", CIS_SEVERITY_ERROR,
                       token ? peer->token_file : certificate, "Cannot use %s.", error->message);

  if (token)
    set_token_fix (finding, peer);
  else
    set_certificates_fix (finding, peer);
  return finding;
}
