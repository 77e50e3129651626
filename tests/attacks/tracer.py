# SPDX-License-Identifier: LGPL-2.1-or-later
"""strace on one thread of a running `cis490`: to see its system calls, and to let one of them go wrong.

`when=N` of strace counts per thread, so one thread is traced at a time, and its N begins where the job begins.
"""

import collections
import os
import re
import subprocess
import tempfile

from checker import wait_until

# What may leave something half done: all that touches a file or a socket.
FILE_CALLS = ("openat", "read", "write", "pread64", "pwrite64", "fadvise64", "fsync", "fdatasync", "rename", "renameat",
              "renameat2", "link", "sync_file_range",
              "linkat", "unlink", "unlinkat", "ftruncate", "fcntl", "fsetxattr", "fgetxattr", "mkdirat", "close",
              "newfstatat", "getdents64", "statfs", "fchown")
SOCKET_CALLS = ("connect", "accept4", "sendto", "recvfrom", "sendmsg", "recvmsg", "shutdown")
# Of them, those that change something: between two of these the disk stays the same.
WRITING = ("write", "pwrite64", "fsync", "fdatasync", "renameat", "renameat2", "linkat", "unlinkat", "ftruncate",
           "fsetxattr", "mkdirat", "fcntl")
# Whose failing says that bytes or names may not be on the disk.
SYNC_CALLS = ("fsync", "fdatasync")

CALL = re.compile(r"^(?:\d+ +)?([a-z0-9_]+)\((.*)$")
RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
WORKER = "pool-cis490"


def threads(process, role):
    """Ids of the threads whose name begins so."""
    folder = f"/proc/{process.popen.pid}/task"
    found = []
    for task in os.listdir(folder):
        with open(f"{folder}/{task}/comm", encoding="ascii") as name:
            if name.read().startswith(role):
                found.append(int(task))
    return found


def _tracer_of(task):
    try:
        with open(f"/proc/{task}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("TracerPid"))
    except FileNotFoundError:
        return -1


class Trace:
    """Of one thread, or with `role=None` of all, those that come later too."""

    def __init__(self, process, role, calls=FILE_CALLS + SOCKET_CALLS, inject=None):
        self.log = tempfile.NamedTemporaryFile(mode="r", errors="replace", prefix="cis490-trace-")
        self.task = threads(process, role)[0] if role else process.popen.pid
        command = ["strace", "-qq", "-y", "-s", "300", "-o", self.log.name, "-e", "trace=" + ",".join(calls)]
        command += ["-f"] if role is None else []
        command += ["-e", f"inject={inject}"] if inject else []
        self.popen = subprocess.Popen([*command, "-p", str(self.task)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: _tracer_of(self.task) != 0, "strace is attached")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
        self.log.close()

    def end(self):
        if self.popen.poll() is None:
            self.popen.terminate()
        self.popen.wait()

    @property
    def lines(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as log:
            return log.read().splitlines()

    def injected(self):
        """The calls that went wrong."""
        return [line for line in self.lines if "(INJECTED)" in line]

    def count(self):
        """How often each call was made."""
        return collections.Counter(match[1] for line in self.lines if (match := CALL.match(line)))


def merge(lines):
    """Those of all threads without their ids, each call whole where it ended."""
    begun = {}
    for line in lines:
        task, _, rest = line.partition(" ")
        rest = rest.lstrip()
        if rest.endswith("<unfinished ...>"):
            begun[task] = rest.removesuffix("<unfinished ...>").rstrip()
        elif match := RESUMED.match(rest):
            yield begun.pop(task, "") + match[1]
        else:
            yield rest


def points(trace, calls=None):
    """(call, n) for all that were seen."""
    return [(call, n) for call, count in sorted(trace.count().items()) if calls is None or call in calls
            for n in range(1, count + 1)]
