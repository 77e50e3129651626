# SPDX-License-Identifier: LGPL-2.1-or-later
"""Members of the group, and other users of the machine, against the service user and root. See docs/security.md."""

import os
import subprocess
import sys
import time

import scratch
from scratch import NOBODY, PROGRAM, snapshot, wait_until
from test_disk import mount_small
from test_quarantine import QuarantineSite

ALICE, BOB = 65533, 65532
FOLDERS = ("outbox", "receipts", "shipped", "quarantine")
HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
(fcntl.flock if sys.argv[2] == "flock" else fcntl.lockf)(fd, fcntl.LOCK_EX if sys.argv[2] == "flock" else fcntl.LOCK_SH)
print("held", flush=True)
sys.stdin.read()
"""


def mode_of(path):
    return f"{os.stat(path).st_mode & 0o7777:04o}"


class StrangersSite(QuarantineSite):
    """A host whose state is of the service user NOBODY, with members of its group."""

    def __init__(self, test):
        super().__init__(test)
        self.become_nobody()
        self.home = self.folder / "home"
        self.home.mkdir()
        (self.home / ".gitconfig").write_text(f"[safe]\ndirectory = {self.folder}/repository\n")

    def prefix_of(self, user):
        return ("setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={NOBODY}", "--")

    def as_user(self, user, *command, umask=0o022, **options):
        return subprocess.run([*self.prefix_of(user), *command], capture_output=True, text=True, umask=umask,
                              env={**self.environment, "HOME": str(self.home)}, cwd="/", **options)

    def as_root(self, *arguments):
        return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env={**os.environ, "STATE_DIRECTORY": str(self.host), "HOME": str(self.home)},
                              cwd=self.folder / "repository")

    def hold(self, user, path, how="flock"):
        holder = subprocess.Popen([*self.prefix_of(user), sys.executable, "-c", HOLD, str(path), how], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.test.addCleanup(holder.communicate)
        self.test.assertEqual(holder.stdout.readline(), "held\n")
        return holder

    def member_episode(self, user, name, umask=0o077):
        """As an experiment leaves it, with whatever umask."""
        path = self.host / "episodes" / name
        made = self.as_user(user, "sh", "-c", f"mkdir {path} && echo data > {path}/data && echo '{{}}' > {path}/meta.json", umask=umask)
        self.test.assertEqual(made.returncode, 0, made.stderr)
        return path


class Strangers(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = StrangersSite(self)

    def outside(self):
        """What is root's, and looks like an entry."""
        outside = self.site.folder / "outside"
        (outside / "victim").mkdir(parents=True)
        (outside / "victim" / "meta.json").write_text("{}")
        (outside / "victim" / "quarantine_reason.json").write_text(
            '{"finding": "unstamped", "quarantined_at": "2020-01-01T00:00:00Z", "episode": "victim"}')
        return outside, snapshot(outside)

    def test_a_folder_that_a_member_replaced_leads_root_nowhere(self):
        """As members could where an older version made the state folder."""
        site = self.site
        outside, before = self.outside()
        for folder in (site.host, site.host / "episodes"):
            folder.chmod(0o2770)
        moved = site.as_user(ALICE, "sh", "-c", f"cd {site.host} && mv episodes e && ln -s {outside} quarantine && ln -s {outside} shipped && "
                             f"ln -s {outside} episodes && mkdir -p e/one && echo '{{}}' > e/one/meta.json")
        self.assertEqual(moved.returncode, 0, moved.stderr)
        for verb in (["quarantine", "list"], ["quarantine", "release", "victim"], ["quarantine", "purge", "--all", "--yes"],
                     ["run", "drain", "--once", "--config", site.folder / "cis490.ini"],
                     ["run", "shipper", "--once", "--config", site.folder / "cis490.ini"]):
            with self.subTest(verb=verb):
                run = site.as_root(*verb)
                self.assertNotEqual(run.returncode, 0)
                self.assertIn("symbolic link", run.stderr)
                self.assertEqual(snapshot(outside), before)

    def test_a_folder_of_a_member_is_not_worked_in(self):
        site = self.site
        site.host.chmod(0o2770)
        self.assertEqual(site.as_user(ALICE, "mkdir", f"{site.host}/shipped").returncode, 0)
        run = site.once()
        self.assertEqual(run.status, 78)
        self.assertIn(f"chown nobody '{site.host}/shipped'", run.said)
        self.assertEqual(mode_of(site.host), "0750")

    def test_an_upgrade_mends_what_was_open(self):
        site = self.site
        for name in FOLDERS:
            (site.host / name).mkdir()
            os.chown(site.host / name, NOBODY, NOBODY)
        for name in (".", "episodes", *FOLDERS):
            (site.host / name).chmod(0o2770)
        run = site.once()
        self.assertEqual(run.status, 0, run.said)
        self.assertEqual([mode_of(site.host / name) for name in (".", *FOLDERS)], ["0750"] * 5)
        self.assertEqual(mode_of(site.host / "episodes"), "3770")
        self.assertIn(f"{site.host} had mode 2770", run.said)

    def test_members_bring_theirs_and_touch_no_others(self):
        site = self.site
        (site.host / "episodes").rmdir()
        self.assertEqual(site.once().status, 0)
        self.assertEqual(mode_of(site.host / "episodes"), "3770")
        one = site.member_episode(ALICE, "one")
        stamped = site.as_user(ALICE, PROGRAM, "stamp", str(one), "--repository", str(site.folder / "repository"))
        self.assertEqual(stamped.returncode, 0, stamped.stderr)
        for attempt in (f"mv {one} {one}-2", f"rm -rf {one}", f"touch {one}/more", f"echo >> {one}/data", f"mv {site.host}/episodes {site.host}/e",
                        f"touch {site.host}/outbox/x", f"ln -s / {site.host}/x", f"touch {site.host}/.lock", f"cat {site.host}/.lock"):
            with self.subTest(attempt=attempt):
                self.assertNotEqual(site.as_user(BOB, "sh", "-c", attempt).returncode, 0)
        site.receiver()
        self.assertEqual(site.once().status, 0)
        self.assertEqual(site.names("shipped"), ["one"])

    def test_root_stamps_as_the_owner_of_the_episode(self):
        site = self.site
        outside, before = self.outside()
        (site.host / "episodes").chmod(0o3770)
        one = site.member_episode(ALICE, "one", umask=0o027)
        self.assertEqual(site.as_root("stamp", one).returncode, 0)
        self.assertEqual((one / "meta.json").stat().st_uid, ALICE)
        self.assertEqual(site.as_user(ALICE, "ln", "-s", str(outside / "victim"), f"{site.host}/episodes/two").returncode, 0)
        for name in ("two", "two/", "two/."):
            with self.subTest(name=name):
                run = site.as_root("stamp", f"{site.host}/episodes/{name}")
                self.assertEqual(run.returncode, 1)
                self.assertIn("chown -h root", run.stderr)
        self.assertEqual(snapshot(outside), before)

    def test_a_lock_of_a_member_stops_nothing(self):
        site = self.site
        site.episode("kept", stamped=False)
        site.episode("one", stamped=False)
        site.become_nobody()
        self.assertEqual(site.once("drain").status, 65)
        for name in ("quarantine", "episodes", "."):
            site.hold(ALICE, site.host / name)
        site.quarantine("release", "one")
        self.assertEqual(site.once("drain").status, 65)
        shipper = site.start("shipper").wait_for_notice("READY=1")
        began = time.monotonic()
        self.assertEqual(shipper.stop(), 0)
        self.assertLess(time.monotonic() - began, 5 * scratch.SLOWNESS)
        for name in (".lock", ".quarantine.lock"):
            self.assertEqual(mode_of(site.host / name), "0600")

    def test_a_lock_of_anybody_keeps_no_receiver_from_starting(self):
        site = self.site
        site.hold(ALICE, site.folder / "run")
        site.receiver()

    def test_a_lock_of_a_reader_holds_no_upload_off(self):
        site = self.site
        receiver = site.receiver()
        site.episode("one")
        site.become_nobody()
        (site.receiver_state).chmod(0o750)
        site.hold(ALICE, site.receiver_state / "index.jsonl", "lockf")
        site.hold(BOB, site.receiver_state / "findings.jsonl", "lockf")
        self.assertEqual(site.once().status, 0)
        self.assertEqual(receiver.stop(), 0)

    def test_who_holds_a_lock_is_named(self):
        site = self.site
        shipper = site.shipper()
        run = site.once()
        self.assertEqual(run.status, 69)
        self.assertIn(f"is locked by process {shipper.popen.pid} (cis490)", run.said)


class Replaced(scratch.TestCase):
    """A folder that is held open, and whose name means another by now."""

    def setUp(self):
        super().setUp()
        self.site = QuarantineSite(self)

    def test_folders_of_a_host(self):
        site = self.site
        site.receiver()
        shipper = site.shipper()
        for number, moved in enumerate((["episodes"], ["outbox", "receipts", "shipped", "quarantine"], ["."])):
            with self.subTest(moved=moved):
                for name in moved:
                    path = site.host / name
                    path.rename(f"{path}.{number}")
                (site.host / "episodes").mkdir(parents=True, exist_ok=True)
                wait_until(lambda want=number + 1: shipper.said.count("is opened anew") == want, "it is noticed")
                site.episode(f"good-{number}")
                site.episode(f"odd-{number}", stamped=False)
                wait_until(lambda name=f"good-{number}": name in site.names("shipped"), "it is shipped")
                wait_until(lambda name=f"odd-{number}": name in site.names("quarantine"), "it is put aside")
                self.assertIn(f"good-{number}.json", site.names("receipts"))
        self.assertEqual(shipper.stop(), 0)

    def test_a_disk_that_is_mounted_over_it(self):
        site = self.site
        site.receiver()
        shipper = site.shipper()
        mount_small(self, site.host, "12M")
        wait_until(lambda: "is opened anew" in shipper.said, "it is noticed")
        self.assertEqual(mode_of(site.host / "episodes"), "3770")
        site.tune("shipper", "")
        self.assertEqual(shipper.stop(), 0)

    def test_folders_of_a_receiver(self):
        site = self.site
        receiver = site.receiver()
        for number, moved in enumerate((["store", "incoming"], ["."])):
            with self.subTest(moved=moved):
                for name in moved:
                    path = site.receiver_state / name
                    path.rename(f"{path}.{number}")
                wait_until(lambda want=number + 1: receiver.said.count("is opened anew") == want, "it is noticed")
                site.episode(f"one-{number}")
                self.assertEqual(site.once().status, 0)
                self.assertTrue(site.archive(f"one-{number}").exists())
        self.assertEqual(receiver.stop(), 0)


if __name__ == "__main__":
    scratch.main()
