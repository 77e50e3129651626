# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever lies in episodes/: what is still written, what changes, what is no plain file, what has odd names."""

import os
import socket
import subprocess
import sys

import scratch
from relay import Relay
from scratch import Site, wait_until

# Appends 50 times a second, for as long as the pipe to its parent is open.
WRITER = """
import select, sys
with open(sys.argv[1], "ab", buffering=0) as log:
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        log.write(b"another line\\n")
"""


class Writing(scratch.TestCase):

    def test_a_tree_that_is_written_is_left_alone(self):
        site = Site(self)
        site.tune("shipper", "[scan]\nquiet=1s\n")
        (site.host / "staging").mkdir()
        path = site.episode("../staging/written")
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path / "log"], stdin=subprocess.PIPE)
        self.addCleanup(writer.kill)
        wait_until((path / "log").exists, "it is written")
        path.rename(site.host / "episodes" / "written")
        site.receiver()
        shipper = site.shipper()
        for number in range(4):
            site.episode(f"done-{number}")
            wait_until(lambda: f"done-{number}" in site.names("shipped"), "a finished one is shipped")
        self.assertEqual(site.names("episodes"), ["written"])
        # A tarball goes a moment after its episode.
        wait_until(lambda: not site.names("outbox"), "nothing of it is packed")
        writer.communicate()
        wait_until(lambda: "written" in site.names("shipped"), "it is shipped once nobody writes")
        self.assert_same_content(site, "written")
        self.assertEqual(site.names("quarantine"), [])
        self.assertEqual(shipper.stop(), 0)

    def test_one_without_meta_json_waits(self):
        site = Site(self)
        site.receiver()
        site.shipper()
        path = site.episode("unfinished")
        (path / "meta.json").rename(site.folder / "meta.json")
        site.episode("finished")
        self.wait_shipped(site, ["finished"])
        (site.folder / "meta.json").rename(path / "meta.json")
        self.wait_shipped(site, ["finished", "unfinished"])

    def test_an_empty_meta_json_is_waited_for(self):
        site = Site(self)
        site.receiver()
        path = site.episode("unfinished")
        text = (path / "meta.json").read_text()
        with open(path / "meta.json", "w") as meta:
            site.shipper()
            site.episode("finished")
            self.wait_shipped(site, ["finished"])
            self.assertEqual((site.names("episodes"), site.names("quarantine")), (["unfinished"], []))
            meta.write(text)
        self.wait_shipped(site, ["finished", "unfinished"])

    def test_a_change_between_pack_and_retire(self):
        site = Site(self)
        path = site.episode("one")
        relay = Relay.between(self, site)
        relay.answers.shut()
        site.receiver()
        shipper = site.shipper()
        wait_until(site.rows, "it is stored")
        with open(path / "data.bin", "ab") as data:
            data.write(b"too late")
        relay.answers.open()
        wait_until(lambda: site.names("quarantine") == ["one"], "it is in quarantine")
        wait_until(lambda: not site.names("outbox"), "the outbox is empty")
        reason = site.reason("one")
        self.assertEqual(reason["finding"], "changed-after-shipping")
        self.assertEqual(reason["shipped_sha256"], site.rows()[0]["sha256"])
        self.assertTrue(reason["fix"])
        self.assertTrue((site.host / "quarantine" / "one" / "data.bin").read_bytes().endswith(b"too late"))
        self.assertEqual((site.names("shipped"), len(site.rows())), ([], 1))
        self.assertEqual(shipper.stop(), 0)

    def test_a_change_before_a_second_try_is_packed_anew(self):
        site = Site(self)
        path = site.episode("one")
        shipper = site.shipper()
        shipper.wait_to_say("receiver-unreachable")
        (path / "late.txt").write_text("but in time")
        site.receiver()
        self.wait_shipped(site, ["one"])
        self.assert_arrived(site, ["one"])
        self.assert_same_content(site, "one")


class Hostile(scratch.TestCase):

    def test_odd_names_survive(self):
        site = Site(self)
        path = os.fsencode(site.episode("odd"))
        for name in (b"new\nline", b"-rf", b"x" * 255, b"\xff\xfe not UTF-8", "Ünïcödé ☃".encode(),
                     b"quo'te\"$(x)`y`", b"back\\slash", b" ", b"tab\t", b"\x1b[31m", b"*"):
            with open(os.path.join(path, name), "wb") as file:
                file.write(name)
        deep = path
        for _ in range(15):
            deep = os.path.join(deep, b"d" * 200)
            os.mkdir(deep)
        with open(os.path.join(path, b"holes"), "wb") as sparse:
            sparse.truncate(3_000_000)
        (site.host / "episodes" / "odd" / "empty-folder").mkdir()
        site.receiver()
        self.assertEqual(site.once().status, 0)
        self.assert_arrived(site, ["odd"])
        self.assert_same_content(site, "odd")

    def test_what_no_archive_can_hold_is_refused(self):
        site = Site(self)
        secret = site.folder / "secret"
        secret.write_text("not for the receiver")
        makers = {
            "symlink-out": lambda path: os.symlink(secret, path),
            "symlink-folder": lambda path: os.symlink("/etc", path),
            "symlink-gone": lambda path: os.symlink("nowhere", path),
            "fifo": os.mkfifo,
            "device": lambda path: os.mknod(path, 0o20600, os.makedev(1, 3)),
            "socket": self.make_socket,
        }
        for name, make in makers.items():
            make(str(site.episode(name) / "odd"))
        site.episode("good")
        site.receiver()
        self.assertEqual(site.once().status, 65)
        self.assertEqual(site.names("quarantine"), sorted(makers))
        for name in makers:
            reason = site.reason(name)
            self.assertEqual(reason["finding"], "unsupported-file")
            self.assertIn("odd", reason["summary"])
        self.assert_arrived(site, ["good"])

    def make_socket(self, path):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)

    def test_an_episode_that_is_a_symlink(self):
        site = Site(self)
        elsewhere = site.episode("elsewhere").rename(site.folder / "elsewhere")
        (site.host / "episodes" / "linked").symlink_to(elsewhere)
        (site.host / "episodes" / "a-file").write_text("no folder")
        site.receiver()
        site.once()
        self.assertEqual(site.rows(), [])
        self.assertTrue((elsewhere / "data.bin").exists())

    def test_ids_that_are_none(self):
        site = Site(self)
        names = ["new\nline", "a b", "-x", "x" * 129, "a..b", "Ü", "$(touch x)"]
        for name in names:
            site.episode(name)
        os.mkdir(os.fsencode(site.host / "episodes") + b"/\xff")
        site.episode("good")
        site.receiver()
        shipper = site.shipper()
        self.wait_shipped(site, ["good"])
        wait_until(lambda: shipper.said.count("episode-name-invalid") >= len(names), "each is told")
        self.assertIn("mv -T -- ", shipper.said)
        self.assertEqual(len(os.listdir(site.host / "episodes")), len(names) + 1)
        self.assertEqual(shipper.stop(), 0)
        self.assert_arrived(site, ["good"])

    def test_files_that_vanish_while_packing(self):
        site = Site(self)
        site.receiver()
        path = site.episode("large", files={f"part-{number}": os.urandom(400_000) for number in range(60)})
        shipper = site.shipper()
        partial = site.host / "outbox" / "large.tar.zst.partial"
        wait_until(lambda: partial.exists() and partial.stat().st_size > 100_000, "packing began")
        (path / "part-9").unlink()
        self.wait_shipped(site, ["large"])
        self.assert_arrived(site, ["large"])
        self.assert_same_content(site, "large")
        self.assertEqual(shipper.stop(), 0)

    def test_an_episode_that_vanishes(self):
        site = Site(self)
        site.tune("shipper", "[scan]\nsweep-interval=500ms\n", "sweep")
        relay = Relay.between(self, site)
        relay.answers.shut()
        path = site.episode("taken")
        site.receiver()
        shipper = site.shipper()
        wait_until(site.rows, "it is stored")
        path.rename(site.folder / "taken")
        relay.answers.open()
        site.episode("other")
        self.wait_shipped(site, ["other"])
        self.assertEqual(site.names("quarantine"), [])
        self.assertEqual(shipper.stop(), 0)
        self.assertTrue((site.folder / "taken" / "data.bin").exists())

    def test_one_that_is_taken_away_fails_no_more(self):
        site = Site(self)
        site.tune("shipper", "[pipeline]\nattempts=1\n", "attempts")
        (site.host / "receipts" / "one.json").mkdir(parents=True)
        path = site.episode("one")
        site.receiver()
        shipper = site.shipper()
        shipper.wait_to_say("keeps-failing: one failed in ship")
        path.rename(site.folder / "one")
        shipper.wait_to_say("keeps-failing: over: one")
        self.assertEqual(shipper.stop(), 0)


class Immovable(scratch.TestCase):
    """What could leave episodes/ by no rename is told before it is shipped."""

    def overlay(self, site):
        """The host's state as a lower layer."""
        lower, upper, work = (site.folder / name for name in ("lower", "upper", "work"))
        site.host.rename(lower)
        for folder in (upper, work, site.host):
            folder.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work},redirect_dir=off"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, site.host], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", site.host], check=True)

    def test_a_lower_layer_of_an_overlay(self):
        site = Site(self)
        site.episode("old")
        site.episode("bad", stamped=False)
        self.overlay(site)
        site.episode("new")
        site.receiver()
        told = site.once()
        self.assertEqual((told.status, site.names("episodes"), site.names("shipped")), (75, ["bad", "old"], ["new"]))
        self.assertEqual([row["episode"] for row in site.rows()], ["new"])
        path = site.host / "episodes" / "old"
        self.assertIn(f"{path} could be renamed neither to {site.host}/shipped nor to {site.host}/quarantine: it lies on another "
                      "file system, or in a lower layer", told.said)
        for name in ("old", "bad"):
            fix = next(line for line in told.said.splitlines() if "mv -T" in line and f"/{name}'" in line)
            subprocess.run(["bash", "-c", fix], check=True)
        self.assertEqual(site.once().status, 65)
        self.assertEqual((site.names("shipped"), site.names("quarantine")), (["new", "old"], ["bad"]))


if __name__ == "__main__":
    scratch.main()
