/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whose turn it is at transport/accept, and how soon. */

#include "receiver-site.h"

static void
test_turns (void)
{
  g_autoptr (Site) site = site_new (8, "queue-timeout=1s\n");
  g_autoptr (Client) first = client_new (site), second = client_new (site), third = client_new (site);
  g_autoptr (Client) other = client_new (site), ping = client_new (site);
  g_autofree char *held = make_put ("h", site->hold), *plain = make_put ("h", ""),
                  *others = make_put ("h2", "");

  /* Two of eight workers for one host. */
  client_say (first, held);
  client_say (second, held);
  client_say (other, others);
  assert_answer (other, 201, NULL);
  client_say (third, plain);
  assert_answer (third, 429, "host-busy");
  client_say (ping, PING);
  assert_answer (ping, 200, NULL);
  site_let_go (site);
  assert_answer (first, 201, NULL);
  assert_answer (second, 201, NULL);
}

/* Whoever waits has its turn as soon as the one before is answered: not with the next tick, as that would be
 * a second for each. */
static void
test_next_turn (void)
{
  g_autoptr (GPtrArray) waiting = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = site_new (4, "queue-timeout=10min\n");
  g_autoptr (Client) first = client_new (site), ping = client_new (site);
  g_autofree char *held = make_put ("h", site->hold), *plain = make_put ("h", "");
  gint64 began;

  client_say (first, held);
  for (guint i = 0; i < 30; i++)
    {
      g_ptr_array_add (waiting, client_new (site));
      client_say (waiting->pdata[i], plain);
    }
  client_say (ping, PING); /* so that the others have been read before the way is free */
  assert_answer (ping, 200, NULL);
  began = g_get_monotonic_time ();
  site_let_go (site);
  assert_answer (first, 201, NULL);
  for (guint i = 0; i < waiting->len; i++)
    assert_answer (waiting->pdata[i], 201, NULL);
  g_assert_cmpint (g_get_monotonic_time () - began, <, 15 * G_USEC_PER_SEC);
}

/* Of one host: so many requests, waiting or not, and so many bytes. Others go on. */
static void
test_one_host (void)
{
  g_autoptr (Site) site = site_new (16, "host-requests=3\nhost-in-flight=10\nqueue-timeout=1min\n");
  g_autoptr (Client) first = client_new (site), second = client_new (site), third = client_new (site);
  g_autoptr (Client) fourth = client_new (site), other = client_new (site);
  g_autofree char *held = make_put ("h", site->hold), *plain = make_put ("h", ""),
                  *others = make_put ("h2", "");
  gint64 began = g_get_monotonic_time ();

  client_say (first, held);
  client_say (second, plain); /* over the bytes, so that it waits */
  client_say (third, plain);
  client_say (fourth, plain);
  assert_answer (fourth, 429, "host-busy");
  g_assert_cmpint (g_get_monotonic_time () - began, <, 20 * G_USEC_PER_SEC);
  client_say (other, others);
  assert_answer (other, 201, NULL);

  site_let_go (site);
  assert_answer (first, 201, NULL);
  assert_answer (second, 201, NULL);
  assert_answer (third, 201, NULL);
  for (guint i = 0; i < 5; i++)
    {
      client_say (first, plain);
      assert_answer (first, 201, NULL);
    }
  /* One that alone is too long is not refused for ever. */
  client_say (first, PUT_HEAD ("h", "12", ZERO_SHA256, "") "twelve bytes");
  assert_answer (first, 400, "digest-mismatch");
}

/* What is over the bytes of its host waits for so long, and no longer. */
static void
test_host_in_flight (void)
{
  g_autoptr (Site) site = site_new (16, "host-in-flight=10\nqueue-timeout=300ms\n");
  g_autoptr (Client) first = client_new (site), second = client_new (site);
  g_autofree char *held = make_put ("h", site->hold), *plain = make_put ("h", "");

  client_say (first, held);
  client_say (second, plain);
  assert_answer (second, 429, "host-busy");
  site_let_go (site);
  assert_answer (first, 201, NULL);
}

/* A stranger that names a host in its path takes nothing of what is that host's, however many he is. */
static void
test_in_its_name (void)
{
  g_autoptr (GPtrArray) strangers = g_ptr_array_new_with_free_func ((GDestroyNotify) client_free);
  g_autoptr (Site) site = site_new (16, "host-requests=3\nhost-in-flight=15\nqueue-timeout=10min\n");
  g_autoptr (Client) first = client_new (site), second = client_new (site), ping = client_new (site);
  g_autofree char *held = make_put ("h", site->hold), *plain = make_put ("h", "");
  g_autofree char *theirs = make_put_as ("x", "h", site->hold);

  client_say (first, held);
  for (guint i = 0; i < 4; i++)
    {
      g_ptr_array_add (strangers, client_new (site));
      client_say (strangers->pdata[i], theirs);
    }
  assert_answer (strangers->pdata[3], 429, "host-busy");
  client_say (second, plain);
  assert_answer (second, 201, NULL);
  client_say (ping, PING);
  assert_answer (ping, 200, NULL);
  site_let_go (site);
  assert_answer (first, 201, NULL);
}

/* Who uploads all it may still asks whether it would be taken, and the other way round. */
static void
test_ping_beside_uploads (void)
{
  g_autoptr (Site) site = site_new (4, "host-requests=1\n");
  g_autoptr (Client) first = client_new (site), second = client_new (site), ping = client_new (site);
  g_autofree char *held = make_put ("h", site->hold), *plain = make_put ("h", "");

  client_say (first, held);
  client_say (second, plain);
  assert_answer (second, 429, "host-busy");
  client_say (ping, PING);
  assert_answer (ping, 200, NULL);
  site_let_go (site);
  assert_answer (first, 201, NULL);
}

/* A token is the same one however the header is spelt: nobody gets more by that, nor by naming others. */
static void
test_one_token (void)
{
  static const char *const others[][2] = { { "h", "h2" }, { " h", "h" }, { "  h", "h3" } };
  g_autoptr (Site) site = site_new (16, "host-requests=1\n");
  g_autoptr (Client) first = client_new (site);
  g_autofree char *held = make_put ("h", site->hold);

  client_say (first, held);
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      g_autoptr (Client) client = client_new (site);
      g_autofree char *put = make_put_as (others[i][0], others[i][1], "");

      client_say (client, put);
      assert_answer (client, 429, "host-busy");
    }
  site_let_go (site);
  assert_answer (first, 201, NULL);
}

/* Those who share a token are told apart by their certificates, as far as the proxy says whose these are: not
 * where no header of it is awaited, nor where somebody else connects. */
static void
test_shared_token (gconstpointer user)
{
  const char *me = g_get_user_name ();
  gboolean told_apart = g_strcmp0 (user, "me") == 0;
  g_autofree char *text = g_strdup_printf ("host-requests=1\nclient-name-header=%s\nproxy-user=%s\n",
                                           user != NULL ? "X-Name" : "",
                                           told_apart     ? me
                                           : user != NULL ? (const char *) user
                                                          : "");
  g_autoptr (Site) site = site_new (16, text);
  g_autoptr (Client) first = client_new (site), second = client_new (site);
  g_autofree char *more = g_strconcat (site->hold, "X-Name: h1\r\n", NULL);
  g_autofree char *held = make_put_as ("shared", "h1", more);
  g_autofree char *other = make_put_as ("shared", "h2", "X-Name: h2\r\n");

  client_say (first, held);
  client_say (second, other);
  assert_answer (second, told_apart ? 201 : 429, told_apart ? NULL : "host-busy");
  site_let_go (site);
  assert_answer (first, 201, NULL);
}

/* Of a user that is not there, or of TCP, nothing could be told. */
static void
test_proxy_user (void)
{
  g_autoptr (CisPart) missing = test_part_new ("transport/accept", "listen", "unix:/nowhere/socket",
                                               "directory", "/", "proxy-user", "no-such-user", NULL);
  g_autoptr (CisPart) loopback = test_part_new ("transport/accept", "listen", "127.0.0.1:1", "directory", "/",
                                                "proxy-user", "root", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (CIS_PART_GET_CLASS (missing)->validate (missing, &error));
  g_assert_false (cis_part_open (missing, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "proxy-user=no-such-user"));
  cis_part_close (missing);
  g_clear_error (&error);
  g_assert_false (CIS_PART_GET_CLASS (loopback)->validate (loopback, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "needs listen=unix:/path"));
}

int
main (int argc, char **argv)
{
  site_init (&argc, &argv);
  g_test_add_func ("/accept-queue/turns", test_turns);
  g_test_add_func ("/accept-queue/next-turn", test_next_turn);
  g_test_add_func ("/accept-queue/one-host", test_one_host);
  g_test_add_func ("/accept-queue/host-in-flight", test_host_in_flight);
  g_test_add_func ("/accept-queue/in-its-name", test_in_its_name);
  g_test_add_func ("/accept-queue/ping-beside-uploads", test_ping_beside_uploads);
  g_test_add_func ("/accept-queue/one-token", test_one_token);
  g_test_add_data_func ("/accept-queue/shared-token", "me", test_shared_token);
  g_test_add_data_func ("/accept-queue/shared-token/not-the-proxy", "nobody", test_shared_token);
  g_test_add_func ("/accept-queue/proxy-user", test_proxy_user);
  g_test_add_data_func ("/accept-queue/shared-token/not-told-apart", NULL, test_shared_token);
  return g_test_run ();
}
