/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Watches are kernel memory that all programs of a user share. */
#define MAX_UNFINISHED 1024

struct _Watch
{
  int fd;
  int folder;             /* episodes/; not ours */
  GHashTable *unfinished; /* watch descriptor to name (owned) */
  GHashTable *wds;        /* the way back; names are those of @unfinished */
};

Watch *
watch_new (int folder)
{
  Watch *self = g_new0 (Watch, 1);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", folder);

  self->folder = folder;
  self->unfinished = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  self->wds = g_hash_table_new (cis_str_hash, g_str_equal);
  self->fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  if (self->fd >= 0 &&
      inotify_add_watch (self->fd, path, IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR) <
          0)
    {
      g_close (self->fd, NULL);
      self->fd = -1;
    }
  return self;
}

void
watch_free (Watch *self)
{
  if (self->fd >= 0)
    g_close (self->fd, NULL);
  g_hash_table_unref (self->wds);
  g_hash_table_unref (self->unfinished);
  g_free (self);
}

int
watch_get_fd (Watch *self)
{
  return self->fd;
}

static void
forget (Watch *self, int wd)
{
  const char *name = g_hash_table_lookup (self->unfinished, GINT_TO_POINTER (wd));

  if (name == NULL)
    return;
  g_hash_table_remove (self->wds, name);
  g_hash_table_remove (self->unfinished, GINT_TO_POINTER (wd));
}

static void
dispatch (Watch *self, const struct inotify_event *event, WatchFunc func, gpointer user_data)
{
  const char *unfinished = g_hash_table_lookup (self->unfinished, GINT_TO_POINTER (event->wd));

  if (event->mask & IN_Q_OVERFLOW)
    func (NULL, WATCH_LOST, user_data);
  else if (event->mask & IN_IGNORED)
    forget (self, event->wd);
  else if (unfinished != NULL && event->len > 0 && g_str_equal (event->name, "meta.json"))
    func (unfinished, WATCH_FINISHED, user_data);
  else if (unfinished == NULL && event->len > 0)
    func (event->name, event->mask & (IN_CREATE | IN_MOVED_TO) ? WATCH_APPEARED : WATCH_VANISHED, user_data);
}

void
watch_read (Watch *self, WatchFunc func, gpointer user_data)
{
  char buffer[16 * 1024] __attribute__ ((aligned (__alignof__(struct inotify_event))));
  ssize_t length;

  while (self->fd >= 0 && (length = read (self->fd, buffer, sizeof buffer)) > 0)
    for (char *at = buffer; at < buffer + length;)
      {
        const struct inotify_event *event = (const struct inotify_event *) at;

        dispatch (self, event, func, user_data);
        at += sizeof *event + event->len;
      }
}

void
watch_add_unfinished (Watch *self, const char *name)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d/%s", self->folder, name);
  char *copy;
  int wd;

  if (self->fd < 0 || g_hash_table_contains (self->wds, name) ||
      g_hash_table_size (self->unfinished) >= MAX_UNFINISHED)
    return;
  wd = inotify_add_watch (self->fd, path,
                          IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR | IN_DONT_FOLLOW);
  if (wd < 0)
    return;
  /* A folder that was renamed keeps its number. */
  forget (self, wd);
  copy = g_strdup (name);
  g_hash_table_insert (self->unfinished, GINT_TO_POINTER (wd), copy);
  g_hash_table_insert (self->wds, copy, GINT_TO_POINTER (wd));
}

void
watch_remove_unfinished (Watch *self, const char *name)
{
  gpointer wd;

  if (!g_hash_table_lookup_extended (self->wds, name, NULL, &wd))
    return;
  forget (self, GPOINTER_TO_INT (wd));
  /* It may have gone with its folder; then the kernel has given up the watch already. */
  (void) inotify_rm_watch (self->fd, GPOINTER_TO_INT (wd));
}

void
watch_prune (Watch *self, gboolean (*is_known) (gpointer user_data, const char *name), gpointer user_data)
{
  g_autoptr (GList) names = g_hash_table_get_keys (self->wds);

  for (GList *l = names; l != NULL; l = l->next)
    if (!is_known (user_data, l->data))
      watch_remove_unfinished (self, l->data);
}
