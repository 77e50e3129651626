# SPDX-License-Identifier: LGPL-2.1-or-later
"""An upload that was cut goes on where it stopped, and what is stored in the end is what was packed."""

import hashlib
import json
import os
import random
import socket
import subprocess

import scratch
from relay import Relay
from scratch import Connection, Site, wait_until

BIG = 50_000_000


class Resume(scratch.TestCase):
    """With a shipper of ours, over a line that is cut."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.relay = Relay.between(self, self.site)

    def offset(self, name="big"):
        """Once nobody is at it any more, what the receiver says that it has of what is packed."""
        packed = json.loads((self.site.host / "outbox" / f"{name}.json").read_text())
        headers = {"Authorization": f"Bearer {self.site.token}", "Content-Length": "0",
                   "Upload-Length": str(packed["size"]), "X-Cis490-Sha256": packed["sha256"],
                   "X-Cis490-Code-Commit": self.site.head}

        def ask():
            connection = Connection(self.site.socket)
            connection.request("POST", f"/v1/episodes/lab-1/{name}", headers=headers)
            answer = json.load(connection.getresponse())
            connection.close()
            return answer if "offset" in answer else None

        return wait_until(ask, "the receiver says where to go on")["offset"]

    def cut_after(self, size):
        """Runs a shipper whose line is cut once so many bytes passed; over 1 MiB, or it is simply sent again."""
        self.relay.requests.allow(size)
        run = self.site.start("shipper", "--once")
        wait_until(lambda: self.relay.requests.left == 0, "it sent that much")
        self.relay.cut()
        self.assertEqual(run.wait(), 75)
        self.relay.requests.open()

    def assert_sent_less_than(self, limit):
        self.assertLess(self.relay.requests.came, limit)

    def assert_all_well(self):
        self.assert_arrived(self.site, ["big"])
        self.assert_same_content(self.site, "big")
        self.assertEqual(self.site.names("quarantine"), [])

    def test_cut_at_random_points(self):
        seed = random.randrange(1 << 32)
        print(f"the seed is {seed}")
        points = random.Random(seed)
        self.site.episode("big", BIG)
        self.site.receiver()
        before = 0
        for _ in range(6):
            self.cut_after(points.randint(2_000_000, BIG // 7))
            after = self.offset()
            self.assertGreater(after, before)
            before = after
        self.assertEqual(self.site.rows(), [])
        self.assertEqual(self.site.once().status, 0)
        self.assert_sent_less_than(1.2 * BIG)
        self.assert_all_well()

    def test_one_shipper_goes_on_by_itself(self):
        self.site.episode("big", BIG)
        self.site.receiver()
        self.relay.requests.allow(BIG // 2)
        self.site.shipper()
        wait_until(lambda: self.relay.requests.left == 0, "half of it is sent")
        self.relay.cut()
        self.relay.requests.open()
        self.wait_shipped(self.site, ["big"])
        self.assert_sent_less_than(1.2 * BIG)
        self.assert_all_well()

    def test_the_receiver_does_not_hear_that_the_line_is_dead(self):
        # It does not end it by itself while the test lasts; stalled-after is a second.
        self.site.tune("receiver", scratch.ROOMY + "rate-period=10min\n")
        self.site.episode("big", BIG)
        self.site.receiver()
        self.relay.requests.allow(BIG // 2)
        self.site.shipper()
        wait_until(lambda: self.relay.requests.left == 0, "half of it is sent")
        self.relay.abandon()
        self.relay.requests.open()
        self.wait_shipped(self.site, ["big"])
        self.assert_sent_less_than(1.2 * BIG)
        self.assert_all_well()

    def test_the_receiver_is_killed_in_mid_body(self):
        self.site.episode("big", BIG)
        receiver = self.site.receiver()
        self.relay.requests.allow(BIG // 2)
        self.site.shipper()
        wait_until(lambda: self.relay.requests.left == 0, "half of it is sent")
        wait_until(lambda: sum(path.stat().st_size for path in self.site.partials()) > BIG // 3, "it is written")
        receiver.kill()
        self.relay.requests.open()
        self.site.receiver()
        self.wait_shipped(self.site, ["big"])
        self.assert_sent_less_than(1.3 * BIG)
        self.assert_all_well()

    def test_it_is_damaged_meanwhile(self):
        self.site.episode("big", BIG // 10)
        self.site.receiver()
        self.cut_after(BIG // 20)
        self.assertGreater(self.offset(), 1_000_000)
        [part] = self.site.partials()
        with open(part, "r+b") as file:
            file.seek(500_000)
            byte = file.read(1)
            file.seek(500_000)
            file.write(bytes([byte[0] ^ 1]))
        self.assertEqual(self.site.once().status, 75)
        self.assertEqual((self.site.partials(), self.site.rows()), ([], []))
        self.assertEqual(self.site.once().status, 0)
        self.assert_all_well()

    def test_it_expires(self):
        self.site.tune("receiver", scratch.ROOMY + "[store]\nresume-keep=1s\n")
        self.site.episode("big", BIG // 10)
        self.site.receiver()
        self.cut_after(BIG // 20)
        wait_until(lambda: not self.site.partials(), "it has expired")
        self.assertEqual(self.site.once().status, 0)
        self.assert_all_well()


class Wire(scratch.TestCase):
    """With curl, and with bytes on a socket."""

    def setUp(self):
        super().setUp()
        self.site = Site(self)
        self.site.tune("receiver", scratch.ROOMY + "[store]\nstalled-after=300ms\n")
        self.site.receiver()

    def headers(self, body, **changed):
        headers = {"Host": "receiver", "Authorization": f"Bearer {self.site.token}",
                   "X-Cis490-Sha256": hashlib.sha256(body).hexdigest(), "X-Cis490-Code-Commit": self.site.head}
        headers.update((name.replace("_", "-"), str(value)) for name, value in changed.items())
        return [f"{name}: {value}" for name, value in headers.items()]

    def curl(self, method, body, sent=b"", name="one", **changed):
        arguments = ["curl", "--silent", "--show-error", "--unix-socket", str(self.site.socket), "--request", method,
                     "--data-binary", "@-", "--write-out", "\n%{http_code}"]
        for header in self.headers(body, **changed):
            arguments += ["--header", header]
        run = subprocess.run([*arguments, f"http://localhost/v1/episodes/lab-1/{name}"], input=sent,
                             capture_output=True, check=True, timeout=scratch.PATIENCE)
        text, _, status = run.stdout.decode().rpartition("\n")
        return int(status), json.loads(text)

    def ask(self, body):
        return self.curl("POST", body, Upload_Length=len(body))

    def patch(self, body, offset, **changed):
        values = {"Upload_Offset": offset, "Upload_Length": len(body), "Content_Type": "application/partial-upload"}
        return self.curl("PATCH", body, body[offset:], **{**values, **changed})

    def send_half(self, body):
        """A PUT that stops in its middle; the connection stays."""
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.connect(str(self.site.socket))
        lines = ["PUT /v1/episodes/lab-1/one HTTP/1.1", *self.headers(body, Content_Length=len(body)), "", ""]
        connection.sendall("\r\n".join(lines).encode() + body[:len(body) // 2])
        wanted = len(body) // 2
        wait_until(lambda: any(path.stat().st_size >= wanted or hashlib.sha256(body).hexdigest() in path.name
                               for path in self.site.partials()), "it is at work")
        return connection

    def cut(self, body):
        self.send_half(body).close()
        wait_until(lambda: self.ask(body)[1].get("offset") == len(body) // 2, "half of it is kept")

    def assert_stored(self, body):
        self.assertEqual(self.site.archive("one").read_bytes(), body)
        self.assertEqual([row["sha256"] for row in self.site.rows()], [hashlib.sha256(body).hexdigest()])

    def test_another_offset(self):
        body = os.urandom(100_000)
        self.cut(body)
        for offset in (0, 49_999, 50_001, 100_000):
            status, problem = self.patch(body, offset)
            self.assertEqual((status, problem["type"], problem["offset"]),
                             (409, "urn:cis490:finding:upload-offset-mismatch", "50000"))
        status, receipt = self.patch(body, 50_000)
        self.assertEqual((status, receipt["status"]), (201, "stored"))
        self.assert_stored(body)
        self.assertEqual(self.patch(body, 50_000)[1]["status"], "duplicate")

    def test_what_a_patch_must_say(self):
        body = os.urandom(100)
        cases = [({"Content_Type": "application/zstd"}, 415, "media-type-unsupported"),
                 ({"Upload_Offset": "ten"}, 400, "request-malformed"),
                 ({"Upload_Length": 101}, 400, "request-malformed"),
                 ({"Authorization": "Bearer nobody"}, 401, "token-unknown"),
                 ({"X_Cis490_Code_Commit": self.site.stale}, 412, "commit-not-in-window")]
        for changed, status, finding in cases:
            answer = self.patch(body, 10, **changed)
            self.assertEqual((answer[0], answer[1]["type"]), (status, f"urn:cis490:finding:{finding}"))

    def test_two_digests(self):
        bodies = [os.urandom(100_000), os.urandom(70_000)]
        for body in bodies:
            self.cut(body)
        self.assertEqual([self.ask(body)[1]["offset"] for body in bodies], [50_000, 35_000])
        self.assertEqual(self.patch(bodies[1], 35_000)[0], 201)
        self.assert_stored(bodies[1])
        self.assertEqual(self.patch(bodies[0], 50_000)[0], 409)
        self.assert_stored(bodies[1])

    def test_a_half_dead_connection_does_not_block_its_host(self):
        body = os.urandom(100_000)
        self.send_half(body)
        answer = wait_until(lambda: (found := self.ask(body))[0] == 200 and found[1], "it may go on")
        self.assertEqual(answer["offset"], 50_000)
        self.assertEqual(self.patch(body, 50_000)[0], 201)
        self.assert_stored(body)

    def test_a_host_has_no_more_than_its_quota(self):
        self.site.tune("receiver", scratch.ROOMY + "[store]\nhost-quota=150000\n", "quota")
        self.processes[0].reload()
        body = os.urandom(100_000)
        self.assertEqual(self.curl("PUT", body, body)[0], 201)
        status, problem = self.curl("PUT", body[1:], body[1:], name="two")
        self.assertEqual((status, problem["type"]), (507, "urn:cis490:finding:host-quota-used-up"))
        self.assertIn("host-quota=", problem["remedy"])
        self.assertEqual(self.curl("PUT", body[:50], body[:50], name="three")[0], 201)


if __name__ == "__main__":
    scratch.main()
