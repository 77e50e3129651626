/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/transport/accept/http-head.h"

#include <string.h>

#define LINE "PUT /v1/episodes/h/e HTTP/1.1\r\n"
#define HOST "Host: receiver\r\n"
#define SHA  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* %NULL where the head is good, else the problem's id; both static. */
static const char *
judge (const char *data, gsize length, CisHttpHead **good)
{
  CisFinding *problem = NULL;
  CisHttpHead *head = cis_http_head_parse (data, length, &problem);
  const char *id = NULL;

  g_assert_true ((head == NULL) == (problem != NULL));
  if (problem != NULL)
    id = g_intern_string (cis_finding_get_id (problem));
  g_clear_object (&problem);
  if (good != NULL)
    *good = head;
  else
    g_clear_pointer (&head, cis_http_head_free);
  return id;
}

static void
test_good (void)
{
  static const char text[] =
      "PUT /v1/episodes/h/e HTTP/1.1\r\nhOsT: receiver\r\nContent-Length:\t0042 \r\n"
      "Authorization: Bearer x\r\nX-A: 1\r\nx-a:  2\t\r\nX-Empty:\r\nX-Utf8: h\303\266he\r\n"
      "Expect: 100-Continue\r\nConnection: foo, Close\r\n\r\n";
  g_autoptr (CisHttpHead) head = NULL;

  g_assert_cmpstr (judge (text, sizeof text - 1, &head), ==, NULL);
  g_assert_cmpstr (head->method, ==, "PUT");
  g_assert_cmpstr (head->target, ==, "/v1/episodes/h/e");
  g_assert_true (head->has_length);
  g_assert_cmpuint (head->length, ==, 42);
  g_assert_false (head->keep_alive);
  g_assert_true (head->expects_continue);
  g_assert_cmpstr (cis_http_head_get (head, "host"), ==, "receiver");
  g_assert_cmpstr (cis_http_head_get (head, "authorization"), ==, "Bearer x");
  g_assert_cmpstr (cis_http_head_get (head, "x-a"), ==, "1, 2");
  g_assert_cmpstr (cis_http_head_get (head, "x-empty"), ==, "");
  g_assert_cmpstr (cis_http_head_get (head, "x-utf8"), ==, "h\303\266he");
  g_assert_null (cis_http_head_get (head, "x-b"));
}

static void
test_plain (void)
{
  static const char text[] = "GET / HTTP/1.1\r\n" HOST "\r\n";
  g_autoptr (CisHttpHead) head = NULL;

  g_assert_cmpstr (judge (text, sizeof text - 1, &head), ==, NULL);
  g_assert_false (head->has_length);
  g_assert_cmpuint (head->length, ==, 0);
  g_assert_true (head->keep_alive);
  g_assert_false (head->expects_continue);
}

typedef struct
{
  const char *id; /* NULL: good */
  const char *data;
  gsize length;
} Case;

#define CASE(id, text)                                                                                       \
  {                                                                                                          \
    id, text, sizeof (text) - 1                                                                              \
  }
#define BAD(text)       CASE ("request-malformed", text)
#define FIELD(id, text) CASE (id, LINE HOST text "\r\n\r\n")

static const Case cases[] = {
  /* the request line */
  BAD ("\r\n"),
  BAD ("\r\n" LINE HOST "\r\n"),
  BAD ("PUT / HTTP/1.1\r\n\r\n"),
  BAD ("PUT  / HTTP/1.1\r\n" HOST "\r\n"),
  BAD ("PUT /  HTTP/1.1\r\n" HOST "\r\n"),
  BAD ("PUT\t/\tHTTP/1.1\r\n" HOST "\r\n"),
  BAD (" PUT / HTTP/1.1\r\n" HOST "\r\n"),
  BAD ("PUT / HTTP/1.1 \r\n" HOST "\r\n"),
  BAD ("PUT /a b HTTP/1.1\r\n" HOST "\r\n"),
  BAD ("PUT /\303\266 HTTP/1.1\r\n" HOST "\r\n"),
  BAD ("PUT /a\0b HTTP/1.1\r\n" HOST "\r\n"),
  BAD ("P(T / HTTP/1.1\r\n" HOST "\r\n"),
  BAD ("PUT / http/1.1\r\n" HOST "\r\n"),
  BAD ("PUT / HTTP/1.10\r\n" HOST "\r\n"),
  BAD ("PUT / HTTP/1\r\n" HOST "\r\n"),
  BAD ("PUT /\r\n" HOST "\r\n"),
  BAD ("PUT\r\n" HOST "\r\n"),
  CASE ("http-version-unsupported", "PUT / HTTP/1.0\r\n" HOST "\r\n"),
  CASE ("http-version-unsupported", "PRI * HTTP/2.0\r\n" HOST "\r\n"),
  CASE ("http-version-unsupported", "PUT / HTTP/1.2\r\n" HOST "\r\n"),
  /* line ends */
  BAD (LINE HOST),
  BAD (LINE HOST "\n"),
  BAD (LINE "Host: receiver\n\r\n"),
  BAD ("PUT / HTTP/1.1\n" HOST "\r\n"),
  BAD (LINE HOST "X: a\rb\r\n\r\n"),
  BAD (LINE HOST "X: a\r\r\n\r\n"),
  BAD (LINE HOST "\r\nX: a\r\n\r\n"),
  BAD (LINE HOST "\r\n\r\n"),
  /* field lines */
  FIELD ("request-malformed", "Content-Length : 5"),
  FIELD ("request-malformed", "Transfer-Encoding\t: chunked"),
  FIELD ("request-malformed", " folded"),
  FIELD ("request-malformed", "\tfolded"),
  FIELD ("request-malformed", "X: a\r\n b"),
  FIELD ("request-malformed", "no colon"),
  FIELD ("request-malformed", ": no name"),
  FIELD ("request-malformed", "X Y: 1"),
  FIELD ("request-malformed", "X\0: 1"),
  FIELD ("request-malformed", "X: a\0b"),
  FIELD ("request-malformed", "X: a\001b"),
  FIELD ("request-malformed", "X: a\177b"),
  FIELD ("request-malformed", "X: \377\376"),
  FIELD ("request-malformed", "(X): 1"),
  FIELD (NULL, "X:"),
  FIELD (NULL, "X!#$%&'*+-.^_`|~1: a:b \"c\""),
  /* Content-Length */
  FIELD (NULL, "Content-Length: 0"),
  FIELD (NULL, "Content-Length: 9223372036854775807"),
  FIELD ("too-large", "Content-Length: 9223372036854775808"),
  FIELD ("too-large", "Content-Length: 99999999999999999999999999"),
  FIELD ("request-malformed", "Content-Length:"),
  FIELD ("request-malformed", "Content-Length: -1"),
  FIELD ("request-malformed", "Content-Length: +1"),
  FIELD ("request-malformed", "Content-Length: 0x10"),
  FIELD ("request-malformed", "Content-Length: 1 1"),
  FIELD ("request-malformed", "Content-Length: 5, 5"),
  FIELD ("request-malformed", "Content-Length: 5\r\nContent-Length: 5"),
  FIELD ("request-malformed", "Content-Length: 5\r\ncontent-length: 6"),
  FIELD ("request-malformed", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
  FIELD ("length-required", "Transfer-Encoding: chunked"),
  FIELD ("length-required", "transfer-encoding: identity"),
  FIELD ("length-required", "Transfer-Encoding:"),
  /* once or not at all */
  BAD ("GET / HTTP/1.1\r\nX: 1\r\n\r\n"),
  FIELD ("request-malformed", "Host: receiver"),
  FIELD ("request-malformed", "Authorization: Bearer a\r\nAuthorization: Bearer b"),
  FIELD ("request-malformed", "X-Cis490-Sha256: " SHA "\r\nX-Cis490-SHA256: " SHA),
  FIELD ("request-malformed", "X-Cis490-Anything: 1\r\nx-cis490-anything: 1"),
  FIELD ("request-malformed", "X-Cis490-Code-Commit: \r\nX-Cis490-Code-Commit: 1"),
  FIELD ("request-malformed", "Repr-Digest: a=::\r\nRepr-Digest: b=::"),
  FIELD ("request-malformed", "Upload-Length: 1\r\nUpload-Length: 1"),
  FIELD ("request-malformed", "Upload-Offset: 1\r\nupload-offset: 1"),
  FIELD ("request-malformed", "Content-Type: a\r\nContent-Type: b"),
  FIELD ("request-malformed", "Upgrade: websocket"),
  FIELD ("request-malformed", "Range: bytes=0-1"),
  FIELD ("request-malformed", "Content-Range: bytes 0-1/2"),
  FIELD ("expectation-unknown", "Expect: a miracle"),
  FIELD ("expectation-unknown", "Expect:"),
};

static void
test_cases (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *escaped = g_strescape (cases[i].data, NULL);

      g_test_message ("case %u: %s", i, escaped);
      g_assert_cmpstr (judge (cases[i].data, cases[i].length, NULL), ==, cases[i].id);
    }
}

static void
test_many_lines (void)
{
  for (int extra = -1; extra <= 0; extra++)
    {
      g_autoptr (GString) text = g_string_new (LINE HOST);

      for (int i = 0; i < CIS_HTTP_HEAD_MAX_LINES + extra; i++)
        g_string_append (text, "X: 1\r\n");
      g_string_append (text, "\r\n");
      g_assert_cmpstr (judge (text->str, text->len, NULL), ==, extra < 0 ? NULL : "head-too-large");
    }
}

/* The end is found wherever the bytes are cut into pieces, and what follows it is not looked at. */
static void
test_find_end (void)
{
  static const char text[] = LINE HOST "\r\nPUT \n";
  const gsize end = sizeof (LINE HOST "\r\n") - 1;
  gsize scanned = 0;

  for (gsize length = 0; length < end; length++)
    g_assert_cmpint (cis_http_head_find_end ((const guint8 *) text, length, &scanned), ==, 0);
  g_assert_cmpint (cis_http_head_find_end ((const guint8 *) text, sizeof text - 1, &scanned), ==, end);
  scanned = 0;
  g_assert_cmpint (cis_http_head_find_end ((const guint8 *) text, sizeof text - 1, &scanned), ==, end);
  scanned = 0;
  g_assert_cmpint (cis_http_head_find_end ((const guint8 *) "PUT /\n", 6, &scanned), ==, -1);
  scanned = 0;
  g_assert_cmpint (cis_http_head_find_end ((const guint8 *) "\n", 1, &scanned), ==, -1);
  scanned = 0;
  g_assert_cmpint (cis_http_head_find_end ((const guint8 *) "\r\nX", 3, &scanned), ==, 2);
}

/* Whatever the bytes are: a head or a problem, no crash, and never a head whose length two readers could see
 * differently. */
static void
test_mutations (void)
{
  static const char seed[] =
      LINE HOST "Content-Length: 12\r\nX-Cis490-Sha256: " SHA "\r\nExpect: 100-continue\r\n\r\n";
  static const char odd[] = "\r\n\t :,\0\177\377Transfer-Encoding: 5";

  for (guint round = 0; round < 20000; round++)
    {
      char text[sizeof seed];
      gsize length = sizeof seed - 1;
      g_autoptr (CisHttpHead) head = NULL;

      memcpy (text, seed, sizeof seed);
      for (int changes = g_test_rand_int_range (1, 4); changes > 0; changes--)
        text[g_test_rand_int_range (0, length)] = odd[g_test_rand_int_range (0, sizeof odd - 1)];
      judge (text, length, &head);
      if (head == NULL)
        continue;
      g_assert_null (cis_http_head_get (head, "transfer-encoding"));
      g_assert_nonnull (cis_http_head_get (head, "host"));
      g_assert_true (g_utf8_validate (head->target, -1, NULL));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/http-head/good", test_good);
  g_test_add_func ("/http-head/plain", test_plain);
  g_test_add_func ("/http-head/cases", test_cases);
  g_test_add_func ("/http-head/many-lines", test_many_lines);
  g_test_add_func ("/http-head/find-end", test_find_end);
  g_test_add_func ("/http-head/mutations", test_mutations);
  return g_test_run ();
}
