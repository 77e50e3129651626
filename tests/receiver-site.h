/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* transport/accept in a real pipeline, on a real socket, with the stage of plugins/test/receive.c behind it;
 * and a client that says exactly what the test wants. */

#include "cis-pipeline.h"
#include "harness.h"

#define BODY        "seven!!"
#define ZERO_SHA256 "0000000000000000000000000000000000000000000000000000000000000000"
#define COMMON      "Host: receiver\r\nAuthorization: Bearer h\r\n" /* of the host "h" */
#define PING        "POST /v1/ping HTTP/1.1\r\n" COMMON "Content-Length: 0\r\n\r\n"
#define PUT_HEAD_AS(token, host, length, sha256, more)                                                       \
  "PUT /v1/episodes/" host "/e HTTP/1.1\r\nHost: receiver\r\nAuthorization: Bearer " token                   \
  "\r\nContent-Length: " length "\r\nX-Cis490-Sha256: " sha256 "\r\n" more "\r\n"
#define PUT_HEAD(host, length, sha256, more) PUT_HEAD_AS (host, host, length, sha256, more)

typedef struct
{
  TestTree *tree;
  char *socket;
  char *hold; /* a header: the request is held until site_let_go() */
  CisPipeline *pipeline;
  gboolean finished;
} Site;

typedef struct
{
  int fd;
  GString *bytes; /* received and not read yet */
} Client;

typedef struct
{
  guint status;
  char *head; /* "" where the connection ended without an answer */
  JsonObject *body;
} Answer;

/* accept, the stage of plugins/test/receive.c and a findings.jsonl, running; @options: further lines of
 * [accept]. */
Site *site_new (guint workers, const char *options);
/* Opens and starts the pipeline, again where it was stopped and closed. */
void site_start (Site *self);
/* As a signal would: everything at once. */
void site_stop (Site *self);
void site_let_go (Site *self);
void site_free (Site *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Site, site_free)

Client *client_new (Site *site);
Client *client_new_unconnected (void);
void client_connect (Client *self, Site *site);
void client_free (Client *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Client, client_free)

void client_send (Client *self, const char *text, gsize length);
void client_say (Client *self, const char *text);
/* %FALSE at the end of the connection. */
gboolean client_receive (Client *self);
/* The connection ends, and nothing comes before. */
void assert_end (Client *client);

/* Status 0 and an empty head where the connection ended without an answer. */
Answer client_read (Client *self);
void answer_clear (Answer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Answer, answer_clear)
gboolean has_header (const Answer *answer, const char *line);
/* @id: of the problem; %NULL: none. */
void assert_answer (Client *client, guint status, const char *id);
/* And its fix has these words. */
void assert_remedy (Client *client, guint status, const char *id, const char *words);

/* Of BODY; full. */
char *body_sha256 (void);
/* A whole PUT of BODY with the host's token, which is its name, or with another; full. */
char *make_put (const char *host, const char *more);
char *make_put_as (const char *token, const char *host, const char *more);

/* g_test_init(), with the plugins that only tests use. */
void site_init (int *argc, char ***argv);
