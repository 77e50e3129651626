# SPDX-License-Identifier: LGPL-2.1-or-later
"""Full disks and folders that cannot be written: on a small disk of its own, in the mount namespace of the test."""

import contextlib
import errno
import json
import mmap
import os
import re
import socket
import subprocess
import threading

import scratch
from relay import Relay
from scratch import Connection, Site, wait_until


def mount_small(test, path, size):
    """A small disk, with what the folder holds."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    test.addCleanup(subprocess.run, ["umount", "--lazy", path], check=True)


def mount_thin(test, path, backing):
    """An ext4 whose blocks for data take their space from the small disk `backing` when they are written."""
    image, block = backing / "image", 4096
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", str(block), "-E", "lazy_itable_init=0", "-J", "size=4", image], check=True)
    with open(image, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 64 << 20)
    layout = subprocess.run(["dumpe2fs", image], check=True, capture_output=True, text=True).stdout
    for line in re.findall("^  Free blocks: (.*)$", layout, re.MULTILINE):
        for first, last in re.findall(r"(\d+)-(\d+)", line):
            subprocess.run(["fallocate", "--punch-hole", "--offset", str(int(first) * block), "--length",
                            str((int(last) - int(first) + 1) * block), image], check=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True)
    test.addCleanup(subprocess.run, ["umount", "--lazy", path], check=True)


def take_back(backing, path):
    """The bytes of a file on a thin disk are on no disk any more, nor is there room for them; in the page cache they are
    still, as if never written. Returns what gives the room back."""
    image = backing / "image"
    with open(path, "r+b", buffering=0) as file:
        content = file.read()
        os.fsync(file.fileno())
        listed = subprocess.run(["filefrag", "-b1", "-e", path], check=True, capture_output=True, text=True).stdout
        for first, last in re.findall(r"^ +\d+: +\d+\.\. +\d+: +(\d+)\.\. +(\d+):", listed, re.MULTILINE):
            subprocess.run(["fallocate", "--punch-hole", "--offset", first, "--length", str(int(last) - int(first) + 1), image],
                           check=True)
        filler = fill(backing)
        os.pwrite(file.fileno(), content, 0)
    return filler


def fill(path, leave=0):
    """Takes all space but `leave` bytes; unlinking what it returns gives it back."""
    filler = path / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while (left := os.statvfs(path).f_bavail * os.statvfs(path).f_frsize - leave) > 0:
            file.write(bytes(min(left, 1 << 20)))
    return filler


class ReceiverFull(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        mount_small(self, self.site.receiver_state, "12M")

    def assert_nothing_lost(self, names):
        """Afterwards; what had no space meanwhile waited."""
        self.wait_shipped(self.site, names)
        self.assert_arrived(self.site, names)
        self.assertEqual(self.site.names("quarantine"), [])

    def test_no_room_for_an_archive(self):
        self.site.episode("large", 3_000_000)
        receiver = self.site.receiver()
        filler = fill(self.site.receiver_state, leave=2_000_000)
        shipper = self.site.shipper()
        shipper.wait_to_say("are free, of which free-space= keeps 1048576")
        receiver.wait_to_say("error: storage-full")
        self.assertEqual((self.site.rows(), self.site.partials()), ([], []))
        # Nobody knows who announces so much, so that it is no news.
        self.announce("lab-1", "nobody's", "huge", 1 << 40)
        filler.unlink()
        self.assert_nothing_lost(["large"])
        receiver.wait_to_say("storage-full: over")
        self.assertEqual((shipper.stop(), receiver.stop()), (0, 0))

    def test_room_for_the_rest_is_enough(self):
        self.site.episode("large", 3_000_000)
        relay = Relay.between(self, self.site)
        self.site.receiver()
        relay.requests.allow(2_000_000)
        cut = self.site.start("shipper", "--once")
        wait_until(lambda: relay.requests.left == 0, "most of it is sent")
        relay.cut()
        self.assertEqual(cut.wait(), 75)
        relay.requests.open()
        wait_until(lambda: any(path.stat().st_size > 1_500_000 for path in self.site.partials()), "it is kept")
        # ROOMY wants 1 MiB behind it; the whole would not fit a second time.
        fill(self.site.receiver_state, leave=3_000_000)
        self.assertEqual(self.site.once().status, 0)
        self.assert_arrived(self.site, ["large"])

    def announce(self, host, token, name, size):
        """An upload of which nothing comes."""
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.connect(str(self.site.socket))
        lines = [f"PUT /v1/episodes/{host}/{name} HTTP/1.1", "Host: receiver", f"Content-Length: {size}",
                 f"Authorization: Bearer {token}", f"X-Cis490-Sha256: {'0' * 64}",
                 f"X-Cis490-Code-Commit: {self.site.head}", "", ""]
        connection.sendall("\r\n".join(lines).encode())
        return connection

    def test_nobody_takes_all_room_by_announcing(self):
        self.site.episode("large", 3_000_000)
        token = self.site.add_token("lab-2")
        receiver = self.site.receiver()
        for name in ("first", "second"):
            self.announce("lab-2", token, name, 5_000_000)
            wait_until(self.site.partials, "the first is let in")
        self.assertEqual(self.site.once().status, 0)
        self.assertEqual(self.site.names("shipped"), ["large"])
        receiver.wait_to_say("host-busy")

    def test_what_waited_for_its_turn_is_looked_at_again(self):
        """There was room for each when it came, but not for one behind the other."""
        self.site.tune("receiver", "[accept]\nfree-space=4MiB\nqueue-timeout=60s\n[pipeline]\nworkers=4\n")
        token = self.site.add_token("lab-2")
        receiver = self.site.receiver()
        small = self.announce("lab-1", self.site.token, "small", 1)  # the only turn of its host
        wait_until(self.site.partials, "it is let in")
        waits = self.announce("lab-1", self.site.token, "waits", 5_000_000)
        ping = Connection(self.site.socket)
        ping.request("POST", "/v1/ping", headers={"Authorization": f"Bearer {token}", "Content-Length": "0"})
        self.assertEqual(ping.getresponse().status, 200)
        filler = fill(self.site.receiver_state, leave=8 << 20)
        small.sendall(b"x")
        self.assertIn(b" 400 ", small.recv(4096).split(b"\r\n")[0])
        self.assertIn(b" 507 ", waits.recv(4096).split(b"\r\n")[0])
        self.assertEqual(self.site.partials(), [])
        filler.unlink()
        self.assertEqual(receiver.stop(), 0)

    def test_it_fills_up_in_mid_body(self):
        self.site.tune("receiver", "[accept]\nfree-space=0\n")
        self.site.episode("large", 3_000_000)
        relay = Relay.between(self, self.site)
        relay.requests.allow(1_500_000)
        receiver, shipper = self.site.receiver(), self.site.shipper()
        wait_until(lambda: any(path.stat().st_size > 500_000 for path in self.site.partials()), "half of it is there")
        filler = fill(self.site.receiver_state)
        relay.requests.open()
        wait_until(lambda: not self.site.partials(), "the half is gone")
        receiver.wait_to_say(os.strerror(errno.ENOSPC))
        # Told of the store, or, where its answer was lost with the connection, of the question that followed.
        wait_until(lambda: "storage-full" in shipper.said or "The receiver has no room for" in shipper.said, "the host hears of it")
        self.assertIsNone(receiver.popen.poll())
        filler.unlink()
        self.assert_nothing_lost(["large"])

    def test_many_fill_the_last_page(self):
        self.site.tune("receiver", "[accept]\nfree-space=0\n")
        self.site.tune("shipper", "[pipeline]\nworkers=4\n", "workers")
        names = self.site.episodes(150, 5_000)
        receiver = self.site.receiver()
        filler = fill(self.site.receiver_state, leave=300_000)
        shipper = self.site.shipper()
        wait_until(lambda: "error: " in shipper.said or "warning: " in shipper.said, "the disk is full")
        arrived = [row["episode"] for row in self.site.rows()]
        self.assertLess(len(arrived), len(names))
        filler.unlink()
        if receiver.popen.poll() is not None:
            self.site.receiver()
        self.assert_nothing_lost(names)


class WritebackFails(scratch.TestCase):
    """The kernel shows bytes that the disk did not take, and does not say so twice."""

    def test_of_what_is_there_of_an_upload(self):
        site = Site(self)
        backing = site.folder / "backing"
        mount_small(self, backing, "80M")
        mount_thin(self, site.receiver_state, backing)
        relay = Relay.between(self, site)
        site.episode("large", 5_000_000)
        receiver = site.receiver()
        relay.requests.allow(4_000_000)
        cut = site.start("shipper", "--once")
        wait_until(lambda: relay.requests.left == 0, "most of it is sent")
        relay.cut()
        self.assertEqual(cut.wait(), 75)
        relay.requests.open()
        wait_until(lambda: any(path.stat().st_size > 3_000_000 for path in site.partials()), "it is kept")
        # It flushes, the flush fails, and it is killed before it has removed the file. Somebody else's sync(2) may have
        # flushed it before.
        receiver.kill()
        [part] = site.partials()
        with open(part, "rb") as file:
            filler = take_back(backing, part)
            self.assertRaises(OSError, os.fsync, file.fileno())
            os.fsync(file.fileno())
        filler.unlink()
        site.receiver()
        self.assertEqual(site.once().status, 75)
        self.assertEqual((site.partials(), site.rows()), ([], []))
        self.assertEqual(site.once().status, 0)
        with open(site.archive("large"), "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.assert_arrived(site, ["large"])


class StoredThroughMemory(scratch.TestCase):
    """A store through a mapping changes no time of the file where the page is dirty already."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        backing = self.site.folder / "backing"
        mount_small(self, backing, "80M")
        mount_thin(self, self.site.host, backing)
        self.site.tune("shipper", scratch.QUICK + "[pack]\nfree-space=0\n")
        (self.site.host / "episodes").mkdir()

    @contextlib.contextmanager
    def writer(self, path):
        stop = threading.Event()

        def store():
            with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as ring:
                count = 0
                while not stop.wait(0.001):
                    count += 1
                    ring[:8] = ring[-8:] = count.to_bytes(8, "big")

        thread = threading.Thread(target=store)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def test_whoever_stores_while_it_is_packed_is_noticed(self):
        episode = self.site.episode("ring", files={"ring": bytes(65536), "zeros": b""})
        # So that it takes a while.
        os.truncate(episode / "zeros", 512 << 20)
        self.site.receiver()
        with self.writer(episode / "ring"):
            shipper = self.site.shipper()
            shipper.wait_to_say("The episode was written to while it was packed")
            os.truncate(episode / "zeros", 0)
        self.wait_shipped(self.site, ["ring"])
        self.assert_arrived(self.site, ["ring"])
        self.assert_same_content(self.site, "ring")


class ArchiveUnreadable(scratch.TestCase):
    """A block of the outbox cannot be read any more."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.site.episode("one", 50_000)

    def once_with_a_bad_block(self):
        """Nothing looks for leaks while it is traced."""
        archive = self.site.host / "outbox" / "one.tar.zst"
        self.site.prefix = ("strace", "-f", "-qq", "-o", os.devnull, "-P", archive, "-e", "trace=read,pread64", "-e",
                            "inject=read,pread64:error=EIO")
        self.site.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        run = self.site.once()
        self.site.prefix = ()
        return run

    def assert_packed_anew(self):
        self.assertIn("one.tar.zst", self.site.names("outbox"))
        self.site.episode("two")
        run = self.once_with_a_bad_block()
        self.assertEqual(run.status, 75)
        self.assertIn(os.strerror(errno.EIO), run.said)
        self.assertEqual(self.site.names("shipped"), ["two"])
        self.assertNotIn("one.json", self.site.names("outbox"))
        self.assertEqual(self.site.once().status, 0)
        self.assertEqual(self.site.names("shipped"), ["one", "two"])

    def test_over_http(self):
        self.assertEqual(self.site.once().status, 75)
        self.site.receiver()
        self.assert_packed_anew()
        self.assert_arrived(self.site, ["one", "two"])

    def test_into_a_directory(self):
        disk = self.site.folder / "disk"
        pipeline = self.site.folder / "pipelines" / "shipper.ini"
        pipeline.write_text(pipeline.read_text().replace("plugin=transport/http",
                                                         f"plugin=transport/directory\ndirectory={disk}"))
        self.assertEqual(self.site.once().status, 75)
        disk.mkdir()
        self.assert_packed_anew()


class HostFull(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        mount_small(self, self.site.host, "8M")
        self.site.tune("shipper", scratch.QUICK + "[pack]\nfree-space=0\n")
        (self.site.host / "episodes").mkdir()

    def test_no_room_to_pack(self):
        self.site.episode("large", 3_000_000)
        filler = fill(self.site.host, leave=1_000_000)
        self.site.receiver()
        self.assertEqual(self.site.once().status, 75)
        shipper = self.site.shipper()
        shipper.wait_to_say("outbox-full")
        self.assertIn("df -h", shipper.said)
        wait_until(lambda: not self.site.names("outbox"), "nothing half-packed stays")
        self.assertEqual((self.site.names("episodes"), self.site.names("quarantine")), (["large"], []))
        filler.unlink()
        self.wait_shipped(self.site, ["large"])
        self.assert_arrived(self.site, ["large"])
        shipper.wait_to_say("outbox-full: over")

    def test_nobody_waits_for_an_episode_that_is_gone(self):
        self.site.episode("large", 3_000_000)
        fill(self.site.host, leave=1_000_000)
        self.site.receiver()
        shipper = self.site.shipper()
        shipper.wait_to_say("outbox-full")
        # There is no more room than before.
        (self.site.host / "episodes" / "large").rename(self.site.host / "large")
        (self.site.host / "log").write_bytes(bytes(300_000))
        self.site.episode("small")
        self.wait_shipped(self.site, ["small"])
        shipper.wait_to_say("outbox-full: over")

    def test_what_is_packed_goes_out_below_the_floor(self):
        self.site.tune("shipper", scratch.QUICK + "[pack]\nfree-space=4MiB\n")
        self.site.episode("first", 100_000)
        self.assertEqual(self.site.once().status, 75)
        self.assertIn("first.tar.zst", self.site.names("outbox"))
        filler = fill(self.site.host, leave=2_000_000)
        self.site.episode("second", 100_000)
        self.site.receiver()
        shipper = self.site.shipper()
        wait_until(lambda: self.site.names("shipped") == ["first"], "what is packed goes out")
        shipper.wait_to_say("error: outbox-full")
        self.assertEqual((self.site.names("episodes"), self.site.names("quarantine")), (["second"], []))
        filler.unlink()
        self.wait_shipped(self.site, ["first", "second"])
        self.assert_arrived(self.site, ["first", "second"])
        shipper.wait_to_say("outbox-full: over")
        self.assertEqual(shipper.said.count("error: outbox-full"), 1)

    def test_no_room_for_the_receipt(self):
        self.site.episode("one", 100_000)
        relay = Relay.between(self, self.site)
        relay.answers.shut()
        self.site.receiver()
        shipper = self.site.shipper()
        wait_until(self.site.rows, "it is stored")
        filler = fill(self.site.host)
        relay.answers.open()
        shipper.wait_to_say(os.strerror(errno.ENOSPC))
        self.assertEqual(self.site.names("episodes"), ["one"])
        filler.unlink()
        self.wait_shipped(self.site, ["one"])
        self.assert_arrived(self.site, ["one"])
        self.assertEqual(self.site.receipt("one")["status"], "duplicate")

    def test_no_room_for_the_reason(self):
        self.site.episode("unstamped", stamped=False)
        filler = fill(self.site.host)
        shipper = self.site.shipper()
        shipper.wait_to_say("rejected by stamp-check, but quarantine did not work")
        self.assertEqual(self.site.names("episodes"), ["unstamped"])
        filler.unlink()
        wait_until(lambda: self.site.names("quarantine") == ["unstamped"], "it is in quarantine")
        self.assertEqual(self.site.reason("unstamped")["finding"], "unstamped")

    def test_no_room_and_yet_it_is_purged(self):
        for name in ("one", "two", "three"):
            self.site.episode(name, 100_000, stamped=False)
        self.assertEqual(self.site.once().status, 65)
        fill(self.site.host)
        run = self.site.command("quarantine", "purge", "--all", "--yes")
        self.assertEqual((run.returncode, run.stderr), (0, "3 removed, 0 not.\n"))
        self.assertEqual(self.site.names("quarantine"), [])
        audit = (self.site.host / "audit.jsonl").read_text().splitlines()
        self.assertEqual({json.loads(line)["id"] for line in audit}, {"one", "two", "three"})


class QuarantineClosed(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.quarantine = self.site.host / "quarantine"
        self.quarantine.mkdir()
        self.site.become_nobody()
        self.site.receiver()

    def shipper(self):
        """One that finds what it rejects only when it can no longer put it there."""
        shipper = self.site.shipper()
        self.quarantine.chmod(0o500)
        self.site.episode("stale", commit=self.site.stale)
        self.site.episode("unstamped", stamped=False)
        self.site.become_nobody()
        return shipper

    def test_the_verdict_is_kept_and_others_go_on(self):
        shipper = self.shipper()
        for name in ("stale", "unstamped"):
            shipper.wait_to_say(f"{name}: rejected by ")
        shipper.wait_to_say("but quarantine did not work")
        names = self.site.episodes(3)
        self.site.become_nobody()
        wait_until(lambda: self.site.names("shipped") == names, "others are shipped")
        self.assertEqual(self.site.names("episodes"), ["stale", "unstamped"])
        self.quarantine.chmod(0o700)
        wait_until(lambda: self.site.names("quarantine") == ["stale", "unstamped"], "they are in quarantine")
        self.assertEqual(self.site.reason("stale")["finding"], "commit-not-in-window")
        rejected = (self.site.receiver_state / "rejected.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line)["episode"] for line in rejected], ["stale"])
        self.assertEqual(shipper.stop(), 0)

    def test_it_is_waiting_after_a_stop(self):
        shipper = self.shipper()
        shipper.wait_to_say("but quarantine did not work")
        self.assertEqual(shipper.stop(), 0)
        self.assertEqual(self.site.names("episodes"), ["stale", "unstamped"])
        self.quarantine.chmod(0o700)
        self.assertEqual(self.site.once().status, 65)
        self.assertEqual(self.site.names("quarantine"), ["stale", "unstamped"])


if __name__ == "__main__":
    scratch.main()
