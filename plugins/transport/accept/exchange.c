/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exchange.h"

#define KEY "cis-accept-exchange"

CisExchange *
cis_exchange_new (CisSet *set, CisConnection *connection)
{
  CisExchange *self = g_new0 (CisExchange, 1);

  self->set = cis_set_ref (set);
  self->connection = connection;
  return self;
}

void
cis_exchange_end (CisExchange *self, CisAfter after)
{
  /* First: a stage that holds on to the stream must not read from the next request. */
  if (self->body != NULL)
    cis_body_end (self->body);
  g_clear_object (&self->body);
  cis_set_give_back (self->set, g_steal_pointer (&self->connection), after);
  cis_set_unref (self->set);
  g_free (self);
}

void
cis_exchange_answer (CisExchange *self, const CisAnswer *answer, gboolean keep, gboolean without_body)
{
  /* A stranger has one answer for each connection: each leaves a line in the log, and some a row with an
   * alert. */
  gboolean goes_on = keep && self->connection->known;
  g_autoptr (GString) bytes = cis_answer_to_bytes (answer, !goes_on, without_body);
  gboolean sent = cis_connection_send (self->connection, bytes->str, bytes->len);

  cis_exchange_end (self, !sent ? CIS_AFTER_CLOSE : goes_on ? CIS_AFTER_KEEP : CIS_AFTER_DRAIN);
}

static void
drop (gpointer self)
{
  cis_exchange_end (self, CIS_AFTER_CLOSE);
}

void
cis_exchange_attach (CisExchange *self, CisRequest *request)
{
  g_object_set_data_full (G_OBJECT (request), KEY, self, drop);
}

CisExchange *
cis_exchange_detach (CisRequest *request)
{
  return g_object_steal_data (G_OBJECT (request), KEY);
}
