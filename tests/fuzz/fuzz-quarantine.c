/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../../plugins/store/quarantine/audit.h"
#include "../../plugins/store/quarantine/reason.h"
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define EPISODE "run-1"

/* A reason counts only with a finding and a time, and the time that is told is the one that it says. */
static void
check_reason (int folder, const FuzzPart *text)
{
  g_autofree char *path = fuzz_file ("reason.json", text->data, text->size);
  gint64 time = 0;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonObject) reason = reason_load (folder, "reason.json", &time, &error);
  g_autoptr (GDateTime) date = NULL;
  struct timespec mtime;

  g_assert_no_error (error);
  g_assert_true (reason != NULL || time == -1);
  if (reason == NULL)
    return;
  g_assert_nonnull (cis_json_get_string (reason, "finding"));
  date = g_date_time_new_from_iso8601 (cis_json_get_string (reason, "quarantined_at"), NULL);
  g_assert_cmpint (time / G_USEC_PER_SEC, ==,
                   g_date_time_to_unix (date) + (time < 0 && time % G_USEC_PER_SEC != 0));
  if (reason_get_folder_time (reason, &mtime))
    g_assert_true (mtime.tv_nsec >= 0 && mtime.tv_nsec < 1000000000);
}

static guint
count_lines (const FuzzPart *text)
{
  guint n = 0;

  for (gsize i = 0; i < text->size; i++)
    n += text->data[i] == '\n';
  return n;
}

/* However the file is damaged, a release that is noted counts at once, and is not lost to a line that was
 * torn. */
static void
check_audit (int folder, const FuzzPart *text)
{
  g_autofree char *path = fuzz_file ("audit.jsonl", text->data, text->size);
  const char *marker = "{\"finding\":\"unstamped\",\"quarantined_at\":\"2031-01-01T00:00:00Z\"}";
  g_autoptr (JsonObject) reason = cis_json_parse (marker, strlen (marker), NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *first_seen = NULL;
  Audit *audit = audit_new (folder, "state"), *again;
  guint before = audit_count_releases (audit, EPISODE, NULL), after;

  g_assert_cmpuint (before, <=, count_lines (text));
  g_assert_true (audit_append (audit, "release", EPISODE, EPISODE, reason, &error));
  after = audit_count_releases (audit, EPISODE, &first_seen);
  /* A torn line that gets its end may have been a whole one, and this very stay's line may have been the
   * last. */
  g_assert_cmpuint (after, >=, MAX (before, 1));
  g_assert_cmpuint (after, <=, before + 2);
  again = audit_new (folder, "state");
  g_assert_cmpuint (audit_count_releases (again, EPISODE, NULL), ==, after);
  audit_free (again);
  audit_free (audit);
}

/* quarantine_reason.json, and audit.jsonl. */
int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  FuzzPart parts[2];
  int folder = open (fuzz_folder (), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  fuzz_split (data, size, parts, G_N_ELEMENTS (parts));
  check_reason (folder, &parts[0]);
  check_audit (folder, &parts[1]);
  g_assert_no_errno (close (folder));
  return 0;
}
