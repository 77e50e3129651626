/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-part.h"

#include "cis-option.h"

typedef struct
{
  char *name;
  const char *plugin;    /* none, nullable */
  CisPipeline *pipeline; /* none, nullable */
} CisPartPrivate;

enum
{
  PROP_NAME = 1,
};

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE (CisPart, cis_part, G_TYPE_OBJECT)

static CisPartPrivate *
get_private (CisPart *self)
{
  return cis_part_get_instance_private (self);
}

static void
cis_part_set_name (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  get_private (CIS_PART (object))->name = g_value_dup_string (value);
}

static void
cis_part_finalize (GObject *object)
{
  g_free (get_private (CIS_PART (object))->name);
  cis_option_finalize (object);
  G_OBJECT_CLASS (cis_part_parent_class)->finalize (object);
}

static void
cis_part_class_init (CisPartClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->finalize = cis_part_finalize;
  object_class->set_property = cis_part_set_name;
  g_object_class_install_property (object_class, PROP_NAME,
                                   g_param_spec_string ("name", NULL, "The ini's group.", NULL,
                                                        G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY |
                                                            G_PARAM_STATIC_STRINGS));
}

static void
cis_part_init (CisPart *self)
{
}

void
cis_part_class_add_option (CisPartClass *klass, gsize offset, GParamSpec *pspec)
{
  /* Each class that has options gets the accessors; this class's own property stays with
   * cis_part_set_name(). */
  cis_option_class_init (G_OBJECT_CLASS (klass));
  cis_option_install (G_OBJECT_CLASS (klass), offset, pspec);
}

const char *
cis_part_get_name (CisPart *self)
{
  return get_private (self)->name;
}

void
cis_part_set_plugin (CisPart *self, const char *plugin)
{
  get_private (self)->plugin = plugin;
}

const char *
cis_part_get_plugin (CisPart *self)
{
  return get_private (self)->plugin;
}

void
cis_part_set_pipeline (CisPart *self, CisPipeline *pipeline)
{
  get_private (self)->pipeline = pipeline;
}

CisPipeline *
cis_part_get_pipeline (CisPart *self)
{
  return get_private (self)->pipeline;
}

guint
cis_part_get_workers (CisPart *self)
{
  CisPipeline *pipeline = get_private (self)->pipeline;

  return pipeline != NULL ? cis_pipeline_get_workers (pipeline) : 1;
}

void
cis_part_raise (CisPart *self, CisFinding *finding)
{
  g_autoptr (CisFinding) owned = finding;
  CisPipeline *pipeline = get_private (self)->pipeline;

  if (pipeline != NULL)
    cis_pipeline_raise (pipeline, self, owned);
}

void
cis_part_clear (CisPart *self, const char *id, const char *subject)
{
  CisPipeline *pipeline = get_private (self)->pipeline;

  if (pipeline != NULL)
    cis_pipeline_clear (pipeline, self, id, subject);
}

void
cis_part_clear_unless (CisPart *self, const char *id, CisSubjectFunc holds, gpointer user_data)
{
  CisPipeline *pipeline = get_private (self)->pipeline;

  if (pipeline != NULL)
    cis_pipeline_clear_unless (pipeline, self, id, holds, user_data);
}

void
cis_part_stop (CisPart *self, GError *error)
{
  CisPipeline *pipeline = get_private (self)->pipeline;

  if (pipeline != NULL)
    cis_pipeline_fail (pipeline, error);
  else
    g_error_free (error);
}

void
cis_part_watch_folder (CisPart *self, const char *path, int fd)
{
  CisPipeline *pipeline = get_private (self)->pipeline;

  if (pipeline != NULL)
    cis_pipeline_watch_folder (pipeline, path, fd);
}

gboolean
cis_part_validate (CisPart *self, GError **error)
{
  CisPartClass *klass = CIS_PART_GET_CLASS (self);

  return klass->validate == NULL || klass->validate (self, error);
}

gboolean
cis_part_open (CisPart *self, GCancellable *cancellable, GError **error)
{
  CisPartClass *klass = CIS_PART_GET_CLASS (self);

  if (!cis_part_validate (self, error))
    return FALSE;
  return klass->open == NULL || klass->open (self, cancellable, error);
}

void
cis_part_close (CisPart *self)
{
  CisPartClass *klass = CIS_PART_GET_CLASS (self);

  if (klass->close != NULL)
    klass->close (self);
}

gboolean
cis_part_maintains (CisPart *self)
{
  return CIS_PART_GET_CLASS (self)->maintain != NULL;
}

gint64
cis_part_maintain (CisPart *self, GCancellable *cancellable, GError **error)
{
  return CIS_PART_GET_CLASS (self)->maintain (self, cancellable, error);
}

void
cis_part_look (CisPart *self, GPtrArray *findings)
{
  CisPartClass *klass = CIS_PART_GET_CLASS (self);

  if (klass->look != NULL)
    klass->look (self, findings);
}

gboolean
cis_part_can_check (CisPart *self)
{
  return CIS_PART_GET_CLASS (self)->check != NULL;
}

void
cis_part_check (CisPart *self, GPtrArray *findings, GCancellable *cancellable)
{
  CIS_PART_GET_CLASS (self)->check (self, findings, cancellable);
}
