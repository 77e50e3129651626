# SPDX-License-Identifier: LGPL-2.1-or-later
"""A member of the group does at random what he may, and tries what he may not, in every folder of a host's state: he renames,
links, changes modes, makes pipes, takes locks, cuts files; while shipper, drain and verbs run as the service user and as root.

After it: what lies outside is as it was, no file more has a setuid or setgid bit, each episode of another member's is in one
place and whole, and what ran ended soon after SIGTERM.
"""

import ctypes
import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
import time

from checker import Ground, scratch, show, wait_until
from scratch import NOBODY

ALICE, BOB = 65533, 65532  # the attacker, and whose episodes must not suffer
SHORT, LONG = 6_000, 100_000  # steps
AT_ONCE = 4  # attackers
PATIENCE = 5  # s: from SIGTERM to the end
FOLDERS = ("episodes", "outbox", "receipts", "shipped", "quarantine", ".")
HARMLESS = os.O_NONBLOCK | os.O_NOFOLLOW
MODES = (0, 0o600, 0o644, 0o700, 0o755, 0o777, 0o2770, 0o4755, 0o6777, 0o1777)


# ---- the attacker; a process of its own, as ALICE

class Attacker:

    def __init__(self, state, outside, seed, steps):
        self.state, self.outside, self.steps = state, outside, steps
        self.random = random.Random(seed)
        self.locks = []
        self.count = 0

    def any_path(self):
        """Something below the state, as deep as one gets; or a new name."""
        path = os.path.join(self.state, self.random.choice(FOLDERS))
        for _ in range(self.random.randrange(4)):
            # He only goes where it is his to try.
            if os.path.islink(path):
                break
            try:
                names = os.listdir(path)
            except OSError:
                break
            path = os.path.join(path, self.random.choice(names + [self.new_name()]))
        return path

    def new_name(self):
        return self.random.choice(("meta.json", "quarantine_reason.json", "data", "sub", f"mine-{self.random.randrange(40)}",
                                   f"mine-{self.random.randrange(40)}", f"bob-{self.random.randrange(20)}", ".lock",
                                   f".mine-{self.random.randrange(40)}.reason.json", f"mine-{self.random.randrange(40)}.tar.zst"))

    def any_target(self):
        return self.random.choice((self.outside, self.outside + "/victim", self.outside + "/service", self.any_path(), "../../outside"))

    def mine(self):
        """An episode of his own, stamped or not, that may be gone again in a moment."""
        path = os.path.join(self.state, "episodes", f"mine-{self.random.randrange(40)}")
        os.mkdir(path)
        self.fill(path + "/data", self.random.randbytes(self.random.randrange(2000)))
        self.fill(path + "/meta.json", self.random.choice((b"{}", b"", b'{"code_version": {"commit": "%s"}}' % (b"a" * 40))))

    @staticmethod
    def fill(path, content):
        """Another attacker may have been there first, with a pipe."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            os.write(fd, content)
        finally:
            os.close(fd)

    def lock(self):
        if len(self.locks) > 20:
            os.close(self.locks.pop(0))
        fd = os.open(self.any_path(), self.random.choice((os.O_RDONLY, os.O_RDWR)) | HARMLESS)
        self.locks.append(fd)
        self.random.choice((lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
                            lambda: fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)))()

    def lease(self):
        fd = os.open(self.any_path(), os.O_RDONLY | HARMLESS)
        self.locks.append(fd)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    @staticmethod
    def remove(path):
        """shutil.rmtree() opens what it is told to remove, and waits for a pipe's other end."""
        for where, folders, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(os.path.join(where, name))
            for name in folders:
                os.rmdir(os.path.join(where, name))
        os.rmdir(path)

    def exchange(self):
        """renameat2 (RENAME_EXCHANGE): one in the place of another in one step."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.renameat2(-100, self.any_path().encode(), -100, self.any_path().encode(), 2)

    def write(self):
        fd = os.open(self.any_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | HARMLESS, 0o666)
        try:
            os.write(fd, b"x" * self.random.randrange(100))
            if self.random.random() < 0.3:
                os.ftruncate(fd, self.random.choice((0, 10, 1 << 20)))
        finally:
            os.close(fd)

    def step(self):
        do = self.random.choice((
            self.mine, self.mine, self.mine, self.lock, self.lease, self.exchange, self.write,
            lambda: os.rename(self.any_path(), self.any_path()),
            lambda: os.rename(self.any_path(), self.any_path()),
            lambda: os.symlink(self.any_target(), self.any_path()),
            lambda: os.symlink(self.any_target(), self.any_path()),
            lambda: os.link(self.any_path(), self.any_path()),
            lambda: os.link(self.outside + "/victim/meta.json", self.any_path()),
            lambda: os.chmod(self.any_path(), self.random.choice(MODES)),
            lambda: os.mkfifo(self.any_path()),
            lambda: os.unlink(self.any_path()),
            lambda: self.remove(self.any_path()),
            lambda: os.mkdir(self.any_path()),
        ))
        try:
            do()
        except (OSError, ValueError):
            pass

    def run(self):
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # a lease that is broken
        for self.count in range(1, self.steps + 1):
            self.step()
            time.sleep(self.random.random() * 0.005)  # so that the others have a turn


# ---- the ground

def tree_of(folder):
    """All that must not change, with who may do what and since when."""
    found = {}
    for where, folders, files in os.walk(folder):
        for path in [where, *(os.path.join(where, name) for name in folders + files)]:
            info = os.lstat(path)
            content = open(path, "rb").read() if stat.S_ISREG(info.st_mode) else None
            found[path] = (info.st_mode, info.st_uid, info.st_gid, content)
    return found


def setid_files(folder):
    for where, _, files in os.walk(folder):
        for name in files:
            info = os.lstat(os.path.join(where, name))
            if stat.S_ISREG(info.st_mode) and info.st_mode & 0o6000:
                yield os.path.join(where, name), info.st_uid


class Field:

    def __init__(self, ground, tally):
        self.tally = tally
        self.site = ground.site(workers=2)
        self.site._copy_pipeline("drain")  # pylint: disable=protected-access
        self.site.tune("drain", "[scan]\nquiet=20ms\n")
        self.site.become_nobody()
        # The shipper makes it, with the mode and the ACL that tmpfiles.d gives.
        (self.site.host / "episodes").rmdir()
        self.outside = self.site.folder / "outside"
        for name, owner in (("victim", 0), ("service", NOBODY)):
            folder = self.outside / name
            (folder / "sub").mkdir(parents=True)
            (folder / "meta.json").write_text("{}")
            (folder / "quarantine_reason.json").write_text(
                '{"finding": "unstamped", "quarantined_at": "2020-01-01T00:00:00Z", "episode": "victim", "displaced": "meta.json"}')
            for path in (folder, *folder.iterdir()):
                os.chown(path, owner, owner)
        self.before = tree_of(self.outside)
        self.bobs = []
        self.made = 0
        self.ends = []

    def prefix_of(self, user):
        return ("setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={NOBODY}", "--")

    def bob(self):
        """One more of his, half of them without a stamp."""
        self.made += 1
        name = f"bob-{self.made}"
        staged = self.site.folder / "staging" / name
        staged.mkdir(parents=True)
        (staged / "data").write_bytes(random.Random(name).randbytes(3000))
        stamp = '{"code_version": {"commit": "%s"}}' % self.site.head if self.made % 2 else "{}"
        (staged / "meta.json").write_text(stamp)
        copy = f"mkdir {self.site.host}/episodes/.{name} && cp {staged}/* {self.site.host}/episodes/.{name} && mv -T {self.site.host}/episodes/.{name} {self.site.host}/episodes/{name}"
        done = subprocess.run([*self.prefix_of(BOB), "sh", "-c", f"umask 022; {copy}"], capture_output=True, text=True)
        # The attacker was there first: it is not Bob's then.
        if done.returncode == 0:
            self.bobs.append(name)

    def run(self, as_root, *arguments):
        prefix = () if as_root else self.site.prefix
        environment = {**self.site.environment, "STATE_DIRECTORY": str(self.site.host)}
        process = scratch.Process([*arguments], environment, self.site.folder / "run", prefix)
        self.site.test.watch(process)
        return process

    def end(self, process):
        """Within the time that there is."""
        if process.popen.poll() is not None:
            return
        began = time.monotonic()
        process.send(signal.SIGTERM)
        try:
            process.wait(PATIENCE * scratch.SLOWNESS)
            self.ends.append(time.monotonic() - began)
        except subprocess.TimeoutExpired:
            self.tally.violation(process.name, f"does not end within {PATIENCE} s of SIGTERM")
            show(process, self.tally)
            process.kill()

    def attackers(self, steps):
        for number in range(AT_ONCE):
            yield subprocess.Popen([*self.prefix_of(ALICE), sys.executable, "-B", __file__, str(self.site.host), str(self.outside),
                                    f"{self.tally.seed} {number}", str(steps // AT_ONCE)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def verbs(self, which):
        if which in (1, 3):
            return ("quarantine", "release", "--all", "--force")
        if which == 2:
            # Bob's unstamped ones are put aside and released again and again.
            mine = [name for name in self.site.names("quarantine") if name.startswith("mine-")]
            return ("quarantine", "purge", "--yes", *(mine or ["mine-0"]))
        return ("run", "drain", "--once") if which == 0 else ("quarantine", "list", "--long")

    def wage(self, steps):
        config = ("--config", str(self.site.folder / "cis490.ini"))
        shipper = self.run(False, "run", "shipper", *config).wait_for_notice("READY=1")
        attackers = list(self.attackers(steps))
        turn = 0
        while any(attacker.poll() is None for attacker in attackers):
            self.bob()
            verb = self.verbs(turn % 5)
            one = self.run(turn % 2 == 0, *verb, *(config if verb[0] == "run" else ()))
            try:
                one.wait(1)
            except subprocess.TimeoutExpired:
                pass
            self.end(one)
            one.close()
            if turn % 5 == 4:
                self.end(shipper)
                shipper.close()
                shipper = self.run(turn % 2 == 0, "run", "shipper", *config)
                try:
                    shipper.wait_for_notice("READY=1")
                except AssertionError as error:
                    self.tally.violation("the shipper", f"does not start: {error}")
            turn += 1
        for attacker in attackers:
            said = attacker.communicate()[1]
            if attacker.returncode:
                self.tally.violation("the attacker", said)
        self.end(shipper)
        # What is left of Bob's goes home, whatever lies beside it.
        self.run(False, "run", "shipper", "--once", *config).wait(scratch.PATIENCE)
        return turn

    def of_bob(self):
        for folder in ("episodes", "shipped", "quarantine"):
            for path in (self.site.host / folder).iterdir():
                if path.lstat().st_uid == BOB:
                    yield path

    def judge(self):
        after = tree_of(self.outside)
        for path in sorted(set(self.before) | set(after)):
            if self.before.get(path) != after.get(path):
                yield f"{path} was changed: {self.before.get(path)} is {after.get(path)}"
        for path, user in setid_files(self.site.folder):
            if user != ALICE:
                yield f"{path} of user {user} has a setuid or setgid bit"
        for name in self.bobs:
            content = random.Random(name).randbytes(3000)
            found = [str(path) for path in self.of_bob() if path.name.startswith(name) and (path / "data").is_file()
                     and (path / "data").read_bytes() == content]
            if len(found) != 1:
                yield f"{name} is in {found or 'no folder'}"
        for folder in ("shipped", "quarantine"):
            if not any(path.parent.name == folder for path in self.of_bob()):
                yield f"none of Bob's came to {folder}/: nothing was tried"
        for folder in FOLDERS:
            info = os.lstat(self.site.host / folder)
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != NOBODY:
                yield f"{folder} is not the service user's folder any more"


def attack(tally):
    with Ground() as ground:
        field = Field(ground, tally)
        receiver = field.site.receiver()
        steps = LONG if tally.long else SHORT
        turns = field.wage(steps)
        tally.attempt(steps)
        wait_until(lambda: receiver.popen.poll() is None, "the receiver runs")
        tally.violations_of("a stranger", field.judge())
        slowest = max(field.ends, default=0)
        tally.notes.append(f"{turns} runs as root and as the service user, {len(field.bobs)} episodes of another's, "
                           f"{slowest:.1f} s to end at most")


if __name__ == "__main__":
    Attacker(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])).run()
