/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hashing.h"

#define CHUNK_SIZE (256 * 1024)
#define N_CHUNKS   4
#define INLINE_MAX (1024 * 1024)

struct _CisHashing
{
  CisDigest *digest; /* the thread's, while there is one */
  guint64 given;
  GThread *thread;
  GAsyncQueue *empty;
  GAsyncQueue *filled; /* ended by a chunk of no length */
};

CisChunk *
cis_chunk_new (guint64 size)
{
  gsize at_once = CLAMP (size, 1, CHUNK_SIZE);
  CisChunk *chunk = g_malloc (sizeof (CisChunk) + at_once);

  chunk->length = 0;
  chunk->size = at_once;
  return chunk;
}

CisHashing *
cis_hashing_new (guint64 size)
{
  CisHashing *self = g_new0 (CisHashing, 1);

  self->digest = cis_digest_new ();
  self->empty = g_async_queue_new_full (g_free);
  self->filled = g_async_queue_new_full (g_free);
  g_async_queue_push (self->empty, cis_chunk_new (size));
  return self;
}

static gpointer
hash_thread (gpointer data)
{
  CisHashing *self = data;

  for (;;)
    {
      CisChunk *chunk = g_async_queue_pop (self->filled);
      gsize length = chunk->length;

      cis_digest_update (self->digest, chunk->data, length);
      chunk->length = 0;
      g_async_queue_push (self->empty, chunk);
      if (length == 0)
        return NULL;
    }
}

static void
start_thread (CisHashing *self)
{
  /* Where no thread is to be had, hashing inline is merely slower. */
  self->thread = g_thread_try_new ("hashing", hash_thread, self, NULL);
  for (guint i = 1; self->thread != NULL && i < N_CHUNKS; i++)
    g_async_queue_push (self->empty, cis_chunk_new (CHUNK_SIZE));
}

static void
stop_thread (CisHashing *self)
{
  if (self->thread == NULL)
    return;
  g_async_queue_push (self->filled, cis_chunk_new (0));
  g_thread_join (g_steal_pointer (&self->thread));
}

CisChunk *
cis_hashing_take (CisHashing *self)
{
  return g_async_queue_pop (self->empty);
}

void
cis_hashing_give (CisHashing *self, CisChunk *chunk)
{
  if (self->thread == NULL && self->given >= INLINE_MAX)
    start_thread (self);
  self->given += chunk->length;
  if (self->thread != NULL && chunk->length > 0)
    {
      g_async_queue_push (self->filled, chunk);
      return;
    }
  if (chunk->length > 0)
    cis_digest_update (self->digest, chunk->data, chunk->length);
  chunk->length = 0;
  g_async_queue_push (self->empty, chunk);
}

char *
cis_hashing_finish (CisHashing *self)
{
  stop_thread (self);
  return cis_digest_finish (self->digest);
}

void
cis_hashing_free (CisHashing *self)
{
  stop_thread (self);
  g_async_queue_unref (self->empty);
  g_async_queue_unref (self->filled);
  cis_digest_free (self->digest);
  g_free (self);
}
