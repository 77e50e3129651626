/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A receiver that answers by a script and keeps what it was asked, and a transport/http that ships to it. */

#include "harness.h"

#include <libsoup/soup.h>

#define ARCHIVE "the archive's bytes"

/* One answer of the script. */
typedef struct
{
  guint status;
  const char *type;   /* nullable */
  char *body;         /* owned; NULL: a receipt for what came */
  const char *header; /* nullable; one more */
  const char *value;
  gboolean close; /* the connection afterwards */
} Reply;

/* A scripted receiver on a thread of its own, and what it was asked. */
typedef struct
{
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;
  SoupServer *server;
  char *url;
  GTlsCertificate *certificate; /* nullable */
  GSocket *socket;              /* nullable */
  /* Locked. */
  GMutex lock;
  GQueue replies;   /* of Reply */
  GPtrArray *seen;  /* "PUT /path", the body behind a newline */
  GPtrArray *heads; /* of SoupMessageHeaders */
  GPtrArray *names; /* the clients' certificates' subjects */
} Peer;

/* On loopback, with TLS where @certificate is given, and a client's certificate of @authorities required
 * then; or on the listening @socket. None of them is owned. */
Peer *peer_new (GTlsCertificate *certificate, GTlsDatabase *authorities, GSocket *socket);
void peer_free (Peer *peer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Peer, peer_free)

/* The next answer. @type: NULL for JSON. @body: NULL for the matching receipt. */
Reply *peer_say (Peer *peer, guint status, const char *type, const char *body);
void peer_say_problem (Peer *peer, guint status, const char *id);
/* The request of this number, "VERB /path", a newline and the body; NULL where there was none. */
const char *peer_seen (Peer *peer, guint i);
const char *peer_header (Peer *peer, guint i, const char *name);

/* A host "lab-7" with the token "s3cret" and an episode "e1", packed. */
typedef struct
{
  char *tree;
  CisStage *stage;
} Fixture;

/* @ca_file: where it is given, the client's certificate is client.pem and client.key in the fixture's
 * tree. */
Fixture fixture_new (const char *url, guint64 ask_above, const char *ca_file);
void fixture_clear (Fixture *fixture);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Fixture, fixture_clear)

CisEpisode *fixture_episode (Fixture *fixture);
/* Ships once, and expects the verdict and the finding @id (nullable); the outcome is full. */
CisOutcome *fixture_ship (Fixture *fixture, CisVerdict verdict, const char *id);
void fixture_expect (Fixture *fixture, CisVerdict verdict, const char *id);
