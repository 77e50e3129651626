# SPDX-License-Identifier: LGPL-2.1-or-later
"""Many clients send duplicates, other bytes under known names, and uploads that are cut and resumed, while the receiver
is killed every few seconds; in the end their stories, the store and the index have to agree.
"""

import collections
import hashlib
import random
import threading
import time

from checker import Client, Ground, check_index, check_store, wait_until

CLIENTS = 16
SHORT, LONG = 2_000, 100_000
KILLS = {False: 3, True: 60}
SIZES = (1, 300, 3000, 3000, 3000, 20_000, 20_000, 300_000)
LARGE, RARELY = 1_500_000, 0.01  # of these a second thread takes the digest


def make_body(name, variant):
    source = random.Random(f"{name}/{variant}")
    return source.randbytes(LARGE if source.random() < RARELY else source.choice(SIZES))


class Teller(threading.Thread):
    """One client, and what it was told."""

    def __init__(self, war, number):
        super().__init__(daemon=True)
        self.war = war
        self.random = random.Random(f"{war.tally.seed} {number}")
        self.client = Client(war.site)
        self.refused = []  # (name, sha256) that were called a conflict
        self.stored = []  # names that were answered 201
        self.inodes = {}  # of the archive when it was acknowledged
        self.failure = None

    def run(self):
        try:
            while (name := self.war.next_name(self.random)) is not None:
                self.act(name, make_body(name, self.random.choice((0, 0, 0, 0, 1))))
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def act(self, name, body):
        what = self.random.random()
        if what < 0.15:
            self.client.cut(name, body, self.random.randrange(len(body)))
        elif what < 0.3:
            self.hear(name, body, *self.client.resume(name, body))
        else:
            self.hear(name, body, *self.client.put(name, body))

    def hear(self, name, body, status, said):
        if status == 0:
            time.sleep(0.02)
        elif status == 409 and said.get("type", "").endswith(":episode-conflict"):
            self.refused.append((name, hashlib.sha256(body).hexdigest()))
        elif status in (200, 201) and "sha256" in said:
            self.stored += [name] if status == 201 else []
            info = self.war.site.archive(name).stat()
            self.inodes.setdefault(name, (info.st_ino, info.st_size))


class War:

    def __init__(self, site, tally):
        self.site = site
        self.tally = tally
        self.total = LONG if tally.long else SHORT
        self.lock = threading.Lock()
        self.begun = 0

    def next_name(self, source):
        """Mostly a new one or one of the last, so that they meet; %None at the end."""
        with self.lock:
            if self.begun >= self.total:
                return None
            self.begun += 1
            newest = self.begun // 4
        back = source.choice((0, 0, 1, 2, 3, 8, source.randrange(newest + 1)))
        return f"h{max(newest - back, 0)}"

    def wage(self):
        """Returns the tellers once all is told; the receiver is killed and started meanwhile."""
        kills = KILLS[self.tally.long]
        process = self.site.receiver()
        tellers = [Teller(self, number) for number in range(CLIENTS)]
        for teller in tellers:
            teller.start()
        for number in range(1, kills + 1):
            wait_until(lambda point=number * self.total // (kills + 1): self.begun >= point, "they go on", 600)
            time.sleep(self.tally.random.random() * 0.1)
            process.kill()
            process = self.site.receiver()
        for teller in tellers:
            teller.join()
        return tellers

    def settle(self):
        """Each name is asked for until it is stored."""
        client = Client(self.site)
        for number in range(self.total // 4 + 1):
            name = f"h{number}"
            if not self.site.archive(name).exists():
                wait_until(lambda name=name: client.resume(name, make_body(name, 0))[0] in (200, 201),
                           f"{name} is taken")
        return client

    def judge(self, tellers, last):
        """What contradicts what."""
        told = {}
        for client in [teller.client for teller in tellers] + [last]:
            yield from client.contradictions
            for name, sha256 in client.acknowledged.items():
                if told.setdefault(name, sha256) != sha256:
                    yield f"{name} was acknowledged with two digests"
        yield from check_store(self.site, told)
        yield from check_index(self.site)
        stored = {row["episode"]: row["sha256"] for row in self.site.rows()}
        counts = collections.Counter(name for teller in tellers for name in teller.stored)
        yield from (f"{name} was answered 201 twice" for name, count in counts.items() if count > 1)
        for teller in tellers:
            if teller.failure:
                yield f"a client failed: {teller.failure!r}"
            yield from (f"{name}: 409 for the bytes that are stored" for name, sha256 in teller.refused
                        if stored.get(name) == sha256)
            yield from (f"{name}: 409, and nothing is stored" for name, _ in teller.refused if name not in stored)
            for name, kept in teller.inodes.items():
                info = self.site.archive(name).stat()
                if (info.st_ino, info.st_size) != kept:
                    yield f"{name} is another file than when it was acknowledged"
        yield from (f"{name} has {digest}, which nobody sent" for name, digest in stored.items()
                    if digest not in {hashlib.sha256(make_body(name, variant)).hexdigest() for variant in (0, 1)})


def intrude(tally):
    """Somebody puts an archive into the store by hand while another is uploaded under its name: it stays."""
    body, other = make_body("late", 0) + b"it", make_body("early", 1)
    with Ground() as ground:
        site = ground.site()
        site.receiver()
        client = Client(site)
        client.put("first", body)
        for number in range(4):
            name = f"late-{number}"
            with client.begin(name, body) as upload:
                upload.sendall(body[:-2])
                wait_until(site.partials, "the upload began")
                site.archive(name).write_bytes(other)
                upload.sendall(body[-2:])
                answer = upload.recv(65536)
            tally.attempt()
            if answer.startswith(b"HTTP/1.1 2"):
                tally.violation("an archive put there meanwhile", f"the upload is acknowledged: {answer!r}")
            if site.archive(name).read_bytes() != other:
                tally.violation("an archive put there meanwhile", "it is replaced")
            wait_until(lambda: not site.partials(), "the upload is refused")


def attack(tally):
    intrude(tally)
    with Ground() as ground:
        site = ground.site(workers=64)
        war = War(site, tally)
        tellers = war.wage()
        last = war.settle()
        tally.attempt(war.total)
        tally.violations_of("history", war.judge(tellers, last))
        stories = sum(len(teller.client.acknowledged) for teller in tellers)
        conflicts = sum(len(teller.refused) for teller in tellers)
        tally.notes.append(f"{KILLS[tally.long]} kills, {stories} stories of {len(site.rows())} episodes, "
                           f"{conflicts} conflicts")
