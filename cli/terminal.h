/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum
{
  TERMINAL_PLAIN,
  TERMINAL_BOLD,
  TERMINAL_DIM,
  TERMINAL_RED,
  TERMINAL_GREEN,
  TERMINAL_YELLOW,
} TerminalStyle;

/* Sends the log to the journal where stderr is connected to it (sd_journal_stream_fd(3)), else to stderr as
 * lines. Cleans whatever the program prints of what acts on a terminal. */
void terminal_init (void);
/* Whether stderr is a terminal that draws; NO_COLOR (https://no-color.org) is about colours only. */
gboolean terminal_is_interactive (void);
/* @text in a style, where stdout and stderr are both terminals that show it; full. */
char *terminal_style (TerminalStyle style, const char *text);
/* Lines that stay below all other output of stderr until they are set anew; %NULL takes them away. On any
 * thread. */
void terminal_set_status (const char *lines);
guint terminal_get_width (void);
/* In one unit, of which there are at least two but for the smallest; full. */
char *terminal_format_duration (gint64 seconds);

G_END_DECLS
