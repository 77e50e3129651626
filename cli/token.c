/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cis490 token new HOST: makes a bearer token, and the line by which the receiver knows it. */
#include "options.h"
#include "verbs.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <sys/random.h>
#include <sysexits.h>

#define TOKEN_BYTES 32

/* 64 hex digits: nothing in it needs quoting in a header, a file or a shell. */
static char *
make_token (GError **error)
{
  guint8 bytes[TOKEN_BYTES];
  gssize n = getrandom (bytes, sizeof bytes, 0);
  GString *token;

  if (n != sizeof bytes)
    {
      cis_error_set_errno (error, n < 0 ? errno : EIO, _ ("Cannot get random bytes"));
      return NULL;
    }
  token = g_string_sized_new (2 * sizeof bytes);
  for (gsize i = 0; i < sizeof bytes; i++)
    g_string_append_printf (token, "%02x", bytes[i]);
  return g_string_free (token, FALSE);
}

static void
print_json (const char *host, const char *token, const char *sha256, const char *line)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *text = NULL;

  json_object_set_string_member (object, "host", host);
  json_object_set_string_member (object, "token", token);
  json_object_set_string_member (object, "sha256", sha256);
  json_object_set_string_member (object, "line", line);
  text = cis_json_to_line (object);
  g_print ("%s\n", text);
}

static void
print_text (const char *host, const char *token, const char *line)
{
  if (g_str_equal (host, "*"))
    g_print (_ ("The token that all hosts share, shown this once. It goes into each host's token-file (mode "
                "0600):\n"));
  else
    g_print (_ ("The token of %s, shown this once. It goes into that host's token-file (mode 0600):\n"),
             host);
  g_print ("\n    %s\n\n", token);
  g_print (_ ("The line to add to the receiver's tokens-file:\n"));
  g_print ("\n    %s\n\n", line);
}

static int
token_new (const char *host, gboolean json)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *token = NULL;
  g_autofree char *sha256 = NULL;
  g_autofree char *line = NULL;

  if (!g_str_equal (host, "*") && !cis_name_is_valid (host, CIS_HOST_NAME_MAX))
    {
      g_printerr (_ ("cis490 token: “%s” is no host name: at most %d letters, digits, “.”, “_” and “-”, a "
                     "letter or digit "
                     "first, no “..”; or “*” for a token that all hosts share\n"),
                  host, CIS_HOST_NAME_MAX);
      return EX_USAGE;
    }
  token = make_token (&error);
  if (token == NULL)
    {
      g_printerr ("cis490 token: %s\n", error->message);
      return 1;
    }
  sha256 = cis_digest_bytes (token, strlen (token));
  line = g_strdup_printf ("%s %s", host, sha256);
  if (json)
    print_json (host, token, sha256, line);
  else
    print_text (host, token, line);
  return 0;
}

int
cis_verb_token (int argc, char **argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("Print a JSON object"), NULL }, { NULL }
  };

  if (!options_parse (
          &argc, &argv, _ ("new HOST"),
          _ ("Makes a token for HOST (“*”: for all hosts) and the line by which the receiver knows it.\n"
             "Nothing is stored: the receiver keeps only the token's SHA-256."),
          entries))
    return EX_USAGE;
  if (argc != 3 || !g_str_equal (argv[1], "new"))
    {
      g_printerr ("cis490 token: %s\n", _ ("write: cis490 token new HOST"));
      return EX_USAGE;
    }
  return token_new (argv[2], json);
}
