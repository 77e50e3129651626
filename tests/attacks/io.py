# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each system call on a file or a socket fails, once and for good: with EIO, ENOSPC, EDQUOT, EINTR.

A failed fsync stops the program, which exits non-zero: what it stood for is not acknowledged and not brought home.
After any other failure the job may go on or wait; no error makes anything lost, or ends the program by a signal.
"""

import re
import time

from checker import Ground, check_index
from jobs import ReceiverJob, ShipperJob
from tracer import SYNC_CALLS, Trace, points

SAMPLE = 12  # points of each thread in a short round
FRESH_AFTER = 60
TAKES_SPACE = ("openat", "write", "pwrite64", "fsync", "fdatasync", "linkat", "renameat", "renameat2", "mkdirat",
               "fsetxattr",
               "ftruncate")
INTERRUPTED = ("openat", "read", "write", "fsync", "fdatasync", "fcntl", "recvfrom", "sendto", "ftruncate")
ACKNOWLEDGED = re.compile(r'sendto\(.*"HTTP/1\.1 (201|200) .*(stored|duplicate)')
BROUGHT_HOME = re.compile(r"renameat2\(.*/episodes>.*/shipped>")


def errors_of(call):
    """(error, for good?)"""
    yield from (("EIO", False), ("EIO", True))
    if call in TAKES_SPACE:
        yield from (("ENOSPC", False), ("ENOSPC", True), ("EDQUOT", False))
    if call in INTERRUPTED:
        # For good it would not be an interruption.
        yield ("EINTR", False)


def all_points(kind, role):
    with Ground() as ground:
        job = kind(ground)
        job.start()
        job.prepare("count")
        with Trace(job.process, role) as trace:
            job.run()
            trace.end()
            return [(call, n, *error) for call, n in points(trace) for error in errors_of(call)]


def draw(tally, todo):
    """A short round looks at each flush, as a lie there is one that nobody would notice, and at some of the rest."""
    if tally.long:
        return todo
    flushes = [point for point in todo if point[0] in SYNC_CALLS and point[2:] == ("EIO", False)]
    return flushes + tally.sample([point for point in todo if point not in flushes], SAMPLE)


def check_flush(job, trace):
    """After a flush that failed."""
    lines = trace.lines
    failed = next(number for number, line in enumerate(lines) if "(INJECTED)" in line)
    after = lines[failed + 1:]
    answer = next((line for line in after if "sendto(" in line and "HTTP/1.1 " in line), "")
    if job.role == "receiver" and ACKNOWLEDGED.search(answer):
        yield f"acknowledged after {lines[failed]}"
    if re.search(r"/(outbox|receipts)[/>]", lines[failed]) and any(BROUGHT_HOME.search(line) for line in after):
        yield f"brought home after {lines[failed]}"
    deadline = time.monotonic() + 30
    while job.process.popen.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if job.process.popen.poll() is None:
        yield f"goes on after {lines[failed]}"
    elif job.process.popen.poll() == 0:
        yield f"exits with 0 after {lines[failed]}"


def strike(tally, job, role, point, tag):
    call, n, error, for_good = point
    where = f"{job.role}, thread {role}, {call} {n}: {error}{' for good' if for_good else ''}"
    job.prepare(tag)
    with Trace(job.process, role, inject=f"{call}:error={error}:when={n}{'+' if for_good else ''}") as trace:
        if for_good:
            job.run(timeout=0.4 if job.role == "shipper" else 2)
        else:
            job.run()
        trace.end()
        tally.attempt()
        struck = bool(trace.injected())
        if struck and call in SYNC_CALLS and error != "EINTR":
            tally.violations_of(where, check_flush(job, trace))
    status = job.process.popen.poll()
    if status is not None and status <= 0:
        tally.violation(where, f"ended with {status}")
    tally.violations_of(where, job.at_rest())
    tally.violations_of(where, job.drain(tally))
    return struck


def attack_thread(tally, kind, role):
    missed = 0
    todo = draw(tally, all_points(kind, role))
    while todo:
        now, todo = todo[:FRESH_AFTER], todo[FRESH_AFTER:]
        with Ground() as ground:
            job = kind(ground)
            job.start()
            for number, point in enumerate(now):
                missed += not strike(tally, job, role, point, f"i{number}")
                if job.process.popen.poll() is not None:
                    job.start()
            if job.role == "receiver":
                tally.violations_of("receiver", check_index(job.site))
    return missed


def attack(tally):
    missed = sum(attack_thread(tally, kind, role) for kind in (ReceiverJob, ShipperJob) for role in kind.threads)
    if missed:
        tally.notes.append(f"{missed} jobs were over before their point came")
