/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A finding may quote others' words, and ends on a terminal: all of its text is plain. */

#include "cis-plain.h"

#define PROBLEM_TYPE "urn:cis490:finding:"

struct _CisFinding
{
  GObject parent;
  char *id;
  CisSeverity severity;
  char *subject;
  char *summary;
  char *fix;          /* nullable */
  GPtrArray *details; /* key, value, key, value, … */
};

G_DEFINE_FINAL_TYPE (CisFinding, cis_finding, G_TYPE_OBJECT)

static void
cis_finding_finalize (GObject *object)
{
  CisFinding *self = CIS_FINDING (object);

  g_free (self->id);
  g_free (self->subject);
  g_free (self->summary);
  g_free (self->fix);
  g_ptr_array_unref (self->details);
  G_OBJECT_CLASS (cis_finding_parent_class)->finalize (object);
}

static void
cis_finding_class_init (CisFindingClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = cis_finding_finalize;
}

static void
cis_finding_init (CisFinding *self)
{
  self->details = g_ptr_array_new_with_free_func (g_free);
}

/* A sentence with one full stop, whatever was printed into its end. */
static char *
make_sentence (const char *text)
{
  g_autofree char *valid = cis_plain_new (text);
  gsize length = strlen (g_strchomp (valid));

  if (length > 0 && strchr ("?!", valid[length - 1]) != NULL)
    return g_steal_pointer (&valid);
  while (length > 0 && valid[length - 1] == '.')
    valid[--length] = '\0';
  return g_strconcat (valid, ".", NULL);
}

CisFinding *
cis_finding_new (const char *id, CisSeverity severity, const char *subject, const char *summary_format, ...)
{
  CisFinding *self = g_object_new (CIS_TYPE_FINDING, NULL);
  g_autofree char *summary = NULL;
  va_list args;

  va_start (args, summary_format);
  summary = g_strdup_vprintf (summary_format, args);
  va_end (args);

  self->id = g_strdup (id);
  self->severity = severity;
  self->subject = cis_plain_new (subject != NULL ? subject : "");
  self->summary = make_sentence (summary);
  return self;
}

void
cis_finding_set_fix (CisFinding *self, const char *format, ...)
{
  g_autofree char *fix = NULL;
  va_list args;

  va_start (args, format);
  fix = g_strdup_vprintf (format, args);
  va_end (args);
  g_free (self->fix);
  self->fix = cis_plain_new (fix);
}

void
cis_finding_set_detail (CisFinding *self, const char *key, const char *value)
{
  g_ptr_array_add (self->details, cis_plain_new (key));
  g_ptr_array_add (self->details, cis_plain_new (value != NULL ? value : ""));
}

const char *
cis_finding_get_id (CisFinding *self)
{
  return self->id;
}

void
cis_finding_set_severity (CisFinding *self, CisSeverity severity)
{
  self->severity = severity;
}

CisSeverity
cis_finding_get_severity (CisFinding *self)
{
  return self->severity;
}

const char *
cis_finding_get_subject (CisFinding *self)
{
  return self->subject;
}

const char *
cis_finding_get_summary (CisFinding *self)
{
  return self->summary;
}

const char *
cis_finding_get_fix (CisFinding *self)
{
  return self->fix;
}

const char *
cis_finding_get_detail (CisFinding *self, const char *key)
{
  for (guint i = 0; i < self->details->len; i += 2)
    if (strcmp (self->details->pdata[i], key) == 0)
      return self->details->pdata[i + 1];
  return NULL;
}

const char *
cis_finding_change_to_string (CisFindingChange change)
{
  static const char *const names[] = { "raised", "replaced", "cleared", "event" };

  return change < G_N_ELEMENTS (names) ? names[change] : "unknown";
}

static void
add_details (CisFinding *self, JsonObject *object)
{
  for (guint i = 0; i < self->details->len; i += 2)
    if (!json_object_has_member (object, self->details->pdata[i]))
      json_object_set_string_member (object, self->details->pdata[i], self->details->pdata[i + 1]);
}

JsonObject *
cis_finding_to_json (CisFinding *self)
{
  static const char *const severities[] = { "info", "warning", "error" };
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "finding", self->id);
  json_object_set_string_member (object, "severity", severities[self->severity]);
  json_object_set_string_member (object, "subject", self->subject);
  json_object_set_string_member (object, "summary", self->summary);
  if (self->fix != NULL)
    json_object_set_string_member (object, "fix", self->fix);
  add_details (self, object);
  return object;
}

JsonObject *
cis_finding_to_problem (CisFinding *self, guint status)
{
  g_autofree char *type = g_strconcat (PROBLEM_TYPE, self->id, NULL);
  g_autofree char *title = g_strdelimit (g_strdup (self->id), "-", ' ');
  JsonObject *object = json_object_new ();

  title[0] = g_ascii_toupper (title[0]);
  json_object_set_string_member (object, "type", type);
  json_object_set_string_member (object, "title", title);
  json_object_set_int_member (object, "status", status);
  json_object_set_string_member (object, "detail", self->summary);
  if (self->fix != NULL)
    json_object_set_string_member (object, "remedy", self->fix);
  add_details (self, object);
  return object;
}

CisFinding *
cis_finding_from_problem (JsonObject *problem, const char *subject)
{
  static const char *const ours[] = { "type", "title", "status", "detail", "remedy", NULL };
  const char *type = cis_json_get_string (problem, "type");
  const char *summary = cis_json_get_string (problem, "detail");
  const char *remedy = cis_json_get_string (problem, "remedy");
  g_autoptr (GList) members = json_object_get_members (problem);
  CisFinding *self;

  if (type == NULL || !g_str_has_prefix (type, PROBLEM_TYPE))
    return NULL;

  self = cis_finding_new (type + strlen (PROBLEM_TYPE), CIS_SEVERITY_ERROR, subject, "%s",
                          summary != NULL ? summary : type);
  if (remedy != NULL)
    cis_finding_set_fix (self, "%s", remedy);
  for (GList *l = members; l != NULL; l = l->next)
    if (!g_strv_contains (ours, l->data) && cis_json_get_string (problem, l->data) != NULL)
      cis_finding_set_detail (self, l->data, cis_json_get_string (problem, l->data));
  return self;
}
