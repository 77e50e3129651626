/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A source that counts: item-0, item-1, … What comes home deferred or failed goes out again,
 * but for --once. */

#include "record.h"

typedef struct
{
  CisSource parent;
  guint items;
  char *record;

  GAsyncQueue *again; /* owned; ids; from open() to close() */
} CisTestCount;

typedef CisSourceClass CisTestCountClass;

GType cis_test_count_get_type (void);
G_DEFINE_TYPE (CisTestCount, cis_test_count, CIS_TYPE_SOURCE)

static gboolean
cis_test_count_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  ((CisTestCount *) part)->again = g_async_queue_new_full (g_free);
  return TRUE;
}

static void
cis_test_count_close (CisPart *part)
{
  g_clear_pointer (&((CisTestCount *) part)->again, g_async_queue_unref);
}

static gboolean
cis_test_count_run (CisSource *source, GCancellable *cancellable, GError **error)
{
  CisTestCount *self = (CisTestCount *) source;

  for (guint i = 0; i < self->items; i++)
    {
      g_autofree char *id = g_strdup_printf ("item-%u", i);

      if (!cis_source_emit (source, CIS_ITEM (cis_episode_new (NULL, id, NULL)), cancellable))
        return TRUE;
    }
  while (!cis_source_is_once (source) && !g_cancellable_is_cancelled (cancellable))
    {
      g_autofree char *id = g_async_queue_timeout_pop (self->again, 10000);

      if (id != NULL && !cis_source_emit (source, CIS_ITEM (cis_episode_new (NULL, id, NULL)), cancellable))
        return TRUE;
    }
  return TRUE;
}

static void
cis_test_count_settled (CisSource *source, CisItem *item, CisOutcome *outcome)
{
  CisTestCount *self = (CisTestCount *) source;
  CisVerdict verdict = cis_outcome_get_verdict (outcome);

  record (self->record, "home %s %s", cis_item_get_id (item), cis_verdict_to_string (verdict));
  if (verdict == CIS_VERDICT_DEFERRED || verdict == CIS_VERDICT_FAILED)
    g_async_queue_push (self->again, g_strdup (cis_item_get_id (item)));
}

static void
cis_test_count_class_init (CisSourceClass *klass)
{
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  part_class->open = cis_test_count_open;
  part_class->close = cis_test_count_close;
  klass->item_types[0] = CIS_TYPE_EPISODE;
  klass->run = cis_test_count_run;
  klass->settled = cis_test_count_settled;
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestCount, items),
                             g_param_spec_uint ("items", NULL, "How many.", 0, 1000000, 3, CIS_PARAM_OPTION));
  cis_part_class_add_option (part_class, G_STRUCT_OFFSET (CisTestCount, record),
                             g_param_spec_string ("record", NULL, "Where it says what came home.", NULL,
                                                  CIS_PARAM_OPTION));
}

static void
cis_test_count_init (CisTestCount *self)
{
}

CIS_PLUGIN ("test/count", "Emits items that are numbered.", CisTestCount, cis_test_count, CisSource)
