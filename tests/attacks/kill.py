# SPDX-License-Identifier: LGPL-2.1-or-later
"""kill -9 before each system call on a file or a socket, of the shipper and of the receiver, and at any moment of
many workers; then a restart.
"""

import contextlib
import os
import signal
import time

from checker import (Client, Ground, check_host, check_index, check_quiet, check_receipts, check_store,
                     wait_until)
from jobs import ReceiverJob, ShipperJob, bytes_of
from tracer import Trace, WRITING, points

SAMPLE = 14  # points of each thread in a short round
CROWD_SHORT, CROWD_LONG = 12, 2_000  # kills at random
CROWD_FRESH = 25  # of them in the same folders
FRESH_AFTER = 60  # points: then the folders begin anew, as what is there makes each check longer


def count(kind, role):
    """All points of one thread."""
    with Ground() as ground:
        job = kind(ground)
        job.start()
        job.prepare("count")
        with Trace(job.process, role) as trace:
            job.run()
            trace.end()
            return points(trace)


def strike(tally, job, role, call, n, tag):
    """The thread's n-th such call never happens."""
    where = f"{job.role}, thread {role}, kill at {call} {n}"
    job.prepare(tag)
    with Trace(job.process, role, inject=f"{call}:signal=SIGKILL:when={n}"):
        job.run()
    killed = job.process.popen.poll() == -signal.SIGKILL
    tally.attempt()
    tally.violations_of(where, job.at_rest())
    tally.violations_of(where, job.drain(tally))
    return killed


def attack_thread(tally, kind, role):
    missed = 0
    todo = tally.sample(count(kind, role), SAMPLE)
    while todo:
        now, todo = todo[:FRESH_AFTER], todo[FRESH_AFTER:]
        with Ground() as ground:
            job = kind(ground)
            job.start()
            for number, (call, n) in enumerate(now):
                missed += not strike(tally, job, role, call, n, f"k{number}")
                if job.process.popen.poll() is not None:
                    job.start()
    return missed


def torn(job):
    """What a receiver that was killed leaves: an archive without a row, half a row, half an upload."""
    job.prepare("torn")
    job.run()
    job.process.kill()
    site = job.site
    index = site.receiver_state / "index.jsonl"
    rows = index.read_text().splitlines(keepends=True)
    lost = next(row for row in site.rows() if row["episode"] == "torn-cut")
    index.write_text("".join(row for row in rows if '"torn-cut"' not in row) + rows[0][:70])
    incoming = site.receiver_state / "incoming" / site.host_name
    (incoming / f"torn-cut.{lost['sha256']}.{lost['commit']}.part").hardlink_to(site.archive("torn-cut"))
    (incoming / f"half.{'0' * 64}.{lost['commit']}.part").write_bytes(b"half of it")


def end_traced(process):
    """Ends what strace started, and so strace; where it was strace only that ended, the other would live on."""
    pid = process.popen.pid
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        for child in children.read().split():
            os.kill(int(child), signal.SIGKILL)
    process.popen.wait()


def attack_start(tally):
    """The recovery that a start makes is killed as well, at each step; the next one finishes it."""
    steps = [(call, n) for call in WRITING for n in range(1, 40)]
    ended = set()
    for call, n in steps if tally.long else [step for step in steps if step[1] <= 3]:
        if call in ended:
            continue
        where = f"receiver, start, kill at {call} {n}"
        with Ground() as ground:
            job = ReceiverJob(ground)
            job.start()
            torn(job)
            job.site.prefix = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                               f"inject={call}:signal=SIGKILL:when={n}", "--")
            with contextlib.suppress(AssertionError):
                job.process = job.site.receiver()
            job.site.prefix = ()
            if job.process.popen.poll() is None:
                ended.add(call)
            end_traced(job.process)
            tally.attempt()
            tally.violations_of(where, job.at_rest())
            job.start()
            wait_until(lambda: len(job.site.partials()) == 1, f"{where}: recovered")
            tally.violations_of(where, job.drain(tally))
            tally.violations_of(where, check_index(job.site))


class Crowd:
    """Many workers on both sides, killed at any moment; what must hold at any instant is looked at then."""

    def __init__(self, ground):
        self.site = ground.site(workers=8)
        self.client = Client(self.site)
        self.names = []
        (self.site.host / "staging").mkdir()
        self.running = {"receiver": self.site.receiver(), "shipper": self.site.shipper()}

    def make(self, tag):
        for number in range(6):
            name = f"{tag}-{number}"
            path = self.site.episode("../staging/" + name, 3000 * 3 ** number, stamped=number != 1)
            os.rename(path, self.site.host / "episodes" / name)
            self.names.append(name)
        self.client.put(f"{tag}-put", bytes_of(tag, 5000))

    def strike(self, who):
        for name in who:
            self.running[name].kill()

    def at_rest(self):
        yield from check_host(self.site, self.names)
        yield from check_receipts(self.site)
        yield from check_store(self.site, self.client.acknowledged)
        yield from self.client.contradictions

    def restart(self, who):
        for name in who:
            self.running[name] = getattr(self.site, name)()

    def is_home(self):
        return not any(self.site.names(folder) for folder in ("episodes", "outbox")) and not self.site.partials()


def attack_crowd(tally):
    left = CROWD_LONG if tally.long else CROWD_SHORT
    while left > 0:
        with Ground() as ground:
            crowd = Crowd(ground)
            for number in range(min(left, CROWD_FRESH)):
                who = tally.random.choice([("receiver",), ("shipper",), ("receiver", "shipper")])
                pause = tally.random.random() * 0.1
                where = f"many workers, kill of {'+'.join(who)} after {pause * 1000:.0f} ms"
                crowd.make(f"c{number}")
                time.sleep(pause)
                crowd.strike(who)
                tally.attempt()
                tally.violations_of(where, crowd.at_rest())
                crowd.restart(who)
            left -= CROWD_FRESH
            wait_until(crowd.is_home, "all is home", 60)
            tally.violations_of("many workers, at the end", crowd.at_rest())
            tally.violations_of("many workers, at the end", check_quiet(crowd.site, crowd.names))


def attack(tally):
    missed = 0
    for kind in (ReceiverJob, ShipperJob):
        for role in kind.threads:
            missed += attack_thread(tally, kind, role)
    attack_start(tally)
    attack_crowd(tally)
    if missed:
        tally.notes.append(f"{missed} jobs were over before their point came")
