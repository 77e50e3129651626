# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is on the disk before what: read off the system calls of one run, without any luck in when the power goes.

Each step names a call as strace shows it; one that is missing, or that comes before the one it depends on, is a promise
that holds only while the power does.
"""

import re

from checker import Ground
from jobs import ReceiverJob, ShipperJob
from tracer import Trace, merge

# What must have been done, in this order, before the receiver answers 201 for an upload. {name} is the episode.
RECEIVER = [
    ("the digest is noted", r"fsetxattr\(\d+<.*/incoming/.*/{name}\..*\.part>"),
    ("the bytes are flushed", r"fsync\(\d+<.*/incoming/[^/]*/{name}\..*\.part>\) += 0"),
    ("the intent's name is flushed", r"fsync\(\d+<.*/incoming/[^/]*>\) += 0"),
    ("the archive is linked", r'linkat\(.*"{name}\..*\.part",.*/store/.*"{name}\.tar\.zst", 0\) += 0'),
    ("the archive's name is flushed", r"fsync\(\d+<.*/store/[^/]*>\) += 0"),
    ("the row is written", r'write\(\d+<.*/index\.jsonl>, .*{name}'),
    ("the row is flushed", r"f(data)?sync\(\d+<.*/index\.jsonl>\) += 0"),
    ("the intent is removed", r'unlinkat\(.*"{name}\..*\.part", 0\) += 0'),
    ("the answer is sent", r'sendto\(.*"HTTP/1\.1 201 .*{name}'),
]
# Before that, for one that was cut: what the kernel may show although the disk has it not is not hashed.
RESUMED = [
    ("what came is flushed", r"fsync\(\d+<.*/incoming/[^/]*/{name}\..*\.part>\) += 0"),
    ("what is in memory is forgotten", r"fadvise64\(\d+<.*/{name}\..*\.part>, 0, 0, POSIX_FADV_DONTNEED\) += 0"),
    ("it is read", r"pread64\(\d+<.*/{name}\..*\.part>"),
    RECEIVER[0],
]
FOLDERS = [
    ("a new folder is made", r'mkdirat\(\d+<.*/{folder}>, "lab-1"'),
    ("its parent is flushed", r"fsync\(\d+<.*/{folder}>\) += 0"),
    ("the answer is sent", r'sendto\(.*"HTTP/1\.1 201 '),
]
SHIPPER = [
    ("a file is written out, so that stores show", r"sync_file_range\(\d+<.*/episodes/{name}/.*>, 0, 0, .*\) += 0"),
    ("it is read", r"read\(\d+<.*/episodes/{name}/.*>"),
    ("the tarball is flushed", r"fsync\(\d+<.*/outbox/{name}\.tar\.zst\.partial>\) += 0"),
    ("the tarball gets its name", r'renameat2\(.*"{name}\.tar\.zst\.partial".*"{name}\.tar\.zst", RENAME_NOREPLACE'),
    ("the outbox is flushed", r"fsync\(\d+<.*/outbox>\) += 0"),
    ("the description is flushed", r"fsync\(\d+<.*/outbox/\.{name}\.json\..*>\) += 0"),
    ("the description gets its name", r'renameat\(.*"{name}\.json"\)'),
    ("the archive is sent", r'sendto\(.*"PUT /v1/episodes/lab-1/{name} '),
    ("the receipt comes", r'recvfrom\(.*"HTTP/1\.1 201 '),
    ("the receipt is flushed", r"fsync\(\d+<.*/receipts/\.{name}\.json\..*>\) += 0"),
    ("the receipt gets its name", r'renameat\(.*/receipts>.*"{name}\.json"\)'),
    ("the receipt's name is flushed", r"fsync\(\d+<.*/receipts>\) += 0"),
    ("the fingerprint is taken again", r'openat\(.*/episodes/{name}.*'),
    ("the episode goes home", r'renameat2\(.*/episodes>, "{name}".*/shipped>, "{name}", RENAME_NOREPLACE'),
    ("where it is now is flushed", r"fsync\(\d+<.*/shipped>\) += 0"),
    ("where it was is flushed", r"fsync\(\d+<.*/episodes>\) += 0"),
    ("the tarball is removed", r'unlinkat\(.*"{name}\.tar\.zst", 0\) += 0'),
]
QUARANTINE = [
    ("the reason is flushed", r"fsync\(\d+<.*/quarantine/\.\.{name}\.reason\.json\..*>\) += 0"),
    ("the reason gets its name", r'renameat\(.*"\.{name}\.reason\.json"\)'),
    ("the reason's name is flushed", r"fsync\(\d+<.*/quarantine>\) += 0"),
    ("the episode goes into quarantine",
     r'renameat2\(.*/episodes>, "{name}".*/quarantine>, "{name}", RENAME_NOREPLACE'),
    ("where it is now is flushed", r"fsync\(\d+<.*/quarantine>\) += 0"),
    ("where it was is flushed", r"fsync\(\d+<.*/episodes>\) += 0"),
]


def check_order(lines, steps, **values):
    """Every step after the one before it; the first that is not ends the search."""
    at = 0
    for what, pattern in steps:
        pattern = re.compile(re.sub(r"\{(\w+)\}", lambda match: re.escape(values[match[1]]), pattern))
        found = next((number for number in range(at, len(lines)) if pattern.search(lines[number])), None)
        if found is None:
            yield f"not in its place: {what} ({pattern.pattern})"
            return
        at = found + 1


def trace(job, role, tag):
    job.prepare(tag)
    with Trace(job.process, role) as traced:
        job.run()
        traced.end()
        # A line that another thread cut in two is whole here, as one thread is traced.
        return [line for line in traced.lines if "ENOENT" not in line]


def attack_receiver(tally):
    with Ground() as ground:
        job = ReceiverJob(ground)
        job.process = job.site.receiver()
        with Trace(job.process, None) as traced:
            job.warm()
            traced.end()
            lines = list(merge(traced.lines))
        for folder in ("incoming", "store"):
            tally.attempt()
            tally.violations_of(f"a new host in {folder}/", check_order(lines, FOLDERS, folder=folder))
        lines = trace(job, job.threads[0], "order")
        for name in job.names:
            tally.attempt(len(RECEIVER))
            tally.violations_of(f"upload of {name}", check_order(lines, RECEIVER, name=name))
        tally.attempt(len(RESUMED))
        tally.violations_of("the rest of an upload", check_order(lines, RESUMED, name=job.names[1]))


def attack_shipper(tally):
    with Ground() as ground:
        job = ShipperJob(ground)
        job.start()
        lines = trace(job, job.threads[0], "order")
        new, odd, old = job.names
        tally.attempt(len(SHIPPER) + 2 * len(QUARANTINE))
        tally.violations_of(f"shipping {new}", check_order(lines, SHIPPER, name=new))
        for name in (odd, old):
            tally.violations_of(f"quarantine of {name}", check_order(lines, QUARANTINE, name=name))


def attack(tally):
    attack_receiver(tally)
    attack_shipper(tally)
