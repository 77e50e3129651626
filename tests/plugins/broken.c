/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One stage that passes everything, built once for each flaw that the plugin loader must find. */
#include "cis490.h"

#ifdef MISSING_LIBRARY
int vanishing_answer (void);
#endif

typedef struct
{
  CisStage parent;
} TestBroken;

typedef CisStageClass TestBrokenClass;

/* "sound-twin" registers the type of "sound" a second time; all others have a name of their own. */
#if defined(SOUND) || defined(SOUND_TWIN)
#define TYPE_NAME "TestBrokenSound"
#else
#define TYPE_NAME "TestBroken-" FLAW
#endif

#ifndef NOT_A_PART
static CisOutcome *
test_broken_process (CisStage *stage, CisItem *item, GCancellable *cancellable)
{
#ifdef MISSING_LIBRARY
  return vanishing_answer () == 42 ? cis_outcome_passed () : cis_outcome_none ();
#else
  return cis_outcome_passed ();
#endif
}

static void
test_broken_class_init (gpointer klass, gpointer data)
{
  CIS_STAGE_CLASS (klass)->process = test_broken_process;
}
#endif

static GType
test_broken_get_type (void)
{
  static GType type = 0;

#ifdef NOT_A_PART
  if (type == 0)
    type = g_type_register_static_simple (G_TYPE_OBJECT, "TestBrokenObject", sizeof (GObjectClass), NULL,
                                          sizeof (GObject), NULL, 0);
#else
  if (type == 0)
    type = g_type_register_static_simple (CIS_TYPE_STAGE, TYPE_NAME, sizeof (TestBrokenClass),
                                          test_broken_class_init, sizeof (TestBroken), NULL, 0);
#endif
  return type;
}

#ifdef NO_SYMBOL
/* Keeps the type in the file, under a name that nobody looks for. */
CIS_API GType (*const test_not_the_symbol) (void);
GType (*const test_not_the_symbol) (void) = test_broken_get_type;
#else
CIS_API const CisPluginDescriptor cis490_plugin;
const CisPluginDescriptor cis490_plugin = {
#ifdef WRONG_MAGIC
  .magic = 0xdeadbeef,
#else
  .magic = CIS_PLUGIN_MAGIC,
#endif
#ifdef WRONG_ABI
  .abi = CIS_PLUGIN_ABI + 1,
#else
  .abi = CIS_PLUGIN_ABI,
#endif
#if defined(WRONG_CLASS_SIZE)
  .class_size = sizeof (CisStageClass) - sizeof (gpointer),
#elif defined(WRONG_PARENT)
  .class_size = sizeof (CisSourceClass),
#else
  .class_size = sizeof (CisStageClass),
#endif
#ifdef WRONG_NAME
  .name = "broken/another-name",
#else
  .name = "broken/" FLAW,
#endif
  .summary = "Passes everything.",
#if defined(NOT_A_PART)
  .type_name = "TestBrokenObject",
#else
  .type_name = TYPE_NAME,
#endif
#if defined(WRONG_PARENT)
  .parent_name = "CisSource",
#elif defined(NOT_A_PART)
  .parent_name = "GObject",
#else
  .parent_name = "CisStage",
#endif
  .get_type = test_broken_get_type,
};
#endif
