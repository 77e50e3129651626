# SPDX-License-Identifier: LGPL-2.1-or-later
"""A thousand that say nothing, hundreds that send or read as slowly as they can, some of them with a token that is
good, while honest hosts upload: each honest request is answered as if it were alone, and the others are cut.

The receiver listens on loopback, because slowhttptest speaks TCP only, and holds no more connections than it does as it
comes. In the short round its deadlines are short as well.
"""

import contextlib
import hashlib
import http.client
import json
import multiprocessing
import os
import pathlib
import re
import resource
import select
import shutil
import socket
import subprocess
import threading
import time

from checker import Ground, check_index, check_store, rss, show, wait_until
from scratch import hold_port

# s: how long a siege lasts, the one before that brings all threads and buffers there will be, and the one that counts
WARM, SIEGE = {False: 2, True: 30}, {False: 4, True: 300}
DEADLINES = "head-timeout=2s\nidle-timeout=2s\nrate-period=2s\nqueue-timeout=1s\n"
CUT_WITHIN = {False: 30, True: 65}  # s: after which nobody slow is left, if no others come
HOSTS = 4
IDLE, TRICKLING, DEAF = 1000, 40, 20
SIZES = (300, 3000, 20_000, 20_000, 300_000)
TOOL_CONNECTIONS = 300
GROWTH = 8 << 10  # KiB


def prepare():
    """What this process needs; those that it starts have it of it."""
    if not shutil.which("slowhttptest"):
        raise AssertionError("slowhttptest is not there: tools/prepare test installs it")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class TcpSite:
    """A receiver on loopback, and hosts that have tokens for it."""

    def __init__(self, ground, tuned=""):
        self.address = "127.0.0.1", hold_port(ground)
        self.site = ground.site(workers=64, receiver=f"[accept]\nfree-space=0\n{tuned}")
        self.site.write_site(listen="{}:{}".format(*self.address))
        self.tokens = {name: self.site.add_token(name) for name in
                       ["insider", *(f"host-{number}" for number in range(HOSTS))]}
        self.process = self.site.receiver()

    def headers(self, host, body):
        return {"Authorization": f"Bearer {self.tokens[host]}", "X-Cis490-Sha256": hashlib.sha256(body).hexdigest(),
                "X-Cis490-Code-Commit": self.site.head}

    def files(self):
        return len(os.listdir(f"/proc/{self.process.popen.pid}/fd"))

    def connections(self):
        """How many the receiver has not closed, not even half."""
        established = re.compile(f": [0-9A-F]{{8}}:{self.address[1]:04X} [0-9A-F]{{8}}:[0-9A-F]{{4}} 01 ")
        return len(established.findall(pathlib.Path("/proc/net/tcp").read_text("ascii")))


class Honest(threading.Thread):
    """One host: asks, uploads, and expects to be served each time; on a new connection as often as on one it kept."""

    def __init__(self, tcp, host, random, sizes=SIZES):
        super().__init__(daemon=True)
        self.tcp = tcp
        self.host = host
        self.random = random
        self.sizes = sizes
        self.ended = threading.Event()
        self.connection = None
        self.acknowledged = {}
        self.failures = []
        self.times = {"POST": [], "PUT": []}  # s

    def run(self):
        while not self.ended.is_set():
            body = self.random.randbytes(self.random.choice(self.sizes))
            name = f"run-{self.random.getrandbits(64):016x}"
            if self.ask("POST", name, body, 200):
                self.ask("PUT", name, body, 201)
            time.sleep(0.05)
        self.hang_up()

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def ask(self, method, name, body, wanted):
        if self.random.random() < 0.5:
            self.hang_up()
        began = time.monotonic()
        try:
            answer = self.send(method, name, body)
            status, said = answer.status, json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            status, said = 0, repr(error)
            self.hang_up()
        self.times[method].append(time.monotonic() - began)
        if status == 201:
            self.acknowledged[name] = said["sha256"]
        if status != wanted:
            self.failures.append(f"{method} {name}: {status} {said if status == 0 else said.get('type')} "
                                 f"after {self.times[method][-1]:.3f} s")
        return status == wanted

    def send(self, method, name, body):
        """The head of the answer. One that was kept may be closed at any time; where nothing came back, the request is
        sent once more (RFC 9112, 9.3.1)."""
        kept = self.connection is not None
        self.connection = self.connection or http.client.HTTPConnection(*self.tcp.address, timeout=20)
        try:
            self.connection.request(method, f"/v1/episodes/{self.host}/{name}", body if method == "PUT" else b"",
                                    {**self.tcp.headers(self.host, body), "Upload-Length": str(len(body))})
            return self.connection.getresponse()
        except (ConnectionResetError, BrokenPipeError):
            if not kept:
                raise
        self.hang_up()
        return self.send(method, name, body)

    @property
    def asked(self):
        return sum(map(len, self.times.values()))


def start_honest(tcp, random, **options):
    hosts = [Honest(tcp, f"host-{number}", type(random)(random.random()), **options) for number in range(HOSTS)]
    for host in hosts:
        host.start()
    return hosts


def end_honest(hosts):
    for host in hosts:
        host.ended.set()
    for host in hosts:
        host.join()


class Crowd:
    """A process that holds connections open and keeps as many of each kind as there are to be, until it is told that it
    is enough; then it waits for the receiver to cut them.
    """

    def __init__(self, tcp, cpus, deaf):
        self.tcp = tcp
        self.cpus = cpus
        self.kinds = [(self.open_idle, IDLE), (self.open_trickling, TRICKLING), (self.open_deaf, deaf)]
        self.enough = multiprocessing.Event()
        self.n_cut = multiprocessing.Value("i", 0)
        self.process = multiprocessing.Process(target=self.run, daemon=True)
        self.process.start()

    def open_idle(self, connection):
        pass

    def open_trickling(self, connection):
        """The longest archive there may be, by a host that may send one."""
        name = f"trickle-{connection.getsockname()[1]}"
        lines = [f"PUT /v1/episodes/insider/{name} HTTP/1.1", "Host: receiver", f"Content-Length: {1 << 30}",
                 *(f"{key}: {value}" for key, value in self.tcp.headers("insider", b"").items()), "", "x"]
        connection.send("\r\n".join(lines).encode())

    def open_deaf(self, connection):
        """Asks as often as the buffers take it, and reads no answer."""
        ping = (f"POST /v1/ping HTTP/1.1\r\nHost: receiver\r\nContent-Length: 0\r\n"
                f"Authorization: Bearer {self.tcp.tokens['insider']}\r\n\r\n").encode()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with contextlib.suppress(BlockingIOError):
            while connection.send(ping * 100) > 0:
                pass

    def run(self):
        os.sched_setaffinity(0, self.cpus)
        held = {}  # descriptor to (socket, kind)
        poll = select.poll()
        while held or not self.enough.is_set():
            if not self.enough.is_set():
                self.fill_up(held, poll)
            time.sleep(0.1)
            for descriptor, _ in poll.poll(0):
                poll.unregister(descriptor)
                held.pop(descriptor)[0].close()
                self.n_cut.value += 1
            for connection, kind in held.values():
                if kind == self.open_trickling:
                    with contextlib.suppress(OSError):
                        connection.send(b"x")

    def fill_up(self, held, poll):
        for kind, wanted in self.kinds:
            for _ in range(wanted - sum(other == kind for _, other in held.values())):
                connection = socket.socket()
                with contextlib.suppress(OSError):
                    connection.connect(self.tcp.address)
                    connection.setblocking(False)
                    kind(connection)
                # What the receiver says is nobody's business here, but that it hangs up is.
                poll.register(connection, select.POLLRDHUP)
                held[connection.fileno()] = connection, kind

    def end(self):
        self.process.kill()
        self.process.join()


class Tool(threading.Thread):
    """slowhttptest, in one mode, again and again for so long: it ends once all its connections are closed."""

    def __init__(self, tcp, cpus, seconds, *options):
        super().__init__(daemon=True)
        self.deadline = time.monotonic() + seconds
        self.command = ["taskset", "--cpu-list", ",".join(map(str, cpus)), "slowhttptest", "-c", str(TOOL_CONNECTIONS),
                        "-r", str(TOOL_CONNECTIONS), "-l", str(seconds + CUT_WITHIN[True]), "-i", "1",
                        "-u", "http://{}:{}/v1/ping".format(*tcp.address), *options]
        self.running = None

    def run(self):
        while time.monotonic() < self.deadline:
            with subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.STDOUT) as self.running:
                pass

    def end(self):
        self.deadline = 0
        self.running.kill()
        self.join()


def start_tools(tcp, cpus, seconds):
    # What follows the type in its header makes the body that of a host that may send one.
    good = "".join(f"\r\n{name}: {value}" for name, value in tcp.headers("insider", b"").items())
    upload = "http://{}:{}/v1/episodes/insider/slow".format(*tcp.address)
    tools = [Tool(tcp, cpus, seconds, "-H"),
             Tool(tcp, cpus, seconds, "-B", "-t", "PUT", "-s", "1000000", "-f", "application/zstd" + good,
                  "-u", upload),
             Tool(tcp, cpus, seconds, "-X", "-k", "10", "-n", "1", "-w", "8", "-y", "16", "-z", "1")]
    for tool in tools:
        tool.start()
    return tools


@contextlib.contextmanager
def siege(tally, tcp, seconds, cpus=None, deaf=DEAF):
    """For so long; then nobody comes any more, and at the end of the block nobody is left. `cpus`: the besiegers'."""
    quiet = tcp.files()
    cpus = cpus or os.sched_getaffinity(0)
    crowd = Crowd(tcp, cpus, deaf)
    try:
        wait_until(lambda: tcp.files() - quiet >= IDLE, f"{IDLE} connections are there")
    except AssertionError as error:
        tally.violation("the siege", str(error))
    tools = start_tools(tcp, cpus, seconds)
    deadline, most = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        time.sleep(0.25)
        most = max(most, tcp.files() - quiet)
    crowd.enough.set()
    yield
    for tool in tools:
        tool.end()
    crowd.end()
    tally.notes.append(f"up to {most} descriptors more, {crowd.n_cut.value} of the crowd cut")


def besiege(tally, tcp, seconds, cut_within=0):
    """Returns the honest ones. The slow ones have to be cut within some seconds after the last of them came."""
    hosts = start_honest(tcp, tally.random)
    with siege(tally, tcp, seconds):
        try:
            if cut_within > 0:
                wait_until(lambda: tcp.connections() <= HOSTS, "the slow ones are cut", cut_within)
        except AssertionError:
            tally.violation("the siege", f"{tcp.connections() - HOSTS} slow connections are not cut")
    end_honest(hosts)
    wait_until(lambda: tcp.connections() == 0, "the honest ones are gone")
    return hosts


def attack(tally):
    prepare()
    with Ground() as ground:
        tcp = TcpSite(ground, "" if tally.long else DEADLINES)
        besiege(tally, tcp, WARM[tally.long])
        before = rss(tcp.process), tcp.files()
        hosts = besiege(tally, tcp, SIEGE[tally.long], CUT_WITHIN[tally.long])
        after = rss(tcp.process), tcp.files()
        tally.attempt(sum(host.asked for host in hosts))
        for host in hosts:
            tally.violations_of("an honest request", host.failures)
            tcp.site.host_name = host.host
            tally.violations_of("at the end", check_store(tcp.site, host.acknowledged))
        tally.violations_of("at the end", check_index(tcp.site))
        if tcp.process.popen.poll() is not None:
            tally.violation("at the end", "the receiver is not there any more")
            show(tcp.process, tally)
        tally.notes.append(f"{before[0] >> 10} to {after[0] >> 10} MiB, {before[1]} to {after[1]} files")
        if after[0] > before[0] + GROWTH or after[1] > before[1] + 3:
            tally.violation("memory", f"(KiB, files) grew from {before} to {after}")
