/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "terminal.h"

#include "cis-plain.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static GMutex lock;
static char *status;       /* nullable; under the lock, as is all writing to stderr */
static guint status_lines; /* how many of it are on the screen */

static const char *const codes[] = { "\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m" };

gboolean
terminal_is_interactive (void)
{
  return isatty (STDERR_FILENO) && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

static gboolean
is_styled (void)
{
  const char *no_color = g_getenv ("NO_COLOR");

  return terminal_is_interactive () && isatty (STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0');
}

char *
terminal_style (TerminalStyle style, const char *text)
{
  if (style == TERMINAL_PLAIN || !is_styled ())
    return g_strdup (text);
  return g_strconcat (codes[style], text, codes[TERMINAL_PLAIN], NULL);
}

/* How long one of our own styles is at @text; 0: there is none. */
static gsize
match_style (const char *text)
{
  for (guint i = 0; i < G_N_ELEMENTS (codes) && is_styled (); i++)
    if (g_str_has_prefix (text, codes[i]))
      return strlen (codes[i]);
  return 0;
}

/* Whatever is printed comes through here: names, keys and messages of others among it. Colours are all that
 * is left of what they can do. full */
static char *
clean (const char *text)
{
  g_autoptr (GString) cleaned = g_string_new (NULL);

  while (*text != '\0')
    {
      gsize style = match_style (text);
      const char *end = strchr (text + MAX (style, 1), '\033');
      gsize length = end != NULL ? (gsize) (end - text) : strlen (text);
      g_autofree char *piece = g_strndup (text + style, length - style);
      g_autofree char *plain = cis_plain_new (piece);

      g_string_append_len (cleaned, text, (gssize) style);
      g_string_append (cleaned, plain);
      text += length;
    }
  return g_string_free (g_steal_pointer (&cleaned), FALSE);
}

guint
terminal_get_width (void)
{
  struct winsize size;

  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* Under the lock. */
static void
erase_status (GString *output)
{
  if (status_lines > 0)
    g_string_append_printf (output, "\033[%uA\033[J", status_lines);
  status_lines = 0;
}

static void
draw_status (GString *output)
{
  if (status == NULL)
    return;
  g_string_append (output, status);
  for (const char *c = status; *c != '\0'; c++)
    status_lines += *c == '\n';
}

static void
write_out (const GString *output)
{
  gsize done = 0;

  while (done < output->len)
    {
      gssize n = write (STDERR_FILENO, output->str + done, output->len - done);

      if (n < 0 && errno != EINTR)
        return;
      done += n > 0 ? (gsize) n : 0;
    }
}

void
terminal_set_status (const char *lines)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);
  g_autoptr (GString) output = g_string_new (NULL);

  erase_status (output);
  g_free (status);
  status = lines != NULL ? clean (lines) : NULL;
  draw_status (output);
  write_out (output);
}

static void
print_above_status (const char *text)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&lock);
  g_autoptr (GString) output = g_string_new (NULL);
  g_autofree char *cleaned = clean (text);

  erase_status (output);
  g_string_append (output, cleaned);
  draw_status (output);
  write_out (output);
}

static const char *
get_field (const GLogField *fields, gsize n_fields, const char *key)
{
  for (gsize i = 0; i < n_fields; i++)
    if (g_str_equal (fields[i].key, key))
      return fields[i].value;
  return NULL;
}

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  const char *message = get_field (fields, n_fields, "MESSAGE");
  const char *domain = get_field (fields, n_fields, "GLIB_DOMAIN");
  g_autoptr (GDateTime) now = NULL;
  g_autofree char *time = NULL;
  g_autofree char *label = NULL;
  g_autoptr (GString) line = NULL;

  if (g_log_writer_default_would_drop (level, domain) &&
      !((level & G_LOG_LEVEL_INFO) && g_strcmp0 (domain, G_LOG_DOMAIN) == 0))
    return G_LOG_WRITER_HANDLED;
  if (g_log_writer_is_journald (STDERR_FILENO))
    return g_log_writer_journald (level, fields, n_fields, user_data);

  now = g_date_time_new_now_local ();
  time = g_date_time_format (now, "%H:%M:%S ");
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    label = terminal_style (TERMINAL_RED, "error: ");
  else if (level & G_LOG_LEVEL_WARNING)
    label = terminal_style (TERMINAL_YELLOW, "warning: ");
  /* What is to be pasted stands apart. */
  line = g_string_new (message);
  g_string_replace (line, "\n", "\n    ", 0);
  g_string_append_c (line, '\n');
  if (label != NULL)
    g_string_prepend (line, label);
  g_string_prepend (line, time);
  print_above_status (line->str);
  return G_LOG_WRITER_HANDLED;
}

char *
terminal_format_duration (gint64 seconds)
{
  if (seconds < 2 * 60)
    return g_strdup_printf (_ ("%d s"), (int) seconds);
  if (seconds < 2 * 60 * 60)
    return g_strdup_printf (_ ("%d min"), (int) (seconds / 60));
  if (seconds < 2 * 24 * 60 * 60)
    return g_strdup_printf (_ ("%d h"), (int) (seconds / (60 * 60)));
  return g_strdup_printf (_ ("%d days"), (int) MIN (seconds / (24 * 60 * 60), G_MAXINT));
}

static void
print (const char *text)
{
  g_autofree char *cleaned = clean (text);
  gsize length = strlen (cleaned);

  /* As g_print() does, which does not say whether it could, either. */
  if (fwrite (cleaned, 1, length, stdout) == length)
    fflush (stdout);
}

static void
print_error (const char *text)
{
  print_above_status (text);
}

void
terminal_init (void)
{
  g_log_set_writer_func (write_log, NULL, NULL);
  g_set_print_handler (print);
  g_set_printerr_handler (print_error);
}
