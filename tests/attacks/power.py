# SPDX-License-Identifier: LGPL-2.1-or-later
"""The power goes while both sides work, by the kernel's shutdown ioctl on their disks; then a mount, and a start.

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

SHUTDOWN = 0x8004587D
CLONE_NEWNS = 0x00020000
SHORT, LONG = 10, 400  # cuts of each kind of file system
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


def sync_folder(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


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
    for kind in kinds:
        attack_on(tally, kind)
    tally.notes.append("on " + " and ".join(kinds))
