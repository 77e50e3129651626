/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

/* What cis_json_parse() takes, it takes again after cis_json_to_line() wrote it, and then writes the same. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) object = cis_json_parse ((const char *) data, size, &error), again = NULL;
  g_autofree char *line = NULL, *second = NULL;

  g_assert_true ((object == NULL) == (error != NULL));
  if (object == NULL)
    return 0;
  line = cis_json_to_line (object);
  again = cis_json_parse (line, strlen (line), &error);
  g_assert_no_error (error);
  second = cis_json_to_line (again);
  g_assert_cmpstr (line, ==, second);
  return 0;
}
