/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells ThreadSanitizer that what was done before a descriptor was armed is before what its event lets
 * happen: of epoll_ctl (2) it knows EPOLL_CTL_ADD only. Preloaded into the tests of a build with
 * -Db_sanitize=thread; in other programs, such as git, what is TSan's is absent and this only passes on.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <sys/epoll.h>

#pragma weak __tsan_acquire
#pragma weak __tsan_release

void __tsan_acquire (void *address);
void __tsan_release (void *address);

#define NEXT(function) ((__typeof__ (&function)) dlsym (RTLD_NEXT, #function))

static char order;

int
epoll_ctl (int epoll, int operation, int fd, struct epoll_event *event)
{
  if (__tsan_release != NULL)
    __tsan_release (&order);
  return NEXT (epoll_ctl) (epoll, operation, fd, event);
}

int
epoll_wait (int epoll, struct epoll_event *events, int most, int timeout)
{
  int n = NEXT (epoll_wait) (epoll, events, most, timeout);

  if (n > 0 && __tsan_acquire != NULL)
    __tsan_acquire (&order);
  return n;
}
