# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests that no client of ours would send, straight at the socket; good ones between them must be answered.

Each kind of nonsense knows how many of its requests are right; more 2xx than that is a violation, as is a receiver that
dies, that neither answers nor closes, or that grows.
"""

import base64
import hashlib
import os
import re
import socket

from checker import Client, Ground, check_index, check_store, rss, show

SHORT, LONG = 3_000, 100_000
GOOD_EVERY = 50
GROWTH = 8 << 10  # KiB, after the first tenth
BODY = b"these are the bytes of an archive"
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = "/v1/episodes/lab-2/one"
JUNK = ("", " ", "\t", "\0", "\x0b", "\x7f", "\r", "\n", "\r\n ", ",", ";", "=", "%", "'", '"', "\\", "ÿ", "€", "-1",
        "+1", "0x10", "1e3", "9" * 20, "9" * 400, "null", "chunked", "HTTP/1.1", "A" * 5000)


class Maker:
    """Makes requests of one kind each: (bytes, how many of them are right)."""

    def __init__(self, site, random):
        self.site = site
        self.random = random
        self.number = 0
        self.kinds = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("make_")]

    def choose(self, *choices):
        return self.random.choice(choices)

    def headers(self, **changed):
        headers = {"Host": "receiver", "Authorization": f"Bearer {self.site.token}", "Content-Length": str(len(BODY)),
                   "X-Cis490-Sha256": SHA256, "X-Cis490-Code-Commit": self.site.head}
        headers.update((name.replace("_", "-"), value) for name, value in changed.items())
        return [f"{name}: {value}" for name, value in headers.items() if value is not None]

    def request(self, lines, method="PUT", path=None, version="HTTP/1.1", body=BODY):
        self.random.shuffle(lines)
        path = f"/v1/episodes/lab-1/w{self.number % 50}" if path is None else path
        return "\r\n".join([f"{method} {path} {version}", *lines, "", ""]).encode("utf-8", "surrogateescape") + body

    def ping(self, extra=()):
        lines = ["Host: receiver", f"Authorization: Bearer {self.site.token}", "Content-Length: 0", *extra]
        return self.request(lines, "POST", "/v1/ping", body=b"")

    def make(self):
        self.number += 1
        kind = self.random.choice(self.kinds)
        return (kind.__name__.removeprefix("make_"), *kind())

    # ---- how long it is

    def make_length_and_encoding(self):
        name = self.choose("Transfer-Encoding", "transfer-encoding", "TRANSFER-ENCODING", "Transfer-Encoding ",
                           "\tTransfer-Encoding")
        value = self.choose("chunked", "Chunked", "identity", "gzip, chunked", "chunked, identity", "\tchunked",
                            "xchunked", "", "chunked\x0b")
        body = self.choose(BODY, b"0\r\n\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
        return self.request([*self.headers(Content_Length=self.choose("0", str(len(body)), "5")), f"{name}: {value}"],
                            body=body), 0

    def make_chunks(self):
        size = self.choose(b"21", b"0x21", b"-1", b"", b"21;a=b", b"ffffffffffffffff", b"021", b"2 1", b"g")
        end = self.choose(b"\r\n0\r\n\r\n", b"", b"0\r\n", b"\r\n0\r\nX: y\r\n\r\n")
        body = size + self.choose(b"\r\n", b"\n", b"\r", b"") + BODY + end
        return self.request([*self.headers(Content_Length=None), "Transfer-Encoding: chunked"], body=body), 0

    def make_two_lengths(self):
        second = self.choose(str(len(BODY)), "0", "5", "", str(len(BODY)) + " ", "1" * 30)
        return self.request([*self.headers(), f"{self.choose('Content-Length', 'content-length')}: {second}"]), 0

    def make_length(self):
        value = self.choose(*JUNK[:16], "-5", "+33", "0x21", "33, 33", "33 33", "3 3", "33.0", "9" * 18, "9" * 30,
                            "٣٣", "33\0", "-0", "1e1")
        return self.request(self.headers(Content_Length=value)), 0

    def make_cut_body(self):
        return self.request(self.headers(Content_Length=str(self.random.randrange(len(BODY) + 1, 10 ** 6)))), 0

    def make_cut_anywhere(self):
        whole = self.request(self.headers())
        return whole[:self.random.randrange(len(whole))], 0

    # ---- where it goes

    def make_path(self):
        path = self.choose("/v1/episodes/lab-1%2fone", "/v1/episodes/lab-1/../lab-1/one", "/v1//episodes/lab-1/one",
                           "/v1/episodes/lab-1/one/",
                           "//v1/episodes/lab-1/one", "/V1/episodes/lab-1/one",
                           "http://receiver/v1/episodes/lab-1/one", "*", "receiver:80",
                           "/v1/episodes/lab-1/one?a=b", "/v1/episodes/lab-1/one#x", "/v1/episodes/./lab-1/one",
                           "/v1/episodes/lab-1/one;v=1",
                           "/v1/episodes/lab%2d1/one", "/%761/episodes/lab-1/one", "/v1/episodes/lab-1",
                           "v1/episodes/lab-1/one", "/", "",
                           "/" + "a" * 20000, "\\v1\\episodes\\lab-1\\one", OTHER, "/v1/host-health/lab-2")
        return self.request(self.headers(), path=path), 0

    def make_id(self):
        junk = self.choose("..", ".", ".a", "-a", "_a", "a..b", "a/b", "a%2Fb", "a%2e%2e", "%00", "a\0", "x" * 129,
                           "a b", "a\tb", "ä", "a\udcff",
                           "a;b", "a'b", "a&b", "~a", "a|b", "a*", "a\r\nX: y", "..%2f..%2fetc", "a:b", "a@b", "a+b",
                           "a,b", "{a}")
        return self.request(self.headers(), path=f"/v1/episodes/lab-1/{junk}"), 0

    def make_start_line(self):
        line = self.choose("PUT {p} HTTP/1.0", "PUT {p} HTTP/2.0", "PUT {p} HTTP/1.2", "PUT {p} http/1.1",
                           "PUT {p} HTTP/1.1 x", "PUT {p}", "PUT  {p} HTTP/1.1",
                           "PUT\t{p} HTTP/1.1", " PUT {p} HTTP/1.1", "put {p} HTTP/1.1", "PUT {p} HTTP/01.1",
                           "PUT {p} HTTP/1.1\t", "P\0UT {p} HTTP/1.1", "{p} PUT HTTP/1.1",
                           "DELETE {p} HTTP/1.1", "GET {p} HTTP/1.1", "CONNECT {p} HTTP/1.1", "TRACE {p} HTTP/1.1",
                           "PRI * HTTP/2.0", "PUT {p} HTTP/1.1 HTTP/1.1")
        line = line.format(p="/v1/episodes/lab-1/start")
        return "\r\n".join([line, *self.headers(), "", ""]).encode() + BODY, 0

    # ---- odd lines

    def make_host(self):
        lines = self.headers(Host=None) + [f"Host: {self.choose('receiver', 'other', '')}"] * self.choose(0, 2, 3)
        return self.request(lines), 0

    def make_line(self):
        line = self.choose("X-Odd : 1", "X-Odd: 1\r\n 2", "X-Odd: 1\r\n\t2", "X-Odd", ": 1", "X Odd: 1", "X-Odd: a\0b",
                           "X-Odd: a\rb", "X-Odd: a\nb", "X-Odd: \x01",
                           "\x80: 1", "X(Odd): 1", "X-Odd\r: 1", "X-Odd: 1\n", "Upgrade: h2c", "Range: bytes=0-1",
                           "Content-Range: bytes 0-1/2", "X-Odd: \x7f", "@: 1")
        return self.request([*self.headers(), line]), 0

    def make_junk(self):
        """Somewhere in a header; the digest is wrong in any case."""
        lines = self.headers(X_Cis490_Sha256="0" * 64)
        number = self.random.randrange(len(lines))
        at = self.random.randrange(len(lines[number]) + 1)
        lines[number] = lines[number][:at] + self.random.choice(JUNK) + lines[number][at:]
        return self.request(lines), 0

    def make_line_ends(self):
        return self.request(self.headers()).replace(b"\r\n", self.choose(b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n "),
                                                    self.choose(1, 3, -1)), 0

    def make_large_head(self):
        kind = self.choose("long", "many", "name")
        size = self.choose(16 << 10, 64 << 10, 300 << 10)
        extra = {"long": ["X-Long: " + "x" * size], "many": [f"X-{n}: y" for n in range(size // 10)],
                 "name": ["x" * size + ": 1"]}[kind]
        return self.request([*self.headers(), *extra]), 0

    def make_twice(self):
        line = self.choose(f"X-Cis490-Sha256: {self.choose(SHA256, '0' * 64)}",
                           f"X-Cis490-Code-Commit: {self.choose(self.site.stale, self.site.head)}",
                           f"Authorization: Bearer {self.choose('x', self.site.token)}",
                           "Upload-Length: 3\r\nUpload-Length: 4",
                           "Upload-Offset: 0\r\nUpload-Offset: 1")
        return self.request([*self.headers(), line]), 0

    # ---- who, and what

    def make_token(self):
        token = self.site.token
        value = self.choose(None, "", "Bearer", "Bearer ", f"Bearer {token[:-1]}", f"Bearer {token}x",
                            f"Bearer {token.swapcase()}", token, f"Basic {token}",
                            f"Bearer {token} {token}", f"Bearer {token},", f"Bearer \0{token}",
                            f"Bearer {hashlib.sha256(token.encode()).hexdigest()}",
                            "Bearer " + "x" * 4000, f"Bearer {'0' * 64}", "Bearer *")
        return self.request(self.headers(Authorization=value)), 0

    def make_digest(self):
        value = self.choose(None, "", "0" * 64, SHA256[:-1], SHA256 + "0", SHA256[:-1] + "g", f'"{SHA256}"',
                            f"sha-256={SHA256}", f"{SHA256},{SHA256}", "x" * 64)
        return self.request(self.headers(X_Cis490_Sha256=value)), 0

    def make_other_digest(self):
        """Two names for the digest that do not say the same, or the one of them wrongly."""
        value = self.choose("sha-256=:AAAA:", "sha-256=::", "sha-256=", "sha-512=:AAAA:", f"sha-256=:{SHA256}:",
                            "sha-256=:" + base64.b64encode(bytes(32)).decode() + ":", "sha-256=:" + "A" * 60 + ":")
        lines = self.headers(X_Cis490_Sha256=self.choose(None, "0" * 64))
        return self.request([*lines, f"Repr-Digest: {value}"]), 0

    def make_commit(self):
        head = self.site.head
        value = self.choose(None, "", "HEAD", self.site.stale, "0" * 40, head[:-1], head[:7], head + "0",
                            head[:-1] + "g", f"{head},{head}", "main", f"{head}^{{}}", f"{head}~1")
        return self.request(self.headers(X_Cis490_Code_Commit=value)), 0

    def make_resume(self):
        offset, length = (self.choose("", "-1", "1", "33", "34", "9" * 18, str(2 ** 63), str(2 ** 64),
                                      str(2 ** 64 - 1), "0x1", "1,1", "a") for _ in range(2))
        kind = self.choose("application/partial-upload", "application/octet-stream", "",
                           "application/partial-upload, x")
        lines = [*self.headers(X_Cis490_Sha256=self.choose(SHA256, "0" * 64)), f"Upload-Offset: {offset}",
                 f"Upload-Length: {length}", f"Content-Type: {kind}"]
        return self.request(lines, "PATCH", "/v1/episodes/lab-1/never-there"), 0

    # ---- several, and none

    def make_pipeline(self):
        count = self.random.randrange(1, 6)
        return b"".join(self.ping() for _ in range(count)), count

    def make_pipeline_then_nonsense(self):
        make = self.choose(self.make_length_and_encoding, self.make_two_lengths, self.make_chunks, self.make_line,
                           self.make_cut_body)
        return self.ping() + make()[0] + self.ping(), 1

    def make_smuggled(self):
        """A body that is a request; what looks at the wrong length takes it for one."""
        inner = self.ping()
        lines = self.headers(Content_Length=str(len(inner)), X_Cis490_Sha256="0" * 64)
        return self.request(lines, body=inner), 0

    def make_bytes(self):
        return self.choose(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                           b"\r\n" * 5000, b"\0" * 5000, self.random.randbytes(self.random.randrange(300)),
                           b"A" * 70000), 0

    def make_flipped(self):
        """One byte of a good request is another; what is still good is good."""
        raw = bytearray(self.ping() if self.choose(True, False)
                        else self.request(self.headers(X_Cis490_Sha256="0" * 64)))
        for _ in range(self.random.randrange(1, 4)):
            raw[self.random.randrange(len(raw))] = self.random.randrange(256)
        return bytes(raw), 1


def send(site, raw):
    """The statuses that come back, up to the end of the connection; None where it stays open."""
    answer = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(site.socket))
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(65536):
                answer += block
        except TimeoutError:
            return None
        except OSError:
            pass  # refused in the middle; what it said before counts
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def attack(tally):
    count = LONG if tally.long else SHORT
    with Ground() as ground:
        site = ground.site(workers=8)
        process = site.receiver()
        client = Client(site)
        maker = Maker(site, tally.random)
        before = None
        for number in range(count):
            kind, raw, right = maker.make()
            statuses = send(site, raw)
            tally.attempt()
            if statuses is None:
                tally.violation(kind, f"neither answered nor closed: {raw[:400]!r}")
            elif sum(200 <= status < 300 for status in statuses) > right:
                tally.violation(kind, f"{statuses} to {raw[:600]!r}")
            if process.popen.poll() is not None:
                tally.violation(kind, f"the receiver ended with {process.popen.poll()} at {raw[:400]!r}")
                show(process, tally)
                break
            if number % GOOD_EVERY == 0 and client.put(f"good-{number}", b"good %d" % number)[0] != 201:
                tally.violation(kind, "a good one after it is not taken")
            if number == count // 10:
                before = rss(process), len(os.listdir(f"/proc/{process.popen.pid}/fd"))
        else:
            after = rss(process), len(os.listdir(f"/proc/{process.popen.pid}/fd"))
            tally.notes.append(f"{before[0] >> 10} to {after[0] >> 10} MiB, {before[1]} to {after[1]} files")
            if after[0] > before[0] + GROWTH or after[1] > before[1] + 3:
                tally.violation("memory", f"(KiB, files) grew from {before} to {after}")
        tally.violations_of("at the end", check_store(site, client.acknowledged))
        tally.violations_of("at the end", check_index(site))
        stored = {row["episode"] for row in site.rows()}
        tally.violations_of("at the end", (f"{name} is in the store" for name in stored - client.acknowledged.keys()))
