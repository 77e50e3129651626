/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"
#include "retry-after.h"

/* Whom we talk to, and as whom: what a fix has to name. */
typedef struct
{
  const char *url;
  const char *host;
  const char *token_file; /* nullable, as the rest */
  const char *certificate_file;
  const char *key_file;
  const char *ca_file;
} CisPeer;

typedef enum
{
  CIS_ASKED_PING,
  CIS_ASKED_QUESTION, /* what would a PUT say? */
  CIS_ASKED_UPLOAD,
  CIS_ASKED_REST, /* of an upload that was cut */
} CisAsked;

/* What came back. @status 0: nothing did, and @failure says why. */
typedef struct
{
  guint status;
  char *content_type; /* without parameters; nullable */
  GBytes *body;       /* nullable */
  gint64 retry_after; /* µs; 0: not told */
  char *failure;
  gboolean stale; /* the kept connection ended before anything came, perhaps before the request was seen */
  gboolean unreadable; /* nobody else's fault: our own archive cannot be read, for the reason of @failure */
  char *distrust;      /* why we do not take the receiver's certificate, as half a sentence; nullable */
  gboolean cut_new;    /* a TLS connection ended before its first answer: perhaps it is our certificate */
  char *fault;         /* what we ourselves see wrong with our certificate; nullable */
  gint64 date;         /* what it says in Date, µs since 1970; 0: nothing */
  gint64 their_end;    /* when the receiver's certificate is over, µs since 1970; 0: there is none */
  gint64 our_end;      /* and ours */
} CisAnswer;

/* What it means. */
typedef struct
{
  CisOutcome *outcome; /* NULL: go ahead (with the upload; of a ping: all is well) */
  JsonObject *receipt; /* where the outcome is passed */
  gboolean repack;     /* the tarball is not what its description says, or cannot be read */
  gboolean ask;        /* next time ask before sending this episode's body */
  gboolean whole;      /* the rest alone is not taken: send it whole */
  guint64 offset;      /* of a question that is answered "go ahead": how much is there already */
} CisJudgement;

/* @episode: NULL for a ping. Touches neither files nor the network. */
void cis_answer_judge (const CisAnswer *answer, CisAsked asked, CisEpisode *episode, const CisPeer *peer,
                       CisJudgement *judgement);
void cis_answer_clear (CisAnswer *answer);
void cis_judgement_clear (CisJudgement *judgement);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CisAnswer, cis_answer_clear)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CisJudgement, cis_judgement_clear)
