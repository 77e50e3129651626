/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which request is answered here. The target is matched as it came: whoever decodes %2f or resolves ".."
 * after a proxy has looked at the path serves another path than the one that was allowed. */

#include "route.h"

#include <string.h>

#define EPISODES "/v1/episodes/"
#define PING     "/v1/ping"

static CisFinding *
not_found (const char *target)
{
  return cis_finding_new ("not-found", CIS_SEVERITY_ERROR, "request",
                          "There is nothing at %.200s, only /v1/episodes/HOST/EPISODE and /v1/ping", target);
}

static CisFinding *
method_not_allowed (const char *method, const char *target, const char *allow)
{
  CisFinding *finding = cis_finding_new ("method-not-allowed", CIS_SEVERITY_ERROR, "request",
                                         "%.32s is not answered at %.200s, only: %s", method, target, allow);

  cis_finding_set_detail (finding, "allow", allow);
  return finding;
}

static CisFinding *
id_invalid (const char *what, guint max)
{
  return cis_finding_new (
      "id-invalid", CIS_SEVERITY_ERROR, "request",
      "The %s's name in the path is not valid: letters, digits, \".\", \"_\" and \"-\", the first a letter "
      "or a digit, no \"..\", at most %u characters, nothing encoded and no query",
      what, max);
}

static gboolean
find_kind (const char *method, CisRouteKind *kind)
{
  static const struct
  {
    const char *method;
    CisRouteKind kind;
  } kinds[] = {
    { "PATCH", CIS_ROUTE_RESUME },
    { "POST", CIS_ROUTE_QUESTION },
    { "PUT", CIS_ROUTE_UPLOAD },
  };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (strcmp (kinds[i].method, method) == 0)
      {
        *kind = kinds[i].kind;
        return TRUE;
      }
  return FALSE;
}

static CisFinding *
find_episode (CisRoute *self, const char *method, const char *target)
{
  g_auto (GStrv) names = g_strsplit (target + strlen (EPISODES), "/", 3);

  if (g_strv_length (names) != 2)
    return not_found (target);
  if (!cis_name_is_valid (names[0], CIS_HOST_NAME_MAX))
    return id_invalid ("host", CIS_HOST_NAME_MAX);
  if (!cis_name_is_valid (names[1], CIS_EPISODE_NAME_MAX))
    return id_invalid ("episode", CIS_EPISODE_NAME_MAX);
  if (!find_kind (method, &self->kind))
    return method_not_allowed (method, target, "PATCH, POST, PUT");
  self->host = g_strdup (names[0]);
  self->episode = g_strdup (names[1]);
  return NULL;
}

CisRoute *
cis_route_find (const char *method, const char *target, CisFinding **problem)
{
  g_autoptr (CisRoute) self = g_new0 (CisRoute, 1);

  *problem = NULL;
  self->kind = CIS_ROUTE_PING;
  if (g_str_has_prefix (target, EPISODES))
    *problem = find_episode (self, method, target);
  else if (strcmp (target, PING) != 0)
    *problem = not_found (target);
  else if (strcmp (method, "POST") != 0)
    *problem = method_not_allowed (method, target, "POST");
  return *problem == NULL ? g_steal_pointer (&self) : NULL;
}

void
cis_route_free (CisRoute *self)
{
  g_free (self->host);
  g_free (self->episode);
  g_free (self);
}
