# SPDX-License-Identifier: LGPL-2.1-or-later
"""Archives, as those who read them have them: what we pack comes out the same of the usual readers, and what gate/verify lets in,
GNU tar unpacks, and gets the episode's files and folders of it and nothing else."""

import decimal
import io
import os
import re
import shutil
import stat
import subprocess
import tarfile

import scratch
from odd_archives import MADE, REFUSED
from scratch import Site

# What an archive is to be unpacked with; as README says.
UNPACK = ("tar", "--no-same-owner", "--no-same-permissions", "-x")
NSEC = 10**9

TIMES = [sign * seconds * NSEC + fraction
         for seconds in (0, 1, 2, 9, 10, 86_400, 313_329_355, 2**31 - 1, 2**31, 2**32, 2**33)
         for sign in (-1, 1)
         for fraction in (0, 1, 500_000_000, 789_000_000, 999_999_999)] + [2**34 * NSEC, 2**34 * NSEC - 1, 1, -1]


def unpack(data, folder, command=UNPACK):
    """The ended reader, which has unpacked into `folder`."""
    folder.mkdir()
    return subprocess.run([*command, "-C", str(folder), "-f", "-"], input=data, capture_output=True, timeout=scratch.PATIENCE)


class Packed(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)

    def pack(self, name):
        receiver = self.site.receiver()
        self.assertEqual(self.site.once().status, 0)
        self.assertEqual(receiver.stop(), 0)
        return subprocess.run(["zstd", "-dc", self.site.archive(name)], check=True, capture_output=True).stdout

    def test_times_are_the_same_to_the_nanosecond(self):
        path = self.site.episode("one", files={f"{time}": b"x" for time in TIMES})
        for time in TIMES:
            os.utime(path / str(time), ns=(0, time))
            self.assertEqual((path / str(time)).stat().st_mtime_ns, time, "the file system keeps it")
        data = self.pack("one")
        folders = {reader: self.site.folder / reader for reader in ("tar", "bsdtar")}
        for reader, folder in folders.items():
            self.assertEqual(unpack(data, folder, (reader, "-x")).returncode, 0)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = {member.name: member.pax_headers.get("mtime", str(member.mtime)) for member in archive}
        for time in TIMES:
            with self.subTest(time):
                self.assertEqual((folders["tar"] / "one" / str(time)).stat().st_mtime_ns, time)
                self.assertEqual(decimal.Decimal(members[f"one/{time}"]) * NSEC, time)
                # bsdtar 3.6 takes the fraction of a time before 1970 for one that is added (libarchive#2562).
                if time >= 0 or time % NSEC == 0:
                    self.assertEqual((folders["bsdtar"] / "one" / str(time)).stat().st_mtime_ns, time)

    def test_nobody_gets_rights_by_unpacking(self):
        """As root, and by a reader that is told to keep permissions."""
        path = self.site.episode("one", files={"sub/setuid": b"#!/bin/sh\n", "setgid": b"", "sticky": b""})
        for name, mode in (("sub/setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1644), ("sub", 0o3770)):
            (path / name).chmod(mode)
        data = self.pack("one")
        out = self.site.folder / "out"
        self.assertEqual(unpack(data, out, ("tar", "-xp")).returncode, 0)
        for name, mode in (("sub/setuid", 0o755), ("setgid", 0o755), ("sticky", 0o644), ("sub", 0o770)):
            self.assertEqual(stat.S_IMODE((out / "one" / name).stat().st_mode), mode, name)


    def test_what_nobody_could_unpack_is_not_packed(self):
        path = self.site.episode("deep")
        fd = os.open(path, os.O_RDONLY)
        for _ in range(21):
            os.mkdir("d" * 200, dir_fd=fd)
            fd, before = os.open("d" * 200, os.O_RDONLY, dir_fd=fd), fd
            os.close(before)
        os.close(fd)
        self.site.receiver()
        self.site.once()
        reason = self.site.reason("deep")
        self.assertEqual(reason["finding"], "unsupported-file")
        self.assertIn("too long a path", reason["summary"])


class Verdicts(scratch.TestCase):
    """gate/verify's reader is that of `index backfill`, which looks into all of them in one run."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        for folder in os.environ["CIS490_PIPELINE_PATH"].split(":"):
            if os.path.exists(f"{folder}/backfill.ini"):
                shutil.copy(f"{folder}/backfill.ini", self.site.folder / "pipelines")
        self.store = self.site.receiver_state / "store" / "lab-1"
        self.store.mkdir(parents=True)

    def judge(self):
        """Those that are let in; and why the others are not."""
        ended = self.site.command("index", "backfill", "--config", str(self.site.folder / "cis490.ini"), state=self.site.receiver_state)
        self.assertIn(ended.returncode, (0, 1), ended.stderr)
        reasons = dict(re.findall(r"^.*lab-1/([\w-]+): rejected by meta: (.*)$", ended.stderr, re.M))
        return {row["episode"] for row in self.site.rows()}, reasons

    def assert_unpacks(self, name, folder, ended):
        self.assertEqual(ended.returncode, 0, ended.stderr.decode(errors="replace"))
        self.assertEqual(os.listdir(folder), [name], "nothing is elsewhere")
        for entry in (folder / name).rglob("*"):
            mode = entry.lstat().st_mode
            self.assertTrue(stat.S_ISREG(mode) or stat.S_ISDIR(mode), entry)
            self.assertEqual(mode & 0o7000, 0, entry)

    def test_what_is_let_in_is_unpacked_as_the_episode(self):
        for name, data in MADE.items():
            (self.store / f"{name}.tar.zst").write_bytes(subprocess.run(["zstd", "-q"], input=data, check=True, capture_output=True).stdout)
        admitted, reasons = self.judge()
        self.assertEqual(admitted | reasons.keys(), MADE.keys())
        for name, data in MADE.items():
            folder = self.site.folder / f"unpacked-{name}"
            ended = unpack(data, folder)
            with self.subTest(name):
                if name in admitted:
                    self.assertNotIn(name, REFUSED)
                    self.assert_unpacks(name, folder, ended)
                elif name not in REFUSED:
                    self.assertNotEqual(ended.returncode, 0, f"tar unpacks what is refused: {reasons[name]}")
                else:
                    self.assertEqual(ended.returncode, 0, "then it is no question of policy")


if __name__ == "__main__":
    scratch.main()
