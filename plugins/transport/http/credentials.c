/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "credentials.h"

#include <gnutls/gnutls.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of each file; a bundle of authorities is a quarter of that. */
#define PEM_MAX (1024 * 1024)

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

/* @bytes must outlive it. */
static gnutls_datum_t
as_datum (GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  return (gnutls_datum_t){ (void *) data, (guint) size };
}

/* GLib pairs whatever it is given, and the receiver would only hang up. */
static gboolean
check_pair (const CisPeer *peer, GBytes *certificate, GBytes *key, GError **error)
{
  const gnutls_datum_t certificate_data = as_datum (certificate), key_data = as_datum (key);
  gnutls_certificate_credentials_t pair;
  int result = gnutls_certificate_allocate_credentials (&pair);

  if (result < 0)
    return TRUE;
  result = gnutls_certificate_set_x509_key_mem (pair, &certificate_data, &key_data, GNUTLS_X509_FMT_PEM);
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
  g_autoptr (GBytes) pem = NULL;

  /* What is not there, or not readable, is told when it is used. */
  if (!is_set (peer->certificate_file) || is_set (peer->key_file) ||
      (pem = cis_file_read_given (peer->certificate_file, PEM_MAX, NULL)) == NULL ||
      strstr (g_bytes_get_data (pem, NULL), "BEGIN CERTIFICATE") == NULL ||
      strstr (g_bytes_get_data (pem, NULL), "PRIVATE KEY-----") != NULL)
    return TRUE;
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "key-file= is not set, and %s holds a certificate without its key", peer->certificate_file);
  return FALSE;
}

/* @file: of PEM; full. */
static GBytes *
read_pem (const char *file, GError **error)
{
  GError *reason = NULL;
  GBytes *pem = cis_file_read_given (file, PEM_MAX, &reason);

  if (pem == NULL)
    set_certificate_error (error, file, reason);
  return pem;
}

/* Opened here and not by GLib, as read_pem() does, since a FIFO of that name would hold the worker. full */
static GTlsCertificate *
load_certificate (const CisPeer *peer, GError **error)
{
  g_autoptr (GBytes) pem = read_pem (peer->certificate_file, error);
  g_autoptr (GBytes) key = NULL;
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autofree char *both = NULL;
  GError *reason = NULL;

  if (pem == NULL || (is_set (peer->key_file) && (key = read_pem (peer->key_file, error)) == NULL))
    return NULL;
  /* The first key counts. */
  both =
      g_strconcat (key != NULL ? g_bytes_get_data (key, NULL) : "", "\n", g_bytes_get_data (pem, NULL), NULL);
  certificate = g_tls_certificate_new_from_pem (both, -1, &reason);
  if (certificate == NULL)
    set_certificate_error (error, peer->certificate_file, reason);
  else if (key == NULL || check_pair (peer, pem, key, error))
    return g_steal_pointer (&certificate);
  return NULL;
}

gboolean
cis_credentials_load (const CisPeer *peer, GTlsCertificate **certificate, GTlsDatabase **authorities,
                      GError **error)
{
  GError *reason = NULL;

  if (is_set (peer->certificate_file) && (*certificate = load_certificate (peer, error)) == NULL)
    return FALSE;
  if (!is_set (peer->ca_file) || (*authorities = cis_authorities_load (peer->ca_file, &reason)) != NULL)
    return TRUE;
  g_clear_object (certificate);
  return set_certificate_error (error, peer->ca_file, reason);
}

char *
cis_credentials_read_token (const char *file, GError **error)
{
  g_autoptr (GError) reason = NULL;
  char *token = cis_text_read_secret (file, &reason);

  if (token == NULL)
    g_set_error (error, CIS_CREDENTIALS_ERROR, CIS_CREDENTIALS_ERROR_TOKEN, "the token: %s", reason->message);
  return token;
}

static void
set_token_fix (CisFinding *finding, const CisPeer *peer)
{
  gboolean unreadable = access (peer->token_file, F_OK) == 0 && access (peer->token_file, R_OK) != 0;
  g_autofree char *fix = unreadable ? cis_fix_access (peer->token_file) : cis_fix_secret (peer->token_file);

  if (unreadable)
    cis_finding_set_fix (finding, "%s", fix);
  else
    cis_finding_set_fix (finding,
                         "# on the receiver, for a token:\n"
                         "cis490 token new %s\n"
                         "# and here the token that it prints, then Ctrl-D:\n"
                         "%s",
                         peer->host, fix);
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

void
cis_credentials_look (const CisPeer *peer, GPtrArray *findings)
{
  g_autoptr (GTlsCertificate) certificate = NULL;
  g_autoptr (GTlsDatabase) authorities = NULL;
  g_autoptr (GError) no_token = NULL, no_pair = NULL;
  g_autofree char *token =
      is_set (peer->token_file) ? cis_credentials_read_token (peer->token_file, &no_token) : NULL;
  g_autofree char *fault = NULL;

  if (no_token != NULL)
    g_ptr_array_add (findings, cis_credentials_finding (peer, no_token));
  if (!cis_credentials_load (peer, &certificate, &authorities, &no_pair))
    g_ptr_array_add (findings, cis_credentials_finding (peer, no_pair));
  else if (certificate != NULL && (fault = cis_credentials_fault (certificate, peer)) != NULL)
    {
      g_set_error (&no_pair, CIS_CREDENTIALS_ERROR, CIS_CREDENTIALS_ERROR_CERTIFICATE, "the certificate: %s",
                   fault);
      g_ptr_array_add (findings, cis_credentials_finding (peer, no_pair));
    }
}
