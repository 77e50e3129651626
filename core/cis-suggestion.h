/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* The fix of a finding about a configuration, whose subject is "FILE:LINE" or "FILE"; none where it is no file's. */

/* An editor, opened at the line. */
void cis_finding_suggest_edit (CisFinding *finding);
/* The line with another word. */
void cis_finding_suggest_word (CisFinding *finding, const char *wrong, const char *right);
/* Of @path, that the line names and that cannot be read. */
void cis_finding_suggest_access (CisFinding *finding, const char *path);
