# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for either front proxy as data/ configures it, with an authority made on the spot."""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import tempfile
import time

import scratch
from authority import Authority
from front import Meter
from relay import Relay
from scratch import Connection, Site, wait_until

BIG = 3_000_000
# Just below what the shipper sends without a question.
SHORT = 1_000_000


class ProxyCases:
    """Of a class that names its Proxy, and what differs with it."""

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cis490-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.authority = Authority(folder / "authority")

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.site.tune("receiver", "[bearer]\nrequire-client-name=true\n", "bearer")
        self.pem, self.key = self.site.folder / "host.pem", self.site.folder / "host.key"
        self.authority.client("lab-1").install(self.pem, self.key)
        self.site.write_site(certificate_file=self.pem, key_file=self.key, ca_file=self.authority.pem)
        self.set_proxy(self.Proxy(self, self.site, self.authority))

    def set_proxy(self, proxy):
        self.proxy = proxy
        self.site.write_site(receiver_url=f"https://localhost:{proxy.port}")

    def change_proxy(self, **changes):
        self.set_proxy(self.Proxy(self, self.site, self.authority, **changes))

    def ping(self, status):
        """The line that it says, and what to do."""
        done = self.site.command("ping", "--config", str(self.site.folder / "cis490.ini"))
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        said = done.stdout + done.stderr
        self.assertEqual(len([line for line in said.splitlines() if not line.startswith(" ")]), 1, said)
        return said

    def assert_waits(self, *findings):
        """The episode “one” stays where it is, and the shipper says why."""
        process = self.site.once()
        self.assertEqual(process.status, 75, process.said)
        self.assertEqual((self.site.names("episodes"), self.site.names("quarantine")), (["one"], []))
        self.assertEqual(self.site.rows(), [])
        self.assertTrue(any(f"error: {finding}" in process.said or f"warning: {finding}" in process.said
                            for finding in findings), process.said)

    def assert_quarantined(self, names, reason):
        process = self.site.once()
        self.assertEqual(process.status, 65, process.said)
        self.assertEqual(self.site.names("quarantine"), sorted(names))
        self.assertEqual({self.site.reason(name)["finding"] for name in names}, {reason})

    # ---- raw requests

    def tls(self, certificate):
        context = ssl.create_default_context(cafile=self.authority.pem)
        context.check_hostname = False
        if certificate is not None:
            context.load_cert_chain(certificate.pem, certificate.key)
        return context

    def request(self, connection, method, target, headers=(), body=b"", length=None):
        """The answer's status, type and body. `headers` may hold one twice."""
        with contextlib.closing(connection):
            connection.putrequest(method, target, skip_accept_encoding=True)
            connection.putheader("Content-Length", str(len(body) if length is None else length))
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()

    def through_proxy(self, certificate, *arguments, **options):
        connection = http.client.HTTPSConnection("localhost", self.proxy.port, timeout=scratch.PATIENCE,
                                                 context=self.tls(certificate))
        return self.request(connection, *arguments, **options)

    @contextlib.contextmanager
    def begin_put(self, name, body, commit=None):
        """The head of one, without the body."""
        connection = http.client.HTTPSConnection("localhost", self.proxy.port, timeout=scratch.PATIENCE,
                                                 context=self.tls(self.authority.client("lab-1")))
        with contextlib.closing(connection):
            connection.putrequest("PUT", f"/v1/episodes/lab-1/{name}")
            for header, value in [*self.claims(body, commit), ("Content-Length", str(len(body)))]:
                connection.putheader(header, value)
            connection.endheaders()
            yield connection

    def claims(self, body, commit=None, token=None):
        return [("Authorization", f"Bearer {token or self.site.token}"),
                ("X-Cis490-Sha256", hashlib.sha256(body).hexdigest()),
                ("X-Cis490-Code-Commit", commit or self.site.head)]

    def assert_refused(self, finding, answer):
        self.assertEqual((answer[1], json.loads(answer[2])["type"]),
                         ("application/problem+json", f"urn:cis490:finding:{finding}"), answer)

    # ---- what goes through

    def test_all_goes_through(self):
        names = self.site.episodes(20, 30_000)
        self.site.episode("short", SHORT)
        self.site.episode("large", BIG)
        self.proxy.start()
        self.site.receiver()
        run = self.site.once()
        self.assertEqual(run.status, 0, run.said)
        self.assert_arrived(self.site, [*names, "short", "large"])
        self.assert_same_content(self.site, "large")

    def test_refusals_reach_the_shipper(self):
        stale = [f"stale-{number:02}" for number in range(20)]
        for name in stale:
            self.site.episode(name, SHORT, commit=self.site.stale)
        self.proxy.start()
        self.site.receiver()
        self.assert_quarantined(stale, "commit-not-in-window")
        self.assertIn("git ", self.site.reason("stale-00")["fix"])

    def test_conflicts_reach_the_shipper(self):
        names = [f"again-{number:02}" for number in range(10)]
        self.proxy.start()
        self.site.receiver()
        for name in names:
            body = os.urandom(100)
            self.through_proxy(self.authority.client("lab-1"), "PUT", f"/v1/episodes/lab-1/{name}", self.claims(body), body)
            self.site.episode(name, SHORT)
        self.assert_quarantined(names, "episode-conflict")

    def test_a_refused_archive_costs_one_round_trip(self):
        meter = Meter(self, self.site.folder / "run" / "meter.sock", self.site.socket)
        self.change_proxy(**{"/run/cis490/receiver.sock": str(meter.path)})
        self.proxy.start()
        self.site.receiver()
        self.through_proxy(self.authority.client("lab-1"), "PUT", "/v1/episodes/lab-1/again", self.claims(b"x"), b"x")
        self.site.episode("again", BIG)
        self.site.episode("stale", BIG, self.site.stale)
        meter.bytes, meter.requests = 0, []
        process = self.site.once()
        self.assertEqual(process.status, 65, process.said)
        self.assertEqual(self.site.reason("again")["finding"], "episode-conflict")
        self.assertEqual(self.site.reason("stale")["finding"], "commit-not-in-window")
        # Beside what a shipper asks when it starts, one question each and no body.
        asked = [request for request in meter.requests if "/v1/episodes/" in request]
        self.assertEqual(sorted(asked), ["POST /v1/episodes/lab-1/again", "POST /v1/episodes/lab-1/stale"], meter.requests)
        self.assertLess(meter.bytes, 4096)

    def test_a_cut_upload_goes_on(self):
        """The host's line ends in mid-body; what came until then is not sent again."""
        meter = Meter(self, self.site.folder / "run" / "meter.sock", self.site.socket)
        self.change_proxy(**{"/run/cis490/receiver.sock": str(meter.path)})
        self.site.episode("large", BIG)
        self.assertEqual(self.site.once().status, 75)
        body = (self.site.host / "outbox" / "large.tar.zst").read_bytes()
        self.proxy.start()
        self.site.receiver()
        with self.begin_put("large", body) as connection:
            connection.send(body[:BIG // 2])
            wait_until(lambda: any(path.stat().st_size > BIG // 3 for path in self.site.partials()), "it is written")
        meter.bytes, meter.requests = 0, []
        shipper = self.site.shipper()
        self.wait_shipped(self.site, ["large"])
        self.assertEqual(shipper.stop(), 0)
        asked = {request for request in meter.requests if "/large" in request}
        self.assertEqual(asked, {"POST /v1/episodes/lab-1/large", "PATCH /v1/episodes/lab-1/large"})
        self.assertLess(meter.bytes, 0.75 * BIG)
        self.assert_arrived(self.site, ["large"])
        self.assert_same_content(self.site, "large")

    def test_the_line_behind_it_is_cut(self):
        relay = Relay(self, self.site.folder / "run" / "relay.sock", self.site.socket)
        self.change_proxy(**{"/run/cis490/receiver.sock": str(relay.path)})
        self.proxy.start()
        self.site.receiver()
        self.site.episode("large", 3 * BIG)
        relay.requests.allow(2 * BIG)
        shipper = self.site.shipper()
        wait_until(lambda: relay.requests.left == 0, "most of it is sent")
        relay.cut()
        relay.requests.open()
        self.wait_shipped(self.site, ["large"])
        self.assertEqual(shipper.stop(), 0)
        # All of it once more would be five times as much.
        self.assertLess(relay.requests.came, 4 * BIG)
        self.assert_arrived(self.site, ["large"])
        self.assert_same_content(self.site, "large")
        self.assertEqual(self.site.names("quarantine"), [])

    def test_answers_are_unchanged(self):
        self.proxy.start()
        self.site.receiver()
        good, body = self.authority.client("lab-1"), os.urandom(SHORT)
        target = "/v1/episodes/lab-1/one"
        self.assertEqual(self.through_proxy(good, "PUT", target, self.claims(body), body)[0], 201)
        for what, status, arguments in (
            ("duplicate", 200, ("PUT", target, self.claims(body), body)),
            ("digest", 400, ("PUT", "/v1/episodes/lab-1/two", self.claims(b"else"), body)),
            ("path", 400, ("PUT", "/v1/episodes/lab-1/..%2fone", self.claims(body), body)),
            ("encoded", 400, ("PUT", "/v1/episodes/lab-1/%6fne", self.claims(body), body)),
            ("token", 401, ("PUT", target, self.claims(body, token="wrong"), body)),
            ("host", 403, ("PUT", "/v1/episodes/lab-2/one", self.claims(body), body)),
            ("conflict", 409, ("PUT", target, self.claims(b"else"), body)),
            ("window", 412, ("PUT", "/v1/episodes/lab-1/two", self.claims(body, self.site.stale), body)),
            ("question", 412, ("POST", "/v1/episodes/lab-1/two", [*self.claims(body, self.site.stale), ("Upload-Length", "1")])),
        ):
            with self.subTest(what):
                method, path, headers, *rest = arguments
                direct = self.request(Connection(self.site.socket), method, path,
                                      [*headers, ("X-Cis490-Client-Name", "lab-1")], *rest)
                self.assertEqual(direct[0], status, direct)
                self.assertEqual(self.through_proxy(good, *arguments), direct)

    def test_nothing_rests_in_the_proxy(self):
        self.proxy.start()
        self.site.receiver()
        body = os.urandom(BIG)
        with self.begin_put("one", body) as connection:
            connection.send(body[:BIG // 2])
            # Whatever the proxy keeps to fill a block with is small.
            wait_until(lambda: any(path.stat().st_size > BIG // 2 - 256_000 for path in self.site.partials()),
                       "what was sent is with the receiver")
            connection.send(body[BIG // 2:])
            self.assertEqual(connection.getresponse().status, 201)

    def test_a_refusal_reaches_a_slow_host(self):
        """It comes long before the body is sent, and has to be there yet when the host begins to read."""
        self.proxy.start()
        self.site.receiver()
        body = os.urandom(SHORT)
        with self.begin_put("stale", body, self.site.stale) as connection:
            for begin in range(0, SHORT, SHORT // 20):
                connection.send(body[begin:begin + SHORT // 20])
                wait_until((self.site.receiver_state / "rejected.jsonl").exists, "it is refused")
                time.sleep(0.02)
            self.assertEqual(connection.getresponse().status, 412)

    def test_only_http_1_1(self):
        self.proxy.start()
        self.site.receiver()
        context = self.tls(self.authority.client("lab-1"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        with socket.create_connection(("127.0.0.1", self.proxy.port)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as line:
                self.assertNotEqual(line.selected_alpn_protocol(), "h2")

    # ---- who gets in

    def test_good_certificate(self):
        self.proxy.start()
        self.site.receiver()
        self.assertIn("accepts host lab-1", self.ping(0))
        self.site.write_site(receiver_url=self.site.values["receiver-url"].replace("https:", "http:"))
        self.assertIn(" receiver-url=https://", self.ping(1))

    def assert_kept_out(self, finding, *words):
        """By the ping, which says why, and for a ship."""
        self.site.episode("one")
        self.proxy.start()
        self.site.receiver()
        said = self.ping(1)
        for word in words:
            self.assertIn(word, said.splitlines()[0])
        self.assert_waits(finding)

    def test_no_certificate(self):
        for name in ("certificate-file", "key-file"):
            del self.site.values[name]
        self.site.write_site()
        self.assert_kept_out(self.KEPT_OUT, "certificate-file= is not set")

    def test_certificate_of_another_authority(self):
        Authority(self.site.folder / "strangers").client("lab-1").install(self.pem, self.key)
        self.assert_kept_out(self.KEPT_OUT, "does not take our certificate")

    def test_expired_certificate(self):
        self.authority.expired("lab-1").install(self.pem, self.key)
        self.assert_kept_out(self.KEPT_OUT, str(self.pem), "expired at")

    def test_certificate_that_is_not_yet_valid(self):
        self.authority.not_yet_valid("lab-1").install(self.pem, self.key)
        self.assert_kept_out(self.KEPT_OUT, str(self.pem), "is not valid before")

    def test_certificate_of_another_host(self):
        self.authority.client("lab-2").install(self.pem, self.key)
        self.assert_kept_out("receiver-refused-host", "belongs to the host lab-1, but the client certificate to lab-2")

    def test_key_of_another_certificate(self):
        self.authority.sign("/CN=lab-1").install(self.site.folder / "other.pem", self.key)
        self.assert_kept_out("certificate-unreadable", "is that of another certificate", str(self.key))

    def test_receiver_of_another_authority(self):
        self.site.write_site(ca_file=Authority(self.site.folder / "strangers").pem)
        self.assert_kept_out("receiver-unreachable", "is signed by an authority", "does not vouch for")

    def test_renewed_certificate(self):
        """Is picked up by a shipper that runs, whether the former one was taken or not."""
        self.authority.expired("lab-1").install(self.pem, self.key)
        self.proxy.start()
        self.site.receiver()
        self.site.episode("one")
        shipper = self.site.shipper()
        shipper.wait_to_say("error: ")
        self.assertEqual((self.site.names("episodes"), self.site.names("quarantine")), (["one"], []))
        self.authority.client("lab-1").install(self.pem, self.key)
        self.wait_shipped(self.site, ["one"])

        self.authority.client("lab-2").install(self.pem, self.key)
        self.site.episode("two")
        shipper.wait_to_say("error: receiver-refused-host")
        self.assertEqual(self.site.names("episodes"), ["two"])
        self.authority.client("lab-1").install(self.pem, self.key)
        self.wait_shipped(self.site, ["one", "two"])
        self.assertEqual(self.site.names("quarantine"), [])

    def test_spoofed_name(self):
        """What the client says of itself is overwritten, however it is written."""
        self.site.add_token("*")
        shared, own = self.site.add_token("*"), self.site.token
        self.proxy.start()
        self.site.receiver()
        other = self.authority.client("lab-2")
        for token in (shared, own):
            for names in (["X-Cis490-Client-Name"], ["x-cis490-client-name"], ["X-Cis490-Client-Name"] * 2,
                          ["X-CIS490-CLIENT-NAME", "x-cis490-client-name"], ["X_Cis490_Client_Name"], []):
                with self.subTest(names=names, shared=token == shared):
                    headers = [*self.claims(b"x", token=token), *((name, "lab-1") for name in names)]
                    self.assert_refused("not-your-host", self.through_proxy(other, "PUT", "/v1/episodes/lab-1/one", headers, b"x"))
        headers = [*self.claims(b"x", token=shared), ("X-Cis490-Client-Name", "lab-1")]
        self.assertEqual(self.through_proxy(other, "PUT", "/v1/episodes/lab-2/one", headers, b"x")[0], 201)
        self.assertEqual([row["host"] for row in self.site.rows()], ["lab-2"])

    SUBJECTS = (
        ("/CN=lab-1", "lab-1"),
        ("/CN=Lab_1.example", "Lab_1.example"),
        ("/C=DE/O=Lab, Inc./OU=a\\+b\"<c>;#=/CN=lab-1", "lab-1"),
        ("/CN=lab-1/O=Lab/emailAddress=a@example.org", "lab-1"),
        ("/DC=org/DC=lab/CN=lab-1", "lab-1"),
        ("/O=x,CN=lab-1", None),
        ("/O=x\\\\,CN=lab-1", None),
        ("/O=x\\+CN=lab-1", None),
        ("/OU=CN=lab-1", None),
        ("/O=x,CN=lab-1/CN=lab-2", "lab-2"),
        ("/CN=lab-2/O=x,CN=lab-1", "lab-2"),
        ("/CN=lab-2,CN=lab-1", None),
        ("/CN=lab-1,O=x", None),
        ("/CN=lab-1\\\\", None),
        ("/CN=..\\/lab-1", None),
        ("/CN=-", None),
        ("/CN=*", None),
        ("/CN=lab 1", None),
        ("/CN=läb-1", None),
        ("/CN=" + "x" * 63, "x" * 63),
        ("/CN=" + "x" * 64, None),
        ("/O=Lab", None),
    )

    def name_of(self, token, subject):
        """Whom the receiver takes a certificate's owner for."""
        answer = self.through_proxy(self.authority.sign(subject), "POST", "/v1/ping",
                                    [("Authorization", f"Bearer {token}"), ("X-Cis490-Client-Name", "lab-1")])
        if answer[0] == 200:
            return json.loads(answer[2])["host"]
        self.assert_refused("not-your-host", answer)
        return None

    def test_names_in_certificates(self):
        token = self.site.add_token("*")
        self.proxy.start()
        self.site.receiver()
        for subject, name in self.SUBJECTS + self.SEVERAL:
            with self.subTest(subject):
                self.assertEqual(self.name_of(token, subject), name)

    def test_other_doors(self):
        """Another server name, none, or no TLS: nothing that gets to the receiver."""
        self.proxy.start()
        self.site.receiver()
        head = (f"POST /v1/ping HTTP/1.1\r\nHost: localhost:{self.proxy.port}\r\nContent-Length: 0\r\n"
                f"X-Cis490-Client-Name: lab-1\r\nAuthorization: Bearer {self.site.token}\r\n\r\n").encode()
        for name in ("localhost", "other.example", None):
            for certificate in (None, Authority(self.site.folder / f"strangers-{name}").client("lab-1")):
                with self.subTest(name=name, certificate=certificate is not None):
                    self.assertNotIn(b"HTTP/1.1 200", self.talk(head, self.tls(certificate), name))
        self.assertNotIn(b"HTTP/1.1 200", self.talk(head, None, None))
        # The same head is fine with the certificate.
        self.assertIn(b"HTTP/1.1 200", self.talk(head, self.tls(self.authority.client("lab-1")), "localhost"))

    def talk(self, head, context, name):
        """What comes back, as long as anything does."""
        said = b""
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            line = stack.enter_context(socket.create_connection(("127.0.0.1", self.proxy.port), timeout=scratch.PATIENCE))
            if context is not None:
                line = stack.enter_context(context.wrap_socket(line, server_hostname=name))
            line.sendall(head)
            while b"\r\n\r\n" not in said and (block := line.recv(4096)):
                said += block
        return said

    def test_receiver_without_a_name(self):
        """Past the proxy, nobody gets in with a token alone."""
        self.site.receiver()
        self.assert_refused("not-your-host", self.request(Connection(self.site.socket), "PUT", "/v1/episodes/lab-1/one",
                                                          self.claims(b"x"), b"x"))

    # ---- what the proxy says by itself

    def test_its_413(self):
        self.site.episode("one", 100_000)
        self.change_proxy(**self.SMALL)
        self.proxy.start()
        self.site.receiver()
        # Caddy 2.6 says 502 of a body that it reads to its end.
        self.assert_waits("proxy-refused", "receiver-busy")

    def test_its_413_after_a_welcome(self):
        self.site.episode("one", BIG)
        self.change_proxy(**self.SMALL)
        self.proxy.start()
        self.site.receiver()
        self.assert_waits("proxy-refused", "receiver-unreachable")

    def test_its_502(self):
        self.site.episode("one")
        self.proxy.start()
        self.assertIn("502: a proxy runs there, and the receiver behind it does not answer", self.ping(1))
        self.assert_waits("receiver-busy")

    def test_its_504(self):
        self.site.episode("one")
        self.change_proxy(**self.IMPATIENT)
        self.proxy.start()
        # Whatever is sent there, nobody answers.
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(self.site.socket))
            silent.listen()
            self.assertIn("504", self.ping(1))
            self.assert_waits("receiver-busy")

    def test_authority_missing(self):
        """Fails closed: no file, none in it, or something else in it."""
        self.assertEqual(self.proxy.validate()[0], True, self.proxy.validate()[1])
        for content in (None, b"", b"nothing\n", self.authority.root.key.read_bytes()):
            with self.subTest(content):
                self.proxy.authority.unlink(missing_ok=True)
                if content is not None:
                    self.proxy.authority.write_bytes(content)
                valid, said = self.proxy.validate()
                self.assertFalse(valid, said)
                with self.assertRaisesRegex(AssertionError, "ended with [1-9]"):
                    self.proxy.start()
