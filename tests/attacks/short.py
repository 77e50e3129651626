# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each read and write of a file or a stream moves one byte, or half of what it was asked to: once and for good.

That is no error, and nothing may come of it: what is sent is acknowledged, what is shipped goes home, nobody ends. One
exception is meant: the row of the index goes by one write or not at all, so a short one is cut off and answered with 503.
"""

import contextlib
import mmap
import os
import pathlib
import struct

from checker import Ground, check_index, check_quiet, wait_until
from jobs import ReceiverJob, ShipperJob
from kill import torn

# As in short-io.c.
CALLS = ("write", "pwrite", "writev", "send", "sendmsg", "read", "pread", "recv", "recvmsg")
READS = sum(1 << number for number, call in enumerate(CALLS) if call.startswith(("read", "pread", "recv")))
EVERY_CALL = (1 << len(CALLS)) - 1
HEAD = struct.Struct("=IIII16s")
COUNTS = struct.Struct(f"={1 + len(CALLS)}I")
FOR_GOOD = 0xffffffff
HOW = ("one byte", "half")
LIBRARY = pathlib.Path(os.environ["G_TEST_BUILDDIR"]) / "attacks" / "libshort-io.so"
SAMPLE = 12  # points of each thread in a short round
FRESH_AFTER = 80


class Shortener:
    """What the processes of a site are told by a mapped file."""

    def __init__(self, ground, site):
        path = site.folder / "short-io"
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.map = ground.enter_context(contextlib.closing(mmap.mmap(file.fileno(), 4096)))
        self.rest()
        site.environment |= {"LD_PRELOAD": str(LIBRARY), "CIS490_SHORT_IO": str(path)}

    def arm(self, thread, calls, first, last, half):
        """The first to the last of each such call, counted from now on, in threads whose name begins so."""
        COUNTS.pack_into(self.map, HEAD.size, *[0] * (1 + len(CALLS)))
        HEAD.pack_into(self.map, 0, calls, first, last, half, thread.encode())

    def watch(self, thread):
        """Counts only."""
        self.arm(thread, EVERY_CALL, 0, 0, False)

    def rest(self):
        self.watch("-")

    @property
    def struck(self):
        return COUNTS.unpack_from(self.map, HEAD.size)[0]

    def points(self):
        """(call, n) of all that was counted."""
        counts = COUNTS.unpack_from(self.map, HEAD.size)[1:]
        return [(call, n) for call, count in enumerate(counts) for n in range(1, count + 1)]


def ready(ground, kind, tag="count"):
    """A job that is warm, whose processes can be made to stutter."""
    job = kind(ground)
    shortener = Shortener(ground, job.site)
    job.start()
    job.prepare(tag)
    return job, shortener


def all_points(kind, role):
    with Ground() as ground:
        job, shortener = ready(ground, kind)
        shortener.watch(role)
        job.run()
        return [(*point, last, half) for point in shortener.points() for last in (point[1], FOR_GOOD) for half in (0, 1)]


def strike(tally, job, shortener, role, point, tag):
    call, first, last, half = point
    where = (f"{job.role}, thread {role}, {CALLS[call]} {first}: {HOW[half]}{' for good' if last > first else ''}")
    job.prepare(tag)
    shortener.arm(role, 1 << call, first, last, half)
    job.run()
    struck = shortener.struck > 0
    shortener.rest()
    tally.attempt()
    if job.process.popen.poll() is not None:
        tally.violation(where, f"ended with {job.process.popen.poll()}")
    # A row that was short was refused, and comes with the next try.
    if last == first and CALLS[call] != "write":
        tally.violations_of(where, job.undone())
    tally.violations_of(where, job.at_rest())
    tally.violations_of(where, job.drain(tally))
    return struck


def attack_thread(tally, kind, role):
    missed = 0
    todo = tally.sample(all_points(kind, role), SAMPLE)
    while todo:
        now, todo = todo[:FRESH_AFTER], todo[FRESH_AFTER:]
        with Ground() as ground:
            job, shortener = ready(ground, kind)
            for number, point in enumerate(now):
                missed += not strike(tally, job, shortener, role, point, f"s{number}")
                if job.process.popen.poll() is not None:
                    job.start()
            if job.role == "receiver":
                tally.violations_of("receiver", check_index(job.site))
    return missed


def attack_start(tally, half):
    """What a receiver reads at its start, its configuration and what a crash left, comes in pieces as well."""
    with Ground() as ground:
        job, shortener = ready(ground, ReceiverJob)
        torn(job)
        shortener.arm("", READS, 1, FOR_GOOD, half)
        job.process = job.site.receiver()
        tally.attempt()
        wait_until(lambda: len(job.site.partials()) == 1, "recovered")
        shortener.rest()
        tally.violations_of(f"receiver, start, {HOW[half]}", job.drain(tally))
        tally.violations_of(f"receiver, start, {HOW[half]}", check_index(job.site))


def attack_all(tally, half):
    """Whatever a shipper reads and writes, from its start on."""
    with Ground() as ground:
        job, shortener = ready(ground, ShipperJob)
        job.process.stop()
        shortener.arm("", EVERY_CALL, 1, FOR_GOOD, half)
        job.make()
        job.process = job.site.once()
        tally.attempt()
        if job.process.status != 65:
            tally.violation(f"shipper, {HOW[half]}", f"ended with {job.process.status}:\n{job.process.said[-2000:]}")
        tally.violations_of(f"shipper, {HOW[half]}", job.at_rest())
        tally.violations_of(f"shipper, {HOW[half]}", check_quiet(job.site, job.names))


def attack(tally):
    missed = sum(attack_thread(tally, kind, role) for kind in (ReceiverJob, ShipperJob) for role in kind.threads)
    for half in (0, 1):
        attack_start(tally, half)
        attack_all(tally, half)
    if missed:
        tally.notes.append(f"{missed} jobs were over before their point came")
