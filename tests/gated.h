/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A gate/window over a real repository, and requests that it judges. */

#include "forge.h"

#include "cis-part.h"

#define DAY    (24 * 3600 * G_TIME_SPAN_SECOND)
#define SECOND G_TIME_SPAN_SECOND

/* A repository with the commits 1 to 9 on main. */
typedef struct
{
  TestTree *tree;
  char *repository;
} Fixture;

G_GNUC_UNUSED static char *
run (Fixture *fixture, const char *script)
{
  const char *argv[] = { "sh", "-ec", script, NULL };
  g_autoptr (GError) error = NULL;
  char *output = NULL;
  int status;

  g_spawn_sync (fixture->tree, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, &status,
                &error);
  g_assert_no_error (error);
  g_spawn_check_wait_status (status, &error);
  g_assert_no_error (error);
  return g_strstrip (output);
}

G_GNUC_UNUSED static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->tree = test_tree_new ();
  fixture->repository = g_build_filename (fixture->tree, "repository", NULL);
  g_free (run (
      fixture,
      "git init -q -b main repository; now=$(date +%s)\n"
      "for i in 1 2 3 4 5 6 7 8 9; do\n"
      "  printf 'commit refs/heads/main\\ncommitter A <a@example.org> %s +0000\\ndata 2\\n%s\\n\\n' $now $i\n"
      "  printf 'reset refs/tags/c%s\\nfrom refs/heads/main\\n\\n' $i\n"
      "done | git -C repository fast-import --quiet\n"));
}

G_GNUC_UNUSED static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_free (fixture->repository);
  test_tree_remove (fixture->tree);
}

G_GNUC_UNUSED static char *
get_commit (Fixture *fixture, const char *revision)
{
  g_autofree char *script =
      g_strdup_printf ("git -C repository rev-parse --verify --end-of-options '%s^{commit}'", revision);

  return run (fixture, script);
}

G_GNUC_UNUSED static char *
push (Fixture *fixture)
{
  return run (fixture, "git -C repository commit -q --allow-empty -m more; git -C repository rev-parse HEAD");
}

G_GNUC_UNUSED static gpointer
gate_new (Fixture *fixture, gint64 ttl)
{
  g_autoptr (GError) error = NULL;
  gpointer gate = test_part_new ("gate/window", "repository", fixture->repository, "branch", "main", "window",
                                 3, "ttl", ttl, "wait", 60 * SECOND, "save-file", NULL, NULL);

  cis_part_open (gate, NULL, &error);
  g_assert_no_error (error);
  return gate;
}

G_GNUC_UNUSED static void
gate_free (gpointer gate)
{
  cis_part_close (gate);
  g_object_unref (gate);
}

/* What arrives with a request whose header is @header. */
G_GNUC_UNUSED static CisEpisode *
episode_new (const char *header)
{
  g_autoptr (CisRequest) request = cis_request_new ("PUT", "/v1/episodes/lab07/run-1");

  cis_request_identify (request, "lab07");
  if (header != NULL)
    cis_request_set_header (request, "x-cis490-code-commit", header);
  return cis_episode_new ("lab07", "run-1", request);
}

G_GNUC_UNUSED static CisVerdict
judge (gpointer gate, const char *header, CisOutcome **outcome)
{
  g_autoptr (CisEpisode) episode = episode_new (header);

  return test_process (gate, episode, outcome);
}

G_GNUC_UNUSED static void
assert_rejected (gpointer gate, const char *header, const char *id)
{
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (judge (gate, header, &outcome), ==, CIS_VERDICT_REJECTED);
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, id);
  g_assert_cmpstr (cis_finding_get_subject (cis_outcome_get_finding (outcome)), ==, "lab07/run-1");
  g_assert_nonnull (cis_finding_get_fix (cis_outcome_get_finding (outcome)));
}

/* @scope: of the stage where nothing is known of any commit. */
G_GNUC_UNUSED static void
assert_deferred (gpointer gate, const char *header, gint64 ttl, CisScope scope)
{
  g_autoptr (CisOutcome) outcome = NULL;

  g_assert_cmpint (judge (gate, header, &outcome), ==, CIS_VERDICT_DEFERRED);
  g_assert_cmpint (cis_outcome_get_scope (outcome), ==, scope);
  g_assert_cmpint (cis_outcome_get_retry_after (outcome), ==, ttl);
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, "window-unavailable");
}
