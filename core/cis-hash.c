/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* SipHash-2-4, J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF", 2012. g_str_hash() has
 * no key: a quarter of a million strings that it gives one value are written down in a second, and a table of
 * them takes minutes. */

#define ROTATE(value, bits) ((value) << (bits) | (value) >> (64 - (bits)))

static void
mix (guint64 v[4], guint rounds)
{
  for (; rounds > 0; rounds--)
    {
      v[0] += v[1];
      v[1] = ROTATE (v[1], 13) ^ v[0];
      v[0] = ROTATE (v[0], 32);
      v[2] += v[3];
      v[3] = ROTATE (v[3], 16) ^ v[2];
      v[0] += v[3];
      v[3] = ROTATE (v[3], 21) ^ v[0];
      v[2] += v[1];
      v[1] = ROTATE (v[1], 17) ^ v[2];
      v[2] = ROTATE (v[2], 32);
    }
}

static void
absorb (guint64 v[4], guint64 word)
{
  word = GUINT64_FROM_LE (word);
  v[3] ^= word;
  mix (v, 2);
  v[0] ^= word;
}

guint64
cis_siphash (const guint64 key[2], const void *data, gsize length)
{
  guint64 v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                   key[1] ^ 0x7465646279746573 };
  const guint8 *at = data;
  guint8 last[sizeof (guint64)] = { 0 };
  guint64 word;

  for (gsize left = length; left >= sizeof word; left -= sizeof word, at += sizeof word)
    {
      memcpy (&word, at, sizeof word);
      absorb (v, word);
    }
  memcpy (last, at, length % sizeof word);
  last[7] = (guint8) length;
  memcpy (&word, last, sizeof word);
  absorb (v, word);
  v[2] ^= 0xff;
  mix (v, 4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Another in each process. getrandom() of so few bytes neither fails nor is cut short; before the kernel has
 * any randomness, it waits. */
static gpointer
make_key (gpointer data)
{
  static guint64 key[2];

  if (getrandom (key, sizeof key, 0) != sizeof key)
    g_error ("No key to hash with: getrandom: %s", g_strerror (errno));
  return key;
}

guint
cis_str_hash (gconstpointer string)
{
  static GOnce once = G_ONCE_INIT;

  return (guint) cis_siphash (g_once (&once, make_key, NULL), string, strlen (string));
}

static int
compare_keys (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

const char **
cis_str_keys (GHashTable *table)
{
  guint n;
  const char **keys = (const char **) g_hash_table_get_keys_as_array (table, &n);

  qsort (keys, n, sizeof *keys, compare_keys);
  return keys;
}
