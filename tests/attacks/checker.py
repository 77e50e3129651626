# SPDX-License-Identifier: LGPL-2.1-or-later
"""What all attacks share: the ground that they are fought on, the tally, and what must hold after any of them.

At any instant: an episode is in one of episodes/, shipped/ and quarantine/; in shipped/ with a receipt whose digest is
the stored archive's, in quarantine/ with a reason. What was acknowledged is in the store with that digest. Once all is
quiet: the index has one row for each archive, and nothing is left half done.
"""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
import random
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))

import scratch  # noqa: E402
from scratch import Site, wait_until  # noqa: E402

HOME = ("episodes", "shipped", "quarantine")
SHIPPER = "[scan]\nquiet=20ms\npoll=100ms\nbackoff-initial=50ms\nbackoff-max=200ms\n[pack]\nfree-space=0\n"
RECEIVER = "[accept]\nfree-space=0\n"
ONE_WORKER = "[pipeline]\nworkers=1\n"


class Tally:
    """How often an attack was tried, and what it broke."""

    def __init__(self, name, long, seed):
        self.name = name
        self.long = long
        self.seed = seed
        self.random = random.Random(f"{name} {seed}")
        self.attempts = 0
        self.violations = []
        self.notes = []

    def attempt(self, count=1):
        self.attempts += count

    def violation(self, where, what):
        self.violations.append(f"{where}: {what}")
        print(f"{self.name}: VIOLATION: {where}: {what}", file=sys.stderr, flush=True)

    def violations_of(self, where, found):
        for what in found:
            self.violation(where, what)

    def sample(self, points, count):
        """All of them in a long round, `count` of them in a short one."""
        points = list(points)
        return points if self.long or len(points) <= count else self.random.sample(points, count)


class Ground(contextlib.ExitStack):
    """Stands in for a test case where `Site` wants one: what it starts is ended with it."""

    addCleanup = contextlib.ExitStack.callback

    def watch(self, process):
        self.callback(process.close)
        self.callback(process.kill)

    def site(self, workers=1, folder=None, receiver=RECEIVER, shipper=SHIPPER):
        site = Site(self, folder=folder)
        tail = ONE_WORKER if workers == 1 else f"[pipeline]\nworkers={workers}\n"
        site.tune("receiver", receiver + tail)
        site.tune("shipper", shipper + tail)
        return site


class Client:
    """Uploads by hand, over one connection at a time, and remembers what was acknowledged."""

    def __init__(self, site, timeout=10):
        self.site = site
        self.timeout = timeout
        self.acknowledged = {}  # name to sha256
        self.contradictions = []

    def headers(self, body, **more):
        return {"Authorization": f"Bearer {self.site.token}", "X-Cis490-Sha256": hashlib.sha256(body).hexdigest(),
                "X-Cis490-Code-Commit": self.site.head, **more}

    def ask(self, method, name, body, sent=None, **more):
        """(status, answer); status 0 where none came."""
        connection = scratch.Connection(self.site.socket)
        connection.timeout = self.timeout
        content = body if sent is None else sent
        try:
            connection.request(method, f"/v1/episodes/{self.site.host_name}/{name}", body=content,
                               headers=self.headers(body, **{"Content-Length": str(len(content)), **more}))
            answer = connection.getresponse()
            status, said = answer.status, json.loads(answer.read() or b"{}")
        except (OSError, ValueError, EOFError, scratch.http.client.HTTPException):
            return 0, {}
        finally:
            connection.close()
        self.note(status, said, name, body)
        return status, said

    def put(self, name, body):
        return self.ask("PUT", name, body)

    def resume(self, name, body):
        """As a shipper does after a cut: the question, then the rest."""
        length = str(len(body))
        status, said = self.ask("POST", name, body, sent=b"", **{"Upload-Length": length})
        offset = said.get("offset", 0)
        if status != 200 or offset == 0:
            return (status, said) if status != 200 or "sha256" in said else self.put(name, body)
        return self.ask("PATCH", name, body, sent=body[offset:], **{
            "Upload-Length": length, "Upload-Offset": str(offset), "Content-Type": "application/partial-upload"})

    def begin(self, name, body):
        """A connection on which the head of an upload is sent, and none of the body."""
        head = f"PUT /v1/episodes/{self.site.host_name}/{name} HTTP/1.1\r\nHost: receiver\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in self.headers(body).items())
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(self.timeout)
        try:
            connection.connect(str(self.site.socket))
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        except OSError:
            connection.close()
            raise
        return connection

    def cut(self, name, body, after):
        """Sends so much of the body, and hangs up."""
        with contextlib.suppress(OSError), self.begin(name, body) as connection:
            connection.sendall(body[:after])

    def note(self, status, said, name, body):
        sha256 = hashlib.sha256(body).hexdigest()
        if status not in (200, 201) or "sha256" not in said:
            return
        if (said["sha256"], said["size"], said["episode"]) != (sha256, len(body), name):
            self.contradictions.append(f"{name}: the receipt {said} is not for what was sent")
        if self.acknowledged.setdefault(name, sha256) != sha256:
            self.contradictions.append(f"{name}: acknowledged with two digests")


KNOWN = {}


def digest_of(path):
    """Of an archive; one that is the same file with the same change time is read once, until KNOWN is cleared."""
    info = os.stat(path)
    key = (str(path), info.st_ino, info.st_ctime_ns, info.st_size)
    if key not in KNOWN:
        KNOWN[key] = scratch.digest(path)
    return KNOWN[key]


def check_store(site, acknowledged):
    """What was acknowledged is there; this holds at any instant."""
    for name, sha256 in acknowledged.items():
        archive = site.archive(name)
        if not archive.exists():
            yield f"{name} was acknowledged, and is not in the store"
        elif digest_of(archive) != sha256:
            yield f"{name} was acknowledged as {sha256}, and the store has other bytes"


def find(site, name):
    """The folders that an episode is in, as (folder, name there): one that seems taken gets a suffix."""
    names = [("episodes", name), *((folder, entry) for folder in HOME[1:] for entry in (name, f"{name}-2"))]
    return [(folder, entry) for folder, entry in names if (site.host / folder / entry).exists()]


def has_reason(site, name):
    folder = site.host / "quarantine"
    # In this order: between the two looks it may be moved in.
    return (folder / f".{name}.reason.json").exists() or (folder / name / "quarantine_reason.json").exists()


def check_host(site, names):
    """Where the host's episodes are; this holds at any instant."""
    for name in names:
        found = find(site, name)
        if len(found) != 1:
            # It may have been renamed between two looks; one rename is all that it has before it.
            found = find(site, name)
        if len(found) != 1:
            yield f"{name} is in {found or 'none'} of {HOME}"
        elif found[0][0] == "shipped":
            yield from check_shipped(site, name)
        elif found[0][0] == "quarantine" and not has_reason(site, found[0][1]):
            yield f"{name} is in quarantine without a reason"


def check_shipped(site, name):
    path = site.host / "receipts" / f"{name}.json"
    if not path.exists():
        yield f"{name} is in shipped/ without a receipt"
        return
    try:
        sha256 = json.loads(path.read_text())["sha256"]
    except (ValueError, KeyError):
        yield f"{name} is in shipped/ with a receipt that is not readable"
        return
    yield from check_store(site, {name: sha256})


def check_receipts(site):
    """A receipt on the host's disk stands for an archive on the receiver's; this holds at any instant."""
    folder = site.host / "receipts"
    for name in site.names("receipts"):
        try:
            receipt = json.loads((folder / name).read_text())
        except ValueError:
            yield f"receipts/{name} is not readable"
            continue
        yield from check_store(site, {receipt["episode"]: receipt["sha256"]})


def check_index(site):
    """One row for each archive and no other, and nothing half done; this holds once all is quiet."""
    text = (site.receiver_state / "index.jsonl").read_text()
    if text and not text.endswith("\n"):
        yield "the index ends with a torn row"
    rows = [json.loads(line) for line in text.split("\n")[:-1]]
    counts = collections.Counter((row["host"], row["episode"]) for row in rows)
    yield from (f"{key} has {count} rows" for key, count in counts.items() if count > 1)
    store = site.receiver_state / "store"
    archives = {(path.parent.name, path.name.removesuffix(".tar.zst")) for path in store.glob("*/*")}
    yield from (f"{key} is in the store without a row" for key in archives - counts.keys())
    yield from (f"{key} has a row, and is not in the store" for key in counts.keys() - archives)
    for row in rows:
        path = site.receiver_state / row["archive"]
        if path.exists() and digest_of(path) != row["sha256"]:
            yield f"{row['episode']} has other bytes than its row says"


def check_quiet(site, names=()):
    """After a clean run: every episode is home, and no file of ours is left between."""
    yield from check_host(site, names)
    yield from check_index(site)
    yield from (f"{path.name} is left in incoming/" for path in site.partials())
    yield from (f"{name} is still in episodes/" for name in names if (site.host / "episodes" / name).exists())
    yield from (f"outbox/{name} is left" for name in os.listdir(site.host / "outbox"))
    for folder in ("quarantine", "receipts", "outbox"):
        for name in os.listdir(site.host / folder):
            if name.startswith(".") and name not in (".lock", ".audit.jsonl"):
                yield f"{folder}/{name} is left"


def rss(process):
    """What a process has in memory, KiB."""
    with open(f"/proc/{process.popen.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def show(process, tally):
    """What the process said, for a violation's reader."""
    print(f"---- {tally.name}: {process.name} ({process.popen.poll()}) said:\n{process.said[-3000:]}", file=sys.stderr)


__all__ = ["Client", "Ground", "Tally", "find", "check_host", "check_index", "check_quiet", "check_receipts",
           "check_store", "rss", "show", "wait_until"]
