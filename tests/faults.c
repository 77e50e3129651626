/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAX_ERRORS 4

/* What each may fail with: what the disk does, what a signal does,
 * and what another process does meanwhile. */
static const struct
{
  const char *call;
  int errors[MAX_ERRORS];
} faults[] = {
  { "openat", { EIO, EINTR, ENOENT, EMFILE } },
  { "close", { EIO, EINTR } },
  { "fstat", { EIO } },
  { "fstatat", { EIO, ENOENT } },
  { "read", { EIO, EINTR, FAULT_SHORT, FAULT_NONE } },
  { "pread", { EIO, EINTR, FAULT_SHORT, FAULT_NONE } },
  { "write", { ENOSPC, EINTR, FAULT_SHORT, FAULT_NONE } },
  { "pwrite", { EIO, EINTR, FAULT_SHORT } },
  { "ftruncate", { EIO, EINTR } },
  { "lseek", { EIO } },
  { "fsync", { EIO, EINTR } },
  { "fdatasync", { EIO, EINTR } },
  { "mkdirat", { ENOSPC, EEXIST } },
  { "linkat", { EIO, EEXIST, ENOSPC } },
  { "unlinkat", { EIO, ENOENT, ENOTEMPTY } },
  { "renameat", { EIO } },
  { "renameat2", { EIO, EEXIST, ENOENT } },
  { "lock", { ENOLCK, EINTR, EACCES } },
  { "flock", { ENOLCK, EINTR } },
  { "fchown", { EPERM } },
  { "fchownat", { EPERM } },
  { "utimensat", { EPERM } },
  { "fsetxattr", { ENOSPC, ENOTSUP } },
  { "fgetxattr", { EIO } },
  { "fdopendir", { ENOMEM } },
  { "readdir", { EIO } },
};

/* The chosen fault, and what became of it. */
static _Thread_local struct
{
  const char *call; /* nullable: none */
  int error;
  guint nth;
  gboolean lasting;
  gboolean counts; /* between begin and end */
  guint seen;
  const char *other; /* nullable: one that fails always */
  int other_error;
} fault;

static gboolean
strikes (const char *call)
{
  if (!fault.counts)
    return FALSE;
  if (g_strcmp0 (fault.other, call) == 0)
    {
      errno = fault.other_error;
      return TRUE;
    }
  if (g_strcmp0 (fault.call, call) != 0)
    return FALSE;
  fault.seen++;
  if (fault.seen != fault.nth && !(fault.lasting && fault.seen > fault.nth))
    return FALSE;
  if (fault.error > 0)
    errno = fault.error;
  return TRUE;
}

/* ---- the calls */

#define REAL(Type, name, parameters) Type (*real) parameters = dlsym (RTLD_NEXT, #name)
#define EXPORT                       __attribute__ ((visibility ("default")))

#define CALL(name, parameters, arguments)                                                                    \
  EXPORT int name parameters                                                                                 \
  {                                                                                                          \
    REAL (int, name, parameters);                                                                            \
                                                                                                             \
    return !strikes (#name) ? real arguments : fault.error == FAULT_LIE ? 0 : -1;                            \
  }

#define TRANSFER(name, parameters, length, arguments)                                                        \
  EXPORT ssize_t name parameters                                                                             \
  {                                                                                                          \
    REAL (ssize_t, name, parameters);                                                                        \
                                                                                                             \
    if (!strikes (#name))                                                                                    \
      return real arguments;                                                                                 \
    if (fault.error == FAULT_NONE)                                                                           \
      return 0;                                                                                              \
    if (fault.error != FAULT_SHORT)                                                                          \
      return -1;                                                                                             \
    length = (length + 1) / 2;                                                                               \
    return real arguments;                                                                                   \
  }

CALL (fstat, (int fd, struct stat *st), (fd, st))
CALL (fstatat, (int fd, const char *name, struct stat *st, int flags), (fd, name, st, flags))
CALL (ftruncate, (int fd, off_t length), (fd, length))
CALL (fsync, (int fd), (fd))
CALL (fdatasync, (int fd), (fd))
CALL (mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode))
CALL (linkat, (int from, const char *name, int to, const char *other, int flags),
      (from, name, to, other, flags))
CALL (unlinkat, (int fd, const char *name, int flags), (fd, name, flags))
CALL (renameat, (int from, const char *name, int to, const char *other), (from, name, to, other))
CALL (renameat2, (int from, const char *name, int to, const char *other, unsigned flags),
      (from, name, to, other, flags))
CALL (flock, (int fd, int operation), (fd, operation))
CALL (fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
CALL (fchownat, (int fd, const char *name, uid_t user, gid_t group, int flags),
      (fd, name, user, group, flags))
CALL (utimensat, (int fd, const char *name, const struct timespec times[2], int flags),
      (fd, name, times, flags))
CALL (fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags),
      (fd, name, value, size, flags))

TRANSFER (read, (int fd, void *data, size_t length), length, (fd, data, length))
TRANSFER (pread, (int fd, void *data, size_t length, off_t offset), length, (fd, data, length, offset))
TRANSFER (write, (int fd, const void *data, size_t length), length, (fd, data, length))
TRANSFER (pwrite, (int fd, const void *data, size_t length, off_t offset), length, (fd, data, length, offset))

/* Linux lets go of the descriptor whatever it says. */
EXPORT int
close (int fd)
{
  REAL (int, close, (int) );
  int closed = real (fd);

  return strikes ("close") ? -1 : closed;
}

EXPORT int
openat (int fd, const char *name, int flags, ...)
{
  REAL (int, openat, (int, const char *, int, ...));
  mode_t mode = 0;
  va_list arguments;

  va_start (arguments, flags);
  if ((flags & O_CREAT) != 0)
    mode = va_arg (arguments, mode_t);
  va_end (arguments);
  return strikes ("openat") ? -1 : real (fd, name, flags, mode);
}

/* Only its locks; no file system refuses to unlock. */
EXPORT int
fcntl (int fd, int command, ...)
{
  REAL (int, fcntl, (int, int, ...));
  void *argument;
  va_list arguments;

  va_start (arguments, command);
  argument = va_arg (arguments, void *);
  va_end (arguments);
  if (command == F_OFD_SETLK || command == F_OFD_SETLKW)
    if (strikes (((struct flock *) argument)->l_type == F_UNLCK ? "unlock" : "lock"))
      return -1;
  return real (fd, command, argument);
}

EXPORT off_t
lseek (int fd, off_t offset, int whence)
{
  REAL (off_t, lseek, (int, off_t, int) );

  return strikes ("lseek") ? -1 : real (fd, offset, whence);
}

EXPORT ssize_t
fgetxattr (int fd, const char *name, void *value, size_t size)
{
  REAL (ssize_t, fgetxattr, (int, const char *, void *, size_t));

  return strikes ("fgetxattr") ? -1 : real (fd, name, value, size);
}

EXPORT DIR *
fdopendir (int fd)
{
  REAL (DIR *, fdopendir, (int) );

  return strikes ("fdopendir") ? NULL : real (fd);
}

EXPORT struct dirent *
readdir (DIR *dir)
{
  REAL (struct dirent *, readdir, (DIR *) );

  return strikes ("readdir") ? NULL : real (dir);
}

/* ---- trying */

/* No power is cut here: a disk that others keep busy would make minutes of seconds. */
__attribute__ ((constructor)) static void
faults_init (void)
{
  g_setenv ("TMPDIR", "/dev/shm", FALSE);
}

void
faults_choose (const char *call, guint nth, int error, gboolean lasting)
{
  fault.call = call;
  fault.nth = nth;
  fault.error = error;
  fault.lasting = lasting;
  fault.seen = 0;
  fault.other = NULL;
}

void
faults_choose_too (const char *call, int error)
{
  fault.other = call;
  fault.other_error = error;
}

void
faults_begin (void)
{
  fault.counts = TRUE;
}

const char *
faults_end (void)
{
  fault.counts = FALSE;
  return fault.call != NULL && fault.seen >= fault.nth ? fault.call : NULL;
}

gboolean
faults_are_lasting (void)
{
  return fault.lasting;
}

int
faults_get_error (void)
{
  return fault.error;
}

static guint
count_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* Returns whether the fault came to pass. */
static gboolean
try (FaultsFunc attempt, gpointer user_data)
{
  guint before = count_descriptors ();

  g_test_message ("%s %u: %s%s", fault.call, fault.nth,
                  fault.error > 0 ? g_strerror (fault.error) : "not all of it",
                  fault.lasting ? ", from then on" : "");
  attempt (user_data);
  g_assert_cmpuint (count_descriptors (), ==, before);
  return faults_end () != NULL;
}

/* A disk may fail for good; what signals and others do, they do once. */
static gboolean
may_last (int error)
{
  return error == EIO || error == ENOSPC || error == EPERM || error == ENOLCK || error == ENOMEM ||
         error == EMFILE;
}

static void
try_each (FaultsFunc attempt, gpointer user_data)
{
  faults_choose (NULL, 0, 0, FALSE);
  attempt (user_data);

  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    for (guint e = 0; e < MAX_ERRORS && faults[i].errors[e] != 0; e++)
      for (gboolean lasting = FALSE; lasting <= may_last (faults[i].errors[e]); lasting++)
        for (guint nth = 1;; nth++)
          {
            faults_choose (faults[i].call, nth, faults[i].errors[e], lasting);
            if (!try (attempt, user_data))
              break;
          }
  faults_choose (NULL, 0, 0, FALSE);
}

typedef struct
{
  FaultsFunc attempt;
  gpointer user_data; /* none */
} Test;

static void
run_test (gconstpointer data)
{
  const Test *test = data;

  try_each (test->attempt, test->user_data);
}

void
faults_add_test (const char *path, FaultsFunc attempt, gconstpointer user_data)
{
  Test *test = g_new (Test, 1);

  test->attempt = attempt;
  test->user_data = (gpointer) user_data;
  g_test_add_data_func_full (path, test, run_test, g_free);
}
