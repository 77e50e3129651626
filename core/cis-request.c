/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

#include <string.h>

#define BEARER "Bearer "

struct _CisRequest
{
  GObject parent;
  char *method;
  char *target;        /* raw, never decoded */
  GHashTable *headers; /* owned; lower-case name to value */
  GInputStream *body;  /* owned, nullable */
  guint64 length;      /* of the body, bytes */
  char *client_name;   /* nullable: none came */
  char *identity;      /* nullable: not authenticated */
  guint status;        /* 0: follows from the outcome */
  JsonObject *reply;   /* owned, nullable */
};

G_DEFINE_FINAL_TYPE (CisRequest, cis_request, G_TYPE_OBJECT)

static void
cis_request_finalize (GObject *object)
{
  CisRequest *self = CIS_REQUEST (object);

  g_free (self->method);
  g_free (self->target);
  g_free (self->client_name);
  g_free (self->identity);
  g_hash_table_unref (self->headers);
  g_clear_object (&self->body);
  g_clear_pointer (&self->reply, json_object_unref);
  G_OBJECT_CLASS (cis_request_parent_class)->finalize (object);
}

static void
cis_request_class_init (CisRequestClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = cis_request_finalize;
}

static void
cis_request_init (CisRequest *self)
{
  self->headers = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, g_free);
}

CisRequest *
cis_request_new (const char *method, const char *target)
{
  CisRequest *self = g_object_new (CIS_TYPE_REQUEST, NULL);

  self->method = g_strdup (method);
  self->target = g_strdup (target);
  return self;
}

const char *
cis_request_get_method (CisRequest *self)
{
  return self->method;
}

const char *
cis_request_get_target (CisRequest *self)
{
  return self->target;
}

void
cis_request_set_header (CisRequest *self, const char *name, const char *value)
{
  g_hash_table_replace (self->headers, g_ascii_strdown (name, -1), g_strdup (value));
}

const char *
cis_request_get_header (CisRequest *self, const char *name)
{
  return g_hash_table_lookup (self->headers, name);
}

const char *
cis_request_get_token (CisRequest *self)
{
  const char *header = cis_request_get_header (self, "authorization");

  if (header == NULL || g_ascii_strncasecmp (header, BEARER, strlen (BEARER)) != 0)
    return NULL;
  header += strlen (BEARER);
  header += strspn (header, " ");
  return header[0] != '\0' ? header : NULL;
}

void
cis_request_set_client_name (CisRequest *self, const char *name)
{
  g_free (self->client_name);
  self->client_name = g_strdup (name);
}

const char *
cis_request_get_client_name (CisRequest *self)
{
  return self->client_name;
}

void
cis_request_set_body (CisRequest *self, GInputStream *body, guint64 length)
{
  g_set_object (&self->body, body);
  self->length = length;
}

GInputStream *
cis_request_get_body (CisRequest *self)
{
  return self->body;
}

guint64
cis_request_get_length (CisRequest *self)
{
  return self->length;
}

void
cis_request_identify (CisRequest *self, const char *host)
{
  g_free (self->identity);
  self->identity = g_strdup (host);
}

const char *
cis_request_get_identity (CisRequest *self)
{
  return self->identity;
}

void
cis_request_set_reply (CisRequest *self, guint status, JsonObject *body)
{
  self->status = status;
  g_clear_pointer (&self->reply, json_object_unref);
  self->reply = body;
}

guint
cis_request_get_status (CisRequest *self)
{
  return self->status;
}

JsonObject *
cis_request_get_reply (CisRequest *self)
{
  return self->reply;
}
