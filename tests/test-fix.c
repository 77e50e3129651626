/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-fix.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the service, and of somebody who tries a verb. */
#define SERVICE 65534
#define ALICE   4242

typedef struct
{
  char *tree;
  char *path;
} Fixture;

/* A state folder of the service's, and a secret with this owner and mode. */
static void
set_up (Fixture *fixture, uid_t uid, gid_t gid, mode_t mode)
{
  g_autofree char *state = NULL;

  fixture->tree = test_tree_new ();
  state = g_build_filename (fixture->tree, "state", NULL);
  fixture->path = g_build_filename (fixture->tree, "secret", NULL);
  g_assert_no_errno (g_chmod (fixture->tree, 0755));
  g_assert_no_errno (g_mkdir (state, 0700));
  g_assert_no_errno (chown (state, SERVICE, SERVICE));
  test_write (fixture->tree, "secret", "old\n");
  g_assert_no_errno (chown (fixture->path, uid, gid));
  g_assert_no_errno (g_chmod (fixture->path, mode));
  g_setenv ("STATE_DIRECTORY", state, TRUE);
}

static void
fixture_clear (Fixture *fixture)
{
  g_free (fixture->path);
  test_tree_remove (fixture->tree);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fixture, fixture_clear)

static void
paste (const char *fix, const char *typed)
{
  g_autofree char *script = g_strconcat ("echo '", typed, "' | {\n", fix, "\n}", NULL);
  const char *argv[] = { "/bin/sh", "-ec", script, NULL };
  g_autofree char *said = NULL;
  int status;

  g_assert_true (
      g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &said, &status, NULL));
  if (status != 0)
    g_error ("“%s” says: %s", fix, said);
}

static gboolean
can_read (uid_t uid, const char *path)
{
  gboolean can;

  g_assert_no_errno (setegid (uid));
  g_assert_no_errno (seteuid (uid));
  can = open (path, O_RDONLY | O_CLOEXEC) >= 0;
  g_assert_no_errno (seteuid (0));
  g_assert_no_errno (setegid (0));
  return can;
}

static void
assert_mode (const char *path, uid_t uid, mode_t mode)
{
  struct stat info;

  g_assert_no_errno (g_stat (path, &info));
  g_assert_cmpuint (info.st_uid, ==, uid);
  g_assert_cmpuint (info.st_mode & 0777, ==, mode);
}

/* What the service cannot read, it can then; the owner stays. */
static void
test_access (void)
{
  static const struct
  {
    uid_t uid;
    gid_t gid;
    mode_t mode, then;
  } cases[] = { { 0, 0, 0600, 0640 }, { SERVICE, 0, 0040, 0440 }, { ALICE, 0, 0600, 0640 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (Fixture) fixture = { NULL };
      g_autofree char *fix = NULL;

      set_up (&fixture, cases[i].uid, cases[i].gid, cases[i].mode);
      g_assert_false (can_read (SERVICE, fixture.path));
      fix = cis_fix_access (fixture.path);
      paste (fix, "");
      g_assert_true (can_read (SERVICE, fixture.path));
      g_assert_false (can_read (ALICE + 1, fixture.path));
      assert_mode (fixture.path, cases[i].uid, cases[i].then);
    }
}

/* Whoever is not the service is told to be it, and takes nothing from it. */
static void
test_access_of_others (void)
{
  g_auto (Fixture) own = { NULL }, shared = { NULL };
  g_autofree char *fix = NULL, *other = NULL;

  set_up (&own, SERVICE, 0, 0600);
  g_assert_no_errno (seteuid (ALICE));
  fix = cis_fix_access (own.path);
  g_assert_no_errno (seteuid (0));
  g_assert_nonnull (strstr (fix, "\nsudo -u nobody "));
  g_assert_null (strstr (fix, "chown"));
  g_assert_null (strstr (fix, "chmod"));
  /* Its group is that of a proxy, say, which goes on reading it. */
  set_up (&shared, 0, ALICE, 0640);
  other = cis_fix_access (shared.path);
  g_assert_nonnull (strstr (other, "setfacl -m u:nobody:r "));
}

static void
test_secret (void)
{
  g_auto (Fixture) fixture = { NULL };
  g_autofree char *fix = NULL, *fresh = NULL, *text = NULL, *again = NULL;

  set_up (&fixture, 0, SERVICE, 0640);
  fix = cis_fix_secret (fixture.path);
  paste (fix, "new");
  g_assert_cmpstr (text = test_read (fixture.tree, "secret"), ==, "new\n");
  assert_mode (fixture.path, 0, 0640);
  g_assert_true (can_read (SERVICE, fixture.path));
  g_assert_no_errno (unlink (fixture.path));
  fresh = cis_fix_secret (fixture.path);
  paste (fresh, "newer");
  g_assert_cmpstr (again = test_read (fixture.tree, "secret"), ==, "newer\n");
  assert_mode (fixture.path, SERVICE, 0600);
}

/* Closed to everybody, and still open to the service that read it as everybody. */
static void
test_exposed (void)
{
  static const struct
  {
    uid_t uid;
    gid_t gid;
    mode_t mode, then;
  } cases[] = { { 0, 0, 0644, 0640 }, { SERVICE, 0, 0644, 0640 }, { 0, SERVICE, 0644, 0640 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (Fixture) fixture = { NULL };
      g_autofree char *fix = NULL;

      set_up (&fixture, cases[i].uid, cases[i].gid, cases[i].mode);
      fix = cis_fix_exposed (fixture.path);
      paste (fix, "");
      g_assert_true (can_read (SERVICE, fixture.path));
      g_assert_false (can_read (ALICE, fixture.path));
      assert_mode (fixture.path, cases[i].uid, cases[i].then);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fix/access", test_access);
  g_test_add_func ("/fix/access/others", test_access_of_others);
  g_test_add_func ("/fix/secret", test_secret);
  g_test_add_func ("/fix/exposed", test_exposed);
  return g_test_run ();
}
