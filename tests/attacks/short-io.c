/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads and writes of a program that move fewer bytes than they were asked to, as the kernel may at any time:
 * preloaded by tests/attacks/short.py, which says by a file that both have mapped which of them, in whose
 * thread. What strace can do, to answer a smaller number than was written, would be a lie. Only regular files
 * and streams: a datagram or an event is whole or not there.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__ ((visibility ("default")))

/* Their order is that of CALLS in short.py. */
typedef enum
{
  WRITE,
  PWRITE,
  WRITEV,
  SEND,
  SENDMSG,
  READ,
  PREAD,
  RECV,
  RECVMSG,
  N_CALLS,
} Call;

/* As short.py packs it. */
typedef struct
{
  uint32_t calls;       /* a bit for each Call */
  uint32_t first, last; /* which of them, counted from 1 */
  uint32_t half;        /* else one byte */
  char thread[16];      /* what its name begins with */
  _Atomic uint32_t n_struck;
  _Atomic uint32_t n_calls[N_CALLS];
} Control;

static Control *control;

static void __attribute__ ((constructor)) map_control (void)
{
  const char *path = getenv ("CIS490_SHORT_IO");
  int fd = path != NULL ? open (path, O_RDWR | O_CLOEXEC) : -1;
  void *mapped;

  if (fd < 0)
    return;
  mapped = mmap (NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED)
    control = mapped;
  close (fd);
}

static int
may_be_short (int fd)
{
  socklen_t length = sizeof (int);
  struct stat st;
  int type;

  if (fstat (fd, &st) < 0)
    return 0;
  if (S_ISSOCK (st.st_mode))
    return getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
  return S_ISREG (st.st_mode);
}

/* How many of @size bytes are moved. */
static size_t
shorten (Call call, int fd, size_t size)
{
  char thread[16] = "";
  uint32_t n;

  /* One byte is moved, or none: no call answers 0 but at the end. */
  if (control == NULL || size < 2 || !may_be_short (fd) || prctl (PR_GET_NAME, thread) < 0 ||
      strncmp (thread, control->thread, strnlen (control->thread, sizeof thread)) != 0)
    return size;
  n = atomic_fetch_add (&control->n_calls[call], 1) + 1;
  if ((control->calls & 1u << call) == 0 || n < control->first || n > control->last)
    return size;
  atomic_fetch_add (&control->n_struck, 1);
  return control->half ? size / 2 : 1;
}

/* Calls @next, which takes vectors, with the first so many bytes of them. */
#define WITH_VECTOR(size, from, count, next)                                                                 \
  ({                                                                                                         \
    struct iovec vector[(count) > 0 ? (count) : 1];                                                          \
    size_t left = (size), n_used = 0;                                                                        \
                                                                                                             \
    for (; n_used < (size_t) (count) && (left > 0 || n_used == 0); n_used++)                                 \
      {                                                                                                      \
        vector[n_used] = (from)[n_used];                                                                     \
        if (vector[n_used].iov_len > left)                                                                   \
          vector[n_used].iov_len = left;                                                                     \
        left -= vector[n_used].iov_len;                                                                      \
      }                                                                                                      \
    (next);                                                                                                  \
  })

static size_t
size_of (const struct iovec *vector, size_t count)
{
  size_t size = 0;

  for (size_t i = 0; i < count; i++)
    size += vector[i].iov_len;
  return size;
}

#define NEXT(function) ((__typeof__ (&function)) dlsym (RTLD_NEXT, #function))

EXPORT ssize_t
write (int fd, const void *data, size_t size)
{
  return NEXT (write) (fd, data, shorten (WRITE, fd, size));
}

EXPORT ssize_t
pwrite64 (int fd, const void *data, size_t size, off_t offset)
{
  return NEXT (pwrite64) (fd, data, shorten (PWRITE, fd, size), offset);
}

EXPORT ssize_t
writev (int fd, const struct iovec *vectors, int count)
{
  size_t size = shorten (WRITEV, fd, size_of (vectors, (size_t) count));

  return WITH_VECTOR (size, vectors, count, NEXT (writev) (fd, vector, (int) n_used));
}

EXPORT ssize_t
sendto (int fd, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length)
{
  return NEXT (sendto) (fd, data, shorten (SEND, fd, size), flags, address, length);
}

EXPORT ssize_t
send (int fd, const void *data, size_t size, int flags)
{
  return sendto (fd, data, size, flags, NULL, 0);
}

EXPORT ssize_t
sendmsg (int fd, const struct msghdr *message, int flags)
{
  size_t size = shorten (SENDMSG, fd, size_of (message->msg_iov, message->msg_iovlen));
  struct msghdr copy = *message;

  return WITH_VECTOR (size, message->msg_iov, message->msg_iovlen,
                      (copy.msg_iov = vector, copy.msg_iovlen = n_used, NEXT (sendmsg) (fd, &copy, flags)));
}

EXPORT ssize_t
read (int fd, void *data, size_t size)
{
  return NEXT (read) (fd, data, shorten (READ, fd, size));
}

EXPORT ssize_t
pread64 (int fd, void *data, size_t size, off_t offset)
{
  return NEXT (pread64) (fd, data, shorten (PREAD, fd, size), offset);
}

EXPORT ssize_t
recvfrom (int fd, void *data, size_t size, int flags, struct sockaddr *address, socklen_t *length)
{
  return NEXT (recvfrom) (fd, data, shorten (RECV, fd, size), flags, address, length);
}

EXPORT ssize_t
recv (int fd, void *data, size_t size, int flags)
{
  return recvfrom (fd, data, size, flags, NULL, NULL);
}

EXPORT ssize_t
recvmsg (int fd, struct msghdr *message, int flags)
{
  size_t size = shorten (RECVMSG, fd, size_of (message->msg_iov, message->msg_iovlen));
  struct iovec *vectors = message->msg_iov;
  size_t count = message->msg_iovlen;
  ssize_t n = WITH_VECTOR (size, vectors, count,
                           (message->msg_iov = vector, message->msg_iovlen = n_used,
                            NEXT (recvmsg) (fd, message, flags)));

  message->msg_iov = vectors;
  message->msg_iovlen = count;
  return n;
}

/* What a library that was built with _FORTIFY_SOURCE calls;
 * its buffers are checked in the tests without us. */
#define FORTIFIED(name, parameters, call)                                                                    \
  EXPORT ssize_t name parameters;                                                                            \
                                                                                                             \
  ssize_t name parameters                                                                                    \
  {                                                                                                          \
    (void) room;                                                                                             \
    return call;                                                                                             \
  }

FORTIFIED (__read_chk, (int fd, void *data, size_t size, size_t room), read (fd, data, size))
FORTIFIED (__pread64_chk, (int fd, void *data, size_t size, off_t offset, size_t room),
           pread64 (fd, data, size, offset))
FORTIFIED (__recv_chk, (int fd, void *data, size_t size, size_t room, int flags),
           recv (fd, data, size, flags))
FORTIFIED (__recvfrom_chk,
           (int fd, void *data, size_t size, size_t room, int flags, struct sockaddr *address,
            socklen_t *length),
           recvfrom (fd, data, size, flags, address, length))
