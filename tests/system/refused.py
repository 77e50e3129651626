# SPDX-License-Identifier: LGPL-2.1-or-later
"""Requests that a receiver does not take, byte by byte, and what each finding of an HTTP answer comes from.

MALFORMED is what is wrong with a request; its remedy is a whole one. CREDENTIALS are wrong in who sends it. A generator of
TRANSIENT tunes a site, begins its receiver and yields what a request was told in vain; then it lets go of the cause, so that the
same request is taken.
"""

import hashlib
import http.client
import json
import re
import socket
import subprocess

import scratch
from scratch import wait_until

BODY = b"what an archive holds"

# The end of an archive.
REST = {"method": "PATCH", "body": BODY[5:], "Upload-Length": str(len(BODY)), "Upload-Offset": "5"}
MALFORMED = {
    "archive-empty": {"body": b""},
    "commit-malformed": {"X-Cis490-Code-Commit": "HEAD"},
    "commit-missing": {"X-Cis490-Code-Commit": None},
    "digest-malformed": {"X-Cis490-Sha256": "abc"},
    "digest-mismatch": {"X-Cis490-Sha256": "0" * 64},
    "digest-missing": {"X-Cis490-Sha256": None},
    "expectation-unknown": {"Expect": "200-ok"},
    "head-too-large": {"X-Long": "x" * 20_000},
    "http-version-unsupported": {"version": "HTTP/1.0"},
    "id-invalid": {"path": "/v1/episodes/lab-1/a%20b"},
    "length-required": {"Content-Length": None},
    "media-type-unsupported": {**REST, "Content-Type": "text/plain"},
    "method-not-allowed": {"method": "DELETE"},
    "not-found": {"path": "/v2/episodes/lab-1/one"},
    "request-malformed": {"X-Odd ": "1"},
}

CREDENTIALS = {
    "not-your-host": {"path": "/v1/episodes/lab-2/one"},
    "token-missing": {"Authorization": None},
    "token-unknown": {"Authorization": "Bearer " + "0" * 64},
}

TRANSIENT = {}


def transient(finding):
    def register(function):
        TRANSIENT[finding] = function
        return function
    return register


class Request:
    """One on a connection of its own."""

    def __init__(self, site, method="PUT", path="/v1/episodes/lab-1/one", version="HTTP/1.1", body=BODY, **changed):
        headers = {"Host": "receiver", "Authorization": f"Bearer {site.token}", "Content-Length": str(len(body)),
                   "X-Cis490-Code-Commit": site.head, "X-Cis490-Sha256": hashlib.sha256(body).hexdigest(), **changed}
        lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
        self.head, self.body = ("\r\n".join(lines) + "\r\n\r\n").encode(), body
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(scratch.PATIENCE)
        site.test.addCleanup(self.socket.close)
        self.socket.connect(str(site.socket))

    def send(self, head=None, body=None):
        """Of both so many bytes; None: all."""
        self.socket.sendall(self.head[:head] + self.body[:body])
        return self

    def close(self):
        self.socket.close()

    @property
    def answer(self):
        """Its status, and the JSON in it."""
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        return answer.status, json.loads(answer.read())


def ask(site, **changed):
    return Request(site, **changed).send().answer


def stall(site, **changed):
    """A request whose body stops after a few bytes, once the receiver is at it."""
    request = Request(site, **changed).send(body=4)
    wait_until(site.partials, "the upload began")
    return request


def begin(site, text):
    site.tune("receiver", text, "tuned")
    site.begin("receiver")


@transient("head-too-slow")
def _(site):
    begin(site, "[accept]\nhead-timeout=300ms\n")
    yield Request(site).send(head=20, body=0).answer


@transient("body-too-slow")
def _(site):
    begin(site, "[accept]\nrate-period=300ms\n")
    yield stall(site, body=BODY * 10_000).answer


@transient("body-cut")
def _(site):
    begin(site, "")
    first = stall(site)
    wait_until(lambda: ask(site)[0] == 201, "the first one counts as stalled, and the next takes over")
    yield first.answer


@transient("busy")
def _(site):
    token = site.add_token("lab-2")
    begin(site, "[pipeline]\nworkers=1\n[accept]\nqueue-timeout=300ms\n")
    first = stall(site)
    yield ask(site, path="/v1/episodes/lab-2/two", Authorization=f"Bearer {token}")
    first.close()


@transient("host-busy")
def _(site):
    begin(site, "[pipeline]\nworkers=4\n[accept]\nqueue-timeout=300ms\n")
    first = stall(site)
    yield ask(site, path="/v1/episodes/lab-1/two")
    first.close()


@transient("in-flight")
def _(site):
    begin(site, "")
    first = stall(site, body=BODY[::-1])
    yield ask(site)
    first.close()


@transient("shutting-down")
def _(site):
    begin(site, "[pipeline]\nreload-timeout=0\n")
    request = stall(site)
    site.running["receiver"].reload()
    yield request.answer


@transient("upload-offset-mismatch")
def _(site):
    begin(site, "")
    yield ask(site, **REST, **{"Content-Type": "application/partial-upload", "X-Cis490-Sha256": hashlib.sha256(BODY).hexdigest()})


@transient("archive-beyond-limits")
def _(site):
    begin(site, "[pipeline]\nstages=accept;bearer;known;gate;verify;store;index;log\n[verify]\nplugin=gate/verify\nmax-entries=1\n")
    folder = site.folder / "packed" / "one"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text("{}")
    yield ask(site, body=subprocess.run(["tar", "--zstd", "-C", folder.parent, "-c", "one"], check=True, capture_output=True).stdout)
    site.tune("receiver", "", "tuned")


@transient("receiver-error")
def _(site):
    begin(site, "")
    obstacle = site.receiver_state / "incoming" / "lab-1"
    obstacle.touch()
    yield ask(site)
    obstacle.unlink()


@transient("not-identified")
def _(site):
    begin(site, "[pipeline]\nstages=accept;log\n")
    yield ask(site, method="POST", path="/v1/ping", body=b"")
    site.tune("receiver", "", "tuned")


def take_credentials(site, printed, host):
    """What a person does with the line and the token that `cis490 token new` printed."""
    with open(site.folder / "tokens", "a") as tokens:
        tokens.write(re.search(rf"^ +({re.escape(host)} [0-9a-f]{{64}})$", printed, re.M)[1] + "\n")
    site.token = re.search(r"^ +([0-9a-f]{64})$", printed, re.M)[1]
