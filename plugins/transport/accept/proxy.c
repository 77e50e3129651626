/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proxy.h"

#include <pwd.h>
#include <sys/socket.h>

gboolean
cis_proxy_init (CisProxy *self, const char *header, const char *user, GError **error)
{
  struct passwd entry, *found = NULL;
  char strings[4096];

  self->header = g_ascii_strdown (header, -1);
  self->user = -1;
  if (user == NULL || user[0] == '\0')
    return TRUE;
  if (getpwnam_r (user, &entry, strings, sizeof strings, &found) == 0 && found != NULL)
    self->user = entry.pw_uid;
  else
    g_set_error (
        error, CIS_ERROR, CIS_ERROR_CONFIG,
        "proxy-user=%s: there is no such user on this machine; it is whom the proxy runs as, such as "
        "www-data or caddy",
        user);
  return self->user >= 0;
}

void
cis_proxy_clear (CisProxy *self)
{
  g_clear_pointer (&self->header, g_free);
}

/* As the kernel noted it when the peer connected. */
static gboolean
is_proxy (const CisProxy *self, const CisConnection *connection)
{
  struct ucred peer;
  socklen_t length = sizeof peer;

  return self->user < 0 || (getsockopt (connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
                            peer.uid == self->user);
}

const char *
cis_proxy_get_client_name (const CisProxy *self, const CisConnection *connection, const CisHttpHead *head)
{
  const char *name = cis_http_head_get (head, self->header);

  return name != NULL && is_proxy (self, connection) ? name : NULL;
}
