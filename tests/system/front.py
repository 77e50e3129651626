# SPDX-License-Identifier: LGPL-2.1-or-later
"""The front proxies as processes: nginx and Caddy with the configurations of data/."""

import contextlib
import os
import pathlib
import select
import socket
import subprocess
import tempfile
import threading

import scratch
from scratch import hold_port, wait_until

DATA = pathlib.Path(os.environ["G_TEST_SRCDIR"]).parent / "data"


class Proxy:
    """A proxy that runs with the configuration of data/, but for its paths, port and name."""

    def __init__(self, test, site, authority, **changes):
        self.test, self.site, self.port = test, site, hold_port(test)
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=site.folder, prefix="proxy-"))
        self.config = self.folder / self.source.name
        self.authority = self.folder / "clients.pem"
        self.authority.write_bytes(authority.pem.read_bytes())
        self.certificate = authority.server()
        self.environment = {**os.environ, "HOME": str(self.folder)}
        self.write(changes)
        self.name = self.command[0]

    def write(self, changes):
        text = self.source.read_text()
        replacements = {
            "/etc/cis490/server.pem": str(self.certificate.pem), "/etc/cis490/server.key": str(self.certificate.key),
            "/etc/cis490/clients-ca.pem": str(self.authority), "/run/cis490/receiver.sock": str(self.site.socket),
            **self.own_replacements(), **changes,
        }
        for shipped, here in replacements.items():
            if shipped not in text:
                raise AssertionError(f"{self.source} has no “{shipped}” any more")
            text = text.replace(shipped, here)
        self.config.write_text(text)

    def start(self):
        self.output = tempfile.TemporaryFile()
        self.popen = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=self.output,
                                      stderr=self.output)
        self.test.watch(self)
        wait_until(self.answers, f"{self.name} listens")
        return self

    def answers(self):
        if self.popen.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.popen.returncode}:\n{self.said}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def validate(self):
        """Whether it would start, and what it says."""
        done = subprocess.run(self.validation, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=scratch.PATIENCE)
        return done.returncode == 0, done.stdout

    @property
    def said(self):
        return os.pread(self.output.fileno(), 1 << 20, 0).decode(errors="replace")

    def kill(self):
        if self.popen.poll() is None:
            # nginx's workers outlive a master that is killed.
            self.popen.terminate()
        return self.popen.wait(scratch.PATIENCE)

    def close(self):
        self.output.close()


class NginxProxy(Proxy):
    source = DATA / "nginx" / "cis490.conf"
    MAIN = """
{user}
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {config};
}}
"""

    def own_replacements(self):
        return {"listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;", "receiver.example.org": "localhost"}

    @property
    def command(self):
        main = self.folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        main.write_text(self.MAIN.format(user=user, folder=self.folder, config=self.config))
        return ["nginx", "-e", "stderr", "-p", self.folder, "-c", main]

    @property
    def validation(self):
        return [*self.command, "-t"]


class CaddyProxy(Proxy):
    source = DATA / "caddy" / "Caddyfile"

    def own_replacements(self):
        return {"receiver.example.org {": f"https://localhost:{self.port} {{"}

    @property
    def command(self):
        return ["caddy", "run", "--config", self.config]

    @property
    def validation(self):
        return ["caddy", "validate", "--config", self.config]


class Meter:
    """Between proxy and receiver; each request is a connection of its own."""

    def __init__(self, test, path, target):
        self.path, self.target = path, target
        self.bytes, self.requests = 0, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()
        test.addCleanup(self.close)

    def close(self):
        # Wakes accept(2), which close() alone does not.
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.threads.append(threading.Thread(target=self._serve, args=(client,)))
                self.threads[-1].start()

    def _serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(str(self.target))
            ends = [client, server]
            begun = False
            while True:
                for end in select.select(ends, [], [])[0]:
                    block = end.recv(65536)
                    if not block:
                        return
                    if end is client:
                        self.bytes += len(block)
                        if not begun:
                            self.requests.append(block.partition(b" HTTP/1.1\r\n")[0].decode())
                        begun = True
                    ends[end is client].sendall(block)
