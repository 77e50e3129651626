/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "look.h"

#include "amnesty.h"
#include "grants.h"
#include "history.h"
#include "refresher.h"
#include "refusal.h"

#include <sys/stat.h>
#include <unistd.h>

/* git asks whose the repository is: that another user's is not for root says nothing of the service's user.
 */
static CisFinding *
describe_others (const char *repository, const char *name)
{
  CisFinding *finding =
      cis_finding_new ("window-unavailable", CIS_SEVERITY_INFO, name,
                       "Whether the service may read the repository %s was not looked at: it belongs to "
                       "another user than root.",
                       repository);
  g_autofree char *quoted = g_shell_quote (repository);

  cis_finding_set_fix (finding, "sudo -u \"$(stat -c %%U %s)\" %s", quoted, g_get_prgname ());
  return finding;
}

static void
look_at_repository (CisWindowSource *source, const char *repository, const char *branch, guint n,
                    const char *name, GPtrArray *findings)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) window = cis_window_source_fetch (source, branch, n, NULL, &error);

  if (window == NULL && geteuid () == 0 &&
      g_error_matches (error, CIS_HISTORY_ERROR, CIS_HISTORY_ERROR_OWNER))
    g_ptr_array_add (findings, describe_others (repository, name));
  else if (window == NULL)
    g_ptr_array_add (findings, cis_refresher_describe_error (source, branch, name, error));
}

/* What is asked over the network, as far as files say that it cannot work. */
static void
look_at_forge (CisWindowSource *source, const CisWindowSetup *setup, const char *branch, const char *name,
               GPtrArray *findings)
{
  g_autoptr (GError) problem = NULL;
  g_autofree char *token = NULL;
  g_autoptr (GTlsDatabase) authorities = NULL;

  if (setup->forgejo_token_file != NULL)
    token = cis_text_read_secret (setup->forgejo_token_file, &problem);
  if (problem != NULL)
    {
      g_autoptr (GError) no_token = g_error_new (G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                                                 "cannot read its token: %s", problem->message);

      g_ptr_array_add (findings, cis_refresher_describe_error (source, branch, name, no_token));
      g_clear_error (&problem);
    }
  if (setup->forgejo_ca_file != NULL)
    authorities = cis_authorities_load (setup->forgejo_ca_file, &problem);
  if (problem != NULL)
    g_ptr_array_add (findings, cis_refresher_describe_error (source, branch, name, problem));
}

void
cis_window_look (const CisWindowSetup *setup, const char *branch, guint n, const char *name,
                 const char *grants_file, const char *remedy_file, GPtrArray *findings)
{
  g_autoptr (GPtrArray) sources = cis_window_sources_new (setup, NULL);

  for (guint i = 0; sources != NULL && i < sources->len; i++)
    if (g_str_equal (cis_window_source_get_name (sources->pdata[i]), "git"))
      look_at_repository (sources->pdata[i], setup->repository, branch, n, name, findings);
    else
      look_at_forge (sources->pdata[i], setup, branch, name, findings);
  if (grants_file != NULL)
    cis_amnesty_check (grants_file, setup->repository, findings);
  if (remedy_file != NULL)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *remedy = cis_text_read (remedy_file, CIS_REMEDY_MAX, &error);

      if (remedy == NULL)
        g_ptr_array_add (findings, cis_refusal_describe_unreadable (remedy_file, error));
    }
}

void
cis_window_check (CisWindowSource *source, const char *branch, guint n, const char *name, GPtrArray *findings,
                  GCancellable *cancellable)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CisWindow) window = cis_window_source_fetch (source, branch, n, cancellable, &error);

  if (window == NULL)
    g_ptr_array_add (findings, cis_refresher_describe_error (source, branch, name, error));
  else if (cis_window_is_cut (window))
    g_ptr_array_add (findings,
                     cis_refresher_describe_cut (source, branch, name, cis_window_get_length (window), n));
  else
    g_ptr_array_add (findings,
                     cis_finding_new ("window-available", CIS_SEVERITY_INFO, name,
                                      "%s gives a window of %s, length %u, head %s.",
                                      cis_window_get_source (window), branch, cis_window_get_length (window),
                                      cis_window_get_head (window)));
}
