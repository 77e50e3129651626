# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small job for a receiver and one for a shipper, through every step there is: begun, broken off, and drained."""

import os
import random
import time

from checker import Client, check_host, check_index, check_quiet, check_store, find, show, wait_until
from tracer import WORKER, threads

DRAIN = 60  # s: how long the rest of a job may take
PATIENCE = 30  # s: for an answer, and for a job that nothing breaks off


def bytes_of(name, size):
    return random.Random(name).randbytes(size)


class ReceiverJob:
    """New bytes, the same again, other ones under that name, and an upload that is cut and goes on."""

    role = "receiver"
    threads = (WORKER, "source")

    def __init__(self, ground, **options):
        self.site = ground.site(**options)
        self.client = Client(self.site, timeout=PATIENCE)
        self.names = []
        self.process = None

    def start(self):
        self.process = self.site.receiver()
        self.warm()

    def warm(self):
        """Until the worker has a thread, and what is opened once is open."""
        wait_until(lambda: self.client.put("warm", bytes_of("warm", 100))[0] in (200, 201), "the receiver is warm")
        wait_until(lambda: threads(self.process, WORKER), "the worker has a thread")

    def prepare(self, tag):
        self.names = [f"{tag}-new", f"{tag}-cut"]

    def run(self, timeout=PATIENCE):
        """As far as it goes; so long for each answer."""
        self.client.timeout = timeout
        new, cut = self.names
        if self.client.put(new, bytes_of(new, 3000))[0] == 201:
            self.client.put(new, bytes_of(new, 3000))
            if self.client.put(new, bytes_of("other", 3000))[0] in (200, 201):
                self.client.contradictions.append(f"{new}: other bytes were acknowledged")
        self.client.cut(cut, bytes_of(cut, 5000), 2000)
        deadline = time.monotonic() + timeout
        # Until the receiver knows that the one before hung up.
        while (self.client.resume(cut, bytes_of(cut, 5000))[1].get("type", "").endswith(":in-flight")
               and time.monotonic() < deadline):
            time.sleep(0.005)
        self.client.timeout = PATIENCE

    def undone(self):
        """What a run that nothing breaks off would have done."""
        yield from (f"{name} is not acknowledged" for name in self.names if name not in self.client.acknowledged)

    def at_rest(self):
        """What must hold however it was broken off."""
        yield from check_store(self.site, self.client.acknowledged)
        yield from self.client.contradictions
        self.client.contradictions.clear()

    def drain(self, tally):
        """Goes on where it was broken off, until all is acknowledged."""
        for name, size in zip(self.names, (3000, 5000)):
            deadline = time.monotonic() + DRAIN
            status, said = 0, {}
            while status not in (200, 201, 409) and time.monotonic() < deadline:
                # It may be about to stop because of what was done to it.
                if self.process.popen.poll() is not None:
                    self.start()
                status, said = self.client.resume(name, bytes_of(name, size))
            if status not in (200, 201):
                yield f"{name} is not taken any more: {status} {said.get('type')} {said.get('detail')}"
                show(self.process, tally)
        yield from self.at_rest()
        yield from check_index(self.site)
        yield from (f"{path.name} is left in incoming/" for path in self.site.partials()
                    if path.name.startswith(tuple(self.names)))


class ShipperJob:
    """An episode to ship, one without a stamp, and one whose name the receiver knows with other bytes."""

    role = "shipper"
    threads = (WORKER, "source")
    homes = ("shipped", "quarantine", "quarantine")

    def __init__(self, ground, **options):
        self.site = ground.site(**options)
        self.client = Client(self.site)
        self.names = []
        self.process = None
        self.receiver = self.site.receiver()
        self.settle = lambda: None  # what is made is on the disk after it

    def start(self):
        for folder in ("episodes", "staging"):
            (self.site.host / folder).mkdir(exist_ok=True)
        self.process = self.site.shipper()
        self.warm()

    def warm(self):
        name = f"warm-{time.monotonic_ns()}"
        self.site.episode(name, 100)
        try:
            wait_until(lambda: (self.site.host / "shipped" / name).exists() and not self.site.names("outbox"),
                       "the shipper is warm")
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.process.said[-4000:]}\nand the receiver:\n"
                                 f"{self.receiver.said[-4000:]}") from error

    def prepare(self, tag):
        self.names = [f"{tag}-new", f"{tag}-odd", f"{tag}-old"]
        self.client.put(self.names[2], bytes_of(self.names[2], 700))

    def make(self):
        """The episodes appear whole."""
        for name in self.names:
            self.site.episode("../staging/" + name, 20_000, stamped=not name.endswith("odd"))
        self.settle()
        for name in self.names:
            os.rename(self.site.host / "staging" / name, self.site.host / "episodes" / name)
        self.settle()

    def is_home(self):
        return not any((self.site.host / "episodes" / name).exists()
                       for name in self.names) and not self.site.names("outbox")

    def run(self, timeout=PATIENCE):
        self.make()
        deadline = time.monotonic() + timeout
        while not self.is_home() and self.process.popen.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)

    def undone(self):
        """What a run that nothing breaks off would have done."""
        yield from (f"{name} is not in {folder}/" for name, folder in zip(self.names, self.homes)
                    if [where for where, _ in find(self.site, name)] != [folder])

    def at_rest(self):
        yield from check_host(self.site, self.names)
        yield from check_store(self.site, self.client.acknowledged)
        yield from self.client.contradictions
        self.client.contradictions.clear()

    def drain(self, tally):
        if self.receiver.popen.poll() is not None:
            self.receiver = self.site.receiver()
        if self.process.popen.poll() is None:
            self.process.stop()
        deadline = time.monotonic() + DRAIN
        status = 75
        while status == 75 and time.monotonic() < deadline:
            last = self.site.once()
            status = last.status
        if status not in (0, 65):
            yield f"the shipper ended with {status}"
            show(last, tally)
        yield from self.at_rest()
        yield from check_quiet(self.site, self.names)
        yield from self.undone()


__all__ = ["ReceiverJob", "ShipperJob", "bytes_of"]
