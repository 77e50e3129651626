# SPDX-License-Identifier: LGPL-2.1-or-later
"""The power goes while both sides work, by the kernel's shutdown ioctl on their disks; then a mount, and a start. It goes
before each call of one worker that changes something, and at any moment of many.

Flag 1 writes the journal once more, flag 2 does not; either way all that no fsync had brought to the disk is gone.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import time

import checker
from checker import Ground, check_host, check_quiet, check_receipts, check_store, show, wait_until
from jobs import ReceiverJob, ShipperJob
from tracer import Trace, WRITING, points

SHUTDOWN = 0x8004587D
CLONE_NEWNS = 0x00020000
SHORT, LONG = 10, 400  # cuts of each kind of file system at any moment
SAMPLE = 3  # points of each job in a short round
FRESH_AFTER = 60  # of them
EPISODES = 6
MAKERS = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}
WAIT = 60  # s: for what is left after a cut


def leave_namespace():
    """What is mounted from here on nobody else sees, and it goes with this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace needs root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def cut(folder, flag):
    """The file system that the folder is on has no disk any more."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", flag))
    finally:
        os.close(descriptor)


class Disk:
    """A file system in a file, mounted on a folder."""

    def __init__(self, ground, kind, folder, image):
        self.folder = folder
        self.image = image
        with open(image, "wb") as file:
            file.truncate(320 << 20)
        subprocess.run([*MAKERS[kind], image], check=True, stdout=subprocess.DEVNULL)
        self.mount()
        ground.callback(subprocess.run, ["umount", "--lazy", folder], check=False)

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.folder], check=True)

    def replug(self):
        subprocess.run(["umount", self.folder], check=True)
        self.mount()
        # What is read now comes from the disk.
        checker.KNOWN.clear()


def sync_folder(path, sync=os.fsync):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_disk(path):
    """All that is on the disk of the folder."""
    libc = ctypes.CDLL(None, use_errno=True)
    sync_folder(path, libc.syncfs)


class Lab:
    """A site whose host and receiver have a disk each."""

    def __init__(self, ground, kind, tally):
        self.tally = tally
        self.site = ground.site(workers=4)
        self.disks = {}
        for name, folder in (("host", self.site.host), ("receiver", self.site.receiver_state)):
            self.disks[name] = Disk(ground, kind, folder, self.site.folder / f"{name}.img")
        for folder in ("episodes", "staging"):
            (self.site.host / folder).mkdir()
        self.client = checker.Client(self.site)
        self.start()

    def start(self):
        self.receiver = self.site.receiver()
        self.shipper = self.site.shipper()

    def make(self, tag):
        """Episodes that are on the disk before anybody sees them."""
        names = [f"{tag}-{number}" for number in range(EPISODES)]
        for number, name in enumerate(names):
            self.site.episode("../staging/" + name, 3000 * 4 ** number, stamped=number != 1)
        # All of it, so that what is missing later is not of our making.
        os.sync()
        for name in names:
            os.rename(self.site.host / "staging" / name, self.site.host / "episodes" / name)
        sync_folder(self.site.host / "staging")
        sync_folder(self.site.host / "episodes")
        return names

    def is_home(self):
        return not self.site.names("episodes") and not self.site.names("outbox")

    def strike(self, tag, struck, flag, pause):
        where = f"cut of {'+'.join(struck)}, flag {flag}, after {pause * 1000:.0f} ms"
        names = self.make(tag)
        self.client.put(f"{tag}-put", os.urandom(5000))
        time.sleep(pause)
        for name in struck:
            cut(self.disks[name].folder, flag)
        if self.tally.random.random() < 0.5:
            time.sleep(0.02)  # so that they see what happened to their files
        for process in (self.receiver, self.shipper):
            process.kill()
        for name in struck:
            self.disks[name].replug()
        self.tally.attempt()
        self.check(where, check_host(self.site, names), check_receipts(self.site),
                   check_store(self.site, self.client.acknowledged))
        try:
            self.start()
            wait_until(self.is_home, "all is home", WAIT)
        except AssertionError as error:
            self.tally.violation(where, str(error))
            show(self.shipper, self.tally)
            show(self.receiver, self.tally)
            return False
        wait_until(lambda: not self.site.partials(), "no upload is under way")
        self.check(where, check_quiet(self.site, names), self.client.contradictions,
                   check_store(self.site, self.client.acknowledged))
        return True

    def check(self, where, *checks):
        for found in checks:
            self.tally.violations_of(where, found)


def on_disk(ground, kind, job_kind):
    """A job whose state, on the side that it is about, is on a disk of its own."""
    job = job_kind(ground)
    folder = job.site.receiver_state if job.role == "receiver" else job.site.host
    disk = Disk(ground, kind, folder, job.site.folder / "disk.img")
    job.settle = lambda: sync_disk(folder)
    job.start()
    return job, disk


def strike_point(tally, job, disk, point, flag, tag):
    """The worker ends before the call, and then the disk; nothing that it did not flush is there any more."""
    call, n = point
    where = f"{job.role}, cut at {call} {n}, flag {flag}"
    job.prepare(tag)
    with Trace(job.process, job.threads[0], inject=f"{call}:signal=SIGKILL:when={n}"):
        job.run()
    job.process.kill()
    cut(disk.folder, flag)
    disk.replug()
    tally.attempt()
    tally.violations_of(where, job.at_rest())
    job.start()
    tally.violations_of(where, job.drain(tally))
    if job.process.popen.poll() is not None:
        job.start()


def all_points(job_kind):
    with Ground() as ground:
        job = job_kind(ground)
        job.start()
        job.prepare("count")
        with Trace(job.process, job.threads[0]) as trace:
            job.run()
            trace.end()
            return points(trace, WRITING)


def attack_points(tally, kind, job_kind, todo):
    while todo:
        now, todo = todo[:FRESH_AFTER], todo[FRESH_AFTER:]
        with Ground() as ground:
            job, disk = on_disk(ground, kind, job_kind)
            for number, (point, flag) in enumerate(now):
                strike_point(tally, job, disk, point, flag, f"q{number}")


def attack_on(tally, kind):
    count = LONG if tally.long else SHORT
    done = 0
    while done < count:
        with Ground() as ground:
            lab = Lab(ground, kind, tally)
            for number in range(min(40, count - done)):
                struck = tally.random.choice([("host",), ("receiver",), ("host", "receiver")])
                done += 1
                if not lab.strike(f"p{number}", struck, tally.random.choice([1, 2]), tally.random.random() * 0.25):
                    break


def attack(tally):
    leave_namespace()
    kinds = [kind for kind, maker in MAKERS.items() if shutil.which(maker[0])
             or os.path.exists(f"/usr/sbin/{maker[0]}")]
    for job_kind in (ReceiverJob, ShipperJob):
        todo = [(point, flag) for point in all_points(job_kind) for flag in (1, 2)]
        for kind in kinds:
            attack_points(tally, kind, job_kind, tally.sample(todo, SAMPLE))
    at_points = tally.attempts
    for kind in kinds:
        attack_on(tally, kind)
    tally.notes.append(f"{at_points} at a call, on " + " and ".join(kinds))
