/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "../plugins/shared/code-version.h"
#include "peer.h"
#include "tarballs.h"
#include "uploads.h"

#include <string.h>

static JsonObject *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  JsonObject *object = cis_json_parse (text, strlen (text), &error);

  g_assert_no_error (error);
  return object;
}

static void
test_read_version (void)
{
  static const struct
  {
    const char *version, *commit, *repository, *remote, *restamped;
  } cases[] = {
    { "{\"commit\":\"" COMMIT "\"}", COMMIT },
    { "{\"commit\":\"" COMMIT "\",\"repository\":\"/a b\",\"remote\":\"git@x:y\"}", COMMIT, "/a b",
      "git@x:y" },
    { "7" },
    { "{\"commit\":\"HEAD\",\"repository\":\"relative\",\"remote\":\"\"}" },
    { "{\"repository\":\"/a\\u001b[2J\",\"remote\":\"a\\nb\"}" },
    { "{\"repository\":\"/a\\u202eb\",\"remote\":7}" },
    { "{\"restamped\":{\"old\":\"" COMMIT "\"}}", NULL, NULL, NULL, COMMIT },
    { "{\"restamped\":{\"old\":\"" OTHER_COMMIT "\",\"earlier\":[{\"old\":\"" COMMIT "\"},{\"old\":\"7\"}]}}",
      NULL, NULL, NULL, COMMIT },
    { "{\"restamped\":{\"old\":\"0123\"}}", NULL, NULL, NULL, CIS_RESTAMPED_UNKNOWN },
    { "{\"restamped\":{\"old\":\"" COMMIT "\",\"earlier\":[7]}}", NULL, NULL, NULL, CIS_RESTAMPED_UNKNOWN },
    { "{\"restamped\":null}", NULL, NULL, NULL, CIS_RESTAMPED_UNKNOWN },
    { "{\"restamped\":[]}", NULL, NULL, NULL, CIS_RESTAMPED_UNKNOWN },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = g_strdup_printf ("{\"code_version\":%s}", cases[i].version);
      g_autoptr (JsonObject) meta = parse (text);
      CisCodeVersion version = cis_code_version_read (meta);

      g_test_message ("%s", text);
      g_assert_cmpstr (version.commit, ==, cases[i].commit);
      g_assert_cmpstr (version.repository, ==, cases[i].repository);
      g_assert_cmpstr (version.remote, ==, cases[i].remote);
      g_assert_cmpstr (version.restamped, ==, cases[i].restamped);
    }
}

/* Whatever stands in meta.json, a shell takes it for one word. */
static void
test_fill (void)
{
  static const char *const odd[] = { "/a b", "/$(id)", "/'; id; '", "/{remote}", "/-x", "/`id`\\", "/ü*?" };

  for (guint i = 0; i < G_N_ELEMENTS (odd); i++)
    {
      CisCodeVersion version = { .repository = odd[i] };
      g_autofree char *filled = cis_code_version_fill (&version, "printf %s {repository}{remote}{other}");
      g_autofree char *expected = g_strconcat (odd[i], "ADDRESS-OF-THE-REPOSITORY{other}", NULL);
      const char *argv[] = { "sh", "-c", filled, NULL };
      g_autofree char *said = NULL;

      g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &said, NULL,
                                   NULL, NULL));
      g_assert_cmpstr (said, ==, expected);
    }
}

#define META_IN(place)                                                                                       \
  "{\"code_version\":{\"commit\":\"" COMMIT "\"," place "\"restamped\":{\"old\":\"" OTHER_COMMIT "\"}}}"

/* What the host says of it, and what it makes of the receiver's remedy. */
static void
test_host (void)
{
  static const struct
  {
    const char *meta, *fix;
  } cases[] = {
    { META_IN ("\"repository\":\"/opt/my exp\","), "git -C '/opt/my exp' pull" },
    { META_IN (""), "git -C REPOSITORY pull" },
    { NULL, "git -C REPOSITORY pull" },
  };
  g_autoptr (Peer) peer = peer_new (NULL, NULL, NULL);
  g_auto (Fixture) fixture = fixture_new (peer->url, 0, NULL);
  g_autofree char *directory = g_build_filename (fixture.tree, "state/episodes/e1", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (CisEpisode) episode = fixture_episode (&fixture);
      g_autoptr (CisStage) stamp = test_part_new ("gate/stamp", NULL, NULL);
      g_autofree char *fix = g_strdup_printf ("# the receiver at %s says:\n%s", peer->url, cases[i].fix);
      g_autoptr (CisOutcome) outcome = NULL;

      cis_episode_set_directory (episode, directory);
      if (cases[i].meta != NULL)
        {
          test_write (fixture.tree, "state/episodes/e1/meta.json", cases[i].meta);
          g_assert_cmpint (test_process (stamp, episode, NULL), ==, CIS_VERDICT_PASSED);
        }
      else
        test_write (fixture.tree, "state/episodes/e1/meta.json", "{");
      peer_say (peer, 412, "application/problem+json",
                "{\"type\":\"urn:cis490:finding:commit-not-in-window\",\"detail\":\"No.\","
                "\"remedy\":\"git -C {repository} pull\"}");
      g_assert_cmpint (test_process (fixture.stage, episode, &outcome), ==, CIS_VERDICT_REJECTED);
      g_assert_cmpstr (cis_finding_get_fix (cis_outcome_get_finding (outcome)), ==, fix);
      g_assert_cmpstr (peer_header (peer, i, "X-Cis490-Code-Restamped"), ==,
                       cases[i].meta != NULL ? OTHER_COMMIT : NULL);
    }
}

/* The request and the archive have to say the same. */
static void
test_verified (void)
{
  static const struct
  {
    const char *meta, *header, *id;
  } cases[] = {
    { META_IN (""), OTHER_COMMIT, NULL },
    { TARBALL_META (COMMIT), NULL, NULL },
    { META_IN (""), NULL, "archive-mismatch" },
    { META_IN (""), COMMIT, "archive-mismatch" },
    { TARBALL_META (COMMIT), OTHER_COMMIT, "archive-mismatch" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TestTree) tree = test_tree_new ();
      gpointer archive = uploads_open (tree, 0);
      g_autoptr (CisStage) verify = test_part_new ("gate/verify", NULL, NULL);
      g_autoptr (GBytes) bytes = g_byte_array_free_to_bytes (tarball_make ("run", cases[i].meta));
      g_autoptr (GInputStream) body = g_memory_input_stream_new_from_bytes (bytes);
      g_autofree char *sha256 = cis_digest_bytes (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      g_autoptr (CisEpisode) episode =
          uploads_make ("PUT", "lab-1", "run", sha256, g_bytes_get_size (bytes), body);
      g_autoptr (CisOutcome) outcome = NULL;

      if (cases[i].header != NULL)
        cis_request_set_header (cis_item_get_request (CIS_ITEM (episode)), CIS_RESTAMPED_HEADER,
                                cases[i].header);
      g_assert_cmpint (test_process (verify, episode, NULL), ==, CIS_VERDICT_PASSED);
      g_assert_cmpint (uploads_put (archive, episode, &outcome), ==,
                       cases[i].id != NULL ? CIS_VERDICT_REJECTED : CIS_VERDICT_PASSED);
      if (cases[i].id != NULL)
        uploads_assert_finding (outcome, cases[i].id);
      uploads_close (archive);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/code-version/read", test_read_version);
  g_test_add_func ("/code-version/fill", test_fill);
  g_test_add_func ("/code-version/host", test_host);
  g_test_add_func ("/code-version/verified", test_verified);
  return g_test_run ();
}
