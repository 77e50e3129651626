# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that takes each write and has no room for it: ext4 in a sparse image on a full tmpfs. Only fsync can say so, and
only once: the next one answers OK, and the bytes are gone.

Whoever heard it ends; what was acknowledged is there after a mount; and with space, everything arrives once.
"""

import os
import pathlib
import subprocess
import threading
import time

import checker
from checker import Ground, check_host, check_index, check_quiet, check_receipts, check_store, show, wait_until
from jobs import bytes_of
from power import cut, leave_namespace

SHORT, LONG = 2, 100  # attempts on each side
POOL, IMAGE = "24M", 96 << 20
LEFT = 300_000  # bytes at most that the full one has left: for a few writes
METADATA = 8 << 20  # where it all is, as -N and location= keep it small and in front
MKFS = ("mkfs.ext4", "-q", "-F", "-b", "4096", "-N", "4096", "-J", "size=4,location=2M", "-E",
        "lazy_itable_init=0,lazy_journal_init=0,nodiscard")
CLIENTS, UPLOADS = 4, 25
EPISODES = 8
PATIENCE = 30  # s
SYNC_FAILED = "to the disk: "


class LateDisk:
    """Mounted on a folder; says that it has 96 MiB, and has 24."""

    def __init__(self, ground, folder, pool):
        self.folder, self.pool = pathlib.Path(folder), pathlib.Path(pool)
        self.image, self.filler = self.pool / "image", self.pool / "filler"
        self.pool.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={POOL}", "tmpfs", self.pool], check=True)
        ground.callback(subprocess.run, ["umount", "--lazy", self.pool], check=False)
        with open(self.image, "wb") as file:
            file.truncate(IMAGE)
        subprocess.run([*MKFS, self.image], check=True, stdout=subprocess.DEVNULL)
        self.fix_metadata()
        self.mount()
        ground.callback(subprocess.run, ["umount", "--lazy", self.folder], check=False)

    def mount(self):
        """One page a request: a loop device says OK to one that was written in part."""
        device = subprocess.run(["losetup", "--find", "--show", self.image], check=True, capture_output=True, text=True)
        device = pathlib.Path(device.stdout.strip())
        (pathlib.Path("/sys/block") / device.name / "queue" / "max_sectors_kb").write_text("4")
        subprocess.run(["mount", device, self.folder], check=True)
        # It goes with the mount.
        subprocess.run(["losetup", "--detach", device], check=True)

    def fix_metadata(self):
        """Where the file system keeps its own, there is room from here on, so what has none is data. Where the journal
        has none, one flush in 400 lies to whoever asks at the same time, with any program (Linux 6.18)."""
        with open(self.image, "r+b", buffering=0) as image:
            for offset in range(0, METADATA, 4096):
                image.write(os.pread(image.fileno(), 4096, offset))

    def fill(self, left):
        with open(self.filler, "wb") as file:
            room = os.statvfs(self.pool)
            file.write(bytes(max(room.f_bavail * room.f_frsize - left, 0)))

    def replug(self):
        """What did not get to the disk gets no second chance: it has room only when it is unmounted, and before that
        the power goes."""
        cut(self.folder, 2)
        subprocess.run(["umount", self.folder], check=True)
        self.filler.unlink()
        self.mount()
        checker.KNOWN.clear()


def judge_end(tally, where, process):
    """A failed flush ends it, and not well. Returns whether there was one."""
    heard = SYNC_FAILED in process.said
    if heard:
        deadline = time.monotonic() + PATIENCE
        while process.popen.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    status = process.popen.poll()
    if (status is None and heard) or (status is not None and status <= 0):
        tally.violation(where, f"a flush failed, and it {'goes on' if status is None else f'ended with {status}'}")
        show(process, tally)
    process.kill()
    return heard


def upload(client, process, names):
    for name in names:
        if process.popen.poll() is not None:
            return
        client.resume(name, bytes_of(name, 500 + len(name) * 997))


def strike_receiver(tally, left):
    where = f"receiver, {left} bytes left"
    with Ground() as ground:
        site = ground.site(workers=8)
        disk = LateDisk(ground, site.receiver_state, site.folder / "pool")
        process = site.receiver()
        clients = [checker.Client(site, timeout=PATIENCE) for _ in range(CLIENTS)]
        names = [[f"late-{number}-{'x' * (37 * upload % 90)}-{upload}" for upload in range(UPLOADS)]
                 for number in range(CLIENTS)]
        for client, own in zip(clients, names):
            client.put(own[0], bytes_of(own[0], 500 + len(own[0]) * 997))
        disk.fill(left)
        threads = [threading.Thread(target=upload, args=(client, process, own)) for client, own in zip(clients, names)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        tally.attempt()
        heard = judge_end(tally, where, process)
        disk.replug()
        for client in clients:
            tally.violations_of(where, check_store(site, client.acknowledged))
            tally.violations_of(where, client.contradictions)
        receiver = site.receiver()
        for client, own in zip(clients, names):
            # Where the half of one was lost, the digest says so, and it is sent once more.
            for _ in range(2):
                upload(client, receiver, [name for name in own if name not in client.acknowledged])
            tally.violations_of(where, (f"{name} is not taken any more" for name in own if name not in client.acknowledged))
            tally.violations_of(where, check_store(site, client.acknowledged))
        tally.violations_of(where, check_index(site))
        return heard


def strike_shipper(tally, left):
    where = f"shipper, {left} bytes left"
    with Ground() as ground:
        site = ground.site(workers=4)
        disk = LateDisk(ground, site.host, site.folder / "pool")
        (site.host / "episodes").mkdir()
        site.receiver()
        site.episode("warm")
        if site.once().status != 0:
            raise AssertionError("nothing is shipped")
        names = [f"e{number}" for number in range(EPISODES)]
        for number, name in enumerate(names):
            site.episode(name, 300 * 3 ** (number % 5), stamped=number % 4 != 1)
        # Not ours to lose.
        os.sync()
        disk.fill(left)
        process = site.start("shipper")
        deadline = time.monotonic() + 2
        while process.popen.poll() is None and site.names("episodes") and time.monotonic() < deadline:
            time.sleep(0.01)
        tally.attempt()
        heard = judge_end(tally, where, process)
        disk.replug()
        tally.violations_of(where, check_host(site, names))
        tally.violations_of(where, check_receipts(site))
        last = site.once()
        if last.status not in (0, 65):
            tally.violation(where, f"then the shipper ended with {last.status}")
            show(last, tally)
        tally.violations_of(where, check_quiet(site, names))
        return heard


def attack(tally):
    leave_namespace()
    heard = 0
    count = LONG if tally.long else SHORT
    for strike in (strike_receiver, strike_shipper):
        for _ in range(count):
            heard += strike(tally, tally.random.randrange(LEFT))
    if heard == 0:
        tally.violation("the attack itself", "no flush ever failed")
    tally.notes.append(f"{heard} ended by a flush that failed")
