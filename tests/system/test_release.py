# SPDX-License-Identifier: LGPL-2.1-or-later
"""What comes back from quarantine beside a shipper, and after a kill."""

import os
import signal
import subprocess

import scratch
from scratch import PROGRAM, wait_until
from test_quarantine import QuarantineSite


class Release(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = QuarantineSite(self)

    def test_beside_a_shipper_under_load(self):
        site = self.site
        site.tune("shipper", "[pipeline]\nworkers=4\n", "workers")
        site.receiver()
        shipper = site.shipper()
        old = site.unstamped(150)
        wait_until(lambda: site.names("quarantine") == old, "all are in quarantine")
        for name in old:
            site.stamp(name)
        new = site.episodes(150, 5000)
        mixed = site.unstamped(50, "mixed")
        runs = [subprocess.Popen([PROGRAM, "quarantine", "release", "--all", "--state", site.host], stdout=subprocess.DEVNULL)
                for _ in range(2)]
        self.assertEqual([run.wait(4 * scratch.PATIENCE) for run in runs], [0, 0])
        for name in mixed:
            wait_until(lambda: name in site.names("quarantine"), "it is in quarantine")
            site.stamp(name)
            site.quarantine("release", name)
        self.wait_shipped(site, [*old, *new, *mixed])
        self.assertEqual(shipper.stop(), 0)
        self.assert_arrived(site, [*old, *new, *mixed])

    def assert_whole(self, names):
        """Each is in one of the two places; in quarantine, with its reason."""
        site = self.site
        self.assertEqual(sorted(site.names("episodes") + site.names("quarantine")), names)
        for entry in site.listed()["entries"]:
            self.assertEqual(entry.get("finding"), "unstamped", entry)

    def kill_at(self, call, when, *arguments):
        """Whether it came so far."""
        # Nothing looks for leaks while it is traced.
        options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        run = subprocess.run(["strace", "-f", "-o", os.devnull, "-e", f"trace={call}", "-e",
                              f"inject={call}:signal=SIGKILL:when={when}", PROGRAM, "quarantine", *arguments, "--state",
                              self.site.host], capture_output=True, env={**os.environ, "ASAN_OPTIONS": options})
        return run.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)

    def test_killed_anywhere_and_run_again(self):
        site = self.site
        names = site.put_aside(4)
        trees = {name: scratch.snapshot(site.host / "quarantine" / name) for name in names}
        points = [(call, when) for call in ("renameat2", "fsync", "write", "unlinkat") for when in (1, 2, 3, 6, 7)]
        killed = 0
        for call, when in points:
            with self.subTest(call=call, when=when):
                killed += self.kill_at(call, when, "release", "--force", "--all")
                self.assert_whole(names)
                if site.names("quarantine"):
                    site.quarantine("release", "--all", "--force")
                self.assertEqual((site.names("episodes"), site.names("quarantine")), (names, []))
                for name in names:
                    files = scratch.snapshot(site.host / "episodes" / name)
                    self.assertEqual({key: value[2] for key, value in files.items()},
                                     {key: value[2] for key, value in trees[name].items() if b"quarantine_reason" not in key})
                self.assertEqual(site.once("drain").status, 65)
                self.assert_whole(names)
                self.assertEqual([name for name in os.listdir(site.host / "quarantine") if name[0] == "."], [])
        self.assertGreater(killed, 12)
        self.assertEqual({entry["attempts"] for entry in site.listed()["entries"]}, {len(points)})

    def test_a_purge_that_is_killed_is_finished_by_the_next(self):
        site = self.site
        # The oldest goes first, and two workers brought them in either order.
        names = sorted(site.put_aside(2), key=lambda name: site.reason(name)["quarantined_at"])
        self.assertTrue(self.kill_at("unlinkat", 2, "purge", "--all", "--yes"))
        self.assertEqual(site.names("quarantine"), names[1:])
        site.quarantine("release", names[0], status=1)
        site.quarantine("purge", names[1], "--yes")
        self.assertEqual(os.listdir(site.host / "quarantine"), [])


if __name__ == "__main__":
    scratch.main()
