/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#define SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static CisEpisode *
make_episode (void)
{
  g_autofree char *commit = g_strnfill (40, 'a');
  CisEpisode *episode = cis_episode_new (NULL, "run-1", NULL);

  cis_episode_set_commit (episode, commit);
  cis_episode_set_archive (episode, NULL, SHA256, 12345);
  return episode;
}

static void
test_new (void)
{
  g_autoptr (CisEpisode) episode = make_episode ();
  g_autoptr (JsonObject) receipt =
      cis_receipt_new (episode, "lab-7", "stored", "2026-11-21T22:51:00.123456Z");
  g_autoptr (JsonObject) now = cis_receipt_new (episode, "lab-7", "duplicate", NULL);
  g_autoptr (GDateTime) received =
      g_date_time_new_from_iso8601 (cis_json_get_string (now, "received_at"), NULL);
  g_autofree char *line = cis_json_to_line (receipt);

  g_assert_cmpstr (line, ==,
                   "{\"episode\":\"run-1\",\"host\":\"lab-7\",\"sha256\":\"" SHA256
                   "\",\"size\":12345,\"commit\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
                   "\"received_at\":\"2026-11-21T22:51:00.123456Z\",\"status\":\"stored\"}");
  g_assert_cmpint (ABS (g_date_time_to_unix (received) - g_get_real_time () / G_USEC_PER_SEC), <=, 60);
}

static void
test_matches (void)
{
  g_autoptr (CisEpisode) episode = make_episode ();
  g_autoptr (JsonObject) receipt = cis_receipt_new (episode, "lab-7", "stored", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (cis_receipt_matches (receipt, episode, "lab-7", &error));
  g_assert_true (cis_receipt_matches (receipt, episode, NULL, &error));
  g_assert_no_error (error);
  g_assert_false (cis_receipt_matches (receipt, episode, "lab-8", &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
  g_assert_cmpstr (error->message, ==, "The receipt's \"host\" is lab-7 instead of lab-8");
}

static void
test_differs (void)
{
  static const struct
  {
    const char *member;
    const char *text; /* NULL: removed */
    gint64 number;
  } cases[] = {
    { "episode", "run-2", 0 }, { "episode", NULL, 0 },  { "sha256", "", 0 },  { "sha256", NULL, 0 },
    { "size", NULL, 12344 },   { "size", NULL, 12346 }, { "size", NULL, -1 }, { "size", "12345", 0 },
  };
  g_autoptr (CisEpisode) episode = make_episode ();

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (JsonObject) receipt = cis_receipt_new (episode, "lab-7", "stored", NULL);
      g_autoptr (GError) error = NULL;

      if (cases[i].text != NULL)
        json_object_set_string_member (receipt, cases[i].member, cases[i].text);
      else if (cases[i].number != 0)
        json_object_set_int_member (receipt, cases[i].member, cases[i].number);
      else
        json_object_remove_member (receipt, cases[i].member);
      g_assert_false (cis_receipt_matches (receipt, episode, NULL, &error));
      g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, cases[i].member));
    }
}

/* An episode that was never packed is like no receipt at all. */
static void
test_unknown (void)
{
  g_autoptr (CisEpisode) episode = cis_episode_new (NULL, "run-1", NULL);
  g_autoptr (JsonObject) receipt = cis_receipt_new (episode, NULL, "stored", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (cis_receipt_matches (receipt, episode, NULL, &error));
  g_assert_error (error, CIS_ERROR, CIS_ERROR_INVALID);
}

static void
test_time (void)
{
  g_autofree char *epoch = cis_time_to_string (0), *then = cis_time_to_string (1795301460123456);
  g_autofree char *before = cis_time_to_string (-1);

  g_assert_cmpstr (epoch, ==, "1970-01-01T00:00:00.000000Z");
  g_assert_cmpstr (then, ==, "2026-11-21T22:51:00.123456Z");
  g_assert_cmpstr (before, ==, "1969-12-31T23:59:59.999999Z");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/receipt/new", test_new);
  g_test_add_func ("/receipt/matches", test_matches);
  g_test_add_func ("/receipt/differs", test_differs);
  g_test_add_func ("/receipt/unknown", test_unknown);
  g_test_add_func ("/receipt/time", test_time);
  return g_test_run ();
}
