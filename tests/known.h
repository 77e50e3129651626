/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A store/known on a tree of its own, and a request that it answers. */

#include "harness.h"
#include "tarballs.h"

#include "../plugins/store/archive/layout.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>
#include <unistd.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

typedef struct
{
  char *tree;
  gpointer known;
  CisEpisode *episode; /* what a request claims: lab-1/run with "bytes" */
  CisRequest *request;
  char *stored; /* path */
} Fixture;

G_GNUC_UNUSED static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *sha256 = cis_digest_bytes ("bytes", 5);

  f->tree = test_tree_new ();
  f->known = test_part_new ("store/known", "directory", f->tree, NULL);
  cis_part_open (f->known, NULL, &error);
  g_assert_no_error (error);
  f->request = cis_request_new ("PUT", "/v1/episodes/lab-1/run");
  cis_request_identify (f->request, "lab-1");
  f->episode = cis_episode_new ("lab-1", "run", f->request);
  cis_episode_set_commit (f->episode, COMMIT);
  cis_episode_set_archive (f->episode, NULL, sha256, 5);
  f->stored = g_build_filename (f->tree, "store/lab-1/run.tar.zst", NULL);
}

G_GNUC_UNUSED static void
tear_down (Fixture *f, gconstpointer data)
{
  cis_part_close (f->known);
  g_object_unref (f->known);
  g_object_unref (f->episode);
  g_object_unref (f->request);
  g_free (f->stored);
  test_tree_remove (f->tree);
}

/* Links the stored archive to the .part that says it is of @bytes. */
G_GNUC_UNUSED static void
add_intent (Fixture *f, const char *bytes)
{
  g_autofree char *sha256 = cis_digest_bytes (bytes, strlen (bytes));
  g_autofree char *folder = g_build_filename (f->tree, "incoming/lab-1", NULL);
  g_autofree char *part = g_strdup_printf ("%s/run.%s." COMMIT ".part", folder, sha256);

  g_assert_no_errno (g_mkdir_with_parents (folder, 0750));
  g_assert_no_errno (link (f->stored, part));
}

G_GNUC_UNUSED static void
note_receipt (Fixture *f)
{
  g_autoptr (JsonObject) receipt =
      cis_receipt_new (f->episode, "lab-1", "stored", "2026-01-02T03:04:05.000000Z");
  int fd = open (f->stored, O_WRONLY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (cis_layout_write_receipt (fd, receipt, CIS_ITEM (f->episode)));
  g_close (fd, NULL);
}

G_GNUC_UNUSED static void
assert_finding (CisOutcome *outcome, const char *id)
{
  g_assert_nonnull (cis_outcome_get_finding (outcome));
  g_assert_cmpstr (cis_finding_get_id (cis_outcome_get_finding (outcome)), ==, id);
}

G_GNUC_UNUSED static void
assert_duplicate (Fixture *f)
{
  JsonObject *reply = cis_request_get_reply (f->request);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (test_process (f->known, f->episode, NULL), ==, CIS_VERDICT_DONE);
  g_assert_cmpuint (cis_request_get_status (f->request), ==, 200);
  reply = cis_request_get_reply (f->request);
  g_assert_cmpstr (cis_json_get_string (reply, "status"), ==, "duplicate");
  cis_receipt_matches (reply, f->episode, "lab-1", &error);
  g_assert_no_error (error);
}

/* So that no other question has it hashed. */
G_GNUC_UNUSED static void
assert_noted (const char *archive, CisEpisode *episode)
{
  int fd = open (archive, O_RDONLY | O_CLOEXEC);
  g_autoptr (JsonObject) receipt = cis_layout_read_receipt (fd, episode, CIS_ITEM (episode));

  g_assert_nonnull (receipt);
  g_assert_cmpstr (cis_json_get_string (receipt, "sha256"), ==, cis_episode_get_sha256 (episode));
  g_assert_cmpstr (cis_json_get_string (receipt, "status"), ==, "stored");
  /* Nobody has looked whether that is true of the bytes. */
  g_assert_false (json_object_has_member (receipt, "commit"));
  g_close (fd, NULL);
}

/* A whole archive in the store; nothing is noted beside it. Its digest; full. */
G_GNUC_UNUSED static char *
store_archive (Fixture *f)
{
  g_autoptr (GByteArray) bytes = tarball_make ("run", TARBALL_META (COMMIT));
  g_autofree char *folder = g_path_get_dirname (f->stored);

  g_assert_no_errno (g_mkdir_with_parents (folder, 0750));
  g_assert_true (g_file_set_contents (f->stored, (const char *) bytes->data, bytes->len, NULL));
  return cis_digest_bytes (bytes->data, bytes->len);
}
