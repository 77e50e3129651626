#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Speaks the part of Forgejo's API that the version gate uses, from a real git repository.

    forgejo.py REPOSITORY CONTROL [--port PORT] [--cap COMMITS] [--token TOKEN] [--log FILE] [--certificate FILE --key FILE]

It says "listening on http://127.0.0.1:PORT" (https with a certificate) on stdout, and ends with its stdin, so that it outlives no test. CONTROL is a file, read for each request, with what to do wrong:

    ok                     nothing
    500, 404, …            answers that status
    plain                  answers without an ETag
    slow                   answers after 0.7 s, without one
    hang                   never answers
    drip                   a byte of the answer's body every 50 ms
    head                   a byte of the answer's head every 50 ms
    interim                103 without end
    garbage                200, and no JSON
    html                   200, and a login page
    empty                  200, and []
    short                  the first page and nothing behind it
    cut                    half of the body, then closes
    repeat                 the first page under every number
    no-parents             only the head, and nothing of its parents
    null-parents           only the head, and null for its parents
    odd-parents            only the head, and a parent without an id

LOG gets one line for each request: the status (0: none was sent), the page and what it was of. A slow, hanging or dead
server costs nobody else: each connection has a thread of its own.
"""

import argparse
import hashlib
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

PATH = "/api/v1/repos/lab/code/commits"
FORMAT = "%H%x00%P%x00%cI%x00%s"
PARENTS = {"no-parents": {}, "null-parents": {"parents": None}, "odd-parents": {"parents": [{"url": "http://forge.example/"}]}}


def list_commits(repository, of, skip, count):
    """As the API gives them; None where there is no such branch."""
    command = ["git", "-C", repository, "-c", f"safe.directory={repository}", "log", f"--skip={skip}",
               f"--max-count={count}", f"--format={FORMAT}", "--end-of-options", of, "--"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return None
    commits = []
    for line in listed.stdout.splitlines():
        sha, parents, date, subject = line.split("\0")
        person = {"name": "A", "email": "a@example.org", "date": date}
        commits.append({"sha": sha, "created": date, "html_url": f"http://forge.example/{sha}",
                        "commit": {"author": person, "committer": person, "message": subject + "\n"},
                        "author": None, "committer": None, "parents": [{"sha": parent} for parent in parents.split()]})
    return commits


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A head and its body in one packet: otherwise each answer waits 40 ms for the client's acknowledgement.
    wbufsize = -1

    def do_GET(self):
        options = self.server.options
        mode = pathlib.Path(options.control).read_text().strip()
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.asked = f"{query.get('page')} {query.get('sha')}"
        if mode == "slow":
            time.sleep(0.7)
        if mode == "hang":
            self.note(0)
            self.rfile.read(1)
            self.close_connection = True
        elif mode.isdigit():
            self.answer(int(mode), {"message": "told to"}, mode)
        elif options.token and self.headers.get("Authorization") != f"token {options.token}":
            self.answer(401, {"message": "token is required"}, mode)
        elif url.path != PATH:
            self.answer(404, {"message": "The target couldn't be found."}, mode)
        else:
            self.list(query, mode)

    def list(self, query, mode):
        options = self.server.options
        limit = min(int(query.get("limit", 30)), options.cap)
        page = 1 if mode == "repeat" else int(query.get("page", 1))
        commits = list_commits(options.repository, query.get("sha", "main"), (page - 1) * limit, limit)
        if commits is None:
            self.answer(404, {"message": "no such branch"}, mode)
            return
        if mode == "empty" or (mode == "short" and page > 1):
            commits = []
        if mode in PARENTS:
            commits = [{"sha": commit["sha"], **PARENTS[mode]} for commit in commits[:1] if page == 1]
        body = {"garbage": b'[{"sha": "0123', "html": b"<!DOCTYPE html><title>Sign in</title>"}.get(mode)
        self.answer(200, commits, mode, body)

    def note(self, status):
        if self.server.options.log:
            with open(self.server.options.log, "a") as log:
                log.write(f"{status} {self.asked}\n")

    def answer(self, status, value, mode, body=None):
        body = body or json.dumps(value).encode()
        etag = f'"{hashlib.sha1(body).hexdigest()}"'
        if status == 200 and self.headers.get("If-None-Match") == etag:
            status, body = 304, b""
        self.note(status)
        self.send_response(status)
        if status == 200:
            if mode not in ("plain", "slow"):
                self.send_header("ETag", etag)
            self.send_header("Content-Type", "application/json;charset=utf-8")
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        if mode == "head":
            self.drip(b"".join(self._headers_buffer))
        while mode == "interim":  # until nobody reads any more
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        self.end_headers()
        if mode == "drip":
            self.drip(body)
        elif mode == "cut":
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def drip(self, data):
        for at in range(len(data)):
            self.wfile.write(data[at:at + 1])
            self.wfile.flush()
            time.sleep(0.05)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that gives up is what the tests are about."""


def end_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("repository")
    parser.add_argument("control")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cap", type=int, default=50)
    parser.add_argument("--token")
    parser.add_argument("--log")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.options = parser.parse_args()
    server.server_address = ("127.0.0.1", server.options.port)
    server.server_bind()
    scheme = "http"
    if server.options.certificate:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.options.certificate, server.options.key)
        # Each handshake on its connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.server_activate()
    threading.Thread(target=end_with_stdin, daemon=True).start()
    print(f"listening on {scheme}://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
