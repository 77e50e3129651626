# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a stranger on the socket may send, byte by byte, and what the receiver makes of it."""

import concurrent.futures
import hashlib
import json
import os
import re
import socket

import scratch
from scratch import Connection, Site, hold_port, wait_until

BODY = b"these are the bytes of an archive"
SHA256 = hashlib.sha256(BODY).hexdigest()
PATH = "/v1/episodes/lab-1/one"


class Receiver(scratch.TestCase):

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.process = self.site.receiver()

    def headers(self, **changed):
        """Those of a request in order; None leaves one out."""
        headers = {
            "Host": "receiver", "Authorization": f"Bearer {self.site.token}", "Content-Length": str(len(BODY)),
            "X-Cis490-Sha256": SHA256, "X-Cis490-Code-Commit": self.site.head,
        }
        headers.update((name.replace("_", "-"), value) for name, value in changed.items())
        return "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)

    def send(self, raw):
        """Sends bytes as they are; the status and the problem that come back."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(scratch.PATIENCE)
            connection.connect(str(self.site.socket))
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while block := connection.recv(65536):
                answer += block
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(re.match(rb"HTTP/1.1 (\d+) ", head)[1])
        return status, json.loads(body) if status != 100 else {}

    def put(self, path=PATH, method="PUT", extra="", body=BODY, **changed):
        return self.send(f"{method} {path} HTTP/1.1\r\n{self.headers(**changed)}{extra}\r\n".encode() + body)

    def assert_refused(self, answer, status, finding):
        problem = answer[1]
        self.assertEqual((answer[0], problem.get("type")), (status, f"urn:cis490:finding:{finding}"))
        self.assertTrue(problem["detail"])

    def tearDown(self):
        self.assertIsNone(self.process.popen.poll(), "the receiver is alive")
        self.assertEqual(self.site.partials(), [])

    def assert_nothing_stored(self):
        self.assertEqual(self.site.rows(), [])
        self.assertEqual(list((self.site.receiver_state / "store").rglob("*.zst")), [])

    # ---- in order

    def test_a_good_request_is_stored_once(self):
        self.assertEqual(self.put()[0], 201)
        self.assertEqual(self.put()[0], 200)
        self.assertEqual(self.site.archive("one").read_bytes(), BODY)
        self.assertEqual(len(self.site.rows()), 1)

    def test_many_at_once_under_one_id_store_one(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.put(), range(16)))
        self.assertEqual([answer[0] for answer in answers].count(201), 1)
        self.assertLessEqual({answer[0] for answer in answers}, {200, 201, 503})
        self.assertEqual(len(self.site.rows()), 1)

    def test_a_connection_serves_many_requests(self):
        connection = Connection(self.site.socket)
        self.addCleanup(connection.close)
        for _ in range(3):
            connection.request("POST", "/v1/ping", body=b"", headers={"Authorization": f"Bearer {self.site.token}"})
            answer = connection.getresponse()
            self.assertEqual((answer.status, json.load(answer)["host"]), (200, "lab-1"))

    # ---- who

    def test_wrong_tokens(self):
        for header in (None, "Bearer wrong", "Basic bGFiLTE6eA==", "Bearer " + "0" * 64):
            with self.subTest(header):
                status, problem = self.put(Authorization=header)
                self.assertEqual(status, 401)
                self.assertIn(problem["type"], ("urn:cis490:finding:token-missing", "urn:cis490:finding:token-unknown"))
        self.assert_nothing_stored()

    def test_another_hosts_name(self):
        self.assert_refused(self.put("/v1/episodes/lab-2/one"), 403, "not-your-host")
        self.assert_nothing_stored()

    # ---- where

    def test_bad_ids(self):
        for name in ("..", ".hidden", "-x", "a..b", "a%2Fb", "a%2e%2e", "%00", "x" * 129, "a;b", "a'b", "one?x=1", "one#x"):
            with self.subTest(name):
                self.assert_refused(self.put(f"/v1/episodes/lab-1/{name}"), 400, "id-invalid")
        self.assert_nothing_stored()

    def test_paths_that_are_none(self):
        for path in ("/v1/episodes/lab-1/../lab-1/one", "/v1/episodes/lab-1/", "/v1//episodes/lab-1/one", "/",
                     "/v1/episodes%2flab-1%2fone", "/V1/episodes/lab-1/one", "http://receiver" + PATH, "*"):
            with self.subTest(path):
                self.assertIn(self.put(path)[0], (400, 404))
        self.assert_nothing_stored()

    def test_other_methods(self):
        for method in ("GET", "DELETE", "PROPFIND"):
            with self.subTest(method):
                self.assert_refused(self.put(method=method), 405, "method-not-allowed")
        self.assert_nothing_stored()

    # ---- how long

    def test_lengths(self):
        for header, status, finding in ((None, 411, "length-required"),
                                        ("9" * 18, 413, "too-large"), ("9" * 30, 413, "too-large"),
                                        ("-5", 400, "request-malformed"), ("+5", 400, "request-malformed"),
                                        ("5, 5", 400, "request-malformed"), ("0x21", 400, "request-malformed")):
            with self.subTest(header):
                self.assert_refused(self.put(Content_Length=header), status, finding)
        self.assert_nothing_stored()

    def test_a_length_twice(self):
        for second in (len(BODY), 5):
            with self.subTest(second):
                self.assert_refused(self.put(extra=f"Content-Length: {second}\r\n"), 400, "request-malformed")
        self.assert_nothing_stored()

    def test_transfer_encoding(self):
        chunked = b"21\r\n" + BODY + b"\r\n0\r\n\r\n"
        self.assert_refused(self.put(extra="Transfer-Encoding: chunked\r\n", body=chunked, Content_Length=None), 411,
                            "length-required")
        self.assert_refused(self.put(extra="Transfer-Encoding: chunked\r\n", body=chunked), 400, "request-malformed")
        self.assert_nothing_stored()

    def test_odd_heads(self):
        good = self.headers()
        for what, raw in {
            "space before the colon": f"PUT {PATH} HTTP/1.1\r\n{good}X-Odd : 1\r\n\r\n",
            "folded": f"PUT {PATH} HTTP/1.1\r\n{good}X-Odd: 1\r\n 2\r\n\r\n",
            "bare LF": f"PUT {PATH} HTTP/1.1\n{good}\r\n",
            "NUL": f"PUT {PATH} HTTP/1.1\r\n{good}X-Odd: a\0b\r\n\r\n",
            "two hosts": f"PUT {PATH} HTTP/1.1\r\n{good}Host: other\r\n\r\n",
            "no host": f"PUT {PATH} HTTP/1.1\r\n{self.headers(Host=None)}\r\n",
            "two tokens": f"PUT {PATH} HTTP/1.1\r\n{good}Authorization: Bearer x\r\n\r\n",
            "two commits": f"PUT {PATH} HTTP/1.1\r\n{good}X-Cis490-Code-Commit: {self.site.stale}\r\n\r\n",
            "upgrade": f"PUT {PATH} HTTP/1.1\r\n{good}Upgrade: h2c\r\n\r\n",
            "range": f"PUT {PATH} HTTP/1.1\r\n{good}Content-Range: bytes 0-1/2\r\n\r\n",
        }.items():
            with self.subTest(what):
                self.assertEqual(self.send(raw.encode() + BODY)[0], 400)
        self.assertEqual(self.send(f"PUT {PATH} HTTP/1.0\r\n{good}\r\n".encode() + BODY)[0], 505)
        self.assertEqual(self.put(extra=f"X-Long: {'x' * 20000}\r\n")[0], 431)
        self.assert_nothing_stored()

    # ---- what

    def test_digests(self):
        self.assert_refused(self.put(X_Cis490_Sha256="0" * 64), 400, "digest-mismatch")
        self.assert_refused(self.put(X_Cis490_Sha256="abc"), 400, "digest-malformed")
        self.assert_refused(self.put(X_Cis490_Sha256=None), 400, "digest-missing")
        self.assert_nothing_stored()
        self.assertEqual(self.put()[0], 201)

    def test_commits(self):
        self.assert_refused(self.put(X_Cis490_Code_Commit=None), 400, "commit-missing")
        self.assert_refused(self.put(X_Cis490_Code_Commit="HEAD"), 400, "commit-malformed")
        self.assert_refused(self.put(X_Cis490_Code_Commit=self.site.stale), 412, "commit-not-in-window")
        self.assert_nothing_stored()

    def test_a_stored_one_is_known_before_the_window_is_asked(self):
        self.put()
        self.assertEqual(self.put(X_Cis490_Code_Commit=self.site.stale)[0], 200)
        other = BODY[::-1]
        self.assert_refused(self.put(body=other, X_Cis490_Sha256=hashlib.sha256(other).hexdigest()), 409,
                            "episode-conflict")
        self.assertEqual(self.site.archive("one").read_bytes(), BODY)

    def test_one_without_its_row_is_refused_no_more(self):
        """As where the disk was full just when the row was to be written."""
        for name, method in ("one", "PUT"), ("two", "POST"):
            archive = self.site.archive(name)
            archive.parent.mkdir(parents=True, exist_ok=True)
            archive.write_bytes(BODY)
            incoming = self.site.receiver_state / "incoming" / "lab-1"
            incoming.mkdir(parents=True, exist_ok=True)
            os.link(archive, incoming / f"{name}.{SHA256}.{self.site.stale}.part")
            path = f"/v1/episodes/lab-1/{name}"
            other = self.put(path, "POST", body=b"", Content_Length="0", Upload_Length="5", X_Cis490_Sha256="0" * 64)
            self.assert_refused(other, 409, "episode-conflict")
            body = {"PUT": BODY, "POST": b""}[method]
            answer = self.put(path, method, body=body, Content_Length=str(len(body)),
                              Upload_Length=str(len(BODY)) if method == "POST" else None,
                              X_Cis490_Code_Commit=self.site.stale)
            self.assertEqual((answer[0], answer[1]["sha256"]), ({"PUT": 201, "POST": 200}[method], SHA256))
        self.assertEqual([(row["episode"], row["commit"], row["recovered"]) for row in self.site.rows()],
                         [("one", self.site.stale, True), ("two", self.site.stale, True)])

    def test_a_body_that_is_cut(self):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.site.socket))
            connection.sendall(f"PUT {PATH} HTTP/1.1\r\n{self.headers()}\r\n".encode() + BODY[:10])
            wait_until(self.site.partials, "the upload began")
        self.assertEqual((self.site.rows(), self.site.archive("one").exists()), ([], False))
        wait_until(lambda: self.put()[0] == 201, "nobody is at it any more")

    def test_slow_heads_starve_nobody(self):
        idle = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        for connection in idle:
            self.addCleanup(connection.close)
            connection.connect(str(self.site.socket))
            connection.sendall(b"PUT /v1/epis")
        self.assertEqual(self.put()[0], 201)


class Loopback(scratch.TestCase):

    def test_who_reads_no_answer_is_left_some_hundreds(self):
        """The kernel would keep megabytes of them, for each connection."""
        address = "127.0.0.1", hold_port(self)
        site = Site(self)
        site.write_site(listen="{}:{}".format(*address))
        site.tune("receiver", "[accept]\nhead-timeout=2s\n")
        site.receiver()
        question = (f"POST /v1/ping HTTP/1.1\r\nHost: receiver\r\nContent-Length: 0\r\n"
                    f"Authorization: Bearer {site.token}\r\n\r\n").encode()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
            deaf.connect(address)
            asked = 0
            with self.assertRaises(ConnectionResetError):
                while True:
                    asked += deaf.send(question)
        self.assertLess(asked, 1 << 20)


if __name__ == "__main__":
    scratch.main()
