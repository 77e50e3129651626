# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mount namespace for a test program: what it mounts nobody else sees, and it goes with the process.

Its folder for temporary files is a memory file system of its own. What a cut of the power leaves on a disk is for tests/attacks;
here an fsync(2) need not wait for the disk that all tests share. The tree lies where other users can enter it, as some tests run
the program as one of them.
"""

import contextlib
import ctypes
import os
import pathlib
import stat
import tempfile

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name} {arguments}: {os.strerror(number)}")


def mount(source, target, kind, flags, options=None):
    call("mount", source, os.fsencode(target), kind, ctypes.c_ulong(flags), options)


def cover(folder, mode, kept):
    """Puts an empty file system over `folder`, in which only those of `kept` show that were there."""
    kept = [path for path in kept if path.is_relative_to(folder)]
    with contextlib.ExitStack() as stack:
        below = []
        for path in kept:
            below.append(os.open(path, os.O_PATH | os.O_DIRECTORY))
            stack.callback(os.close, below[-1])
        mount(b"tmpfs", folder, b"tmpfs", 0, b"mode=%o" % mode)
        for path, fd in zip(kept, below):
            path.mkdir(parents=True, exist_ok=True)
            mount(b"/proc/self/fd/%d" % fd, path, None, MS_BIND | MS_REC)


def find_closed(path):
    """The first folder on the way to `path` that others cannot enter."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & stat.S_IXOTH), None)


def enter():
    tests, built = (pathlib.Path(os.environ[name]).resolve() for name in ("G_TEST_SRCDIR", "G_TEST_BUILDDIR"))
    # The build folder may be in the tree or beside it.
    kept = [tests.parent, built.parent]
    call("unshare", CLONE_NEWNS)
    mount(None, "/", None, MS_PRIVATE | MS_REC)
    for path in kept:
        while closed := find_closed(path):
            cover(closed, 0o755, kept)
    cover(pathlib.Path(tempfile.gettempdir()).resolve(), 0o1777, kept)
    os.chdir("/")
