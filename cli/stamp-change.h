/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "stamp-code.h"

G_BEGIN_DECLS

/* The member "code_version" that @code makes of what @meta says so far; full. Another commit than the one
 * that is noted there is refused, unless there is a @reason: then "restamped" keeps what was there, with who,
 * when and why. @directory: for the message. */
JsonObject *stamp_change_make (JsonObject *meta, const StampCode *code, const char *directory,
                               const char *reason, GError **error);

G_END_DECLS
