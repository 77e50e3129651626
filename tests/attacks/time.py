# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clocks that are ten years wrong or are set while all is under way, and processes that stand still for a while.

The wall clock of each program is libfaketime's; what counts the time since boot is left as it is, for nobody can set that.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

from checker import Client, Ground, SHIPPER, check_host, check_quiet, check_receipts, check_store, show, wait_until
from jobs import bytes_of
from relay import Relay

LIBRARY = "/usr/$LIB/faketime/libfaketimeMT.so.1"
OFFSETS = ("-10y", "+0", "+10y")
YEAR = 365 * 24 * 3600
KEEP = "".join(f"[{stage}]\nkeep-days=1\ncleanup-interval=50ms\n" for stage in ("retire", "quarantine"))
STEPS = {False: 20, True: 1000}
STILL = {False: (0.5,), True: (1, 45, 150)}  # s; the receiver gives up on a body after 30
NOTICE = 2  # s: confirm-after where it has to run out
QUIET = 2  # s: how long an episode that is written must be left alone
ALL_HOME = 60  # s
# It may stand, or be written, at any time.
NOTICE_LEFT = re.compile(r"/(\.notice|\.\.notice\.\w+\.tmp) is left$")


class Clock:
    """On the wall, as one process sees it."""

    def __init__(self, path):
        self.path = path
        self.set("+0")

    def set(self, offset):
        new = self.path.with_suffix(".new")
        new.write_text(offset + "\n")
        new.rename(self.path)

    def prefix(self):
        return ("env", f"LD_PRELOAD={LIBRARY}", "DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1", "NO_FAKE_STAT=1",
                f"FAKETIME_TIMESTAMP_FILE={self.path}")


class Scene:
    """A host and a receiver with a clock each, and a line between them that can be held up."""

    def __init__(self, ground, more=""):
        self.site = ground.site(workers=4, shipper=SHIPPER + KEEP)
        self.site.tune("shipper", more, "tuned")
        grants = self.site.folder / "grants"
        grants.write_text(f"thesis {self.site.stale} * 2090-01-01\n")
        self.site.write_site(grants_file=grants)
        self.relay = Relay.between(ground, self.site)
        self.client = Client(self.site)
        self.clocks = {who: Clock(self.site.folder / f"{who}.clock") for who in ("receiver", "shipper")}
        self.running = {}
        self.names = []
        (self.site.host / "staging").mkdir()

    def start(self):
        for who, clock in self.clocks.items():
            self.site.prefix = clock.prefix()
            self.running[who] = getattr(self.site, who)()
            self.site.prefix = ()

    def stop(self):
        for process in self.running.values():
            process.stop()

    def set(self, offset):
        for clock in self.clocks.values():
            clock.set(offset)

    def make(self, tag, sizes=(3000,)):
        """Episodes that appear whole: of new code, of code that only a grant admits, and one that is rejected."""
        made = [(f"{tag}-{size}", size, {}) for size in sizes]
        made += [(f"{tag}-old", 3000, {"commit": self.site.stale}), (f"{tag}-odd", 3000, {"stamped": False})]
        for name, size, options in made:
            path = self.site.episode("../staging/" + name, size, **options)
            os.rename(path, self.site.host / "episodes" / name)
            self.names.append(name)

    def is_home(self):
        return not self.site.names("episodes") and not self.site.names("outbox")

    def wait_home(self):
        wait_until(self.is_home, f"{self.site.names('episodes')} are home", ALL_HOME)

    def at_rest(self):
        """What must hold at any instant: nothing is lost, and nothing has expired."""
        yield from check_host(self.site, self.names)
        yield from check_receipts(self.site)
        yield from check_store(self.site, self.client.acknowledged)
        yield from self.client.contradictions

    def settled(self):
        """And what must hold in the end: nobody was refused who should not be, and all is where it belongs."""
        yield from self.at_rest()
        odd = [name for name in self.names if name.endswith("-odd")]
        if self.site.names("quarantine") != sorted(odd):
            yield f"in quarantine are {self.site.names('quarantine')}, not {sorted(odd)}"
        yield from (line for line in check_quiet(self.site, self.names) if not NOTICE_LEFT.search(line))

    def judge(self, tally, where):
        before = len(tally.violations)
        tally.violations_of(where, self.settled())
        if len(tally.violations) > before:
            for process in self.running.values():
                show(process, tally)


def check_clock(tally, folder):
    """That the library fakes what it should, and nothing else."""
    code = "import time; print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())"
    clock = Clock(folder / "clock")
    clock.set("+10y")
    run = subprocess.run([*clock.prefix(), sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wall, boot, monotonic = map(float, run.stdout.split())
    tally.attempt()
    if wall - time.time() < 9 * YEAR:
        tally.violation("the attack itself", f"the clock is not faked: {run.stdout} {run.stderr}")
    if abs(boot - time.clock_gettime(time.CLOCK_BOOTTIME)) > 60 or abs(monotonic - time.monotonic()) > 60:
        tally.violation("the attack itself", f"the time since boot is faked: {run.stdout}")


def attack_start(tally, shipper, receiver):
    """Something of every kind is there; then both start with a wrong clock; then with the right one."""
    where = f"shipper at {shipper}, receiver at {receiver}"
    with Ground() as ground:
        scene = Scene(ground)
        scene.start()
        scene.make("before")
        scene.wait_home()
        body = bytes_of(where, 300_000)
        scene.client.cut("part", body, 200_000)
        wait_until(scene.site.partials, "the upload began")
        scene.relay.requests.shut()
        scene.make("held")
        wait_until(lambda: len(scene.site.names("outbox")) == 4, "what is held up is packed")
        scene.stop()
        scene.relay.requests.open()
        scene.clocks["shipper"].set(shipper)
        scene.clocks["receiver"].set(receiver)
        scene.start()
        scene.make("wrong")
        scene.wait_home()
        status, said = scene.client.ask("POST", "part", body, sent=b"", **{"Upload-Length": str(len(body))})
        if status != 200 or said.get("offset", 0) == 0:
            tally.violation(where, f"the upload that was cut has expired: {status} {said}")
        if scene.client.resume("part", body)[0] != 201:
            tally.violation(where, "the upload that was cut is not taken")
        tally.violations_of(where, scene.at_rest())
        scene.stop()
        scene.set("+0")
        scene.start()
        scene.make("after")
        scene.wait_home()
        tally.attempt()
        scene.judge(tally, where)


def attack_steps(tally):
    """Clocks are set at any moment while episodes travel."""
    with Ground() as ground:
        scene = Scene(ground)
        scene.start()
        for number in range(STEPS[tally.long]):
            who = tally.random.choice((("shipper",), ("receiver",), ("shipper", "receiver")))
            offset = tally.random.choice((*OFFSETS, "-1d", "+1d", "+90"))
            scene.make(f"s{number}", sizes=(tally.random.choice((300, 30_000, 2_000_000)),))
            time.sleep(tally.random.random() * 0.1)
            for name in who:
                scene.clocks[name].set(offset)
            tally.attempt()
            tally.violations_of(f"step {number}, {'+'.join(who)} to {offset}", scene.at_rest())
        scene.set("+0")
        scene.wait_home()
        scene.judge(tally, "after all steps")


@contextlib.contextmanager
def standing_still(processes):
    for process in processes:
        process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send(signal.SIGCONT)


def attack_still(tally, who, seconds):
    """In the middle of an upload a process stands still, as in a suspended machine, whose clock is set when it wakes."""
    with Ground() as ground:
        scene = Scene(ground)
        scene.start()
        scene.make("warm")
        scene.wait_home()
        # Some into the body of the one that is larger.
        scene.relay.requests.allow(tally.random.randrange(10_000, 900_000))
        scene.make("still", sizes=(1_000_000,))
        wait_until(lambda: scene.relay.requests.left == 0, "the uploads are held up")
        with standing_still([scene.running[name] for name in who]):
            scene.relay.requests.open()
            time.sleep(seconds)
            for name in who:
                scene.clocks[name].set(tally.random.choice(OFFSETS))
        scene.wait_home()
        tally.attempt()
        scene.judge(tally, f"{'+'.join(who)} stood still for {seconds} s")


def missing(scene):
    """What has been removed of what came home."""
    there = set(scene.site.names("shipped")) | set(scene.site.names("quarantine")) | set(scene.site.names("episodes"))
    return [name for name in scene.names if name not in there]


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def notices(scene):
    return sum((scene.site.host / folder / ".notice").exists() for folder in ("receipts", "quarantine"))


def attack_notice(tally):
    """A clock that is ahead removes nothing while it is set right in time; where nobody does, keep-days holds."""
    with Ground() as ground:
        scene = Scene(ground, "".join(f"[{stage}]\nconfirm-after={NOTICE}s\n" for stage in ("retire", "quarantine")))
        scene.start()
        scene.make("kept")
        scene.wait_home()
        began = now()
        while now() - began < 1.5 * NOTICE:
            given = now()
            scene.clocks["shipper"].set("+10y")
            wait_until(lambda: notices(scene) == 2, "notice is given")
            scene.clocks["shipper"].set("+0")
            wait_until(lambda: notices(scene) == 0, "notice is withdrawn")
            tally.attempt()
            gone = missing(scene)
            # On a machine that is so slow, it was not set right in time.
            if now() - given < NOTICE:
                tally.violations_of("ahead for a moment", (f"{name} has expired" for name in gone))
        began = now()
        scene.clocks["shipper"].set("+10y")
        wait_until(lambda: missing(scene), "what is past keep-days is removed")
        tally.attempt()
        if now() - began < NOTICE:
            tally.violation("ahead for good", "what is past keep-days is removed too early")
        wait_until(lambda: len(missing(scene)) == len(scene.names), "all of it is removed")


def attack_arrivals(tally):
    """What comes is due at once, by the receiver's clock; all the same each stays for its own period of notice."""
    with Ground() as ground:
        scene = Scene(ground, f"[retire]\nconfirm-after={NOTICE}s\n")
        scene.clocks["receiver"].set("-10y")
        scene.start()
        for number in range(4):
            came = now()
            scene.make(f"a{number}")
            scene.wait_home()
            wait_until(lambda came=came: now() - came > 0.4 * NOTICE, "the notice of those before would be over")
            gone = [name for name in missing(scene) if name.startswith(f"a{number}")]
            tally.attempt()
            if now() - came < NOTICE:
                tally.violations_of("due when it came", (f"{name} has expired" for name in gone))


def write_slowly(file, last):
    """Returns the longest time for which it may have been left alone since `last`, s."""
    longest = 0
    for _ in range(40):
        time.sleep(0.02)
        began = now()
        file.write(b"more")
        last, longest = began, max(longest, now() - last)
    return longest


def attack_written(tally):
    """The clock is set while an episode is being written: that does not make it old, and so quiet. False where the machine
    was so slow that it was quiet."""
    with Ground() as ground:
        scene = Scene(ground, f"[scan]\nquiet={QUIET}s\n")
        scene.start()
        scene.clocks["shipper"].set("+10y")
        made = now()
        path = scene.site.episode("slow", 10)
        with open(path / "data.bin", "ab", buffering=0) as file:
            longest = write_slowly(file, made)
        if longest >= QUIET:
            return False
        scene.names.append("slow")
        scene.wait_home()
        tally.attempt()
        scene.judge(tally, "written while the clock was set")
        found = (scene.site.unpack("slow") / "data.bin").read_bytes()
        if not found.endswith(b"more" * 40):
            tally.violation("written while the clock was set", f"{len(found)} bytes of it are in the store")
        return True


def attack(tally):
    with Ground() as ground:
        check_clock(tally, ground.site().folder)
    pairs = [(one, other) for one in OFFSETS for other in OFFSETS if (one, other) != ("+0", "+0")]
    for shipper, receiver in tally.sample(pairs, 3):
        attack_start(tally, shipper, receiver)
    attack_steps(tally)
    for seconds in STILL[tally.long]:
        for who in (("shipper",), ("receiver",), ("shipper", "receiver")):
            attack_still(tally, who, seconds)
    attack_notice(tally)
    attack_arrivals(tally)
    while not attack_written(tally):
        pass
