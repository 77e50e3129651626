/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include "cis-listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_un
unix_address (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  g_assert_cmpuint (g_strlcpy (address.sun_path, path, sizeof address.sun_path), <, sizeof address.sun_path);
  return address;
}

/* A socket at @path of somebody else's, that listens or not. */
static int
bind_other (const char *path, gboolean listening)
{
  struct sockaddr_un address = unix_address (path);
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_assert_no_errno (fd);
  g_assert_no_errno (bind (fd, (struct sockaddr *) &address, sizeof address));
  if (listening)
    g_assert_no_errno (listen (fd, 1));
  return fd;
}

/* Whether a client gets through to @listener by @path. */
static gboolean
answers (int listener, const char *path)
{
  struct sockaddr_un address = unix_address (path);
  int client = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  gboolean connected = connect (client, (struct sockaddr *) &address, sizeof address) == 0;
  int accepted = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);

  g_assert_no_errno (close (client));
  if (accepted >= 0)
    g_assert_no_errno (close (accepted));
  return connected && accepted >= 0;
}

static ino_t
inode (int fd)
{
  struct stat st;

  g_assert_no_errno (fstat (fd, &st));
  return st.st_ino;
}

static int
listen_on (const char *address)
{
  g_autoptr (GError) error = NULL;
  int fd = cis_listen (address, &error);

  g_assert_no_error (error);
  g_assert_cmpint (fd, >=, 3);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
  g_assert_cmpint (fcntl (fd, F_GETFL) & O_NONBLOCK, ==, O_NONBLOCK);
  return fd;
}

static void
assert_refused (const char *address, GQuark domain, int code, const char *pattern)
{
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (cis_listen (address, &error), ==, -1);
  g_assert_error (error, domain, code);
  if (!g_pattern_match_simple (pattern, error->message))
    g_error ("%s: \"%s\" instead of \"%s\"", address, error->message, pattern);
}

static void
test_unix (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "socket", NULL),
                  *address = g_strconcat ("unix:", path, NULL);
  int first = listen_on (address), second;
  struct stat st;

  g_assert_no_errno (stat (path, &st));
  g_assert_cmpuint (st.st_mode & 07777, ==, 0660);
  g_assert_true (answers (first, path));

  /* A new configuration gets the same socket, even after the old one closed its descriptor. */
  g_assert_no_errno (close (first));
  second = listen_on (address);
  g_assert_true (answers (second, path));
  first = listen_on (address);
  g_assert_cmpuint (inode (first), ==, inode (second));
  g_assert_no_errno (close (first));

  /* A socket that no client can find any more is worth nothing. */
  g_assert_no_errno (unlink (path));
  first = listen_on (address);
  g_assert_true (answers (first, path));
  g_assert_cmpuint (inode (first), !=, inode (second));
  g_assert_no_errno (close (first));
  g_assert_no_errno (close (second));
}

static void
test_unix_stale (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "socket", NULL),
                  *address = g_strconcat ("unix:", path, NULL);
  int fd;

  g_assert_no_errno (close (bind_other (path, TRUE)));
  fd = listen_on (address);
  g_assert_true (answers (fd, path));
  g_assert_no_errno (close (fd));
}

static void
test_unix_refuses (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "socket", NULL), *used = g_strconcat ("unix:", path, NULL);
  g_autofree char *file = g_strdup_printf ("unix:%s/file", tree),
                  *folder = g_strdup_printf ("unix:%s/a/b", tree);
  g_autofree char *name = g_strnfill (108, 'x'), *too_long = g_strconcat ("unix:", name, NULL), *text = NULL;
  int other = bind_other (path, TRUE);

  assert_refused (used, CIS_ERROR, CIS_ERROR_UNAVAILABLE, "*in use by another process*ss -lp*");
  g_assert_true (answers (other, path));
  g_assert_no_errno (close (other));

  test_write (tree, "file", "precious");
  assert_refused (file, CIS_ERROR, CIS_ERROR_CONFIG, "*no socket*");
  g_assert_cmpstr (text = test_read (tree, "file"), ==, "precious");
  assert_refused (folder, CIS_ERROR, CIS_ERROR_CONFIG, "*RuntimeDirectory=*");
  assert_refused (too_long, CIS_ERROR, CIS_ERROR_CONFIG, "*107 bytes*");
  assert_refused ("unix:", CIS_ERROR, CIS_ERROR_CONFIG, "*a path is missing*");
  assert_refused ("unix:@abstract", CIS_ERROR, CIS_ERROR_CONFIG, "*a path is missing*");
}

static void
test_tcp (void)
{
  struct sockaddr_in address = { 0 };
  socklen_t length = sizeof address;
  int fd = listen_on ("127.0.0.1:0"), again = listen_on ("127.0.0.1:0");
  int client = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_autofree char *taken = NULL;

  g_assert_cmpuint (inode (fd), ==, inode (again));
  g_assert_no_errno (getsockname (fd, (struct sockaddr *) &address, &length));
  g_assert_cmpuint (ntohs (address.sin_port), >, 0);
  g_assert_no_errno (connect (client, (struct sockaddr *) &address, length));
  taken = g_strdup_printf ("127.0.0.1:%u", ntohs (address.sin_port));
  assert_refused (taken, CIS_ERROR, CIS_ERROR_UNAVAILABLE, "*in use by another process*");
  g_assert_no_errno (close (client));
  g_assert_no_errno (close (again));
  g_assert_no_errno (close (fd));
}

static void
test_tcp_refuses (void)
{
  assert_refused ("0.0.0.0:8490", CIS_ERROR, CIS_ERROR_CONFIG, "*nginx or Caddy*");
  assert_refused ("192.0.2.1:8490", CIS_ERROR, CIS_ERROR_CONFIG, "*nginx or Caddy*");
  assert_refused ("[::]:8490", CIS_ERROR, CIS_ERROR_CONFIG, "*nginx or Caddy*");
  assert_refused ("::1:8490", CIS_ERROR, CIS_ERROR_CONFIG, "*no numeric address*");
  assert_refused ("[127.0.0.1]:8490", CIS_ERROR, CIS_ERROR_CONFIG, "*no numeric address*");
  assert_refused ("]:8490", CIS_ERROR, CIS_ERROR_CONFIG, "*no numeric address*");
  assert_refused ("localhost:8490", CIS_ERROR, CIS_ERROR_CONFIG, "*no numeric address*");
  assert_refused ("127.0.0.1", CIS_ERROR, CIS_ERROR_CONFIG, "*a port is missing*");
  assert_refused ("127.0.0.1:65536", CIS_ERROR, CIS_ERROR_CONFIG, "*no number from 0 to 65535*");
  assert_refused ("127.0.0.1:", CIS_ERROR, CIS_ERROR_CONFIG, "*no number from 0 to 65535*");
  assert_refused ("", CIS_ERROR, CIS_ERROR_CONFIG, "*a port is missing*");
}

static void
test_drop_unused (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "kept", NULL), *kept = g_strconcat ("unix:", path, NULL);
  g_autofree char *dropped = g_strdup_printf ("unix:%s/dropped", tree);
  int fd = listen_on (dropped);

  cis_unlisten (kept, listen_on (kept));
  cis_listen_drop_unused ();
  g_assert_false (test_exists (tree, "kept"));
  g_assert_true (test_exists (tree, "dropped"));
  /* A reload ends the old one, then asks for the same, or for another. */
  cis_unlisten (dropped, fd);
  fd = listen_on (kept);
  g_assert_true (test_exists (tree, "dropped"));
  cis_listen_drop_unused ();
  g_assert_false (test_exists (tree, "dropped"));
  g_assert_true (answers (fd, path));
  cis_unlisten (kept, fd);
}

/* In a process of its own, started as systemd starts one: its descriptors 3 and 4 are what was passed. */
static int
adopt (const char *unix_path, const char *tcp)
{
  g_autofree char *address = g_strconcat ("unix:", unix_path, NULL);
  ino_t passed_unix = inode (3), passed_tcp = inode (4);
  struct stat before, after;
  int tcp_fd, unix_fd;

  g_assert_no_errno (stat (unix_path, &before));
  tcp_fd = listen_on (tcp);
  unix_fd = listen_on (address);
  g_assert_no_errno (stat (unix_path, &after));
  g_assert_cmpuint (inode (tcp_fd), ==, passed_tcp);
  g_assert_cmpuint (inode (unix_fd), ==, passed_unix);
  g_assert_cmpuint (before.st_ino, ==, after.st_ino);
  g_assert_true (answers (unix_fd, unix_path));

  /* systemd's socket stays where it is. */
  cis_listen_drop_unused ();
  g_assert_no_errno (stat (unix_path, &after));
  return 0;
}

/* Not /proc/self/exe, which is valgrind's under valgrind. */
static const char *program;

static void
start_as_systemd (int unix_fd, int tcp_fd, const char *path, const char *tcp)
{
  g_autofree char *pid = g_strdup_printf ("%d", getpid ());
  int high_unix = fcntl (unix_fd, F_DUPFD, 10), high_tcp = fcntl (tcp_fd, F_DUPFD, 10);

  if (dup2 (high_unix, 3) == 3 && dup2 (high_tcp, 4) == 4 && setenv ("LISTEN_PID", pid, TRUE) == 0 &&
      setenv ("LISTEN_FDS", "2", TRUE) == 0)
    execl (program, program, "--adopt", path, tcp, NULL);
  _exit (127);
}

static void
test_adopt (void)
{
  g_autoptr (TestTree) tree = test_tree_new ();
  g_autofree char *path = g_build_filename (tree, "socket", NULL), *tcp = NULL;
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t length = sizeof address;
  int unix_fd = bind_other (path, TRUE), tcp_fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
  pid_t pid;

  g_assert_no_errno (bind (tcp_fd, (struct sockaddr *) &address, length));
  g_assert_no_errno (listen (tcp_fd, 1));
  g_assert_no_errno (getsockname (tcp_fd, (struct sockaddr *) &address, &length));
  tcp = g_strdup_printf ("127.0.0.1:%u", ntohs (address.sin_port));

  pid = fork ();
  if (pid == 0)
    start_as_systemd (unix_fd, tcp_fd, path, tcp);
  g_assert_no_errno (pid);
  g_assert_cmpint (TEMP_FAILURE_RETRY (waitpid (pid, &status, 0)), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_no_errno (close (unix_fd));
  g_assert_no_errno (close (tcp_fd));
}

int
main (int argc, char **argv)
{
  if (argc == 4 && g_str_equal (argv[1], "--adopt"))
    return adopt (argv[2], argv[3]);

  program = argv[0];
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/listen/unix", test_unix);
  g_test_add_func ("/listen/unix/stale", test_unix_stale);
  g_test_add_func ("/listen/unix/refuses", test_unix_refuses);
  g_test_add_func ("/listen/tcp", test_tcp);
  g_test_add_func ("/listen/tcp/refuses", test_tcp_refuses);
  g_test_add_func ("/listen/drop-unused", test_drop_unused);
  g_test_add_func ("/listen/adopt", test_adopt);
  return g_test_run ();
}
