/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis490.h"

typedef struct
{
  GLogField fields[8];
  gsize n;
} Fields;

static void
add_field (Fields *fields, const char *key, const char *value)
{
  if (value != NULL)
    fields->fields[fields->n++] = (GLogField){ key, value, -1 };
}

/* syslog(3)'s numbers, as the journal wants them. */
static const char *
level_to_priority (GLogLevelFlags level)
{
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    return "3";
  if (level & G_LOG_LEVEL_WARNING)
    return "4";
  if (level & G_LOG_LEVEL_MESSAGE)
    return "5";
  return level & G_LOG_LEVEL_INFO ? "6" : "7";
}

void
cis_part_log (CisPart *self, CisItem *item, GLogLevelFlags level, const char *message_id, const char *format,
              ...)
{
  g_autofree char *message = NULL;
  const char *episode = item != NULL ? cis_item_get_id (item) : NULL;
  Fields fields = { .n = 0 };
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  add_field (&fields, "MESSAGE", message);
  add_field (&fields, "PRIORITY", level_to_priority (level));
  add_field (&fields, "GLIB_DOMAIN", G_LOG_DOMAIN);
  add_field (&fields, "MESSAGE_ID", message_id);
  add_field (&fields, "CIS490_STAGE", self != NULL ? cis_part_get_name (self) : NULL);
  if (CIS_IS_EPISODE (item))
    {
      add_field (&fields, "CIS490_HOST", cis_episode_get_host (CIS_EPISODE (item)));
      episode = cis_episode_get_name (CIS_EPISODE (item));
    }
  add_field (&fields, "CIS490_EPISODE", episode);
  g_log_structured_array (level, fields.fields, fields.n);
}
