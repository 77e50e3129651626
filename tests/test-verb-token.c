/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <sys/wait.h>

static char *
run (int expected, const char *first, const char *second, const char *third)
{
  const char *argv[] = { g_getenv ("CIS490_PROGRAM"), "token", first, second, third, NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *messages = NULL;
  char *output = NULL;
  int status;

  g_spawn_sync (NULL, (char **) argv, NULL, 0, NULL, NULL, &output, &messages, &status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, expected);
  g_assert_true ((messages[0] != '\0') == (expected != 0));
  return output;
}

static void
assert_token (const char *host)
{
  g_autofree char *output = run (0, "new", host, "--json");
  g_autofree char *again = run (0, "new", host, "--json");
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) object = cis_json_parse (output, strlen (output), &error);
  const char *token;
  g_autofree char *sha256 = NULL;
  g_autofree char *line = NULL;

  g_assert_no_error (error);
  token = cis_json_get_string (object, "token");
  g_assert_true (cis_hex_is_valid (token, 64));
  sha256 = cis_digest_bytes (token, strlen (token));
  line = g_strdup_printf ("%s %s", host, sha256);
  g_assert_cmpstr (cis_json_get_string (object, "host"), ==, host);
  g_assert_cmpstr (cis_json_get_string (object, "sha256"), ==, sha256);
  g_assert_cmpstr (cis_json_get_string (object, "line"), ==, line);
  g_assert_cmpstr (output, !=, again);
}

static void
test_json (void)
{
  assert_token ("lab07");
  assert_token ("*");
}

/* The token is printed with nothing but spaces around it, and its line so that a tokens-file takes it as it
 * is. */
static void
test_text (void)
{
  g_autofree char *output = run (0, "new", "lab07", NULL);
  g_auto (GStrv) lines = g_strsplit (output, "\n", -1);
  const char *token = NULL;
  const char *line = NULL;
  g_autofree char *sha256 = NULL;

  for (char **l = lines; *l != NULL; l++)
    {
      g_strstrip (*l);
      if (cis_hex_is_valid (*l, 64))
        token = *l;
      if (g_str_has_prefix (*l, "lab07 "))
        line = *l;
    }
  g_assert_nonnull (token);
  g_assert_nonnull (line);
  sha256 = cis_digest_bytes (token, strlen (token));
  g_assert_cmpstr (line + strlen ("lab07 "), ==, sha256);
}

static void
test_refused (void)
{
  static const char *const names[] = { "", "a/b", "..", "a b", "-x", "**", "a\nb", "ü" };
  g_autofree char *too_long = g_strnfill (64, 'a');

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_free (run (64, "new", names[i], NULL));
  g_free (run (64, "new", too_long, NULL));
  g_free (run (64, "new", NULL, NULL));
  g_free (run (64, "new", "lab07", "lab08"));
  g_free (run (64, "old", "lab07", NULL));
  g_free (run (64, NULL, NULL, NULL));
}

/* A token that nobody can read any more is not one that was made. */
static void
test_full (void)
{
  g_autofree char *script =
      g_strdup_printf ("exec '%s' token new lab07 >/dev/full", g_getenv ("CIS490_PROGRAM"));
  const char *argv[] = { "/bin/sh", "-c", script, NULL };
  g_autofree char *messages = NULL;
  int status;

  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, 0, NULL, NULL, NULL, &messages, &status, NULL));
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 1);
  g_assert_nonnull (strstr (messages, "could not be written"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  g_test_add_func ("/verb-token/json", test_json);
  g_test_add_func ("/verb-token/text", test_text);
  g_test_add_func ("/verb-token/refused", test_refused);
  g_test_add_func ("/verb-token/full", test_full);
  return g_test_run ();
}
