/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cis-listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define BACKLOG     4096
#define SOCKET_MODE 0660 /* the front proxy gets in by its group */

typedef union
{
  struct sockaddr any;
  struct sockaddr_un un;
  struct sockaddr_storage storage;
} Address;

/* A socket that listens. */
typedef struct
{
  int fd;
  gboolean made; /* here, not by systemd */
  guint n_users; /* who listened, and did not end that yet */
  char *path;    /* of a Unix socket; nullable */
  dev_t device;  /* what we have made at the path */
  ino_t inode;
} Listener;

static GMutex mutex;          /* guards what follows */
static GHashTable *listeners; /* address, as the ini says it, to Listener */
static GArray
    *passed; /* descriptors from systemd that nobody has asked for yet; NULL until they are looked at */

static gboolean
path_is_ours (Listener *self)
{
  struct stat st;

  return lstat (self->path, &st) == 0 && st.st_dev == self->device && st.st_ino == self->inode;
}

static void
listener_free (Listener *self)
{
  if (self->made && self->path != NULL && path_is_ours (self))
    unlink (self->path); /* where that fails, the next one to listen there finds it stale */
  close (self->fd);
  g_free (self->path);
  g_free (self);
}

/* Takes the passed sockets over, once: after one is closed, its number may be anybody's. */
static void
look_at_passed (void)
{
  int n;

  if (passed != NULL)
    return;
  passed = g_array_new (FALSE, FALSE, sizeof (int));
  n = sd_listen_fds (0);
  for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++)
    g_array_append_val (passed, fd);
}

static gboolean
is_same_address (int fd, const Address *address)
{
  Address own = { 0 };
  socklen_t length = sizeof own;
  const struct sockaddr_in *in = (const struct sockaddr_in *) address,
                           *own_in = (const struct sockaddr_in *) &own;
  const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address,
                            *own_in6 = (const struct sockaddr_in6 *) &own;

  if (address->any.sa_family == AF_UNIX)
    return sd_is_socket_unix (fd, SOCK_STREAM, 1, address->un.sun_path, 0) > 0;
  if (sd_is_socket (fd, address->any.sa_family, SOCK_STREAM, 1) <= 0 ||
      getsockname (fd, &own.any, &length) != 0)
    return FALSE;
  if (address->any.sa_family == AF_INET)
    return in->sin_port == own_in->sin_port && in->sin_addr.s_addr == own_in->sin_addr.s_addr;
  return in6->sin6_port == own_in6->sin6_port && IN6_ARE_ADDR_EQUAL (&in6->sin6_addr, &own_in6->sin6_addr);
}

/* The socket that systemd passed for @address, or -1. */
static int
adopt (const Address *address, GError **error)
{
  look_at_passed ();
  for (guint i = 0; i < passed->len; i++)
    {
      int fd = g_array_index (passed, int, i);
      int flags;

      if (!is_same_address (fd, address))
        continue;
      g_array_remove_index (passed, i);
      flags = fcntl (fd, F_GETFL);
      if (flags >= 0 && fcntl (fd, F_SETFL, flags | O_NONBLOCK) == 0)
        return fd;
      cis_error_set_errno (error, errno, "Cannot use the socket that systemd passed");
      close (fd);
      return -1;
    }
  return -1;
}

static gboolean
set_config_error (GError **error, const char *text, const char *problem)
{
  g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
               "Cannot listen on \"%s\": %s. Write unix:/path/to/socket, 127.0.0.1:8490 or [::1]:8490", text,
               problem);
  return FALSE;
}

gboolean
cis_socket_path_check (const char *path, GError **error)
{
  const gsize most = sizeof ((struct sockaddr_un *) NULL)->sun_path - 1;

  if (*path == '\0' || *path == '@')
    g_set_error_literal (error, CIS_ERROR, CIS_ERROR_CONFIG, "a path is missing behind \"unix:\"");
  else if (strlen (path) > most)
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "the path is longer than the %zu bytes that unix(7) allows", most);
  else
    return TRUE;
  return FALSE;
}

static gboolean
parse_unix (const char *text, Address *address, socklen_t *length, GError **error)
{
  const char *path = text + strlen ("unix:");

  g_autoptr (GError) reason = NULL;

  if (!cis_socket_path_check (path, &reason))
    return set_config_error (error, text, reason->message);
  address->un.sun_family = AF_UNIX;
  memcpy (address->un.sun_path, path, strlen (path) + 1);
  *length = sizeof address->un;
  return TRUE;
}

static gboolean
parse_tcp (const char *text, Address *address, socklen_t *length, GError **error)
{
  const char *colon = strrchr (text, ':');
  gboolean bracketed = colon != NULL && text[0] == '[' && colon > text && colon[-1] == ']';
  g_autofree char *host = NULL;
  g_autoptr (GInetAddress) inet = NULL;
  g_autoptr (GSocketAddress) socket_address = NULL;
  guint64 port;

  if (colon == NULL)
    return set_config_error (error, text, "a port is missing");
  if (!g_ascii_string_to_unsigned (colon + 1, 10, 0, G_MAXUINT16, &port, NULL))
    return set_config_error (error, text, "the port is no number from 0 to 65535");
  host = g_strndup (text + bracketed, colon - text - 2 * bracketed);
  inet = g_inet_address_new_from_string (host);
  if (inet == NULL || (g_inet_address_get_family (inet) == G_SOCKET_FAMILY_IPV6) != bracketed)
    return set_config_error (error, text, "this is no numeric address");
  /* Our HTTP is plain, and sees no certificates: those end at the proxy. */
  if (!g_inet_address_get_is_loopback (inet))
    return set_config_error (
        error, text,
        "the receiver never faces the network itself, so the address must be one of loopback; put "
        "nginx or Caddy in front");
  socket_address = g_inet_socket_address_new (inet, port);
  *length = g_socket_address_get_native_size (socket_address);
  return g_socket_address_to_native (socket_address, address, sizeof *address, error);
}

static gboolean
parse (const char *text, Address *address, socklen_t *length, GError **error)
{
  return (g_str_has_prefix (text, "unix:") ? parse_unix : parse_tcp) (text, address, length, error);
}

gboolean
cis_listen_check (const char *address, GError **error)
{
  Address parsed = { 0 };
  socklen_t length;

  return parse (address, &parsed, &length, error);
}

static gboolean
set_in_use (GError **error, const char *text)
{
  g_set_error (error, CIS_ERROR, CIS_ERROR_UNAVAILABLE,
               "Cannot listen on %s: it is in use by another process; find it with: ss -lp | grep -F '%s'",
               text, g_str_has_prefix (text, "unix:") ? text + strlen ("unix:") : strrchr (text, ':'));
  return FALSE;
}

/* Removes a socket that its owner has left behind. */
static gboolean
remove_stale (const char *text, const Address *address, socklen_t length, GError **error)
{
  const char *path = address->un.sun_path;
  struct stat st;
  int fd, errsv;

  if (lstat (path, &st) != 0)
    return errno == ENOENT || cis_error_set_errno (error, errno, "Cannot look at %s", path);
  if (!S_ISSOCK (st.st_mode))
    return set_config_error (error, text, "something that is no socket lies there");

  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return cis_error_set_errno (error, errno, "Cannot make a socket");
  errsv = connect (fd, &address->any, length) == 0 ? 0 : errno;
  close (fd);
  if (errsv == EACCES || errsv == EPERM)
    return cis_error_set_errno (error, errsv, "Cannot find out whether somebody listens on %s", path);
  if (errsv != ECONNREFUSED && errsv != ENOENT)
    return set_in_use (error, text);
  return unlink (path) == 0 || errno == ENOENT ||
         cis_error_set_errno (error, errno, "Cannot remove the socket %s that nobody listens on", path);
}

static gboolean
bind_and_listen (int fd, const char *text, const Address *address, socklen_t length, GError **error)
{
  const int one = 1;
  gboolean is_unix = address->any.sa_family == AF_UNIX;

  /* Connections of an earlier run that linger do no harm. */
  if (!is_unix && setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
    return cis_error_set_errno (error, errno, "Cannot set up a socket for %s", text);
  if (bind (fd, &address->any, length) != 0)
    return errno == EADDRINUSE ? set_in_use (error, text)
                               : cis_error_set_errno (error, errno, "Cannot listen on %s", text);
  /* Nobody gets in before listen(), whatever the umask was. */
  if (is_unix && chmod (address->un.sun_path, SOCKET_MODE) != 0)
    return cis_error_set_errno (error, errno, "Cannot set the mode of %s", address->un.sun_path);
  if (listen (fd, BACKLOG) != 0)
    return errno == EADDRINUSE ? set_in_use (error, text)
                               : cis_error_set_errno (error, errno, "Cannot listen on %s", text);
  return TRUE;
}

static int
make_socket (const char *text, const Address *address, socklen_t length, GError **error)
{
  int fd = socket (address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0)
    cis_error_set_errno (error, errno, "Cannot make a socket for %s", text);
  else if (!bind_and_listen (fd, text, address, length, error))
    {
      close (fd);
      fd = -1;
    }
  return fd;
}

/* The lock keeps two that start at once from taking each other's new socket for a stale one: between bind()
 * and listen() nobody answers on it. It is a file of our own beside the socket, as the folder is open to all.
 */
static int
make_unix (const char *text, const Address *address, socklen_t length, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (address->un.sun_path);
  g_autofree char *base = g_path_get_basename (address->un.sun_path);
  g_autofree char *name = g_strdup_printf (".%s.lock", base);
  g_autofree char *path = g_build_filename (folder, name, NULL);
  int dirfd = TEMP_FAILURE_RETRY (open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int lock = -1, fd = -1;

  if (dirfd < 0)
    g_set_error (error, CIS_ERROR, CIS_ERROR_CONFIG,
                 "Cannot listen on %s: the folder %s: %s. systemd makes it by RuntimeDirectory=, else: "
                 "install -d -o %s %s",
                 text, folder, g_strerror (errno), g_get_user_name (), folder);
  else if ((lock = cis_lock_open (dirfd, name, error)) < 0)
    g_prefix_error (error, "Cannot listen on %s: in the folder %s: ", text, folder);
  else if (cis_file_lock (lock, TRUE, path, NULL, error) && remove_stale (text, address, length, error))
    fd = make_socket (text, address, length, error);
  if (lock >= 0)
    close (lock);
  if (dirfd >= 0)
    close (dirfd);
  return fd;
}

static Listener *
listener_new (const char *text, GError **error)
{
  g_autoptr (GError) cause = NULL;
  gboolean is_unix = g_str_has_prefix (text, "unix:");
  Address address = { 0 };
  Listener *self;
  socklen_t length;
  struct stat st = { 0 };
  int fd;
  gboolean made;

  if (!parse (text, &address, &length, error))
    return NULL;
  fd = adopt (&address, &cause);
  made = fd < 0 && cause == NULL;
  if (made)
    fd = (is_unix ? make_unix : make_socket) (text, &address, length, &cause);
  if (fd < 0)
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return NULL;
    }

  self = g_new0 (Listener, 1);
  self->fd = fd;
  self->made = made;
  self->path = is_unix ? g_strdup (address.un.sun_path) : NULL;
  if (is_unix && lstat (self->path, &st) == 0)
    {
      self->device = st.st_dev;
      self->inode = st.st_ino;
    }
  return self;
}

int
cis_listen (const char *address, GError **error)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);
  Listener *listener;
  int copy;

  if (listeners == NULL)
    listeners = g_hash_table_new_full (cis_str_hash, g_str_equal, g_free, (GDestroyNotify) listener_free);
  listener = g_hash_table_lookup (listeners, address);
  /* No client finds a socket whose file was removed. */
  if (listener != NULL && listener->made && listener->path != NULL && !path_is_ours (listener))
    {
      g_hash_table_remove (listeners, address);
      listener = NULL;
    }
  if (listener == NULL)
    {
      listener = listener_new (address, error);
      if (listener == NULL)
        return -1;
      g_hash_table_insert (listeners, g_strdup (address), listener);
    }
  copy = fcntl (listener->fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0)
    cis_error_set_errno (error, errno, "Cannot copy the descriptor of %s", address);
  else
    listener->n_users++;
  return copy;
}

void
cis_unlisten (const char *address, int fd)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);
  Listener *listener = listeners != NULL ? g_hash_table_lookup (listeners, address) : NULL;

  close (fd); /* a copy, through which nothing was written */
  if (listener != NULL && listener->n_users > 0)
    listener->n_users--;
}

static gboolean
is_unused (gpointer address, gpointer listener, gpointer user_data)
{
  return ((Listener *) listener)->n_users == 0;
}

void
cis_listen_drop_unused (void)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&mutex);

  if (listeners != NULL)
    g_hash_table_foreach_remove (listeners, is_unused, NULL);
}
