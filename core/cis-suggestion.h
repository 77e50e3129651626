/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

/* The fix of a finding about a configuration. @where and a finding's subject are "FILE:LINE:COLUMN",
 * "FILE:LINE" or "FILE"; none where it is no file's. */

/* An editor, opened at the line. */
CIS_API void cis_finding_suggest_edit (CisFinding *finding, const char *where);
/* The same for a key that [site] has not got. */
void cis_finding_suggest_site (CisFinding *finding, const char *where, const char *key);
/* The subject's line without the comment in it, which begins with "#" or one of @signs. */
void cis_finding_suggest_uncomment (CisFinding *finding, const char *signs);
/* The subject's line as a comment. */
void cis_finding_suggest_comment_out (CisFinding *finding);
/* The subject's line with another word. */
void cis_finding_suggest_word (CisFinding *finding, const char *wrong, const char *right);
/* Of @path, that the line names and that cannot be read. */
void cis_finding_suggest_access (CisFinding *finding, const char *path);
