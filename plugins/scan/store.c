/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* scan/store: emits an episode for each archive in a receiver's store that has no row in index.jsonl, once.
 *
 * It may run beside a receiver. An archive whose .part is still there is somebody's who will write the row;
 * so the .part is looked for first and the index read afterwards: an archive without either is nobody's. */

#include "../store/archive/layout.h"
#include "../store/index/row-set.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

#define INDEX_NAME     "index.jsonl"
#define ARCHIVE_SUFFIX ".tar.zst"

typedef struct
{
  CisSource parent;
  char *directory;
  CisLayout layout; /* immutable after open() */
  int folder;       /* the state folder's */
  /* Of run()'s thread. */
  int index; /* -1 where there is none */
  CisRowSet *rows;
  guint present, in_flight; /* archives; atomic */
} CisScanStore;
typedef CisSourceClass CisScanStoreClass;

enum
{
  PROP_0,
  /* Beyond those of the options, which are numbered from 1. */
  PROP_PRESENT = 100,
  PROP_IN_FLIGHT,
};

GType cis_scan_store_get_type (void);
G_DEFINE_TYPE (CisScanStore, cis_scan_store, CIS_TYPE_SOURCE)

static gboolean
cis_scan_store_open (CisPart *part, GCancellable *cancellable, GError **error)
{
  CisScanStore *self = (CisScanStore *) part;

  self->folder = cis_folder_open_own (self->directory, error);
  return self->folder >= 0 && cis_layout_open (&self->layout, self->directory, error);
}

static void
cis_scan_store_close (CisPart *part)
{
  CisScanStore *self = (CisScanStore *) part;

  if (self->folder >= 0)
    g_close (self->folder, NULL);
  self->folder = -1;
  cis_layout_close (&self->layout);
}

/* Not in open(): the stage that appends has made the file by now. */
static gboolean
open_index (CisScanStore *self, GError **error)
{
  g_autoptr (GError) problem = NULL;

  self->index = cis_file_open (self->folder, INDEX_NAME, O_RDONLY | O_NOFOLLOW, NULL, &problem);
  if (problem == NULL || g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_prefixed_error (error, g_steal_pointer (&problem), "%s: ", self->directory);
  return FALSE;
}

static gboolean
read_index (CisScanStore *self, GCancellable *cancellable, GError **error)
{
  return self->index < 0 || cis_row_set_read (self->rows, self->index, cancellable, error);
}

static CisEpisode *
make_episode (CisScanStore *self, const char *host, const char *name, int fd, const struct stat *st)
{
  CisEpisode *episode = cis_episode_new (host, name, NULL);
  g_autoptr (JsonObject) receipt = cis_layout_read_receipt (fd, episode, CIS_ITEM (episode));
  const char *sha256 = receipt != NULL ? cis_json_get_string (receipt, "sha256") : NULL;
  const char *commit = receipt != NULL ? cis_json_get_string (receipt, "commit") : NULL;
  g_autofree char *file = cis_layout_archive_name (name);
  g_autofree char *path = g_build_filename (self->directory, "store", host, file, NULL);

  cis_episode_set_archive (episode, path, sha256, st->st_size);
  if (commit != NULL && cis_hex_is_valid (commit, 40))
    cis_episode_set_commit (episode, commit);
  if (receipt != NULL)
    cis_episode_set_receipt (episode, receipt);
  cis_item_set_mark (CIS_ITEM (episode), "backfilled", "true");
  return episode;
}

/* 1: it has no row and nobody at it, 0: it has, or has gone, -1 with @error. */
static int
is_missing (CisScanStore *self, const char *host, const char *name, const struct stat *st,
            GCancellable *cancellable, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autofree char *part =
      st->st_nlink > 1 ? cis_layout_find_intent (&self->layout, host, name, st, &problem) : NULL;

  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return -1;
    }
  if (part != NULL)
    {
      g_atomic_int_inc (&self->in_flight);
      return 0;
    }
  if (!read_index (self, cancellable, error))
    return -1;
  if (!cis_row_set_has (self->rows, host, name))
    return 1;
  g_atomic_int_inc (&self->present);
  return 0;
}

static gboolean
look_at (CisScanStore *self, const char *host, const char *name, int fd, const struct stat *st,
         GCancellable *cancellable, GError **error)
{
  int missing = is_missing (self, host, name, st, cancellable, error);

  if (missing <= 0)
    return missing == 0;
  /* Not taken: cancelled, or held. run() sees to that. */
  cis_source_emit (CIS_SOURCE (self), CIS_ITEM (make_episode (self, host, name, fd, st)), cancellable);
  return TRUE;
}

static gboolean
scan_archive (CisScanStore *self, const char *host, const char *file, GCancellable *cancellable,
              GError **error)
{
  g_autofree char *name = g_strndup (file, strlen (file) - strlen (ARCHIVE_SUFFIX));
  g_autofree char *path = g_build_filename (host, file, NULL);
  g_autoptr (GError) problem = NULL;
  struct stat st;
  gboolean ok;
  int fd;

  if (!cis_name_is_valid (name, CIS_EPISODE_NAME_MAX))
    return TRUE;
  if (cis_row_set_has (self->rows, host, name))
    {
      g_atomic_int_inc (&self->present);
      return TRUE;
    }
  fd = cis_file_open (self->layout.store, path, O_RDONLY | O_NOFOLLOW, &st, &problem);
  /* Gone meanwhile, or no file, and so no archive. */
  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
      g_error_matches (problem, CIS_ERROR, CIS_ERROR_INVALID))
    return TRUE;
  if (fd < 0)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&problem), "store: ");
      return FALSE;
    }
  ok = look_at (self, host, name, fd, &st, cancellable, error);
  g_close (fd, NULL);
  return ok;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static gboolean
scan_host (CisScanStore *self, const char *host, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) files = cis_layout_list (self->layout.store, host, error);

  if (files == NULL)
    return FALSE;
  g_ptr_array_sort (files, compare);
  for (guint i = 0; i < files->len && !g_cancellable_is_cancelled (cancellable); i++)
    if (g_str_has_suffix (files->pdata[i], ARCHIVE_SUFFIX) &&
        !scan_archive (self, host, files->pdata[i], cancellable, error))
      return FALSE;
  return TRUE;
}

static gboolean
scan (CisScanStore *self, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) hosts = cis_layout_list (self->layout.store, ".", error);

  if (hosts == NULL || !open_index (self, error) || !read_index (self, cancellable, error))
    return FALSE;
  g_ptr_array_sort (hosts, compare);
  for (guint i = 0; i < hosts->len && !g_cancellable_is_cancelled (cancellable); i++)
    if (cis_name_is_valid (hosts->pdata[i], CIS_HOST_NAME_MAX) &&
        !scan_host (self, hosts->pdata[i], cancellable, error))
      return FALSE;
  return TRUE;
}

static gboolean
cis_scan_store_run (CisSource *source, GCancellable *cancellable, GError **error)
{
  CisScanStore *self = (CisScanStore *) source;
  g_autoptr (GError) problem = NULL;

  self->rows = cis_row_set_new ();
  g_atomic_int_set (&self->present, 0);
  g_atomic_int_set (&self->in_flight, 0);
  scan (self, cancellable, &problem);
  if (self->index >= 0)
    g_close (self->index, NULL);
  self->index = -1;
  g_clear_pointer (&self->rows, cis_row_set_free);
  if (problem == NULL || g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

/* The base class's, for the options. */
static void (*get_option) (GObject *object, guint id, GValue *value, GParamSpec *pspec);

static void
cis_scan_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  CisScanStore *self = (CisScanStore *) object;

  if (id == PROP_PRESENT)
    g_value_set_uint (value, g_atomic_int_get (&self->present));
  else if (id == PROP_IN_FLIGHT)
    g_value_set_uint (value, g_atomic_int_get (&self->in_flight));
  else
    get_option (object, id, value, pspec);
}

static void
cis_scan_store_class_init (CisScanStoreClass *klass)
{
  static const char *const provides[] = { "archive", NULL };
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  CisPartClass *part_class = CIS_PART_CLASS (klass);

  part_class->open = cis_scan_store_open;
  part_class->close = cis_scan_store_close;
  klass->item_types[0] = CIS_TYPE_EPISODE;
  klass->provides = provides;
  klass->run = cis_scan_store_run;

  cis_part_class_add_option (
      part_class, G_STRUCT_OFFSET (CisScanStore, directory),
      g_param_spec_string ("directory", NULL,
                           "The receiver's state folder, with store/, incoming/ and index.jsonl in it.",
                           "${STATE_DIRECTORY}", CIS_PARAM_OPTION));

  get_option = object_class->get_property;
  object_class->get_property = cis_scan_store_get_property;
  g_object_class_install_property (object_class, PROP_PRESENT,
                                   g_param_spec_uint ("present", NULL, "Archives that had a row.", 0,
                                                      G_MAXUINT, 0,
                                                      G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_property (object_class, PROP_IN_FLIGHT,
                                   g_param_spec_uint ("in-flight", NULL, "Archives that a receiver is at.", 0,
                                                      G_MAXUINT, 0,
                                                      G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
}

static void
cis_scan_store_init (CisScanStore *self)
{
  self->layout = (CisLayout) CIS_LAYOUT_CLOSED;
  self->folder = self->index = -1;
}

CIS_PLUGIN ("scan/store", "Finds the archives in a receiver's store that its index has no row for.",
            CisScanStore, cis_scan_store, CisSource)
