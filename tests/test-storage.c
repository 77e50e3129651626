/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What room transport/accept promises to whom. Each upload is of more than half of what is free, so that
 * there is never room for two. */

#include "receiver-site.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

static Site *
roomy_site_new (void)
{
  return site_new (16, "free-space=0\nmax-body=1000000GiB\nmax-in-flight=1000000GiB\n");
}

/* The head of an upload to @host; its sender waits to be told that somebody reads it. full */
static char *
make_head (Site *site, const char *host, const char *more)
{
  struct statvfs fs;

  g_assert_no_errno (statvfs (site->tree, &fs));
  return g_strdup_printf (PUT_HEAD ("%s", "%" G_GUINT64_FORMAT, ZERO_SHA256, "Expect: 100-continue\r\n%s"),
                          host, host, (guint64) fs.f_bavail * fs.f_frsize / 10 * 6, more);
}

/* Which waits for the file @name before it is read. full */
static char *
make_held_head (Site *site, const char *host, const char *name)
{
  g_autofree char *hold = g_strdup_printf ("X-Test: hold %s/%s\r\n", site->tree, name);

  return make_head (site, host, hold);
}

static void
assert_goes_on (Client *client)
{
  g_auto (Answer) go_on = client_read (client);

  g_assert_cmpstr (go_on.head, ==, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* What somebody may only have announced keeps nobody out. */
static void
test_announced (void)
{
  g_autoptr (Site) site = roomy_site_new ();
  g_autoptr (Client) first = client_new (site), second = client_new (site), ping = client_new (site);
  g_autofree char *held = make_held_head (site, "h1", "go");
  g_autofree char *plain = make_head (site, "h2", "");

  client_say (first, held);
  client_say (ping, PING); /* so that the other has been read */
  assert_answer (ping, 200, NULL);
  client_say (second, plain);
  assert_goes_on (second);
}

/* And says what others are to have: that is not free, and not used either. */
static void
assert_refused_for (Client *client, guint64 promised)
{
  g_auto (Answer) answer = client_read (client);
  g_autofree char *others =
      g_strdup_printf ("and uploads under way are to have %" G_GUINT64_FORMAT ".", promised);
  const char *detail = cis_json_get_string (answer.body, "detail");
  guint64 available = 0;

  g_assert_cmpuint (answer.status, ==, 507);
  g_assert_cmpstr (strstr (detail, "and uploads under way"), ==, others);
  g_assert_cmpint (sscanf (strstr (detail, "bytes: ") + strlen ("bytes: "), "%" G_GUINT64_FORMAT, &available),
                   ==, 1);
  g_assert_cmpuint (available, >, promised);
}

/* There was room for each when it came, but one was begun before the other. */
static void
test_begun (void)
{
  g_autoptr (Site) site = roomy_site_new ();
  g_autoptr (Client) first = client_new (site), second = client_new (site), ping = client_new (site);
  g_autofree char *held1 = make_held_head (site, "h1", "go1"), *held2 = make_held_head (site, "h2", "go2");
  g_autofree char *plain = make_head (site, "h3", "X-Test: reject not-your-host\r\n");
  const char *length = strstr (held1, "Content-Length: ") + strlen ("Content-Length: ");
  guint status = 507;

  client_say (first, held1);
  client_say (second, held2);
  client_say (ping, PING);
  assert_answer (ping, 200, NULL);
  test_write (site->tree, "go1", "");
  assert_goes_on (first);
  test_write (site->tree, "go2", "");
  assert_refused_for (second, g_ascii_strtoull (length, NULL, 10));
  assert_end (second);

  g_clear_pointer (&second, client_free);
  second = client_new (site);
  client_say (second, plain);
  assert_answer (second, 507, "storage-full");

  /* What does not come after all is there for others. */
  g_clear_pointer (&first, client_free);
  while (status == 507)
    {
      g_autoptr (Client) third = client_new (site);
      g_auto (Answer) answer = { 0 };

      client_say (third, plain);
      answer = client_read (third);
      status = answer.status;
    }
  g_assert_cmpuint (status, ==, 403);
}

/* A full disk is everybody's trouble, and a ping's; an archive that is too large for what is free is its own.
 */
static void
test_scope (void)
{
  g_autoptr (Site) full = site_new (4, "free-space=1000000GiB\n"), roomy = roomy_site_new ();
  g_autoptr (Client) ping = client_new (full), upload = client_new (full), large = client_new (roomy),
                     pong = client_new (roomy);
  g_auto (Answer) ping_answer = { 0 }, upload_answer = { 0 }, large_answer = { 0 }, pong_answer = { 0 };

  client_say (ping, PING);
  ping_answer = client_read (ping);
  g_assert_cmpuint (ping_answer.status, ==, 507);
  g_assert_cmpstr (cis_json_get_string (ping_answer.body, "scope"), ==, "stage");
  client_say (upload, PUT_HEAD ("h1", "7", ZERO_SHA256, "") BODY);
  upload_answer = client_read (upload);
  g_assert_cmpuint (upload_answer.status, ==, 507);
  g_assert_cmpstr (cis_json_get_string (upload_answer.body, "scope"), ==, "stage");

  client_say (large, PUT_HEAD ("h1", "900000000000000", ZERO_SHA256, ""));
  large_answer = client_read (large);
  g_assert_cmpuint (large_answer.status, ==, 507);
  g_assert_cmpstr (cis_json_get_string (large_answer.body, "scope"), ==, "item");
  client_say (pong, PING);
  pong_answer = client_read (pong);
  g_assert_cmpuint (pong_answer.status, ==, 200);
  g_assert_cmpint (cis_json_get_size (pong_answer.body, "room", -1), >, 0);
}

int
main (int argc, char **argv)
{
  site_init (&argc, &argv);
  g_test_add_func ("/storage/announced", test_announced);
  g_test_add_func ("/storage/begun", test_begun);
  g_test_add_func ("/storage/scope", test_scope);
  return g_test_run ();
}
