/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cis490.h"

G_BEGIN_DECLS

/* The git of this machine, asked: what it says of a repository is true by definition. No shell, nothing of
 * the caller's GIT_* environment, no prompt, no lock, no hook, no file system monitor; a deadline. */

/**
 * CisGitError:
 * @CIS_GIT_ERROR_MISSING: this machine has no git.
 * @CIS_GIT_ERROR_REPOSITORY: there is no repository that it can open.
 * @CIS_GIT_ERROR_OWNER: it does not trust another user's; the message is the path to put into safe.directory,
 *   quoted for a shell.
 * @CIS_GIT_ERROR_FAILED: whatever else it says; also that it took too long or said too much.
 */
typedef enum
{
  CIS_GIT_ERROR_MISSING,
  CIS_GIT_ERROR_REPOSITORY,
  CIS_GIT_ERROR_OWNER,
  CIS_GIT_ERROR_FAILED,
} CisGitError;

#define CIS_GIT_ERROR (cis_git_error_quark ())
GQuark cis_git_error_quark (void);

/**
 * CisGit: how it is asked.
 * @folder: in the repository.
 * @search: whether the repository may be around @folder, rather than just there.
 * @programs: whether it may run what the repository's configuration names: filters, and the transports that
 *   fetch what a partial clone lacks. As root, it then becomes @owner.
 * @owner: the uid that the repository belongs to.
 * @timeout: µs.
 * @max: bytes that it may say.
 */
typedef struct
{
  const char *folder;
  gboolean search;
  gboolean programs;
  uid_t owner;
  gint64 timeout;
  gsize max;
} CisGit;

/* What `git ARGUMENTS` prints; full. On any thread; blocks. */
char *cis_git_ask (const CisGit *self, const char *const *arguments, GCancellable *cancellable,
                   GError **error);

G_END_DECLS
