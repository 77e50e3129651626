/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trust.h"

#define NAMES_MAX 8 /* of one certificate, that are named */

typedef GDateTime *(*GetDate) (GTlsCertificate *certificate);

/* Of the chain that was sent, the first end or the last beginning; full, nullable. */
static GDateTime *
find_date (GTlsCertificate *certificate, GetDate get, gboolean first)
{
  GDateTime *found = NULL;

  for (; certificate != NULL; certificate = g_tls_certificate_get_issuer (certificate))
    {
      g_autoptr (GDateTime) date = get (certificate);
      int order = found != NULL && date != NULL ? g_date_time_compare (date, found) : 0;

      if (date == NULL || (found != NULL && (first ? order >= 0 : order <= 0)))
        continue;
      g_clear_pointer (&found, g_date_time_unref);
      found = g_steal_pointer (&date);
    }
  return found;
}

static char *
format (GDateTime *date)
{
  g_autoptr (GDateTime) utc = date != NULL ? g_date_time_to_utc (date) : NULL;

  return utc != NULL ? g_date_time_format (utc, "%Y-%m-%dT%H:%M:%SZ")
                     : g_strdup ("a time that it does not say");
}

static void
add (GPtrArray *reasons, char *reason)
{
  g_ptr_array_add (reasons, reason);
}

static void
add_dates (GPtrArray *reasons, GTlsCertificate *certificate, GTlsCertificateFlags errors)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autoptr (GDateTime) begins = find_date (certificate, g_tls_certificate_get_not_valid_before, FALSE);
  g_autoptr (GDateTime) ends = find_date (certificate, g_tls_certificate_get_not_valid_after, TRUE);
  g_autofree char *clock = format (now), *beginning = format (begins), *end = format (ends);

  if (errors & G_TLS_CERTIFICATE_EXPIRED)
    add (reasons, g_strdup_printf ("expired at %s, while this host's clock says %s", end, clock));
  if (errors & G_TLS_CERTIFICATE_NOT_ACTIVATED)
    add (reasons,
         g_strdup_printf ("is not valid before %s, while this host's clock says %s", beginning, clock));
}

static void
add_names (GString *list, GPtrArray *names, gboolean are_addresses)
{
  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      GBytes *name = are_addresses ? NULL : names->pdata[i];
      g_autofree char *text = are_addresses
                                  ? g_inet_address_to_string (names->pdata[i])
                                  : g_strndup (g_bytes_get_data (name, NULL), g_bytes_get_size (name));

      if (i < NAMES_MAX)
        g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "", text);
      else if (i == NAMES_MAX)
        g_string_append (list, ", …");
    }
}

static char *
describe_identity (GTlsCertificate *certificate, const char *name)
{
  g_autoptr (GPtrArray) names = g_tls_certificate_get_dns_names (certificate);
  g_autoptr (GPtrArray) addresses = g_tls_certificate_get_ip_addresses (certificate);
  g_autoptr (GString) list = g_string_new (NULL);

  add_names (list, names, FALSE);
  add_names (list, addresses, TRUE);
  return g_strdup_printf ("is for %s, not for %s", list->len > 0 ? list->str : "no name at all", name);
}

static char *
describe_issuer (GTlsCertificate *certificate, const char *authorities)
{
  g_autofree char *subject = g_tls_certificate_get_subject_name (certificate);
  g_autofree char *issuer = g_tls_certificate_get_issuer_name (certificate);

  return g_strdup_printf ("is signed by %s (%s), whom %s does not vouch for",
                          g_strcmp0 (subject, issuer) == 0 ? "itself" : "an authority",
                          issuer != NULL ? issuer : "without a name",
                          authorities != NULL ? authorities : "no authority of this system");
}

char *
cis_trust_describe (GTlsCertificate *certificate, GTlsCertificateFlags errors, const char *name,
                    const char *authorities)
{
  g_autoptr (GPtrArray) reasons = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *joined = NULL;

  add_dates (reasons, certificate, errors);
  if (errors & G_TLS_CERTIFICATE_BAD_IDENTITY)
    add (reasons, describe_identity (certificate, name));
  if (errors & G_TLS_CERTIFICATE_UNKNOWN_CA)
    add (reasons, describe_issuer (certificate, authorities));
  if (errors & G_TLS_CERTIFICATE_REVOKED)
    add (reasons, g_strdup ("was revoked"));
  if (errors & G_TLS_CERTIFICATE_INSECURE)
    add (reasons, g_strdup ("is signed in a way that counts as broken"));
  if (reasons->len == 0)
    add (reasons, g_strdup ("is not valid, for a reason that GnuTLS does not tell"));
  g_ptr_array_add (reasons, NULL);
  joined = g_strjoinv ("; and it ", (char **) reasons->pdata);
  return g_strdup_printf ("its certificate %s", joined);
}

gint64
cis_trust_get_end (GTlsCertificate *certificate)
{
  g_autoptr (GDateTime) ends = find_date (certificate, g_tls_certificate_get_not_valid_after, TRUE);

  return ends != NULL ? g_date_time_to_unix (ends) * G_USEC_PER_SEC : 0;
}
