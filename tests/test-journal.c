/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The alert writes to a socket of ours, which lies where the journal's is,
 * in a mount namespace of our own. */
#include "harness.h"

#include "cis-part.h"

#include <glib/gstdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET "/run/systemd/journal/socket"

static void
make_place (void)
{
  test_enter_namespace ();
  g_assert_no_errno (mount ("tmpfs", "/run", "tmpfs", 0, NULL));
  g_assert_no_errno (g_mkdir_with_parents ("/run/systemd/journal", 0755));
}

static int
listen_as_journal (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET };
  int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  g_unlink (SOCKET);
  g_assert_no_errno (fd);
  g_assert_no_errno (bind (fd, (struct sockaddr *) &address, sizeof address));
  return fd;
}

/* One entry of the native protocol, https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: FIELD=value, or for a value
 * of several lines FIELD, a newline, its length as 64 bits and the value. */
static GHashTable *
receive (int fd)
{
  GHashTable *fields = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  char data[8192];
  ssize_t n = recv (fd, data, sizeof data, 0);
  const char *at = data;

  g_assert_no_errno ((int) n);
  while (at < data + n)
    {
      gsize name = strcspn (at, "=\n");
      const char *value = at + name + 1;
      guint64 length = 0;

      if (at[name] == '=')
        length = (const char *) memchr (value, '\n', data + n - value) - value;
      else
        {
          memcpy (&length, value, sizeof length);
          length = GUINT64_FROM_LE (length);
          value += sizeof length;
        }
      g_hash_table_insert (fields, g_strndup (at, name), g_strndup (value, length));
      at = value + length + 1;
    }
  return fields;
}

static void
assert_field (GHashTable *fields, const char *name, const char *value)
{
  g_assert_cmpstr (g_hash_table_lookup (fields, name), ==, value);
}

static void
tell (gpointer alert, CisFinding *finding, CisFindingChange change, gpointer item)
{
  g_autoptr (GError) error = NULL;

  CIS_ALERT_GET_CLASS (alert)->tell_finding (alert, finding, change, item, NULL, &error);
  g_assert_no_error (error);
}

static void
test_event (void)
{
  int fd = listen_as_journal ();
  gpointer alert = test_part_new ("alert/journal", "severity", CIS_SEVERITY_INFO, NULL);
  g_autoptr (CisEpisode) episode = cis_episode_new ("lab07", "run-1", NULL);
  g_autoptr (CisFinding) finding =
      cis_finding_new ("commit-not-in-window", CIS_SEVERITY_ERROR, "lab07/run-1", "The code is old.");
  g_autoptr (GHashTable) fields = NULL;

  cis_finding_set_fix (finding, "git pull\nninja install");
  tell (alert, finding, CIS_FINDING_EVENT, episode);
  fields = receive (fd);
  assert_field (fields, "MESSAGE", "lab07/run-1: The code is old.");
  assert_field (fields, "MESSAGE_ID", "a9f0e7d4c35b4a1f8f3c0b9be2f6d413");
  assert_field (fields, "PRIORITY", "3");
  assert_field (fields, "SYSLOG_IDENTIFIER", "cis490");
  assert_field (fields, "CIS490_STAGE", "journal");
  assert_field (fields, "CIS490_FINDING", "commit-not-in-window");
  assert_field (fields, "CIS490_CHANGE", "event");
  assert_field (fields, "CIS490_SUBJECT", "lab07/run-1");
  assert_field (fields, "CIS490_EPISODE", "run-1");
  assert_field (fields, "CIS490_HOST", "lab07");
  assert_field (fields, "CIS490_FIX", "git pull\nninja install");
  g_object_unref (alert);
  g_assert_true (g_close (fd, NULL));
}

static void
test_changes (void)
{
  static const struct
  {
    CisSeverity severity;
    CisFindingChange change;
    const char *priority;
    const char *word;
    const char *message;
  } cases[] = {
    { CIS_SEVERITY_ERROR, CIS_FINDING_RAISED, "3", "raised", "store: It is full." },
    { CIS_SEVERITY_WARNING, CIS_FINDING_REPLACED, "4", "replaced", "store: It is full." },
    { CIS_SEVERITY_INFO, CIS_FINDING_RAISED, "6", "raised", "store: It is full." },
    { CIS_SEVERITY_ERROR, CIS_FINDING_CLEARED, "6", "cleared", "Cleared: store: It is full." },
  };
  int fd = listen_as_journal ();
  gpointer alert = test_part_new ("alert/journal", "severity", CIS_SEVERITY_INFO, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (CisFinding) finding =
          cis_finding_new ("disk-full", cases[i].severity, "store", "It is full.");
      g_autoptr (GHashTable) fields = NULL;

      tell (alert, finding, cases[i].change, NULL);
      fields = receive (fd);
      assert_field (fields, "PRIORITY", cases[i].priority);
      assert_field (fields, "CIS490_CHANGE", cases[i].word);
      assert_field (fields, "MESSAGE", cases[i].message);
      g_assert_false (g_hash_table_contains (fields, "CIS490_EPISODE"));
      g_assert_false (g_hash_table_contains (fields, "CIS490_HOST"));
      g_assert_false (g_hash_table_contains (fields, "CIS490_FIX"));
    }
  g_object_unref (alert);
  g_assert_true (g_close (fd, NULL));
}

static void
assert_checked (gpointer alert, const char *id)
{
  g_autoptr (GPtrArray) findings = g_ptr_array_new_with_free_func (g_object_unref);

  cis_part_check (alert, findings, NULL);
  g_assert_cmpuint (findings->len, ==, 1);
  g_assert_cmpstr (cis_finding_get_id (findings->pdata[0]), ==, id);
}

/* A finding is dropped where there is no journal, and the doctor says so. */
static void
test_no_journal (void)
{
  gpointer alert = test_part_new ("alert/journal", "severity", CIS_SEVERITY_INFO, NULL);
  g_autoptr (CisFinding) finding = cis_finding_new ("disk-full", CIS_SEVERITY_ERROR, "store", "It is full.");
  int fd;

  g_unlink (SOCKET);
  tell (alert, finding, CIS_FINDING_RAISED, NULL);
  assert_checked (alert, "journal-unavailable");
  fd = listen_as_journal ();
  assert_checked (alert, "journal-available");
  g_object_unref (alert);
  g_assert_true (g_close (fd, NULL));
}

int
main (int argc, char **argv)
{
  make_place ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/journal/event", test_event);
  g_test_add_func ("/journal/changes", test_changes);
  g_test_add_func ("/journal/no-journal", test_no_journal);
  return g_test_run ();
}
