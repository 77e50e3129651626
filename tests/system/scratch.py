# SPDX-License-Identifier: LGPL-2.1-or-later
"""A scratch site for tests: a git repository, a receiver, a host, and real processes between them.

The programs under test are named by the environment that meson sets: CIS490_PROGRAM, CIS490_PLUGIN_PATH,
CIS490_PIPELINE_PATH.
"""

import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import seclusion

# The wrapper runs the program under valgrind.
PROGRAM = os.environ.get("CIS490_WRAPPER", os.environ["CIS490_PROGRAM"])
NOBODY = 65534
# Under a sanitizer all takes longer.
SLOWNESS = float(os.environ.get("CIS490_SLOWNESS", "1"))
PATIENCE = 120 * SLOWNESS  # s: for what normally takes less than one; a busy machine is no failure

# What makes a host quick enough for a test; the receiver needs nothing.
QUICK = "[scan]\nquiet=200ms\npoll=500ms\nbackoff-initial=200ms\nbackoff-max=1s\n"
PROBING = "[pipeline]\nbackoff-initial=100ms\nbackoff-max=1s\n"
# A small disk is a full one to a receiver that wants to keep 64 MiB free.
ROOMY = "[accept]\nfree-space=1MiB\n"


def wait_until(holds, what, timeout=PATIENCE / SLOWNESS):
    """Returns what `holds` returns, once that is true."""
    deadline = time.monotonic() + timeout * SLOWNESS
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {what}")
        time.sleep(0.02)
    return found


def hold_port(test):
    """A port of loopback for servers of the test, to listen on and to leave as often as they want. Nobody else is given it
    meanwhile: a socket that does not listen has it, beside which those may be that say SO_REUSEADDR, as servers do."""
    held = socket.socket()
    test.addCleanup(held.close)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held.getsockname()[1]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def snapshot(folder):
    """All that an archive has to carry: names, types, permissions, times and bytes."""
    entries = {}
    for path in sorted(os.fsencode(str(folder)) + b"/" + name for name in list_tree(os.fsencode(str(folder)))):
        info = os.lstat(path)
        is_file = stat.S_ISREG(info.st_mode)
        content = pathlib.Path(os.fsdecode(path)).read_bytes() if is_file else None
        entries[os.path.relpath(path, os.fsencode(str(folder)))] = (info.st_mode, info.st_mtime_ns, content)
    return entries


class Connection(http.client.HTTPConnection):
    """To a receiver's Unix socket."""

    def __init__(self, path):
        super().__init__("receiver", timeout=PATIENCE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def list_tree(folder):
    for where, folders, files in os.walk(folder):
        for name in folders + files:
            yield os.path.relpath(os.path.join(where, name), folder)


class Process:
    """A `cis490` that runs, what it said on stderr, and what it told the service manager."""

    def __init__(self, arguments, environment, folder, prefix=()):
        self.output = tempfile.TemporaryFile()
        self.printed = tempfile.TemporaryFile()
        self.name = " ".join(arguments)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="notify-") as name:
            address = name.name
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(address)
        os.chmod(address, 0o777)
        self.popen = subprocess.Popen([*prefix, PROGRAM, *arguments], env={**environment, "NOTIFY_SOCKET": address},
                                      stdin=subprocess.DEVNULL, stdout=self.printed, stderr=self.output)

    @property
    def said(self):
        return self._read(self.output)

    @property
    def stdout(self):
        return self._read(self.printed)

    @staticmethod
    def _read(file):
        return os.pread(file.fileno(), 1 << 26, 0).decode(errors="replace")

    def wait_for_notice(self, notice):
        """Until sd_notify(3) said it, such as READY=1."""
        self.notices.settimeout(0.1)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if notice in self.notices.recv(4096).decode().split("\n"):
                    return self
            except TimeoutError:
                if self.popen.poll() is not None:
                    break
        raise AssertionError(f"{self.name} never said {notice}:\n{self.said}")

    def wait_to_say(self, text):
        wait_until(lambda: text in self.said, f"{self.name} says “{text}”; it said:\n{self.said}")

    def wait(self, timeout=PATIENCE):
        """The exit status; -SIGNAL where a signal ended it."""
        return self.popen.wait(timeout)

    def send(self, number):
        self.popen.send_signal(number)

    def stop(self):
        if self.popen.poll() is None:
            self.send(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        return self.popen.wait()

    def close(self):
        for file in (self.output, self.printed, self.notices):
            file.close()

    def reload(self):
        self.send(signal.SIGHUP)
        return self.wait_for_notice("READY=1")


class Site:
    """One host and one receiver below one folder, and the cis490.ini of both."""

    def __init__(self, test, host="lab-1", folder=None):
        self.test = test
        self.host_name = host
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="cis490-"))
        test.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        self.host = self.folder / "host"
        self.receiver_state = self.folder / "receiver"
        self.socket = self.folder / "run" / "receiver.sock"
        self.prefix = ()
        self.environment = dict(os.environ)
        for name in ("host/episodes", "receiver", "run", "pipelines"):
            (self.folder / name).mkdir(parents=True)
        self.commits = self._make_repository()
        self.head, self.stale = self.commits[-1], self.commits[0]
        self.values = {
            "host-id": host, "receiver-url": f"unix:{self.socket}", "listen": f"unix:{self.socket}",
            "token-file": self.folder / "token", "tokens-file": self.folder / "tokens",
            "repository": self.folder / "repository", "window": 2,
        }
        self.write_site()
        self.token = self.add_token(host)
        self.write_secret("token", self.token)
        for name in ("shipper", "receiver"):
            self._copy_pipeline(name)
        self.tune("shipper", QUICK)
        self.tune("shipper", PROBING, "probing")
        self.tune("receiver", ROOMY)

    # ---- making it

    def _make_repository(self):
        """Of four commits without files; returns their ids. No hooks, and git starts twice: there are hundreds of sites."""
        repository, marks = self.folder / "repository", self.folder / "marks"
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", "--template=", repository], check=True)
        commits = "".join(f"commit refs/heads/main\nmark :{number}\ncommitter Test <test@example.org> {time.time():.0f} +0000\n"
                          f"data <<.\nChange {number}\n.\n\n" for number in range(1, 5))
        subprocess.run(["git", "-C", repository, "fast-import", "--quiet", f"--export-marks={marks}"], input=commits, text=True,
                       check=True)
        return [line.split()[1] for line in sorted(marks.read_text().splitlines())]

    def _copy_pipeline(self, name):
        for folder in os.environ["CIS490_PIPELINE_PATH"].split(":"):
            if (found := pathlib.Path(folder) / f"{name}.ini").exists():
                shutil.copy(found, self.folder / "pipelines")
                return
        raise AssertionError(f"no {name}.ini in CIS490_PIPELINE_PATH")

    def write_site(self, **changed):
        self.values.update((key.replace("_", "-"), value) for key, value in changed.items())
        lines = "".join(f"{key}={value}\n" for key, value in self.values.items())
        (self.folder / "cis490.ini").write_text("[site]\n" + lines)

    def write_secret(self, name, text):
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        if self.prefix:
            os.chown(path, NOBODY, NOBODY)

    def add_token(self, host):
        """As `cis490 token new` does."""
        token = os.urandom(32).hex()
        with open(self.folder / "tokens", "a", opener=lambda path, flags: os.open(path, flags, 0o600)) as tokens:
            tokens.write(f"{host} {hashlib.sha256(token.encode()).hexdigest()}\n")
        return token

    def tune(self, pipeline, text, name="test"):
        """Puts a drop-in beside the pipeline."""
        folder = self.folder / "pipelines" / f"{pipeline}.ini.d"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.ini").write_text(text)

    def write_pipeline(self, name, text):
        (self.folder / "pipelines" / f"{name}.ini").write_text(text)

    def become_nobody(self):
        """What root passes vacuously is for somebody else to try."""
        for where, folders, files in os.walk(self.folder):
            for name in [where, *(os.path.join(where, entry) for entry in folders + files)]:
                os.chown(name, NOBODY, NOBODY, follow_symlinks=False)
        self.prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
        # git's owner check reads the configuration of a user with a home.
        self.environment["HOME"] = str(self.folder)

    # ---- episodes

    def episode(self, name, size=1000, commit=None, stamped=True, files=None, version=None):
        """An episode as an experiment leaves it: the data first, meta.json last, and whole: on a busy machine an empty one may
        stand there for longer than `quiet` is in tests, and would be judged."""
        path = self.host / "episodes" / name
        path.mkdir()
        for file, content in (files or {"data.bin": os.urandom(size)}).items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_bytes(content)
        meta = {"experiment": "test"}
        if stamped:
            meta["code_version"] = {"commit": commit or self.head, "branch": "main", "dirty": False,
                                    "repository": str(self.folder / "repository"), **(version or {})}
        part = path / "meta.json.part"
        part.write_text(json.dumps(meta))
        part.rename(path / "meta.json")
        return path

    def episodes(self, count, size=1000, prefix="ep"):
        names = [f"{prefix}-{number:05}" for number in range(count)]
        for name in names:
            self.episode(name, size)
        return names

    def names(self, folder):
        path = self.host / folder
        return sorted(entry for entry in os.listdir(path) if entry[0] != ".") if path.exists() else []

    def reason(self, name):
        path = self.host / "quarantine" / name / "quarantine_reason.json"
        wait_until(path.exists, "the reason followed the episode")
        return json.loads(path.read_text())

    def receipt(self, name):
        return json.loads((self.host / "receipts" / f"{name}.json").read_text())

    # ---- the receiver's side

    def archive(self, name):
        return self.receiver_state / "store" / self.host_name / f"{name}.tar.zst"

    def rows(self):
        path = self.receiver_state / "index.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def partials(self):
        return [path for path in (self.receiver_state / "incoming").glob("*/*") if path.name != ".lock"]

    def unpack(self, name):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder, prefix="unpacked-"))
        # Of names that are no UTF-8 GNU tar says that it does not need to be told.
        subprocess.run(["tar", "--zstd", "--warning=no-unknown-keyword", "-xpf", self.archive(name), "-C", folder],
                       check=True)
        return folder / name

    # ---- processes

    def command(self, *arguments, state=None, **options):
        """A verb that ends by itself."""
        environment = {**self.environment, "STATE_DIRECTORY": str(state or self.host)}
        return subprocess.run([*self.prefix, PROGRAM, *arguments], env=environment, capture_output=True, text=True,
                              errors="replace", timeout=PATIENCE, stdin=subprocess.DEVNULL, **options)

    def check(self, name="shipper"):
        return self.command("check", name, "--config", str(self.folder / "cis490.ini"))

    def start(self, *names, state=None):
        environment = {**self.environment, "STATE_DIRECTORY": str(state or self.host)}
        process = Process(["run", *names, "--config", str(self.folder / "cis490.ini")], environment,
                          self.folder / "run", self.prefix)
        self.test.watch(process)
        return process

    def receiver(self):
        return self.start("receiver", state=self.receiver_state).wait_for_notice("READY=1")

    def shipper(self):
        return self.start("shipper").wait_for_notice("READY=1")

    def once(self, name="shipper"):
        """Runs until nothing is left to try; its exit status is `status`."""
        process = self.start(name, "--once")
        process.status = process.wait(4 * PATIENCE)
        return process


class TestCase(unittest.TestCase):
    """Ends what a test started, and shows what it said where the test failed."""

    def setUp(self):
        self.processes = []

    def watch(self, process):
        self.processes.append(process)
        self.addCleanup(process.kill)

    def run(self, result=None):
        self.processes = []
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for process in self.processes:
                print(f"---- {process.name} (ended with {process.popen.returncode}) said:\n{process.said[-6000:]}",
                      file=sys.stderr)
        for process in self.processes:
            process.close()

    def wait_shipped(self, site, names):
        """As long as more and more of them are."""
        names, before, deadline = sorted(names), None, 0
        while (shipped := site.names("shipped")) != names:
            if shipped != before:
                before, deadline = shipped, time.monotonic() + PATIENCE
            elif time.monotonic() > deadline:
                raise AssertionError(f"after {PATIENCE} s still not: more than {len(shipped)} of {len(names)} are in shipped/")
            time.sleep(0.02)
        wait_until(lambda: not site.names("outbox"), "the outbox is empty")

    def assert_arrived(self, site, names):
        """Each is in the store once, in the index once, and home with a receipt that says the same."""
        names = sorted(names)
        self.assertEqual(site.names("shipped"), names)
        self.assertEqual(site.names("outbox"), [])
        self.assertEqual(site.partials(), [])
        rows = {row["episode"]: row for row in site.rows()}
        self.assertEqual(sorted(row["episode"] for row in site.rows()), names)
        for name in names:
            sha256 = digest(site.archive(name))
            self.assertEqual(rows[name]["sha256"], sha256)
            self.assertEqual(site.receipt(name)["sha256"], sha256)

    def assert_same_content(self, site, name):
        self.assertEqual(snapshot(site.unpack(name)), snapshot(site.host / "shipped" / name))


class Result(unittest.TextTestResult):
    """Says how long each test took."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        self.stream.writeln(f"    {time.monotonic() - self.began:.1f} s")
        super().stopTest(test)


def main():
    if os.geteuid() == 0:
        seclusion.enter()
    unittest.main(testRunner=unittest.TextTestRunner(resultclass=Result, descriptions=False, verbosity=2))
