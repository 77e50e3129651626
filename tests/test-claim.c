/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a head whose form is right asks for and claims. */

#include "../plugins/transport/accept/claim.h"

#include <string.h>

#define LINE       "PUT /v1/episodes/h/e HTTP/1.1\r\n"
#define HOST       "Host: receiver\r\n"
#define SHA        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define REST       "Content-Type: application/partial-upload\r\nX-Cis490-Sha256: " SHA "\r\n"
#define SHA_BASE64 "ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8="

static CisHttpHead *
parse (const char *text)
{
  CisFinding *problem = NULL;
  CisHttpHead *head = cis_http_head_parse (text, strlen (text), &problem);

  g_assert_nonnull (head);
  return head;
}

static void
test_routes (void)
{
  g_autofree char *host63 = g_strnfill (63, 'h'), *host64 = g_strnfill (64, 'h');
  g_autofree char *name128 = g_strnfill (128, 'e'), *name129 = g_strnfill (129, 'e');
  g_autofree char *longest = g_strdup_printf ("/v1/episodes/%s/%s", host63, name128);
  g_autofree char *host_too_long = g_strdup_printf ("/v1/episodes/%s/e", host64);
  g_autofree char *name_too_long = g_strdup_printf ("/v1/episodes/h/%s", name129);
  const struct
  {
    const char *method, *target, *id;
    CisRouteKind kind;
  } routes[] = {
    { "PUT", "/v1/episodes/h/e", NULL, CIS_ROUTE_UPLOAD },
    { "POST", "/v1/episodes/lab-1/2026-11-21T22.51_x", NULL, CIS_ROUTE_QUESTION },
    { "PUT", longest, NULL, CIS_ROUTE_UPLOAD },
    { "POST", "/v1/ping", NULL, CIS_ROUTE_PING },
    { "GET", "/v1/ping", "method-not-allowed" },
    { "post", "/v1/ping", "method-not-allowed" },
    { "PATCH", "/v1/episodes/h/e", NULL, CIS_ROUTE_RESUME },
    { "patch", "/v1/episodes/h/e", "method-not-allowed" },
    { "GET", "/v1/episodes/h/e", "method-not-allowed" },
    { "PUT", host_too_long, "id-invalid" },
    { "PUT", name_too_long, "id-invalid" },
    { "PUT", "/v1/episodes/h/a%2fb", "id-invalid" },
    { "PUT", "/v1/episodes/h/a%2Fb", "id-invalid" },
    { "PUT", "/v1/episodes/h%2fa/b", "id-invalid" },
    { "PUT", "/v1/episodes/h/%65", "id-invalid" },
    { "PUT", "/v1/episodes/h/e?x=1", "id-invalid" },
    { "PUT", "/v1/episodes/h/e?", "id-invalid" },
    { "PUT", "/v1/episodes/h/e#f", "id-invalid" },
    { "PUT", "/v1/episodes/h/e;x", "id-invalid" },
    { "PUT", "/v1/episodes/../e", "id-invalid" },
    { "PUT", "/v1/episodes/h/..", "id-invalid" },
    { "PUT", "/v1/episodes/h/a..b", "id-invalid" },
    { "PUT", "/v1/episodes/./e", "id-invalid" },
    { "PUT", "/v1/episodes/h/-e", "id-invalid" },
    { "PUT", "/v1/episodes/h/", "id-invalid" },
    { "PUT", "/v1/episodes//e", "id-invalid" },
    { "PUT", "/v1/episodes/h/a\\b", "id-invalid" },
    { "PUT", "/v1/episodes/h", "not-found" },
    { "PUT", "/v1/episodes/h/e/", "not-found" },
    { "PUT", "/v1/episodes/h/e/f", "not-found" },
    { "PUT", "/v1/episodes", "not-found" },
    { "PUT", "//v1/episodes/h/e", "not-found" },
    { "PUT", "/v1//episodes/h/e", "not-found" },
    { "PUT", "/v1/../v1/episodes/h/e", "not-found" },
    { "PUT", "/V1/episodes/h/e", "not-found" },
    { "PUT", "/v1/host-health/h", "not-found" },
    { "PUT", "http://receiver/v1/episodes/h/e", "not-found" },
    { "POST", "/v1/ping?", "not-found" },
    { "POST", "/v1/ping/", "not-found" },
    { "POST", "/v1/%70ing", "not-found" },
    { "OPTIONS", "*", "not-found" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (routes); i++)
    {
      g_autoptr (CisFinding) problem = NULL;
      g_autoptr (CisRoute) route = cis_route_find (routes[i].method, routes[i].target, &problem);

      g_test_message ("%s %s", routes[i].method, routes[i].target);
      g_assert_cmpstr (problem != NULL ? cis_finding_get_id (problem) : NULL, ==, routes[i].id);
      g_assert_true ((route == NULL) == (problem != NULL));
      if (route != NULL)
        g_assert_cmpint (route->kind, ==, routes[i].kind);
    }
}

static void
test_claims (void)
{
  static const struct
  {
    const char *method, *fields, *id;
    guint64 size;
  } claims[] = {
    { "PUT", "Content-Length: 7\r\nX-Cis490-Sha256: " SHA, NULL, 7 },
    { "PUT",
      "Content-Length: 0\r\nX-Cis490-Sha256: 0123456789ABCDEF"
      "0123456789abcdef0123456789abcdef0123456789abcdef",
      NULL, 0 },
    { "PUT", "Content-Length: 7\r\nRepr-Digest: sha-256=:" SHA_BASE64 ":", NULL, 7 },
    { "PUT", "Content-Length: 7\r\nRepr-Digest: sha-512=:AA==:, sha-256=:" SHA_BASE64 ": ", NULL, 7 },
    { "PUT", "Content-Length: 7\r\nX-Cis490-Sha256: " SHA "\r\nRepr-Digest: sha-256=:" SHA_BASE64 ":", NULL,
      7 },
    { "PUT", "Content-Length: 7\r\nUpload-Length: 7\r\nX-Cis490-Sha256: " SHA, NULL, 7 },
    { "POST", "Content-Length: 0\r\nUpload-Length: 9\r\nX-Cis490-Sha256: " SHA, NULL, 9 },
    { "PUT", "X-Cis490-Sha256: " SHA, "length-required" },
    { "PUT", "Content-Length: 7", "digest-missing" },
    { "PUT", "Content-Length: 7\r\nRepr-Digest: sha-512=:AA==:", "digest-missing" },
    { "PUT", "Content-Length: 7\r\nX-Cis490-Sha256: 12", "digest-malformed" },
    { "PUT", "Content-Length: 7\r\nX-Cis490-Sha256:", "digest-malformed" },
    { "PUT", "Content-Length: 7\r\nX-Cis490-Sha256: " SHA "0", "digest-malformed" },
    { "PUT", "Content-Length: 7\r\nRepr-Digest: sha-256=" SHA_BASE64, "digest-malformed" },
    { "PUT", "Content-Length: 7\r\nRepr-Digest: sha-256=:AA==:", "digest-malformed" },
    { "PUT", "Content-Length: 7\r\nRepr-Digest: sha-256=:!SNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8=:",
      "digest-malformed" },
    { "PUT", "Content-Length: 7\r\nRepr-Digest: sha-256=:" SHA_BASE64 ":, sha-256=:" SHA_BASE64 ":",
      "digest-malformed" },
    { "PUT",
      "Content-Length: 7\r\nX-Cis490-Sha256: f123456789abcdef"
      "0123456789abcdef0123456789abcdef0123456789abcdef\r\n"
      "Repr-Digest: sha-256=:" SHA_BASE64 ":",
      "digest-malformed" },
    { "PUT", "Content-Length: 7\r\nUpload-Length: 8\r\nX-Cis490-Sha256: " SHA, "request-malformed" },
    { "POST", "Content-Length: 1\r\nUpload-Length: 9\r\nX-Cis490-Sha256: " SHA, "request-malformed" },
    { "POST", "Content-Length: 0\r\nX-Cis490-Sha256: " SHA, "length-required" },
    { "POST", "Upload-Length: 9\r\nX-Cis490-Sha256: " SHA, "length-required" },
    { "POST", "Content-Length: 0\r\nUpload-Length: x\r\nX-Cis490-Sha256: " SHA, "request-malformed" },
    { "POST", "Content-Length: 0\r\nUpload-Length: 9999999999999999999\r\nX-Cis490-Sha256: " SHA,
      "too-large" },
    { "POST", "Content-Length: 0\r\nUpload-Length: 9", "digest-missing" },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: 2", NULL, 9 },
    { "PATCH", REST "Content-Length: 0\r\nUpload-Length: 9\r\nUpload-Offset: 9", NULL, 9 },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: 3", "request-malformed" },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: -2", "request-malformed" },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: 2 ", NULL, 9 },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: 2x", "request-malformed" },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: 9223372036854775807",
      "request-malformed" },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: 18446744073709551611",
      "too-large" },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Length: 9", "request-malformed" },
    { "PATCH", REST "Content-Length: 7\r\nUpload-Offset: 2", "length-required" },
    { "PATCH", REST "Upload-Length: 9\r\nUpload-Offset: 2", "length-required" },
    { "PATCH",
      "Content-Type: application/zstd\r\nContent-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: 2\r\n"
      "X-Cis490-Sha256: " SHA,
      "media-type-unsupported" },
    { "PATCH", "Content-Length: 7\r\nUpload-Length: 9\r\nUpload-Offset: 2\r\nX-Cis490-Sha256: " SHA,
      "media-type-unsupported" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (claims); i++)
    {
      g_autofree char *text = g_strdup_printf ("%s /v1/episodes/h/e HTTP/1.1\r\n" HOST "%s\r\n\r\n",
                                               claims[i].method, claims[i].fields);
      g_autoptr (CisHttpHead) head = NULL;
      g_autoptr (CisFinding) problem = NULL;
      g_autoptr (CisRoute) route = NULL;
      g_autoptr (CisItem) item = NULL;

      g_test_message ("%s", text);
      head = parse (text);
      route = cis_route_find (head->method, head->target, &problem);
      g_assert_nonnull (route);
      item = cis_claim_to_item (head, route, &problem);
      g_assert_cmpstr (problem != NULL ? cis_finding_get_id (problem) : NULL, ==, claims[i].id);
      g_assert_true ((item == NULL) == (problem != NULL));
      if (item == NULL)
        continue;
      g_assert_cmpstr (cis_item_get_id (item), ==, "h/e");
      g_assert_cmpstr (cis_episode_get_sha256 (CIS_EPISODE (item)), ==, SHA);
      g_assert_cmpuint (cis_episode_get_size (CIS_EPISODE (item)), ==, claims[i].size);
    }
}

static void
test_commit (void)
{
  static const struct
  {
    const char *header, *commit;
  } commits[] = {
    { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
    { "aaaa", NULL },
    { "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NULL },
    { "", NULL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (commits); i++)
    {
      g_autofree char *text = g_strdup_printf (LINE HOST "Content-Length: 1\r\nX-Cis490-Sha256: " SHA "\r\n"
                                                         "X-Cis490-Code-Commit: %s\r\n\r\n",
                                               commits[i].header);
      g_autoptr (CisHttpHead) head = NULL;
      g_autoptr (CisFinding) problem = NULL;
      g_autoptr (CisRoute) route = NULL;
      g_autoptr (CisItem) item = NULL;

      head = parse (text);
      route = cis_route_find (head->method, head->target, &problem);
      item = cis_claim_to_item (head, route, &problem);
      g_assert_nonnull (item);
      g_assert_cmpstr (cis_episode_get_commit (CIS_EPISODE (item)), ==, commits[i].commit);
      /* The gate sees what came. */
      g_assert_cmpstr (cis_request_get_header (cis_item_get_request (item), "x-cis490-code-commit"), ==,
                       commits[i].header);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/claim/routes", test_routes);
  g_test_add_func ("/claim/claims", test_claims);
  g_test_add_func ("/claim/commit", test_commit);
  return g_test_run ();
}
