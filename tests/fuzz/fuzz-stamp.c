/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../cli/stamp-text.h"
#include "../../plugins/shared/code-version.h"
#include "fuzz.h"

#include <string.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define VALUE  "{\"commit\":\"" COMMIT "\",\"branch\":\"main\",\"dirty\":false}"

/* Every other member is the same. */
static void
check_others (JsonObject *before, JsonObject *after)
{
  g_autofree char *was = NULL, *is = NULL;

  if (json_object_has_member (before, "code_version"))
    json_object_remove_member (before, "code_version");
  json_object_remove_member (after, "code_version");
  was = cis_json_to_line (before);
  is = cis_json_to_line (after);
  g_assert_cmpstr (was, ==, is);
}

/* A meta.json is still one after it was stamped, says the commit once and nothing else anew; a second stamp
 * changes nothing. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr (JsonObject) meta = cis_json_parse ((const char *) data, size, NULL), stamped = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *once = NULL, *twice = NULL;

  once = stamp_text_set ((const char *) data, size, VALUE, meta != NULL ? &error : NULL);
  g_assert_no_error (error);
  /* Of one that has too many members, there is a stamp all the same. */
  if (meta == NULL || once == NULL)
    return 0;
  stamped = cis_json_parse (once, strlen (once), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (cis_code_version_read (stamped).commit, ==, COMMIT);
  twice = stamp_text_set (once, strlen (once), VALUE, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (once, ==, twice);
  check_others (meta, stamped);
  return 0;
}
