/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

static void
test_sentence (void)
{
  static const char *const texts[][2] = {
    { "No answer", "No answer." },
    { "No answer.", "No answer." },
    { "Gone: no such file..", "Gone: no such file." },
    { "Did you mean x?", "Did you mean x?" },
    { "", "." },
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (CisFinding) finding = cis_finding_new ("x", CIS_SEVERITY_INFO, "s", "%s", texts[i][0]);

      g_assert_cmpstr (cis_finding_get_summary (finding), ==, texts[i][1]);
    }
}

static CisFinding *
make (void)
{
  CisFinding *finding =
      cis_finding_new ("commit-not-in-window", CIS_SEVERITY_ERROR, "lab-1/e", "Commit %s is old", "abc");

  cis_finding_set_fix (finding, "git pull\nsystemctl restart %s", "x");
  cis_finding_set_detail (finding, "head_commit", "def");
  cis_finding_set_detail (finding, "type", "not this");
  return finding;
}

static void
test_json (void)
{
  g_autoptr (CisFinding) finding = make ();
  g_autoptr (JsonObject) object = cis_finding_to_json (finding);

  g_assert_cmpstr (cis_json_get_string (object, "finding"), ==, "commit-not-in-window");
  g_assert_cmpstr (cis_json_get_string (object, "severity"), ==, "error");
  g_assert_cmpstr (cis_json_get_string (object, "subject"), ==, "lab-1/e");
  g_assert_cmpstr (cis_json_get_string (object, "summary"), ==, "Commit abc is old.");
  g_assert_cmpstr (cis_json_get_string (object, "fix"), ==, "git pull\nsystemctl restart x");
  g_assert_cmpstr (cis_json_get_string (object, "head_commit"), ==, "def");
}

/* RFC 9457, there and back; a detail never overwrites a member of the format. */
static void
test_problem (void)
{
  g_autoptr (CisFinding) finding = make ();
  g_autoptr (JsonObject) problem = cis_finding_to_problem (finding, 412);
  g_autoptr (CisFinding) back = cis_finding_from_problem (problem, "e");

  g_assert_cmpstr (cis_json_get_string (problem, "type"), ==, "urn:cis490:finding:commit-not-in-window");
  g_assert_cmpstr (cis_json_get_string (problem, "title"), ==, "Commit not in window");
  g_assert_cmpint (cis_json_get_size (problem, "status", -1), ==, 412);
  g_assert_cmpstr (cis_finding_get_id (back), ==, "commit-not-in-window");
  g_assert_cmpstr (cis_finding_get_subject (back), ==, "e");
  g_assert_cmpstr (cis_finding_get_summary (back), ==, "Commit abc is old.");
  g_assert_cmpstr (cis_finding_get_fix (back), ==, cis_finding_get_fix (finding));
  g_assert_cmpstr (cis_finding_get_detail (back, "head_commit"), ==, "def");
  g_assert_null (cis_finding_get_detail (back, "title"));
}

static void
test_not_ours (void)
{
  static const char *const bodies[] = { "{}", "{\"type\":\"about:blank\"}", "{\"type\":7}",
                                        "{\"type\":\"urn:other:finding:x\"}" };

  for (guint i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      g_autoptr (JsonObject) body = cis_json_parse (bodies[i], strlen (bodies[i]), NULL);

      g_assert_null (cis_finding_from_problem (body, "e"));
    }
}

/* Names of files come into findings, and findings into JSON and the journal. */
static void
test_bytes (void)
{
  g_autoptr (CisFinding) finding = cis_finding_new ("x", CIS_SEVERITY_INFO, "\xff\xfe", "File \xff is odd");

  cis_finding_set_fix (finding, "rm \xff");
  cis_finding_set_detail (finding, "name", "\xff");
  g_assert_true (g_utf8_validate (cis_finding_get_subject (finding), -1, NULL));
  g_assert_true (g_utf8_validate (cis_finding_get_summary (finding), -1, NULL));
  g_assert_true (g_utf8_validate (cis_finding_get_fix (finding), -1, NULL));
  g_assert_true (g_utf8_validate (cis_finding_get_detail (finding, "name"), -1, NULL));
}

/* Whoever answers a shipper chooses these words, and an operator reads them in a terminal. */
static void
test_terminal (void)
{
  g_autoptr (CisFinding) finding = cis_finding_new ("x", CIS_SEVERITY_INFO, "s\x1b[2J",
                                                    "Zürich\r\x1b]0;title\a is\n\tfar\xc2\x9b"
                                                    "1A");

  cis_finding_set_fix (finding, "one\n\ttwo\b\x7f");
  g_assert_cmpstr (cis_finding_get_subject (finding), ==, "s\\u001b[2J");
  g_assert_cmpstr (cis_finding_get_summary (finding), ==,
                   "Zürich\\u000d\\u001b]0;title\\u0007 is\n\tfar\\u009b1A.");
  g_assert_cmpstr (cis_finding_get_fix (finding), ==, "one\n\ttwo\\u0008\\u007f");

  /* Direction, no width, tags; of keys, too. */
  cis_finding_set_detail (finding, "k\u202ey", "a\u200bb\u2066c\U000e0041d");
  g_assert_cmpstr (cis_finding_get_detail (finding, "k\\u202ey"), ==, "a\\u200bb\\u2066c\\udb40\\udc41d");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/finding/sentence", test_sentence);
  g_test_add_func ("/finding/json", test_json);
  g_test_add_func ("/finding/problem", test_problem);
  g_test_add_func ("/finding/not-ours", test_not_ours);
  g_test_add_func ("/finding/bytes", test_bytes);
  g_test_add_func ("/finding/terminal", test_terminal);
  return g_test_run ();
}
