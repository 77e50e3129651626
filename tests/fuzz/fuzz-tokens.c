/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <string.h>

#define HOST  "lab-1"
#define TOKEN "secret"
/* Of TOKEN. */
#define SHA256 "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"

GType cis_bearer_get_type (void);

/* Whether a line says that TOKEN belongs to @host, for another reader of the file. */
static gboolean
says (const FuzzPart *text, const char *host)
{
  g_autofree char *copy = g_strndup (text->data, text->size);
  g_autofree char *pattern = g_strdup_printf ("(*UCP)^(?:\\x{feff})?\\s*%s\\s+" SHA256 "(?:\\s*|\\s+#.*)$",
                                              host[0] == '*' ? "\\*" : host);
  g_auto (GStrv) lines = g_strsplit (copy, "\n", -1);

  for (char **line = lines; *line != NULL; line++)
    if (g_regex_match_simple (pattern, *line, G_REGEX_DOTALL | G_REGEX_DOLLAR_ENDONLY, 0))
      return TRUE;
  return FALSE;
}

static void
ask (CisStage *bearer, const char *certified, gboolean allowed)
{
  g_autoptr (CisRequest) request = cis_request_new ("PUT", "/v1/episodes/" HOST "/run-1");
  g_autoptr (CisItem) item = CIS_ITEM (cis_episode_new (HOST, "run-1", request));
  g_autoptr (CisOutcome) outcome = NULL;

  cis_request_set_header (request, "authorization", "Bearer " TOKEN);
  cis_request_set_client_name (request, certified);
  outcome = cis_stage_process (bearer, item, NULL);
  g_assert_true ((cis_outcome_get_verdict (outcome) == CIS_VERDICT_PASSED) == allowed);
  g_assert_cmpstr (cis_request_get_identity (request), ==, allowed ? HOST : NULL);
}

/* A file of tokens is refused with a line of it, or lets just those in whom a line names. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  const FuzzPart text = { (const char *) data, size };
  const char *path = fuzz_memory_file (0, data, size);
  g_autoptr (CisStage) bearer = g_object_new (cis_bearer_get_type (), "tokens-file", path, NULL);
  g_autoptr (GError) error = NULL;

  if (!cis_part_open (CIS_PART (bearer), NULL, &error))
    {
      g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
      fuzz_assert_position (error->message, path, text.data, size);
    }
  else
    {
      gboolean own = says (&text, HOST), shared = says (&text, "*");

      g_assert_true (size == 0 || memchr (data, '\0', size) == NULL);
      ask (bearer, NULL, own);
      ask (bearer, HOST, own || shared);
      ask (bearer, "lab-2", FALSE);
    }
  cis_part_close (CIS_PART (bearer));
  return 0;
}
