/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/transport/http/retry-after.h"
#include "fuzz.h"

#include <string.h>

/* Whatever a server says, nobody waits longer than the limit, and who is told seconds waits so long. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree char *value = g_strndup ((const char *) data, size);
  gint64 wait = cis_retry_after_parse (value);

  g_assert_cmpint (wait, >=, 0);
  g_assert_cmpint (wait, <=, CIS_RETRY_AFTER_MAX);
  if (value[0] != '\0' && strlen (value) <= 9 && strspn (value, G_CSET_DIGITS) == strlen (value))
    g_assert_cmpint (wait, ==, MIN (g_ascii_strtoll (value, NULL, 10) * G_USEC_PER_SEC, CIS_RETRY_AFTER_MAX));
  return 0;
}
