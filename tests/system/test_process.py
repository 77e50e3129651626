# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process among others: locks, signals, credentials, and whose files it may read."""

import contextlib
import fcntl
import os
import signal
import struct

import scratch
from scratch import NOBODY, Connection, Site, wait_until


class Process(scratch.TestCase):

    def test_two_shippers_on_one_state(self):
        site = Site(self)
        site.receiver()
        site.shipper()
        for arguments in ([], ["--once"]):
            second = site.start("shipper", *arguments)
            self.assertEqual(second.wait(), 69)
            self.assertIn(str(site.host / ".lock"), second.said)
        names = site.episodes(3)
        self.wait_shipped(site, names)
        self.assert_arrived(site, names)

    def test_a_killed_one_leaves_no_lock(self):
        site = Site(self)
        site.shipper().kill()
        self.assertEqual(site.once().status, 0)

    def test_two_receivers_on_one_socket(self):
        site = Site(self)
        site.receiver()
        second = site.start("receiver", state=site.receiver_state)
        self.assertIn(second.wait(), (69, 78))
        self.assertIn("receiver", second.said)
        site.episode("one")
        self.assertEqual(site.once().status, 0)
        self.assert_arrived(site, ["one"])

    def test_a_socket_left_behind_is_no_hindrance(self):
        site = Site(self)
        site.receiver().kill()
        self.assertTrue(site.socket.exists())
        site.receiver()
        site.episode("one")
        self.assertEqual(site.once().status, 0)

    def test_one_that_does_not_start_leaves_no_socket(self):
        site = Site(self)
        site.receiver_state.mkdir(exist_ok=True)
        (site.receiver_state / "store").write_text("no folder")
        run = site.start("receiver", state=site.receiver_state)
        self.assertNotEqual(run.wait(), 0)
        self.assertFalse(site.socket.exists())

    def test_idle_ones_stop_at_once(self):
        site = Site(self)
        # Nothing that they wait for comes while the test lasts.
        site.tune("shipper", "[scan]\npoll=1h\n")
        site.tune("receiver", "[accept]\nhead-timeout=1h\nidle-timeout=1h\n", "idle")
        receiver, shipper = site.receiver(), site.shipper()
        with contextlib.closing(Connection(site.socket)) as idle, contextlib.closing(Connection(site.socket)) as half:
            idle.connect()
            half.connect()
            half.sock.sendall(b"PUT /v1/epis")
            self.assertEqual((shipper.stop(), receiver.stop()), (0, 0))

    def test_sigint_and_usr1(self):
        site = Site(self)
        site.episode("one")
        site.receiver()
        shipper = site.shipper()
        self.wait_shipped(site, ["one"])
        shipper.send(signal.SIGUSR1)
        shipper.wait_to_say("ship: 1 seen, 1 passed")
        shipper.send(signal.SIGINT)
        self.assertEqual(shipper.wait(), 0)

    def test_a_summary_is_printed(self):
        site = Site(self)
        names = site.episodes(3)
        site.episode("unstamped", stamped=False)
        site.receiver()
        run = site.once()
        lines = {line.split()[0]: line.split()[1:] for line in run.stdout.splitlines()}
        self.assertEqual(lines["stamp-check"][:3], ["4", "3", "1"])
        self.assertEqual(lines["retire"][:2], ["3", "3"])
        self.assert_arrived(site, names)


def lock(path):
    """Takes the lock on a file that the receiver takes, as a backfill that was stopped in the middle has it."""
    file = open(path, "r+b")
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return file


class Locked(scratch.TestCase):
    """Somebody else has the index, and does not let go."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.receiver = self.site.receiver()

    def test_it_ends_while_a_row_waits(self):
        self.site.episode("ep-1")
        with lock(self.site.receiver_state / ".index.jsonl.lock"):
            shipper = self.site.shipper()
            wait_until(self.site.archive("ep-1").exists, "the archive is in the store")
            self.assertEqual(self.receiver.stop(), 0)
            self.assertEqual(self.site.rows(), [])
        self.site.receiver()
        self.wait_shipped(self.site, ["ep-1"])
        shipper.stop()
        self.assert_arrived(self.site, ["ep-1"])

    def test_it_ends_in_the_middle_of_opening(self):
        tasks = f"/proc/{self.receiver.popen.pid}/task"
        before = len(os.listdir(tasks))
        with lock(self.site.receiver_state / ".index.jsonl.lock"):
            self.receiver.send(signal.SIGHUP)
            wait_until(lambda: len(os.listdir(tasks)) < before, "the old pipeline is closed")
            self.assertEqual(self.receiver.stop(), -signal.SIGTERM)
        self.assertEqual(self.site.receiver().stop(), 0)

    def test_a_reload_goes_on_once_it_is_free(self):
        with lock(self.site.receiver_state / ".index.jsonl.lock"):
            self.receiver.send(signal.SIGHUP)
            self.receiver.wait_for_notice("RELOADING=1")
        self.receiver.wait_for_notice("READY=1")
        self.assertEqual(self.receiver.stop(), 0)


class Nobody(scratch.TestCase):
    """What root would pass vacuously."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.site.become_nobody()

    def test_all_works_without_privileges(self):
        names = self.site.episodes(5)
        self.site.become_nobody()
        self.site.receiver()
        self.assertEqual(self.site.once().status, 0)
        self.assert_arrived(self.site, names)
        self.assertEqual(self.site.archive(names[0]).stat().st_uid, NOBODY)

    def assert_refused(self, name, *words):
        check = self.site.check(name)
        self.assertEqual(check.returncode, 78)
        run = self.site.start(name)
        self.assertEqual(run.wait(), 78)
        for word in words:
            self.assertIn(word, check.stderr)
            self.assertIn(word, run.said)

    def test_a_token_that_others_may_read(self):
        for file, pipeline in (("token", "shipper"), ("tokens", "receiver")):
            with self.subTest(file):
                path = self.site.folder / file
                path.chmod(0o644)
                self.assert_refused(pipeline, str(path), "chmod")
                path.chmod(0o600)
                self.assertEqual(self.site.check(pipeline).returncode, 0)

    def test_a_token_that_cannot_be_read(self):
        for file, pipeline in (("token", "shipper"), ("tokens", "receiver")):
            with self.subTest(file):
                path = self.site.folder / file
                path.chmod(0)
                self.assert_refused(pipeline, str(path), "Permission denied")
                path.unlink()
                self.assert_refused(pipeline, str(path), "No such file")

    def test_a_state_folder_that_cannot_be_written(self):
        (self.site.host / "episodes").rmdir()
        self.site.host.chmod(0o555)
        self.addCleanup(self.site.host.chmod, 0o755)
        run = self.site.start("shipper")
        self.assertIn(run.wait(), (77, 78))
        self.assertIn(str(self.site.host), run.said)
        self.assertIn("Permission denied", run.said)

    def test_an_episode_that_cannot_be_read(self):
        self.site.episode("closed")
        self.site.episode("open")
        self.site.become_nobody()
        data = self.site.host / "episodes" / "closed" / "data.bin"
        data.chmod(0)
        self.site.receiver()
        shipper = self.site.shipper()
        self.wait_shipped(self.site, ["open"])
        shipper.wait_to_say("closed")
        self.assertEqual(self.site.names("episodes"), ["closed"])
        data.chmod(0o600)
        self.wait_shipped(self.site, ["closed", "open"])
        self.assert_arrived(self.site, ["closed", "open"])


if __name__ == "__main__":
    scratch.main()
