# SPDX-License-Identifier: LGPL-2.1-or-later
"""What runs once and changes what is there: it is killed, or fails, at each of its system calls, and is run again.

Release and purge of a quarantine, the drain, the backfill of an index, and a shipper that goes on with an upload that was
cut. Of those that only read, one before each write is enough for a kill: the disk is the same.
"""

import collections
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from checker import Client, Ground, check_host, check_index, check_quiet, check_receipts, check_store, find, wait_until
from jobs import DRAIN, bytes_of
from tracer import CALL, SOCKET_CALLS, SYNC_CALLS, WRITING

SAMPLE = 4  # points of each in a short round
FRESH_AFTER = 40
HOW = ("signal=SIGKILL", "error=EIO", "error=ENOSPC")
READING = ("openat", "read", "pread64", "newfstatat", "getdents64", "close")
LARGE = 1_300_000  # over 1 MiB a shipper asks how much is there


class Release:
    """Two episodes from quarantine/ into episodes/."""

    verb = ("quarantine", "release", "--all")
    left = "episodes"
    has_threads = False

    def __init__(self, ground):
        self.site = ground.site()
        self.site._copy_pipeline("drain")  # pylint: disable=protected-access
        self.site.tune("drain", "[pipeline]\nworkers=1\n[scan]\nquiet=20ms\n")
        self.names, self.left_over = [], []

    def prepare(self, tag):
        for name in self.names:
            for folder in ("episodes", "quarantine"):
                shutil.rmtree(self.site.host / folder / name, ignore_errors=True)
        self.names = [f"{tag}-a", f"{tag}-b"]
        for name in self.names:
            self.site.episode(name, 100, stamped=False)
        if self.site.once("drain").status != 65:
            raise AssertionError("the drain puts nothing aside")
        # Whoever opens the quarantine next tidies up after one that was killed.
        self.left_over = [name for name in os.listdir(self.site.host / "quarantine") if name not in self.names]

    def run(self):
        done = self.site.command(*self.verb)
        return done.returncode, done.stderr

    def at_rest(self):
        yield from (f"quarantine/{name} is left by the one before" for name in self.left_over)
        yield from check_host(self.site, self.names)

    def undone(self):
        """Once it was run to its end."""
        for name in self.names:
            if (found := find(self.site, name)) != [(self.left, name)]:
                yield f"{name} is in {found}"


class Purge(Release):
    """Removes them; what is gone is in the audit."""

    verb = ("quarantine", "purge", "--all", "--yes")

    def purged(self):
        audit = self.site.host / "audit.jsonl"
        lines = audit.read_text().splitlines() if audit.exists() else []
        return {json.loads(line)["episode"] for line in lines if line.endswith("}") and '"purge"' in line}

    def at_rest(self):
        gone = [name for name in self.names if not find(self.site, name)]
        yield from (f"quarantine/{name} is left by the one before" for name in self.left_over)
        yield from (f"{name} is gone, and the audit does not know" for name in gone if name not in self.purged())
        yield from check_host(self.site, [name for name in self.names if name not in gone])

    def undone(self):
        yield from (f"quarantine/{name} is left" for name in os.listdir(self.site.host / "quarantine"))
        yield from self.at_rest()


class Drain(Release):
    """Two without a stamp go into quarantine/."""

    left = "quarantine"
    has_threads = True

    def prepare(self, tag):
        for name in self.names:
            shutil.rmtree(self.site.host / "quarantine" / name, ignore_errors=True)
        self.names = [f"{tag}-a", f"{tag}-b"]
        for name in self.names:
            self.site.episode(name, 100, stamped=False)

    def run(self):
        process = self.site.once("drain")
        return 0 if process.status == 65 else process.status, process.said


class Backfill:
    """Two archives get their rows in an index that ends in half of one."""

    has_threads = True

    def __init__(self, ground):
        self.site = ground.site()
        self.site._copy_pipeline("backfill")  # pylint: disable=protected-access
        self.site.receiver().stop()
        self.store = self.site.receiver_state / "store" / self.site.host_name
        self.store.mkdir(exist_ok=True)
        self.episode = self.site.episode("made", 1000)
        self.names = []

    def prepare(self, tag):
        self.names = [f"{tag}-a", f"{tag}-b"]
        for name in self.names:
            subprocess.run(["tar", "-C", self.episode.parent, "--zstd", f"--transform=s,^made,{name},",
                            "-cf", self.store / f"{name}.tar.zst", "made"], check=True)
        with open(self.site.receiver_state / "index.jsonl", "a", encoding="ascii") as index:
            index.write('{"ts":"2026-01-01T00:00:00Z","host":"lab')

    def run(self):
        done = self.site.command("index", "backfill", "--config", str(self.site.folder / "cis490.ini"),
                                 state=self.site.receiver_state)
        return done.returncode, done.stderr

    def at_rest(self):
        """Each row that is whole stands there once."""
        text = (self.site.receiver_state / "index.jsonl").read_text()
        rows = collections.Counter(json.loads(line)["episode"] for line in text.split("\n")[:-1])
        yield from (f"{name} has {count} rows" for name, count in rows.items() if count > 1)

    def undone(self):
        yield from check_index(self.site)


class Resume:
    """A shipper finds that half of what it packed is with the receiver, and sends the rest."""

    has_threads = True

    def __init__(self, ground):
        self.site = ground.site()
        self.client = Client(self.site)
        self.url = self.site.values["receiver-url"]
        self.receiver = self.site.receiver()
        self.names = []

    def prepare(self, tag):
        name = f"{tag}-large"
        self.names = [name]
        self.site.episode(name, files={"data.bin": bytes_of(name, LARGE)})
        self.site.write_site(receiver_url=f"unix:{self.site.folder}/nobody")
        if self.site.once().status != 75:
            raise AssertionError("nothing waits")
        self.site.write_site(receiver_url=self.url)
        if self.receiver.popen.poll() is not None:
            self.receiver = self.site.receiver()
        packed = (self.site.host / "outbox" / f"{name}.tar.zst").read_bytes()
        self.client.cut(name, packed, len(packed) // 2)
        wait_until(lambda: self.client.ask("POST", name, packed, sent=b"", **{"Upload-Length": str(len(packed))})[1]
                   .get("offset", 0) > 0, "half of it is there")

    def run(self):
        process = self.site.once()
        return process.status, process.said

    def at_rest(self):
        yield from check_host(self.site, self.names)
        yield from check_receipts(self.site)
        yield from check_store(self.site, self.client.acknowledged)

    def undone(self):
        yield from check_quiet(self.site, self.names)
        if [place for name in self.names for place, _ in find(self.site, name)] != ["shipped"]:
            yield "it is not in shipped/"


def traced(verb, calls, log=os.devnull, inject=()):
    """Runs it so; its exit status, and what it said."""
    verb.site.prefix = ("strace", "-f", "-qq", "-y", "-s", "100", "-o", log, "-e", "trace=" + ",".join(calls), *inject, "--")
    try:
        return verb.run()
    finally:
        verb.site.prefix = ()


def makes_sense(kind, call, how):
    if call == "write" and kind.has_threads:
        # Threads wake each other by it, and the kernel has no error for that; `io` looks at one thread at a time.
        return how == "signal=SIGKILL"
    return call in WRITING or how == "error=EIO" or (how == "signal=SIGKILL" and call in SOCKET_CALLS)


def all_points(kind):
    """(call, n, how), from where the site is touched first; n counts in the thread that makes most of such calls."""
    with Ground() as ground, tempfile.NamedTemporaryFile(mode="r", errors="replace") as log:
        verb = kind(ground)
        verb.prepare("count")
        status, said = traced(verb, WRITING + READING + SOCKET_CALLS, log.name)
        if status != 0:
            raise AssertionError(f"{kind.__name__} ended with {status}: {said}")
        lines = log.read().splitlines()
        folder = str(verb.site.folder)
    if kind is Resume and not any("PATCH /v1/" in line for line in lines):
        raise AssertionError("nothing is gone on with")
    first, seen = {}, collections.Counter()
    for line in lines:
        task, _, rest = line.partition(" ")
        if match := CALL.match(rest.lstrip()):
            seen[task, match[1]] += 1
            if folder in line:
                first.setdefault(match[1], seen[task, match[1]])
    ends = collections.Counter()
    for (_, call), count in seen.items():
        ends[call] = max(ends[call], count)
    for call in sorted(first):
        for n in range(first[call], ends[call] + 1):
            yield from ((call, n, how) for how in HOW if makes_sense(kind, call, how))


def strike(tally, verb, point, tag):
    call, n, how = point
    where = f"{type(verb).__name__.lower()}, {call} {n}: {how}"
    verb.prepare(tag)
    status, said = traced(verb, (call,), inject=("-e", f"inject={call}:{how}:when={n}"))
    tally.attempt()
    killed = status in (-signal.SIGKILL, 128 + signal.SIGKILL)
    if (status < 0 or status >= 128) and not (killed and "SIGKILL" in how):
        tally.violation(where, f"ended with {status}:\n{said[-1500:]}")
    if call in SYNC_CALLS and "error" in how and re.search("to the disk: ", said) and status == 0:
        tally.violation(where, "exits with 0")
    tally.violations_of(where, verb.at_rest())
    deadline = time.monotonic() + DRAIN
    while list(verb.undone()) and time.monotonic() < deadline:
        status, said = verb.run()
        tally.violations_of(where, verb.at_rest())
    if left := list(verb.undone()):
        tally.violations_of(where, left)
        print(f"---- it ended with {status} and said:\n{said[-1500:]}")


def attack(tally):
    for kind in (Release, Purge, Drain, Backfill, Resume):
        todo = tally.sample(all_points(kind), SAMPLE)
        tally.notes.append(f"{kind.__name__.lower()} {len(todo)}")
        while todo:
            now, todo = todo[:FRESH_AFTER], todo[FRESH_AFTER:]
            with Ground() as ground:
                verb = kind(ground)
                for number, point in enumerate(now):
                    strike(tally, verb, point, f"v{number}")
